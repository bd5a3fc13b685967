"""Distribution heads and small networks on a CPU: the loss function is a distribution assumption."""

from pyscratch._loss import Bound, Loss, Total
from pyscratch._native import isa, isas, set_threads, threads, use_isa
from pyscratch._training import History
from pyscratch.catalogue import Binomial, Gamma, NegativeBinomial, Tweedie
from pyscratch.ensemble import Ensemble, Mixture
from pyscratch.layers import GELU, Dense, Dropout, Layer, LayerNorm, ReLU, Sigmoid, SiLU, Tanh
from pyscratch.losses import Bernoulli, Categorical, Gaussian, HeteroscedasticGaussian, Poisson
from pyscratch.network import Network
from pyscratch.optimizers import SGD, Adam, AdamW, Optimizer
from pyscratch.schedules import Cosine, Plateau, Schedule, Warmup

__all__ = [
    "Adam", "AdamW", "Bernoulli", "Binomial", "Bound", "Categorical", "Cosine", "Dense", "Dropout", "Ensemble",
    "GELU", "Gamma", "Gaussian", "HeteroscedasticGaussian", "History", "Layer", "LayerNorm", "Loss", "Mixture",
    "NegativeBinomial", "Network", "Optimizer", "Plateau", "Poisson", "ReLU", "SGD", "Schedule", "SiLU",
    "Sigmoid", "Tanh", "Total", "Tweedie", "Warmup", "isa", "isas", "set_threads", "threads", "use_isa",
]  # fmt: skip

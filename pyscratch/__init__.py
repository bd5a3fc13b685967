"""Distribution heads and small networks on a CPU: the loss function is a distribution assumption."""

from pyscratch._loss import Bound, Loss, Total
from pyscratch._native import isa, isas, set_threads, threads, use_isa
from pyscratch._training import History
from pyscratch.layers import Dense, Layer, ReLU, Tanh
from pyscratch.losses import Bernoulli, Categorical, Gaussian, HeteroscedasticGaussian, Poisson
from pyscratch.network import Network
from pyscratch.optimizers import SGD, Adam, Optimizer

__all__ = [
    "SGD", "Adam", "Bernoulli", "Bound", "Categorical", "Dense", "Gaussian", "HeteroscedasticGaussian", "History",
    "Layer", "Loss", "Network", "Optimizer", "Poisson", "ReLU", "Tanh", "Total", "isa", "isas", "set_threads",
    "threads", "use_isa",
]  # fmt: skip

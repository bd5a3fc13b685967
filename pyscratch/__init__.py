"""Distribution heads and small networks on a CPU: the loss function is a distribution assumption."""

from pyscratch._loss import Bound, Loss, Total
from pyscratch._native import isa, isas, set_threads, threads, use_isa
from pyscratch._training import History
from pyscratch.ensemble import Ensemble, Mixture
from pyscratch.layers import GELU, Dense, Dropout, Layer, LayerNorm, OrderedThresholds, ReLU, Sigmoid, SiLU, Tanh
from pyscratch.losses import Product, families
from pyscratch.network import Network
from pyscratch.optimizers import LBFGS, SGD, Adam, AdamW, Optimizer
from pyscratch.schedules import Cosine, Plateau, Schedule, Warmup

globals().update(families)  # every family of the registry by its name: Poisson, Gaussian, ...

__all__ = [
    "GELU", "LBFGS", "SGD", "Adam", "AdamW", "Bound", "Cosine", "Dense", "Dropout", "Ensemble", "History", "Layer",
    "LayerNorm", "Loss", "Mixture", "Network", "Optimizer", "OrderedThresholds", "Plateau", "Product", "ReLU",
    "Schedule", "SiLU", "Sigmoid", "Tanh", "Total", "Warmup", "families", "isa", "isas", "set_threads", "threads",
    "use_isa", *families,
]  # fmt: skip

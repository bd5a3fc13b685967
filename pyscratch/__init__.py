"""Distribution heads and small networks on a CPU: the loss function is a distribution assumption."""

from pyscratch._loss import Bound, Loss, Total
from pyscratch._native import isa, isas, set_threads, threads, use_isa
from pyscratch.losses import Bernoulli, Categorical, Gaussian, HeteroscedasticGaussian, Poisson

__all__ = [
    "Bernoulli", "Bound", "Categorical", "Gaussian", "HeteroscedasticGaussian", "Loss", "Poisson", "Total",
    "isa", "isas", "set_threads", "threads", "use_isa",
]  # fmt: skip

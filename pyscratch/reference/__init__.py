"""The reference: the same program in NumPy, formulas in textbook order. It is the specification, and runs without C.

``from pyscratch import reference as ps`` runs what ``import pyscratch as ps`` runs: same names, arguments, results.
Checks, reductions and everything that is data are shared with the C side; every formula is written separately. Where
the textbook form overflows or cancels, the stable one stands here with its reason.
"""

from importlib import import_module
from pkgutil import iter_modules
import sys

from pyscratch import ensemble, network
from pyscratch._loss import Bound, Loss, Total  # noqa: F401  names of `pyscratch` that hold no formula
from pyscratch._training import History  # noqa: F401
from pyscratch.ensemble import Mixture  # noqa: F401
from pyscratch.layers import Layer  # noqa: F401
from pyscratch.optimizers import Optimizer  # noqa: F401
from pyscratch.reference._heads import families
from pyscratch.reference._layers import (  # noqa: F401
    GELU,
    Dense,
    Dropout,
    LayerNorm,
    OrderedThresholds,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)
from pyscratch.reference._optimizers import LBFGS, SGD, Adam, AdamW  # noqa: F401
from pyscratch.reference._product import Product  # noqa: F401
from pyscratch.schedules import Cosine, Plateau, Schedule, Warmup  # noqa: F401

for _module in iter_modules(__path__, f"{__name__}."):  # every one of them is the twin of a family
    import_module(_module.name)
globals().update(families)


class Network(network.Network):
    """`pyscratch.Network`, with Adam in NumPy where no optimizer is named, and classes of this module in `load`."""

    _modules = (sys.modules[__name__],)

    def _optimizer(self, learning_rate):
        return Adam(learning_rate)


class Ensemble(ensemble.Ensemble):
    """`pyscratch.Ensemble` of this module's networks."""

    _network = Network

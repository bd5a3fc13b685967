"""The families: one small class each, holding what is data. What they all do stands in `_loss`, formulas in C.

Choosing one is choosing the distribution of y: its support, how its spread goes with its mean, and what one observation
costs. Every module of this folder is a family's, and is found by itself. To add one: its formula in C
(``csrc/families/``) with a row in ``csrc/families.h``, its class here, its twin in `pyscratch.reference`.
"""

from importlib import import_module
from pkgutil import iter_modules

from pyscratch._loss import Loss
from pyscratch.losses._family import families, family, logit_of, weighted_mean
from pyscratch.losses._product import Product

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)
for _name in sorted(families):  # in this order whichever module was imported first
    families[_name] = families.pop(_name)
globals().update(families)

__all__ = ["Loss", "Product", "families", "family", "logit_of", "weighted_mean", *families]

"""The twin of `pyscratch.Product`."""

from pyscratch import losses
from pyscratch.reference._heads import NumpyHead, families


class Product(losses.Product):
    """`pyscratch.Product` of this module's heads."""

    _families = families
    _weigh = NumpyHead._weigh
    _c_parts = ()

"""The twin of `pyscratch.Gaussian`."""

import math

from pyscratch import losses
from pyscratch.reference._functions import HALF_LOG_2PI
from pyscratch.reference._heads import MeanHead, twin


@twin
class Gaussian(MeanHead, losses.Gaussian):
    """`pyscratch.Gaussian` in NumPy."""

    canonical = "identity"

    @property
    def dispersion(self):
        """The variance."""
        return self.scale**2

    def _log_v(self, z):
        return 0 * z

    def _turn(self, z):
        return self._map.bend(z)

    def _nll(self, z, mean, y):
        return (y - mean) ** 2 / (2 * self.dispersion), 0 * y + (math.log(self.scale) + HALF_LOG_2PI)

    def _inner(self, z, mean, y, wanted):
        return (y**2, mean**2) if wanted == "nll" and self.link.name != self.canonical else ()

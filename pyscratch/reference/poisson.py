"""The twin of `pyscratch.Poisson`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import log_factorial, times
from pyscratch.reference._gated import Empty
from pyscratch.reference._heads import MeanHead, twin


@twin
class Poisson(MeanHead, losses.Poisson):
    """`pyscratch.Poisson` in NumPy."""

    canonical = "log"

    def _log_v(self, z):
        return self._map.log_mean(z)

    def _turn(self, z):
        return self._map.turn(z)

    def _nll(self, z, mean, y):  # a rate that has overflowed costs more than any y gains from it
        gain = np.where(np.isinf(mean.astype(float)), 0, times(y, self._map.log_mean(z)))
        return mean, -gain, log_factorial(y)

    def _empty(self, z, mean):
        up = self._map.up(z)
        return Empty(mean, self._map.log_mean(z), [up], {(0, 0): up * self._map.turn(z)}, 0 * z, 0 * z)

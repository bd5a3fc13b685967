"""The twin of `pyscratch.Tweedie`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import log_tweedie_sum, times
from pyscratch.reference._heads import MeanHead, twin


@twin
class Tweedie(MeanHead, losses.Tweedie):
    """`pyscratch.Tweedie` in NumPy."""

    def _log_v(self, z):
        return self.power * self._map.log_mean(z)

    def _turn(self, z):
        return self._map.turn(z) - (self.power - 1) * self._map.up(z)

    def _nll(self, z, mean, y):
        p, f, log_mean = self.power, self.dispersion, self._map.log_mean(z)
        rise = np.exp((2 - p) * log_mean) / ((2 - p) * f)
        fall = times(y, np.exp((1 - p) * log_mean)) / ((p - 1) * f)
        return rise, fall, np.log(np.where(y > 0, y, 0 * y + 1)), -log_tweedie_sum(y, 0 * y + p, 0 * y + f)

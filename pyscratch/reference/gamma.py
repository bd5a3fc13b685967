"""The twin of `pyscratch.Gamma`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import digamma_excess, lgamma_excess, trigamma_excess
from pyscratch.reference._heads import ShapedHead, twin


@twin
class Gamma(ShapedHead, losses.Gamma):
    """`pyscratch.Gamma` in NumPy."""

    canonical = "canonical"

    @property
    def dispersion(self):
        """1 / shape."""
        return 1 / self.shape

    def _per_dispersion(self, x):
        return x * self.shape

    def _log_v(self, z):
        return 2 * self._map.log_mean(z)

    def _turn(self, z):
        return self._map.turn(z) - self._map.up(z)

    def _terms(self, z, mean, y):
        k, log_mean = 0 * y + self.shape, self._map.log_mean(z)
        r = y * np.exp(-log_mean)
        return k * (r - 1), k * (log_mean - np.log(y)), lgamma_excess(k), np.log(y)

    def _shape_grad(self, z, mean, y):
        """k (y / mean − 1 − log (y / mean)) + k (ψ(k) − log k)."""
        k, log_mean = self.shape, self._map.log_mean(z)
        return k * (y * np.exp(-log_mean) - 1), k * (log_mean - np.log(y)), digamma_excess(k)

    def _shape_fisher(self, z, mean):
        return (trigamma_excess(self.shape),)

    def _shape_curvature(self, z, mean, y):
        return *self._shape_grad(z, mean, y), *self._shape_fisher(z, mean)

    def _pair_curvature(self, z, mean, y):
        return self._grad(z, mean, y)[0]

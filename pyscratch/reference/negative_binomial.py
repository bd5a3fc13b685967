"""The twin of `pyscratch.NegativeBinomial`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import (
    concentration_information,
    harmonic_excess,
    log1pmx,
    log_factorial,
    log_rising,
    times,
    trigamma_drop,
)
from pyscratch.reference._heads import ShapedHead, twin


@twin
class NegativeBinomial(ShapedHead, losses.NegativeBinomial):
    """`pyscratch.NegativeBinomial` in NumPy."""

    def _log_v(self, z):
        log_mean = self._map.log_mean(z)
        return log_mean + np.log1p(np.exp(log_mean) / self.concentration)

    def _turn(self, z):
        x = self._map.mean(z) / self.concentration
        return self._map.turn(z) - self._map.up(z) * x / (1 + x)

    def _log_shares(self, z, mean, r):
        """log (r / (r + mean)) and log (mean / (r + mean)), neither of which overflows with the mean."""
        x, log_x = mean / r, self._map.log_mean(z) - np.log(r)
        above = x > 1
        log1p_x = np.log1p(np.where(above, 1 / np.where(above, x, 0 * x + 1), x))
        return np.where(above, -log_x, 0) - log1p_x, np.where(above, 0, log_x) - log1p_x

    def _terms(self, z, mean, y):
        r = np.minimum(self.concentration, 1e300) + 0 * y  # beyond, and at 0, logarithms would be infinite
        r = np.where(r == 0, 0 * y + 5e-324, r)
        log_p, log_q = self._log_shares(z, mean, r)
        return -r * log_p, -times(y, log_q), -y * np.log(r), log_factorial(y), -log_rising(y, r)

    def _shape_grad(self, z, mean, y):
        """r (log(1 + x) − x) + q (mean − y) + y − r (ψ(y + r) − ψ(r)), with x = mean / r and q = mean / (r + mean)."""
        r = self.concentration
        x, q = mean / r, mean / (r + mean)
        return r * log1pmx(x), q * mean, -q * y, harmonic_excess(y, r)

    def _shape_curvature(self, z, mean, y):
        r = self.concentration
        p, q = r / (r + mean), mean / (r + mean)
        return *self._shape_grad(z, mean, y), -r * q**2, -y * p**2, trigamma_drop(y, r)

    def _pair_curvature(self, z, mean, y):
        q = mean / (self.concentration + mean)
        return tuple(q * term for term in self._grad(z, mean, y)[0])

    def _shape_fisher(self, z, mean):
        return (concentration_information(self.concentration, mean / self.concentration),)

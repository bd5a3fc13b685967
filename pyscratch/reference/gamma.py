"""The twin of `pyscratch.Gamma`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import digamma_excess, lgamma_excess, log1pmx, trigamma_excess
from pyscratch.reference._heads import ShapedHead, twin
from pyscratch.reference._links import SCALE_LINKS


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
        if isinstance(self.shape, np.ndarray):  # predicted
            return k * self._distance(z, y), lgamma_excess(k), np.log(y)
        return k * y * np.exp(-log_mean), k * log_mean, (1 - k) * np.log(y), lgamma_excess(k) - k

    def _inner(self, z, p, y, wanted):
        if not self._predicts or wanted == "fisher":
            return ()
        slip = p[1] * (y * np.exp(-self._map.log_mean(z[0])) - 1)  # how the distance moves as r is rounded
        slope = SCALE_LINKS[self.scale_link].slope(z[1])
        return (slip,) if wanted == "nll" else [(), (slope * slip, slope**2 * slip)]

    def _distance(self, z, y):
        """r − 1 − log r with r = y / mean; next to 1 from one rounding of r, or its two parts would not cancel."""
        log_mean = self._map.log_mean(z)
        d = y * np.exp(-log_mean) - 1
        near = np.abs(d) < 0.5
        return np.where(near, -log1pmx(np.where(near, d, 0 * d)), d + (log_mean - np.log(y)))

    def _shape_grad(self, z, mean, y):
        """k (r − 1 − log r) + k (ψ(k) − log k)."""
        return self.shape * self._distance(z, y), digamma_excess(self.shape)

    def _shape_fisher(self, z, mean):
        return (trigamma_excess(self.shape),)

    def _shape_curvature(self, z, mean, y):
        return *self._shape_grad(z, mean, y), *self._shape_fisher(z, mean)

    def _pair_curvature(self, z, mean, y):
        return self._grad(z, mean, y)[0]

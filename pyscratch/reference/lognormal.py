"""The twin of `pyscratch.LogNormal`."""

import math

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import HALF_LOG_2PI, times
from pyscratch.reference._heads import ScaledHead, twin


@twin
class LogNormal(ScaledHead, losses.LogNormal):
    """`pyscratch.LogNormal` in NumPy: the Gaussian of log y, u = (log y − location) / scale."""

    def _mean(self, z, p):
        return np.exp(p[0] + p[1] ** 2 / 2)

    def _variance(self, z, p):
        return np.exp(2 * p[0] + p[1] ** 2) * np.expm1(p[1] ** 2)

    def _u(self, z, p, y):
        return self._per_scale(z, p, np.log(y) - p[0])

    def _inner(self, z, p, y, wanted):
        """log y / scale, of which u may be a small part."""
        u, apart = self._u(z, p, y), self._per_scale(z, p, np.log(y))
        by_u = times(u, apart)
        if wanted == "nll":
            return (by_u,)
        if wanted == "grad":
            return [(self._per_scale(z, p, apart),), (times(self._slope(z[1]), by_u),)]
        parts = self._slope(z[1]) ** 2, *self._bend(z[1])
        return [(), tuple(times(part, by_u) for part in parts)]

    def _nll(self, z, p, y):
        return self._u(z, p, y) ** 2 / 2, self._log_scale(z[1]), 0 * y + HALF_LOG_2PI, np.log(y)

    def _grad(self, z, p, y):
        slope, u = self._slope(z[1]), self._u(z, p, y)
        return [(self._per_scale(z, p, -u),), (slope, -times(slope, u**2))]

    def _curvature(self, z, p, y):
        slope, bend, u2 = self._slope(z[1]), self._bend(z[1]), self._u(z, p, y) ** 2
        endless = ~(u2 < math.inf)  # then the terms in u² must be one, or they would be ∞ − ∞
        steep = np.where(endless, 2 * slope**2 - sum(bend), 2 * slope**2)
        return [self._fisher(z, p)[0], (*bend, times(steep, u2), -times(sum(bend), np.where(endless, 0, u2)))]

    def _curvature_pairs(self, z, p, y):
        return {(0, 1): (2 * self._slope(z[1]) * self._per_scale(z, p, self._u(z, p, y)),)}

    def _fisher(self, z, p):
        per_scale = self._per_scale(z, p, 0 * z[0] + 1)
        return [(self._per_scale(z, p, per_scale),), (2 * self._slope(z[1]) ** 2,)]

"""The twin of `pyscratch.LogNormal`."""

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

    def _times_u(self, z, p, y, a):
        """The two terms of a u; one if it is infinite, or they would be ∞ − ∞."""
        u = self._per_scale(z, p, np.log(y) - p[0])
        endless = ~(np.abs(times(a, u)) < np.inf)
        log_y, location = self._per_scale(z, p, np.log(y)), self._per_scale(z, p, p[0])
        return times(a, np.where(endless, u, log_y)), -times(a, np.where(endless, 0, location))

    def _u(self, z, p, y):
        return self._per_scale(z, p, np.log(y) - p[0])

    def _nll(self, z, p, y):
        halves = self._times_u(z, p, y, self._u(z, p, y) / 2)
        return *halves, self._log_scale(z[1]), 0 * y + HALF_LOG_2PI, np.log(y)

    def _grad(self, z, p, y):
        slope, one = self._slope(z[1]), 0 * y + 1
        by_location = self._times_u(z, p, y, self._per_scale(z, p, -one))
        return [by_location, (slope, *self._times_u(z, p, y, -slope * self._u(z, p, y)))]

    def _curvature(self, z, p, y):
        slope, bend, u = self._slope(z[1]), self._bend(z[1]), self._u(z, p, y)
        parts = (2 * slope**2, *(-term for term in bend))
        squares = (term for part in parts for term in self._times_u(z, p, y, times(part, u)))
        return [self._fisher(z, p)[0], (*bend, *squares)]

    def _curvature_pairs(self, z, p, y):
        return {(0, 1): (2 * self._slope(z[1]) * self._per_scale(z, p, self._u(z, p, y)),)}

    def _fisher(self, z, p):
        per_scale = self._per_scale(z, p, 0 * z[0] + 1)
        return [(self._per_scale(z, p, per_scale),), (2 * self._slope(z[1]) ** 2,)]

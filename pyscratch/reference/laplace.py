"""The twin of `pyscratch.Laplace`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import times
from pyscratch.reference._heads import ScaledHead, twin


@twin
class Laplace(ScaledHead, losses.Laplace):
    """`pyscratch.Laplace` in NumPy."""

    def _variance(self, z, p):
        return 2 * p[1] ** 2

    def _nll(self, z, p, y):
        return self._per_scale(z, p, np.abs(y - p[0])), self._log_scale(z[1]), np.log(0 * y + 2)

    def _grad(self, z, p, y):
        slope, u = self._slope(z[1]), self._per_scale(z, p, np.abs(y - p[0]))
        return [(self._per_scale(z, p, -np.sign(y - p[0])),), (slope, -times(slope, u))]

    def _curvature(self, z, p, y):
        slope, bend, u = self._slope(z[1]), self._bend(z[1]), self._per_scale(z, p, np.abs(y - p[0]))
        return [(0 * z[0],), (*bend, times(slope**2, u), *(-times(term, u) for term in bend))]

    def _curvature_pairs(self, z, p, y):
        return {(0, 1): (self._slope(z[1]) * self._per_scale(z, p, np.sign(y - p[0])),)}

    def _fisher(self, z, p):
        per_scale = self._per_scale(z, p, 0 * z[0] + 1)
        return [(self._per_scale(z, p, per_scale),), (self._slope(z[1]) ** 2,)]

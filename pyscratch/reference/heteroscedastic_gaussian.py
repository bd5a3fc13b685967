"""The twin of `pyscratch.HeteroscedasticGaussian`."""

import math

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import HALF_LOG_2PI, times
from pyscratch.reference._heads import ScaledHead, twin


@twin
class HeteroscedasticGaussian(ScaledHead, losses.HeteroscedasticGaussian):
    """`pyscratch.HeteroscedasticGaussian` in NumPy."""

    def _variance(self, z, p):
        return p[1] ** 2

    def _nll(self, z, p, y):
        return self._per_scale(z, p, y - p[0]) ** 2 / 2, self._log_scale(z[1]), 0 * y + HALF_LOG_2PI

    def _grad(self, z, p, y):
        slope, u = self._slope(z[1]), self._per_scale(z, p, y - p[0])
        return [(self._per_scale(z, p, -u),), (slope, -times(slope, u**2))]

    def _curvature(self, z, p, y):
        slope, bend, u2 = self._slope(z[1]), self._bend(z[1]), self._per_scale(z, p, y - p[0]) ** 2
        endless = ~(u2 < math.inf)  # then the terms in u² must be one, or they would be ∞ − ∞
        steep = np.where(endless, 2 * slope**2 - sum(bend), 2 * slope**2)
        return [self._fisher(z, p)[0], (*bend, times(steep, u2), -times(sum(bend), np.where(endless, 0, u2)))]

    def _curvature_pairs(self, z, p, y):
        u = self._per_scale(z, p, y - p[0])
        return {(0, 1): (2 * self._slope(z[1]) * self._per_scale(z, p, u),)}

    def _fisher(self, z, p):
        per_scale = self._per_scale(z, p, 0 * z[0] + 1)
        return [(self._per_scale(z, p, per_scale),), (2 * self._slope(z[1]) ** 2,)]

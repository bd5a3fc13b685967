"""The twin of `pyscratch.HeteroscedasticGaussian`."""

import math

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import HALF_LOG_2PI, times
from pyscratch.reference._heads import NumpyHead, twin
from pyscratch.reference._links import SCALE_LINKS


@twin
class HeteroscedasticGaussian(NumpyHead, losses.HeteroscedasticGaussian):
    """`pyscratch.HeteroscedasticGaussian` in NumPy."""

    def _params(self, z):
        return z[0], SCALE_LINKS[self.scale_link].value(z[1]) + self.min_scale

    def _mean(self, z, p):
        return p[0]

    def _variance(self, z, p):
        return p[1] ** 2

    def _log_scale(self, z):
        link = SCALE_LINKS[self.scale_link]
        return np.log(link.value(z) + self.min_scale) if self.min_scale else link.log(z)

    def _share(self, z):
        """How much of the scale the logit moves: h / (h + min_scale)."""
        h = SCALE_LINKS[self.scale_link].value(z)
        return h / (h + self.min_scale) if self.min_scale else 1

    def _slope(self, z):
        """d log scale / dz."""
        return SCALE_LINKS[self.scale_link].slope(z) * self._share(z)

    def _bend(self, z):
        """The terms of d² log scale / dz²."""
        link, share = SCALE_LINKS[self.scale_link], self._share(z)
        return share * link.bend(z), share * (1 - share) * link.slope(z) ** 2

    def _per_scale(self, z, p, a):
        """a / scale; by a scale that has underflowed in two steps, from its logarithm."""
        far = ~(p[1] > 1e-30)
        if not np.any(far):
            return a / p[1]
        root = np.exp(-self._log_scale(z[1]) / 2)
        return np.where(far, times(times(a, root), root), a / p[1])

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

    def _fisher(self, z, p):
        per_scale = self._per_scale(z, p, 0 * z[0] + 1)
        return [(self._per_scale(z, p, per_scale),), (2 * self._slope(z[1]) ** 2,)]

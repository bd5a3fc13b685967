"""The twin of `pyscratch.Weibull`."""

import math

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import lgamma, lgamma_bend, times
from pyscratch.reference._heads import NumpyHead, twin
from pyscratch.reference._links import LINKS, SCALE_LINKS

C = 1 - np.euler_gamma


@twin
class Weibull(NumpyHead, losses.Weibull):
    """`pyscratch.Weibull` in NumPy, with t = (y / scale)^shape and its logarithm l."""

    def _params(self, z):
        return LINKS[self.link.name].mean(z[0]), SCALE_LINKS[self.scale_link].value(z[1])

    def _mean(self, z, p):
        return np.exp(LINKS[self.link.name].log_mean(z[0]) + lgamma(1 + 1 / p[1]))

    def _variance(self, z, p):
        """mean² (Γ(1 + 2 / shape) / Γ(1 + 1 / shape)² − 1)."""
        return self._mean(z, p) ** 2 * np.expm1(lgamma_bend(1 / p[1]))

    def _parts(self, z, p, y):
        """The two terms of l, shape · log y and −shape · log scale, of which l may be much smaller; and l."""
        log_scale = LINKS[self.link.name].log_mean(z[0])
        log_t = times(p[1], np.log(y) - log_scale)
        endless = ~(np.abs(log_t) < math.inf)  # then one term, or they would be ∞ − ∞
        log_y, log_scale = (np.where(endless, 0 * y, log) for log in (np.log(y), log_scale))
        return (times(p[1], log_y), -times(p[1], log_scale)), log_t

    def _nll(self, z, p, y):
        parts, log_t = self._parts(z, p, y)
        rest = np.where(log_t > -math.inf, 0 * y, -log_t)  # of an infinite l only exp(l) counts
        return np.exp(log_t), *(-part for part in parts), rest, -SCALE_LINKS[self.scale_link].log(z[1]), np.log(y)

    def _growth(self, z, p, y):
        """The terms of t − 1, those of (t − 1) l, and l."""
        parts, log_t = self._parts(z, p, y)
        some = (log_t != 0) & (np.abs(log_t) < math.inf)
        ratio = np.where(some, np.expm1(log_t) / np.where(some, log_t, 0 * y + 1), 0 * y + 1)
        rest = np.where(np.abs(log_t) < math.inf, 0 * y, np.expm1(log_t))
        grown = (*(times(ratio, part) for part in parts), rest)
        by_l = (*(times(np.where(some, np.expm1(log_t), 0 * y), part) for part in parts), times(rest, log_t))
        return grown, by_l, log_t

    def _grad(self, z, p, y):
        slope, up = SCALE_LINKS[self.scale_link].slope(z[1]), LINKS[self.link.name].up(z[0])
        grown, by_l, _ = self._growth(z, p, y)
        return [tuple(-times(p[1], term) * up for term in grown), (*(slope * term for term in by_l), -slope)]

    def _curvature(self, z, p, y):
        link, scale_link = LINKS[self.link.name], SCALE_LINKS[self.scale_link]
        grown, by_l, log_t = self._growth(z, p, y)
        t, slope, bend = np.exp(log_t), scale_link.slope(z[1]), scale_link.bend(z[1])
        turn = sum(link.up_slope(z[0]))
        first = times(p[1] ** 2, t) * link.up(z[0]) ** 2, *(times(turn, -times(p[1], term)) for term in grown)
        bent = (times(part, term) for part in (slope**2, bend) for term in by_l)
        return [first, (slope**2 * times(times(t, log_t), log_t), *bent, -bend)]

    def _curvature_pairs(self, z, p, y):
        both = LINKS[self.link.name].up(z[0]) * SCALE_LINKS[self.scale_link].slope(z[1])
        grown, _, log_t = self._growth(z, p, y)
        tl = times(np.exp(log_t), log_t)
        return {(0, 1): (*(-times(p[1], term) * both for term in grown), -times(p[1], tl) * both)}

    def _fisher(self, z, p):
        slope = SCALE_LINKS[self.scale_link].slope(z[1])
        return [((p[1] * LINKS[self.link.name].up(z[0])) ** 2,), ((C**2 + math.pi**2 / 6) * slope**2,)]

    def _fisher_pairs(self, z, p):
        return {(0, 1): (-C * p[1] * LINKS[self.link.name].up(z[0]) * SCALE_LINKS[self.scale_link].slope(z[1]),)}

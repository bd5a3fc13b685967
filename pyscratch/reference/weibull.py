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

    def _log_t(self, z, p, y):
        """l = shape (log y − log scale)."""
        return 0 * y + times(p[1], np.log(y) - LINKS[self.link.name].log_mean(z[0]))

    def _up_slope(self, z):
        """d² log scale / dz²."""
        link = LINKS[self.link.name]
        return link.up(z[0]) * link.turn(z[0])

    def _inner(self, z, p, y, wanted):
        """How an error of l, in parts of what l is the difference of, moves t = exp(l), (t − 1) l and t l²."""
        log_t, slope = self._log_t(z, p, y), SCALE_LINKS[self.scale_link].slope(z[1])
        rounded = 0 if self.link == "log" else 1  # the scale: otherwise its logarithm is the logit itself
        apart = times(p[1], np.abs(np.log(y)) + rounded) + np.abs(log_t)
        in_t, up = times(np.exp(log_t), apart), p[1] * LINKS[self.link.name].up(z[0])
        in_el = times(in_t, np.abs(log_t)) + times(np.abs(np.expm1(log_t)), apart)
        if wanted == "nll":
            return (times(np.abs(np.expm1(log_t)), apart),)
        if wanted == "grad":
            return [(up * in_t,), (slope * in_el,)]
        steep, bend = slope**2, SCALE_LINKS[self.scale_link].bend(z[1])
        by_shape = steep * times(in_t, log_t**2 + 2 * np.abs(log_t)), steep * in_el, bend * in_el
        return [(up**2 * in_t, times(p[1], in_t) * self._up_slope(z)), by_shape]

    def _nll(self, z, p, y):
        log_t = self._log_t(z, p, y)
        rest = np.where(log_t < math.inf, -log_t, 0 * y)  # of an infinite l only exp(l) counts
        return np.exp(log_t), rest, -SCALE_LINKS[self.scale_link].log(z[1]), np.log(y)

    def _grad(self, z, p, y):
        log_t, slope = self._log_t(z, p, y), SCALE_LINKS[self.scale_link].slope(z[1])
        up = LINKS[self.link.name].up(z[0])
        return [(-times(p[1], np.expm1(log_t)) * up,), (slope * times(np.expm1(log_t), log_t), -slope)]

    def _curvature(self, z, p, y):
        link, scale_link, log_t = LINKS[self.link.name], SCALE_LINKS[self.scale_link], self._log_t(z, p, y)
        t, slope, bend, el = np.exp(log_t), scale_link.slope(z[1]), scale_link.bend(z[1]), times(np.expm1(log_t), log_t)
        first = times(p[1] ** 2, t) * link.up(z[0]) ** 2, times(self._up_slope(z), -times(p[1], np.expm1(log_t)))
        bent = times(slope**2, el), times(bend, el)
        return [first, (slope**2 * times(times(t, log_t), log_t), *bent, -bend)]

    def _curvature_pairs(self, z, p, y):
        log_t, both = self._log_t(z, p, y), LINKS[self.link.name].up(z[0]) * SCALE_LINKS[self.scale_link].slope(z[1])
        return {(0, 1): (-times(p[1], np.expm1(log_t)) * both, -times(p[1], times(np.exp(log_t), log_t)) * both)}

    def _fisher(self, z, p):
        slope = SCALE_LINKS[self.scale_link].slope(z[1])
        return [((p[1] * LINKS[self.link.name].up(z[0])) ** 2,), ((C**2 + math.pi**2 / 6) * slope**2,)]

    def _fisher_pairs(self, z, p):
        return {(0, 1): (-C * p[1] * LINKS[self.link.name].up(z[0]) * SCALE_LINKS[self.scale_link].slope(z[1]),)}

"""The twin of `pyscratch.Beta`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import digamma_excess, lgamma_excess, times, trigamma_excess
from pyscratch.reference._heads import NumpyHead, twin
from pyscratch.reference._links import LINKS, SCALE_LINKS

LOGIT = LINKS["logit"]


@twin
class Beta(NumpyHead, losses.Beta):
    """`pyscratch.Beta` in NumPy, with a = mean · precision and b = (1 − mean) · precision.

    log Γ(k) is written k log k − k and an excess, whose first part cancels between a, b and the precision: what is left
    of it are the logarithms of the mean and of its complement.
    """

    def _params(self, z):
        return LOGIT.mean(z[0]), SCALE_LINKS[self.scale_link].value(z[1])

    def _mean(self, z, p):
        return p[0]

    def _variance(self, z, p):
        return p[0] * LOGIT.rest(z[0]) / (p[1] + 1)

    def _shapes(self, z, p):
        return p[0] * p[1], LOGIT.rest(z[0]) * p[1], p[1]

    def _divergence(self, z, p, y):
        """a log (mean / y) + b log ((1 − mean) / (1 − y)): the precision times a Kullback-Leibler divergence."""
        a, b, _ = self._shapes(z, p)
        log_y, log_rest = np.log(y), np.log1p(-y)
        return times(a, LOGIT.log_mean(z[0]) - log_y), times(b, LOGIT.log_rest(z[0]) - log_rest)

    def _inner(self, z, p, y, wanted):
        """The logarithms of y and 1 − y, which the divergence and log (y / (1 − y)) subtract from those of the mean."""
        (a, b, _), (mean, rest) = self._shapes(z, p), (p[0], LOGIT.rest(z[0]))
        flow, apart = np.where(mean < rest, a * rest, b * mean), (times(a, np.log(y)), times(b, np.log1p(-y)))
        by_mean = times(flow, np.log(y)), times(flow, np.log1p(-y))
        if wanted == "nll":
            return apart
        link = SCALE_LINKS[self.scale_link]
        slopes = (link.slope(z[1]),) if wanted == "grad" else (link.slope(z[1]) ** 2, link.bend(z[1]))
        tilt = 1 if wanted == "grad" else rest - mean
        return [tuple(tilt * term for term in by_mean), tuple(times(part, term) for part in slopes for term in apart)]

    def _nll(self, z, p, y):
        a, b, n = map(lgamma_excess, self._shapes(z, p))
        return a, b, -n, *self._divergence(z, p, y), np.log(y), np.log1p(-y)

    def _by_mean(self, z, p, y):
        """By z1: mean (1 − mean) n (ψ(a) − ψ(b) − logit y)."""
        a, b, _ = self._shapes(z, p)
        mean, rest = p[0], LOGIT.rest(z[0])
        flow = np.where(mean < rest, a * rest, b * mean)
        psi = rest * digamma_excess(a), -mean * digamma_excess(b)
        return *psi, times(flow, z[0] - (np.log(y) - np.log1p(-y)))

    def _by_log_precision(self, z, p, y):
        a, b, n = map(digamma_excess, self._shapes(z, p))
        return a, b, -n, *self._divergence(z, p, y)

    def _grad(self, z, p, y):
        slope = SCALE_LINKS[self.scale_link].slope(z[1])
        return [self._by_mean(z, p, y), tuple(times(slope, term) for term in self._by_log_precision(z, p, y))]

    def _curvature(self, z, p, y):
        link, tilt = SCALE_LINKS[self.scale_link], LOGIT.rest(z[0]) - p[0]
        first, second = self._fisher(z, p)
        steep, bend, second_terms = link.slope(z[1]) ** 2, link.bend(z[1]), self._by_log_precision(z, p, y)
        first = *first, *(tilt * term for term in self._by_mean(z, p, y))
        return [first, (*second, *(times(part, term) for part in (steep, bend) for term in second_terms))]

    def _curvature_pairs(self, z, p, y):
        slope, terms = SCALE_LINKS[self.scale_link].slope(z[1]), self._fisher_pairs(z, p)[0, 1]
        return {(0, 1): (*terms, *(slope * term for term in self._by_mean(z, p, y)))}

    def _fisher(self, z, p):
        """Of z1 ((1 − mean) a)² ψ'(a) + (mean b)² ψ'(b), of log n a² ψ'(a) + b² ψ'(b) − n² ψ'(n)."""
        (a, b, n), slope = map(trigamma_excess, self._shapes(z, p)), SCALE_LINKS[self.scale_link].slope(z[1])
        mean, rest = p[0], LOGIT.rest(z[0])
        return [(rest**2 * a, mean**2 * b, p[1] * mean * rest), (slope**2 * a, slope**2 * b, -(slope**2) * n)]

    def _fisher_pairs(self, z, p):
        """(1 − mean) a² ψ'(a) − mean b² ψ'(b)."""
        (a, b, _), slope = map(trigamma_excess, self._shapes(z, p)), SCALE_LINKS[self.scale_link].slope(z[1])
        return {(0, 1): (slope * LOGIT.rest(z[0]) * a, -slope * p[0] * b)}

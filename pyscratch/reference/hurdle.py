"""The twin of `pyscratch.Hurdle`."""

import math

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import bernoulli_excess, bernoulli_ratio, times
from pyscratch.reference._gated import GatedHead, apart
from pyscratch.reference._heads import twin


@twin
class Hurdle(GatedHead, losses.Hurdle):
    """`pyscratch.Hurdle` in NumPy.

    With n the family's nll of y = 0, the counts y > 0 cost log(1 − exp(−n)) besides. Its derivative by log n is
    B = n / (exp(n) − 1), the second one −B E with E = n + B − 1; and n / (1 − exp(−n)) = n + B.
    """

    def _mean(self, z, p):
        e = self._empty(z, p)
        return self._gate(z)[1] * (e.nll + bernoulli_ratio(e.nll)) * (1 + e.per_nll)

    def _variance(self, z, p):
        """Of a count > 0: mean · (variance inside / mean inside − mean inside / n · B)."""
        e = self._empty(z, p)
        b = bernoulli_ratio(e.nll)
        of_count = np.where(e.nll < 0.5, e.nll - bernoulli_excess(e.nll), 1 - b) + e.excess - b * e.per_nll
        return self._mean(z, p) * (of_count + p[-1] * (e.nll + b) * (1 + e.per_nll))

    def _nll(self, z, p, y):
        e, (_, _, structural, counts) = self._empty(z, p), self._gate(z)
        tiny = e.nll == 0
        some = np.where(tiny, e.log_nll, np.log(-np.expm1(-np.where(tiny, 0 * e.nll + 1, e.nll))))
        some = np.where(e.log_nll == -math.inf, 0 * e.nll, some)  # of a mean of 0 any count costs an infinity
        return apart(y, [structural], [*self._counts("_nll", z, p, y), some, counts])

    def _grad(self, z, p, y):
        e = self._empty(z, p)
        b, (s, rest, *_) = bernoulli_ratio(e.nll), self._gate(z)
        inside = self._counts("_grad", z, p, y)
        grad = [apart(y, [], [*terms, times(b, up)]) for up, terms in zip(e.up, inside, strict=True)]
        return [*grad, apart(y, [-rest], [s])]

    def _curvature(self, z, p, y):
        e, (s, rest, *_) = self._empty(z, p), self._gate(z)
        b = bernoulli_ratio(e.nll)
        inside, curvature = self._counts("_curvature", z, p, y), []
        for k, terms in enumerate(inside):
            more = times(b, e.up_slope[k, k]), -times(b, bernoulli_excess(e.nll) * e.up[k] ** 2)
            curvature.append(apart(y, [], [*terms, *more]))
        return [*curvature, (s * rest,)]

    def _curvature_pairs(self, z, p, y):
        e, pairs = self._empty(z, p), self._counts("_curvature_pairs", z, p, y)
        b = bernoulli_ratio(e.nll)
        for i, j in pairs:
            more = times(b, e.up_slope[i, j]), -times(b, bernoulli_excess(e.nll) * e.up[i] * e.up[j])
            pairs[i, j] = apart(y, [], [*pairs[i, j], *more])
        return pairs

    def _fisher(self, z, p):
        """(1 − s) n / (1 − exp(−n)) (information inside / n − B up²)."""
        e, (s, rest, *_) = self._empty(z, p), self._gate(z)
        b = bernoulli_ratio(e.nll)
        counts, pairs = rest * (e.nll + b), zip(self._information(z, p), e.up, strict=True)
        return [*((counts * information, -counts * b * up**2) for information, up in pairs), (s * rest,)]

    def _fisher_pairs(self, z, p):
        e, b = self._empty(z, p), bernoulli_ratio(self._empty(z, p).nll)
        return {} if len(e.up) == 1 else {(0, 1): (-self._gate(z)[1] * (e.nll + b) * b * e.up[0] * e.up[1],)}

"""The twin of `pyscratch.ZeroInflated`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import times
from pyscratch.reference._gated import GatedHead, apart
from pyscratch.reference._heads import twin
from pyscratch.reference._links import LINKS


@twin
class ZeroInflated(GatedHead, losses.ZeroInflated):
    """`pyscratch.ZeroInflated` in NumPy.

    With n the family's nll of y = 0: P(0) = s + (1 − s) exp(−n), and a zero is a structural one with the probability
    t = s / P(0) = sigmoid(g + n). The derivatives of n are n times those of log n.
    """

    def _posterior(self, z, n):
        """t, 1 − t, and 1 − P(0) = (1 − s) (1 − exp(−n))."""
        logit = LINKS["logit"]
        return logit.mean(z[-1] + n), logit.rest(z[-1] + n), logit.rest(z[-1]) * -np.expm1(-n)

    def _mean(self, z, p):
        return self._gate(z)[1] * p[0]

    def _variance(self, z, p):
        return self._mean(z, p) * (1 + self._empty(z, p).excess + p[-1] * p[0])

    def _nll(self, z, p, y):
        """−log P(0) as −log(1 − (1 − P(0))), or where P(0) is small by the logarithms of its two terms."""
        n, (_, _, structural, counts) = self._empty(z, p).nll, self._gate(z)
        some = self._posterior(z, n)[2]
        near = -np.log1p(-np.where(some < 0.5, some, 0 * some))
        far = np.minimum(counts + n, structural) - np.log1p(np.exp(-np.abs(z[-1] + n)))
        return apart(y, [np.where(some < 0.5, near, far)], [*self._counts("_nll", z, p, y), counts])

    def _grad(self, z, p, y):
        e = self._empty(z, p)
        t, rest, some = self._posterior(z, e.nll)
        inside = self._counts("_grad", z, p, y)
        grad = [apart(y, [times(rest, e.nll * up)], terms) for up, terms in zip(e.up, inside, strict=True)]
        return [*grad, apart(y, [-t * some], [p[-1]])]

    def _curvature(self, z, p, y):
        e, s = self._empty(z, p), p[-1]
        t, rest, some = self._posterior(z, e.nll)
        curvature = []
        for k, terms in enumerate(self._counts("_curvature", z, p, y)):
            slope = e.nll * e.up[k]
            bend = times(rest, e.nll * e.up_slope[k, k]), times(rest, e.nll * e.up[k] ** 2)
            curvature.append(apart(y, [*bend, -times(t * rest, slope**2)], terms))
        return [*curvature, apart(y, [t * some * s, -t * some * rest], [s * self._gate(z)[1]])]

    def _curvature_pairs(self, z, p, y):
        e = self._empty(z, p)
        t, rest, _ = self._posterior(z, e.nll)
        slope = [e.nll * up for up in e.up]
        pairs = {(k, len(slope)): apart(y, [-times(t * rest, d)], []) for k, d in enumerate(slope)}
        for i, j in self._counts("_curvature_pairs", z, p, y):
            bend = times(rest, e.nll * e.up_slope[i, j]), times(rest, slope[i] * e.up[j])
            inside = self._counts("_curvature_pairs", z, p, y)[i, j]
            pairs[i, j] = apart(y, [*bend, -times(t * rest, slope[i] * slope[j])], inside)
        return pairs

    def _inner(self, z, p, y, wanted):
        """A rounding of n is a relative error of n ulp in the smaller one of t and 1 − t."""
        e = self._empty(z, p)
        t, _, _ = self._posterior(z, e.nll)
        moved, gate = [(e.nll * up, e.nll * up**2) for up in e.up], t * e.nll
        if wanted == "nll":
            return self._counts("_inner", z, p, y, wanted)
        if wanted == "fisher":
            return [*[()] * len(e.up), (p[-1] * gate,)]
        inside = self._counts("_inner", z, p, y, wanted) or [()] * len(e.up)
        counts = [tuple(apart(y, sizes, more)) for sizes, more in zip(moved, inside, strict=True)]
        return [*counts, apart(y, [gate], [])]

    def _fisher(self, z, p):
        """(1 − s) (that inside − t exp(−n) dn²) and s t (1 − P(0)): the sum over y is known."""
        e, s = self._empty(z, p), p[-1]
        t, _, some = self._posterior(z, e.nll)
        counts, lost = self._gate(z)[1] * e.nll, t * times(np.exp(-e.nll), e.nll)
        pairs = zip(self._information(z, p), e.up, strict=True)
        return [*((counts * information, -counts * lost * up**2) for information, up in pairs), (s * t * some,)]

    def _fisher_pairs(self, z, p):
        e = self._empty(z, p)
        counts, share = self._gate(z)[1] * e.nll, self._posterior(z, e.nll)[0] * np.exp(-e.nll)
        pairs = {(k, len(e.up)): (-counts * share * up,) for k, up in enumerate(e.up)}
        if len(e.up) > 1:
            pairs[0, 1] = (-counts * times(share, e.nll) * e.up[0] * e.up[1],)
        return pairs

"""The twin of `pyscratch.Categorical`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import times
from pyscratch.reference._heads import NumpyHead, twin


@twin
class Categorical(NumpyHead, losses.Categorical):
    """`pyscratch.Categorical` in NumPy.

    With m the largest logit and s the sum of exp(z − m) over the others, the sum of all is 1 + s: so the nll of the
    largest, log1p(s), and the rest of its probability, s / (1 + s), keep their digits when s is small.
    """

    def _blocks(self, z, outputs):
        return z

    def _parts(self, z):
        top = np.arange(z.shape[1]) == np.argmax(z, axis=1)[:, None]
        below = z - np.max(z, axis=1, keepdims=True)
        e = np.exp(below)
        s = np.where(top, 0 * e, e).sum(1, keepdims=True)
        return top, below, e, s

    def _params(self, z):
        _, _, e, s = self._parts(z)
        return e / (1 + s)

    def _rest(self, z):
        top, _, e, s = self._parts(z)
        return np.where(top, s, 1 + s - e) / (1 + s)

    def _variance(self, z, p):
        return p * self._rest(z)

    def _q(self, p, y):
        """The target as K masses: w ((1 − e) of y + e / K)."""
        classes = p.shape[1]
        rows = 0 * p + (np.arange(classes) == y) if y.dtype.kind == "i" else y
        w = np.ones(classes) if self.class_weights is None else np.array(self.class_weights)
        return w.astype(p.dtype) * ((1 - self.smoothing) * rows + self.smoothing / classes)

    def _nll(self, z, p, y):  # Σ q (log Σ exp(z) − z)
        _, below, _, s = self._parts(z)
        q = self._q(p, y)
        return -times(q, below).sum(1, keepdims=True), q.sum(1, keepdims=True) * np.log1p(s)

    def _grad(self, z, p, y):  # p Σq − q, of plain targets in the form of `residual`
        q = self._q(p, y)
        mass = q.sum(1, keepdims=True)
        return [(mass * p, -q) if self.smoothing else (p * (mass - q), -q * self._rest(z))]

    def _curvature(self, z, p, y):
        return [(self._q(p, y).sum(1, keepdims=True) * p * self._rest(z),)]

    def _fisher(self, z, p):  # the expectation of the curvature: a target drawn from p has the mass of q at p
        mass = 1 if self.class_weights is None else self._q(p, p).sum(1, keepdims=True)
        return [(mass * p * self._rest(z),)]

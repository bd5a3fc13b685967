"""The twin of `pyscratch.Ordinal`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import times
from pyscratch.reference._heads import NumpyHead, twin
from pyscratch.reference._links import LINKS, SCALE_LINKS


@twin
class Ordinal(NumpyHead, losses.Ordinal):
    """`pyscratch.Ordinal` in NumPy: of every row all K classes, from which those of y are taken."""

    def _blocks(self, z, outputs):
        return z

    def _params(self, z):
        return LINKS["logit"].mean(z)

    def _rest(self, z):
        return LINKS["logit"].rest(z)

    def _mean(self, z, p):
        return self._rest(z).sum(1, keepdims=True)

    def _variance(self, z, p):
        below = np.cumsum(p, axis=1) - p
        return (self._rest(z) * (p + 2 * below)).sum(1, keepdims=True)

    def _v(self, z):
        """1 / (exp(d) − 1) for the d between neighbours, (n, K − 2)."""
        return 1 / np.expm1(z[:, 1:] - z[:, :-1])

    def _both(self, y, width):
        """Which logit is that of y, and which the one before."""
        return np.arange(width) == y, np.arange(width) == y - 1

    def _between(self, x, y, width):
        """Of numbers of the classes 1 ... K − 2 that of y, (n, 1); 0 of the first and of the last class."""
        inner = np.arange(1, width) == y
        return np.where(inner, x, 0 * y).sum(1, keepdims=True) if width > 1 else 0 * y

    def _nll(self, z, p, y):
        width, softplus = z.shape[1], SCALE_LINKS["softplus"].value
        at, before = self._both(y, width)
        gap = z[:, 1:] - z[:, :-1]
        width_of_class = -np.log(-np.expm1(-gap))
        upper, lower = -LINKS["logit"].log_mean(z), softplus(z)
        nan = np.where(z == z, 0 * p, z).sum(1, keepdims=True)
        return (
            np.where(at, upper, 0 * p).sum(1, keepdims=True),
            np.where(before, lower, 0 * p).sum(1, keepdims=True),
            self._between(width_of_class, y, width) + nan,
        )

    def _grad(self, z, p, y):
        at, before = self._both(y, z.shape[1])
        v = self._between(self._v(z), y, z.shape[1])
        nan = np.where(z == z, 0 * p, z).sum(1, keepdims=True)
        sides = np.where(at, -self._rest(z), np.where(before, p, 0 * p)) + nan
        return [(sides, np.where(at, -v, np.where(before, v, 0 * p)))]

    def _curvature(self, z, p, y):
        at, before = self._both(y, z.shape[1])
        v = self._between(self._v(z), y, z.shape[1])
        nan = np.where(z == z, 0 * p, z).sum(1, keepdims=True)
        return [(np.where(at | before, p * self._rest(z), 0 * p) + nan, np.where(at | before, v * (1 + v), 0 * p))]

    def _fisher(self, z, p):
        """s (1 − s) times the probability of the classes on either side, and p v (1 + v) of both."""
        rest, edge = self._rest(z), 0 * p[:, :1]
        joint = p[:, 1:] * rest[:, :-1]
        inner, bend = joint * -np.expm1(z[:, :-1] - z[:, 1:]), times(joint, self._v(z))
        classes = np.concatenate([p[:, :1], inner, rest[:, -1:]], axis=1)
        bends = np.concatenate([edge, bend, edge], axis=1)
        return [(p * rest * (classes[:, 1:] + classes[:, :-1]), bends[:, :-1], bends[:, 1:])]

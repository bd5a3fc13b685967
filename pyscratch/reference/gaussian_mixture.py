"""The twin of `pyscratch.GaussianMixture`."""

import math

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import HALF_LOG_2PI, times
from pyscratch.reference._heads import NumpyHead, twin
from pyscratch.reference.categorical import Categorical
from pyscratch.reference.heteroscedastic_gaussian import HeteroscedasticGaussian


@twin
class GaussianMixture(NumpyHead, losses.GaussianMixture):
    """`pyscratch.GaussianMixture` in NumPy.

    Of component k: l = log weight − Σ over outputs of (u² / 2 + log scale), and r = exp(l) / Σ exp(l). With
    l = log r + log Σ exp(l) for every k, the nll is the mean of −l under r plus Σ r log r: so it is written here, for
    its terms then say how large what cancels in it is.
    """

    def _blocks(self, z, outputs):
        k = self.components
        return z[:, :k], z[:, k : k + k * outputs], z[:, k + k * outputs :]

    @property
    def _each(self):
        """A component by itself."""
        return HeteroscedasticGaussian(self.scale_link, self.min_scale)

    @property
    def _softmax(self):
        return Categorical()

    def _params(self, z):
        a, m, c = z
        return self._softmax._params(a), *self._each._params((m, c))

    def _cube(self, block):
        """(n, K d) as (n, K, d)."""
        return block.reshape(len(block), self.components, block.shape[1] // self.components)

    def _spread(self, weights, p):
        """Numbers of each component, for each of its outputs: (n, K) as (n, K d)."""
        return np.repeat(weights, p[1].shape[1] // self.components, axis=1)

    def _mean(self, z, p):
        return times(p[0][:, :, None], self._cube(p[1])).sum(1)

    def _mean_size(self, z, p):
        return np.max(abs(times(p[0][:, :, None], self._cube(p[1]))), axis=1)

    def _variance(self, z, p):
        """E of the components' variances plus half the mean squared distance of their means: nothing cancels."""
        w, m, s = p[0][:, :, None], self._cube(p[1]), self._cube(p[2])
        between = sum(times(w[:, k, None], times(w, (m - m[:, k, None]) ** 2)) for k in range(self.components))
        return (times(w, s**2) + between / 2).sum(1)

    def _u(self, z, p, y):
        y = np.tile(y, (1, self.components))
        return self._each._per_scale(z[1:], p[1:], y - p[1])

    def _joint(self, z, p, y):
        """l (n, K) relative to the largest logit of the weights, and its three parts."""
        squares = self._cube(self._u(z, p, y) ** 2).sum(2) / 2
        logs = self._cube(self._each._log_scale(z[2])).sum(2)
        a = z[0] - np.max(z[0], axis=1, keepdims=True)
        joint = np.where(squares == math.inf, -math.inf, a - squares - logs)
        lost = np.max(joint, axis=1, keepdims=True) == -math.inf
        if np.any(lost):  # y is too far from all for its square: the nearest component is responsible
            gap = np.log(abs(np.tile(y, (1, self.components)) - p[1])) - self._each._log_scale(z[2])
            worst = np.where(a == -math.inf, math.inf, np.max(self._cube(gap), axis=2))
            nearest = worst == np.min(worst, axis=1, keepdims=True)
            joint = np.where(lost, np.where(nearest, 0, -math.inf), joint)
        return joint, a, squares, logs

    def _r(self, z, p, y):
        """Responsibilities and their complements."""
        joint = self._joint(z, p, y)[0]
        return self._softmax._params(joint), self._softmax._rest(joint)

    def _nll(self, z, p, y):
        joint, a, squares, logs = self._joint(z, p, y)
        r, (_, below, _, s) = self._softmax._params(joint), self._softmax._parts(joint)
        normaliser, log_r = np.log1p(self._softmax._parts(z[0])[3]), below - np.log1p(s)
        constant = 0 * y.sum(1, keepdims=True) + y.shape[1] * HALF_LOG_2PI

        def mean(x):
            return times(r, x).sum(1, keepdims=True)

        logs = np.where(squares == math.inf, 0, logs)  # a y off a scale of 0 has no density
        return mean(squares), mean(logs), -mean(a), normaliser, mean(log_r), constant

    def _grad(self, z, p, y):
        (r, rest), w, w_rest = self._r(z, p, y), p[0], self._softmax._rest(z[0])
        u, slope, wide = self._u(z, p, y), self._each._slope(z[2]), self._spread(r, p)
        return [
            (times(w, rest), -times(r, w_rest)),
            (self._per(z, p, -times(wide, u)),),
            (wide * slope, -times(wide, slope * u**2)),
        ]

    def _per(self, z, p, x):
        return self._each._per_scale(z[1:], p[1:], x)

    def _curvature(self, z, p, y):
        (r, rest), w, w_rest = self._r(z, p, y), p[0], self._softmax._rest(z[0])
        u2, slope, bend = self._u(z, p, y) ** 2, self._each._slope(z[2]), sum(self._each._bend(z[2]))
        wide, complement = self._spread(r, p), self._spread(rest, p)
        return [
            (w * w_rest, -r * rest),
            (self._per(z, p, self._per(z, p, wide)), -self._per(z, p, self._per(z, p, times(wide * complement, u2)))),
            (
                wide * bend,
                -times(wide, bend * u2),
                times(wide, 2 * slope**2 * u2),
                -times(wide * complement, slope**2 * (1 - u2) ** 2),
            ),
        ]

    def _fisher(self, z, p):
        slope, wide = self._each._slope(z[2]), self._spread(p[0], p)
        return [
            (p[0] * self._softmax._rest(z[0]),),
            (self._per(z, p, self._per(z, p, wide)),),
            (2 * wide * slope**2,),
        ]

    def _condition(self, z, p, y):
        """By how much more than in one component a rounding error may grow in what holds responsibilities.

        They are exponentials of u² / 2, log scale and a, whose rounding errors are as large as they are: blocks of
        1 + the mean of these sizes under r + their size in the component itself.
        """
        joint, a, squares, logs = self._joint(z, p, y)
        size = abs(a) + squares + abs(logs)
        r = self._softmax._params(joint)
        shares = times(r, size)
        others = np.stack([np.delete(shares, k, axis=1).sum(1) for k in range(self.components)], 1)
        rest = self._softmax._rest(joint)  # an error of 1 − r is one of the others' responsibilities
        others = np.where(rest > 0, others / np.where(rest > 0, rest, 1), 0)
        size = 1 + shares.sum(1, keepdims=True) + np.where(r > 0, size, 0) + others
        return size, self._spread(size, p), self._spread(size, p)

    # ---- whole matrices ----

    def _curvature_pairs(self, z, p, y):
        """All of the second derivative; a matrix (n, width, width)."""
        (r, _), w = self._r(z, p, y), p[0]
        k, d, u, slope = self.components, y.shape[1], self._u(z, p, y), self._each._slope(z[2])
        score = np.concatenate([-1 + 0 * w, self._per(z, p, -u), slope * (1 - u**2)], axis=1)
        owner = np.concatenate([np.arange(k), np.repeat(np.arange(k), d), np.repeat(np.arange(k), d)])
        each = times(r[:, owner], score)
        matrix = each[:, :, None] * each[:, None, :]
        alike = owner[:, None] == owner
        matrix -= np.where(alike, times(each[:, :, None], score[:, None, :]), 0)
        matrix[:, :k, :k] -= w[:, :, None] * w[:, None, :]
        mean, scale = np.arange(k, k + k * d), np.arange(k + k * d, k + 2 * k * d)
        mixed = 2 * times(self._spread(r, p), self._per(z, p, u * slope))
        matrix[:, mean, scale] += mixed
        matrix[:, scale, mean] += mixed
        return matrix

    def _fisher_pairs(self, z, p):
        k, width = self.components, z[0].shape[1] + 2 * z[1].shape[1]
        matrix = np.zeros((len(z[0]), width, width), z[0].dtype)
        matrix[:, :k, :k] = -p[0][:, :, None] * p[0][:, None, :]
        return matrix

    def _matrices(self, diagonal, matrix):
        each = np.arange(matrix.shape[1])
        matrix[:, each, each] = np.concatenate(diagonal, axis=1)
        return matrix

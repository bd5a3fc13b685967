"""The twins of the layers."""

import math

import numpy as np

from pyscratch import layers
from pyscratch.reference._functions import times
from pyscratch.reference._links import Logit


class Dense(layers.Dense):
    """`pyscratch.Dense` in NumPy."""

    def _affine(self, x):
        return x @ self.W + self.b

    def _pull(self, x, g):
        np.matmul(x.T, g, out=self.dW)
        np.sum(g, axis=0, out=self.db)
        return g @ self.W.T


class Tanh(layers.Tanh):
    """`pyscratch.Tanh` in NumPy."""

    def _apply(self, x):
        return np.tanh(x)

    def _pull(self, y, g):
        return g * (1 - y * y)


class Sigmoid(layers.Sigmoid):
    """`pyscratch.Sigmoid` in NumPy."""

    def _apply(self, x):
        return Logit().mean(x)

    def _pull(self, y, g):
        return g * y * (1 - y)


class GELU(layers.GELU):
    """`pyscratch.GELU` in NumPy."""

    def _apply(self, x):
        return times(self._cdf(x), x)

    def _pull(self, x, g):
        return g * (self._cdf(x) + times(np.exp(-x * x / 2) / math.sqrt(2 * math.pi), x))

    def _cdf(self, x):
        return np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)), otypes=[x.dtype])(x.astype(np.float64))


class SiLU(layers.SiLU):
    """`pyscratch.SiLU` in NumPy."""

    def _apply(self, x):
        return times(Logit().mean(x), x)

    def _pull(self, x, g):
        s, rest = Logit().mean(x), Logit().rest(x)
        return g * (s + times(s * rest, x))


class Dropout(layers.Dropout):
    """`pyscratch.Dropout` in NumPy."""

    def _masked(self, x):
        rows, width = x.shape
        row, group = np.meshgrid(np.arange(rows), np.arange(-(-width // 4)), indexing="ij")
        words = philox([group, row, self._step % 2**32, self._number], self.seed)
        words = np.stack(words, axis=-1).reshape(rows, -1)[:, :width]
        keep = words >= np.uint64(self.rate * 2.0**32 + 0.5)
        return np.where(keep, x * x.dtype.type(1.0 / (1.0 - self.rate)), x.dtype.type(0))


def philox(counter, seed):
    """Philox4x32-10 (Salmon et al., 2011): four arrays of words for four arrays of counters and a key of 64 bits."""
    low, half = np.uint64(2**32 - 1), np.uint64(32)
    c = [np.asarray(word, np.uint64) for word in np.broadcast_arrays(*counter)]
    key = [seed % 2**32, seed >> 32]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> half) ^ c[1] ^ np.uint64(key[0]), b & low, (a >> half) ^ c[3] ^ np.uint64(key[1]), a & low]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return c


class LayerNorm(layers.LayerNorm):
    """`pyscratch.LayerNorm` in NumPy."""

    def _unit(self, x):
        spread = np.sqrt(x.var(axis=1, keepdims=True) + x.dtype.type(self.epsilon))
        return (x - x.mean(axis=1, keepdims=True)) / spread, spread

    def _normalised(self, x):
        return self.scale * self._unit(x)[0] + self.shift

    def _pull(self, x, g):
        u, spread = self._unit(x)
        np.sum(g * u, axis=0, out=self.dscale)
        np.sum(g, axis=0, out=self.dshift)
        h = g * self.scale
        return (h - h.mean(axis=1, keepdims=True) - u * (h * u).mean(axis=1, keepdims=True)) / spread


class ReLU(layers.ReLU):
    """`pyscratch.ReLU` in NumPy."""

    def _apply(self, x):
        return np.maximum(x, 0)

    def _pull(self, y, g):
        return g * (y > 0)


class OrderedThresholds(layers.OrderedThresholds):
    """`pyscratch.OrderedThresholds` in NumPy."""

    def _cut(self, x):
        steps = np.logaddexp(0, self.gaps.astype(float))
        return (self.first + np.append(0, np.cumsum(steps))).astype(x.dtype) - x

    def _pull(self, g):
        beyond = np.cumsum(g.sum(0)[::-1])[::-1]  # the gradient of each cutpoint and of those after it
        self.dfirst, self.dgaps = beyond[:1], beyond[1:] / (1 + np.exp(-self.gaps))
        return -g.sum(1, keepdims=True)

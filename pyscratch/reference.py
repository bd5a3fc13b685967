"""The reference: the same program in NumPy, formulas in textbook order. It is the specification, and runs without C.

``from pyscratch import reference as ps`` runs what ``import pyscratch as ps`` runs: same names, arguments, results.
Checks, reductions and everything that is data are shared with the C side; every formula is written separately. Where
the textbook form overflows or cancels, the stable one stands here with its reason.
"""

import math
import sys

import numpy as np

from pyscratch import _native, layers, losses, network, optimizers
from pyscratch._loss import Bound, Loss, Total  # noqa: F401  names of `pyscratch` that hold no formula
from pyscratch._training import History  # noqa: F401
from pyscratch.layers import Layer  # noqa: F401
from pyscratch.optimizers import Optimizer  # noqa: F401

families = {}  # the twin of every family in `losses.families`


def twin(cls):
    """Enter a reference class in the registry."""
    families[cls.__name__] = cls
    return cls


# ---- elementary functions that NumPy lacks, for arrays of floats or of any other number type ----


def times(a, b):
    """The product a b, where 0 · inf is 0, as measure theory has it."""
    return np.where((a == 0) & (b == b) | (b == 0) & (a == a), 0, a * b)


def sigmoid(z):
    """1 / (1 + exp(−z)), without loss of digits in either tail."""
    t = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, t) / (1 + t)


def log_factorial(y):
    """log y!, by table for the usual counts."""
    if y.dtype != object and np.all((y < 256) & (y == np.floor(y))):
        return _LOG_FACTORIALS[y.astype(int)].astype(y.dtype)
    return lgamma(y + 1)


_LOG_FACTORIALS = np.array([math.lgamma(k + 1) for k in range(256)])


def lgamma(x):
    """log Γ(x), elementwise."""
    if x.dtype == object:
        return np.frompyfunc(lambda v: v.lgamma(), 1, 1)(x)
    return np.frompyfunc(math.lgamma, 1, 1)(x).astype(x.dtype)


HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


# ---- links of scales: h, log h, slope = h' / h and bend, the derivative of the slope ----


class Softplus:
    """h(z) = log(1 + exp(z)). Far below 0 it is t = exp(z), and log h is z − t/2, where h itself underflows."""

    tail = -37.0  # t is below half an ulp of 1 there, in float64

    def value(self, z):
        """The scale."""
        return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))

    def log(self, z):
        """The logarithm of the scale."""
        return np.where(z < self.tail, z - np.exp(z) / 2, np.log(self.value(np.maximum(z, self.tail))))

    def slope(self, z):
        """The derivative of log h: sigmoid(z) / h(z)."""
        near = np.maximum(z, self.tail)
        return np.where(z < self.tail, 1 - np.exp(z) / 2, sigmoid(near) / self.value(near))

    def bend(self, z):
        """The second derivative of log h: slope (1 − sigmoid(z) − slope) = slope (h − t) / ((1 + t) h).

        The difference h − t cancels for small t: there it is its series, −t²/2 + t³/3 − ..., divided by t.
        """
        low = np.clip(z, self.tail, -3)
        t = np.exp(low)
        series = sum((-1) ** (k + 1) * t ** (k - 1) / k for k in range(16, 1, -1))
        difference = np.where(z < self.tail, -np.exp(z) / 2, series / ((1 + t) * self.value(low) / t))
        return self.slope(z) * np.where(z < -3, difference, sigmoid(-z) - self.slope(z))


SCALE_LINKS = {"softplus": Softplus()}


# ---- heads ----


def residual(mean, rest, y):
    """The terms of mean − y, the gradient of every canonical family; ``rest`` is 1 − mean of a proportion, or None.

    For a proportion it is (1 − y) mean − y (1 − mean), the same number, which keeps its digits where mean and y are
    both close to 1.
    """
    return (mean, -y) if rest is None else ((1 - y) * mean, -y * rest)


class NumpyHead:
    """Runs a family's formulas behind the hooks of `losses.Loss`.

    A formula takes logits ``z`` and parameters ``p`` as one array (n, d) per block, a tuple if there are several, and
    targets ``y`` (n, d). It returns terms, to be added in that order: a tuple of arrays for the nll, and one such tuple
    per block of logits for the rest. Formulas use only operators and NumPy's elementary functions, so that they run in
    any arithmetic: tests evaluate them in many digits.
    """

    def _head(
        self, rows, outputs, width, z, offset, kind, y, weights, scale=1.0, value=False, nll=None, grad=None,
        params=None, mean=None, variance=None, curvature=None, fisher=None,
    ):  # fmt: skip
        z = z.reshape(rows, width)
        if offset is not None:
            z = np.concatenate([z[:, :outputs] + offset, z[:, outputs:]], axis=1)
        if y is not None:
            self.check_support(y, weights, width)
            y = y.reshape(rows, -1)
        seen, w = None, 1
        if weights is not None:  # a row of weight 0 is not read
            seen = weights > 0
            z, y, w = z[seen], y if y is None else y[seen], weights[seen, None]

        def put(out, values):
            out = out.reshape(rows, -1)
            out[...] = 0
            out[... if seen is None else seen] = values

        with np.errstate(all="ignore"):
            blocks = self._blocks(z, outputs)
            p = self._params(blocks)
            if value or nll is not None:
                each = w * sum(self._nll(blocks, p, y)).sum(1, keepdims=True)
            if nll is not None:
                put(nll, each)
            if params is not None:
                put(params, np.concatenate(p, axis=1) if isinstance(p, tuple) else p)
            if mean is not None:
                put(mean, self._mean(p))
            if variance is not None:
                put(variance, self._variance(p))
            if fisher is not None:
                put(fisher, w * _joined(self._fisher(blocks, p)))
            if curvature is not None:
                put(curvature, w * _joined(self._curvature(blocks, p, y)))
            if grad is not None:
                put(grad, z.dtype.type(scale) * w * _joined(self._grad(blocks, p, y)))
        return float(np.sum(each, dtype=float)) if value else None

    def _bind(self, rows, outputs, width, z, offset, kind, y, weights, scale, nll, grad):
        arguments = (rows, outputs, width, z, offset, kind, y, weights, scale)
        return (
            lambda: self._head(*arguments, True, nll),
            lambda: self._head(*arguments, False, None, grad),
            lambda: self._head(*arguments, True, nll, grad),
        )

    def _weigh(self, weights):
        wrong = ~((weights >= 0) & np.isfinite(weights))
        if wrong.any():
            raise ValueError(self._explain(_native.BAD_WEIGHT, int(np.argmax(wrong)), None, None, weights))
        return float(np.sum(weights, dtype=float))

    def _blocks(self, z, outputs):
        blocks = tuple(z[:, i : i + outputs] for i in range(0, z.shape[1], outputs))
        return blocks if len(self.parameters) > 1 else z

    # A canonical family with one logit states its mean, variance and nll; the rest follows.

    dispersion = 1.0

    def _mean(self, p):
        return p

    def _rest(self, z):
        return None

    def _grad(self, z, p, y):
        return [tuple(term / self.dispersion for term in residual(self._mean(p), self._rest(z), y))]

    def _curvature(self, z, p, y):
        return self._fisher(z, p)

    def _fisher(self, z, p):
        return [(self._variance(p) / self.dispersion**2,)]


def _joined(blocks):
    """The sums of each block's terms, side by side as the logits are."""
    return np.concatenate([sum(terms) for terms in blocks], axis=1)


@twin
class Gaussian(NumpyHead, losses.Gaussian):
    """`pyscratch.Gaussian` in NumPy."""

    @property
    def dispersion(self):
        """The variance."""
        return self.scale**2

    def _params(self, z):
        return z

    def _variance(self, mean):
        return np.full_like(mean, self.dispersion)

    def _nll(self, z, mean, y):
        return (y - mean) ** 2 / (2 * self.dispersion), np.full_like(y, math.log(self.scale) + HALF_LOG_2PI)


@twin
class Bernoulli(NumpyHead, losses.Bernoulli):
    """`pyscratch.Bernoulli` in NumPy."""

    def _params(self, z):
        return sigmoid(z)

    def _rest(self, z):
        return sigmoid(-z)

    def _variance(self, mean):
        return mean * (1 - mean)

    def _fisher(self, z, mean):
        return [(mean * self._rest(z),)]

    def _nll(self, z, mean, y):  # max(z, 0) − y z + log(1 + exp(−|z|))
        return times((z > 0) - y, z), np.log1p(np.exp(-np.abs(z)))


@twin
class Poisson(NumpyHead, losses.Poisson):
    """`pyscratch.Poisson` in NumPy."""

    def _params(self, z):
        return np.exp(z)

    def _variance(self, mean):
        return mean

    def _nll(self, z, mean, y):
        return mean, -times(y, z), log_factorial(y)


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
        s = np.where(top, 0, e).sum(1, keepdims=True)
        return top, below, e, s

    def _params(self, z):
        _, _, e, s = self._parts(z)
        return e / (1 + s)

    def _rest(self, z):
        top, _, e, s = self._parts(z)
        return np.where(top, s, 1 + s - e) / (1 + s)

    def _q(self, z, y):
        """The target as K masses: w ((1 − e) of y + e / K)."""
        classes = z.shape[1]
        rows = np.arange(classes) == y if y.dtype.kind == "i" else y
        w = np.ones(classes) if self.class_weights is None else np.array(self.class_weights)
        return (w * ((1 - self.smoothing) * rows + self.smoothing / classes)).astype(z.dtype)

    def _nll(self, z, p, y):  # Σ q (log Σ exp(z) − z)
        _, below, _, s = self._parts(z)
        q = self._q(z, y)
        return -times(q, below).sum(1, keepdims=True), q.sum(1, keepdims=True) * np.log1p(s)

    def _grad(self, z, p, y):  # p Σq − q, written as Σ over the other classes
        q = self._q(z, y)
        return [(p * (q.sum(1, keepdims=True) - q), -q * self._rest(z))]

    def _curvature(self, z, p, y):
        return [(self._q(z, y).sum(1, keepdims=True) * p * self._rest(z),)]

    def _fisher(self, z, p):  # the expectation of the curvature: a target drawn from p has the mass of q at p
        return [(self._q(z, p).sum(1, keepdims=True) * p * self._rest(z),)]


@twin
class HeteroscedasticGaussian(NumpyHead, losses.HeteroscedasticGaussian):
    """`pyscratch.HeteroscedasticGaussian` in NumPy."""

    def _params(self, z):
        return z[0], SCALE_LINKS[self.scale_link].value(z[1]) + self.min_scale

    def _mean(self, p):
        return p[0]

    def _variance(self, p):
        return p[1] ** 2

    def _log_scale(self, z):
        """log scale and its derivative by the logit."""
        link = SCALE_LINKS[self.scale_link]
        if not self.min_scale:
            return link.log(z), link.slope(z)
        scale = link.value(z) + self.min_scale
        return np.log(scale), link.slope(z) * link.value(z) / scale

    def _bend(self, z):
        """The second derivative of log scale by the logit."""
        link = SCALE_LINKS[self.scale_link]
        share = link.value(z) / (link.value(z) + self.min_scale)  # how much of the scale the logit moves
        bend = link.bend(z)
        return bend * share + link.slope(z) ** 2 * share * (1 - share) if self.min_scale else bend

    def _u(self, z, p, y):
        """(y − mean) / scale; a scale that has underflowed is divided by in two steps, from its logarithm."""
        root = np.exp(-self._log_scale(z[1])[0] / 2)
        return np.where(p[1] > 1e-30, (y - p[0]) / p[1], times(times(y - p[0], root), root))

    def _nll(self, z, p, y):
        log_scale, _ = self._log_scale(z[1])
        return self._u(z, p, y) ** 2 / 2, log_scale, np.full_like(y, HALF_LOG_2PI)

    def _grad(self, z, p, y):
        log_scale, slope = self._log_scale(z[1])
        u, per_scale = self._u(z, p, y), np.exp(-log_scale)
        return [(times(-u, per_scale),), (slope, -slope * u**2)]

    def _curvature(self, z, p, y):
        (_, slope), bend = self._log_scale(z[1]), self._bend(z[1])
        u2 = self._u(z, p, y) ** 2
        return [(1 / p[1] ** 2,), (bend, -times(bend, u2), 2 * slope**2 * u2)]

    def _fisher(self, z, p):
        _, slope = self._log_scale(z[1])
        return [(1 / p[1] ** 2,), (2 * slope**2,)]


# ---- layers ----


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


class ReLU(layers.ReLU):
    """`pyscratch.ReLU` in NumPy."""

    def _apply(self, x):
        return np.maximum(x, 0)

    def _pull(self, y, g):
        return g * (y > 0)


# ---- optimizer steps ----


class SGD(optimizers.SGD):
    """`pyscratch.SGD` in NumPy."""

    bind = optimizers.Optimizer.bind

    def update(self, value, gradient, slots, step, rate):
        """One step in place; see `pyscratch.SGD`."""
        if slots:
            (velocity,) = slots
            velocity[...] = self.momentum * velocity + gradient
            gradient = velocity
        value -= rate * gradient


class Adam(optimizers.Adam):
    """`pyscratch.Adam` in NumPy."""

    bind = optimizers.Optimizer.bind

    def update(self, value, gradient, slots, step, rate):
        """One step in place; see `pyscratch.Adam`."""
        m, v = slots
        correction1, correction2 = self.corrections(step)
        m[...] = self.beta1 * m + (1 - self.beta1) * gradient
        v[...] = self.beta2 * v + (1 - self.beta2) * gradient**2
        value -= rate * (m / correction1) / (np.sqrt(v / correction2) + self.epsilon)


# ---- networks ----


class Network(network.Network):
    """`pyscratch.Network`, with Adam in NumPy where no optimizer is named, and classes of this module in `load`."""

    _modules = (sys.modules[__name__],)

    def _optimizer(self, learning_rate):
        return Adam(learning_rate)

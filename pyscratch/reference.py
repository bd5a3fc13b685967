"""The reference: the same program in NumPy, formulas in textbook order. It is the specification, and runs without C.

``from pyscratch import reference as ps`` runs what ``import pyscratch as ps`` runs: same names, arguments, results.
Checks, reductions and everything that is data are shared with the C side; every formula is written separately. Where
the textbook form overflows or cancels, the stable one stands here with its reason.
"""

import math
import sys

import numpy as np

from pyscratch import _native, ensemble, layers, losses, network, optimizers
from pyscratch._checks import columns
from pyscratch._loss import Bound, Loss, Total  # noqa: F401  names of `pyscratch` that hold no formula
from pyscratch._training import History  # noqa: F401
from pyscratch.ensemble import Mixture  # noqa: F401
from pyscratch.layers import Layer  # noqa: F401
from pyscratch.optimizers import Optimizer  # noqa: F401
from pyscratch.reference_functions import HALF_LOG_2PI, log_factorial, times
from pyscratch.reference_links import LINKS, SCALE_LINKS
from pyscratch.schedules import Cosine, Plateau, Schedule, Warmup  # noqa: F401

families = {}  # the twin of every family in `losses.families`


def twin(cls):
    """Enter a reference class in the registry."""
    families[cls.__name__] = cls
    return cls


# ---- heads ----


class NumpyHead:
    """Runs a family's formulas behind the hooks of `losses.Loss`.

    A formula takes logits ``z`` and parameters ``p`` as one array (n, d) per block, a tuple if there are several, and
    targets ``y`` (n, d). Mean, variance and parameters are such arrays; the rest are terms, to be added in that order:
    a tuple of arrays for the nll, and one such tuple per block of logits for gradient, curvature and Fisher
    information. Formulas use only operators and NumPy's elementary functions, so that they run in any arithmetic:
    tests evaluate them in many digits.
    """

    def _head(
        self, rows, outputs, width, z, offset, kind, y, weights, scale=1.0, value=False, nll=None, grad=None,
        params=None, mean=None, variance=None, curvature=None, fisher=None, block=False,
    ):  # fmt: skip
        z = z.reshape(rows, width)
        if offset is not None:
            z = np.concatenate([z[:, :outputs] + offset, z[:, outputs:]], axis=1)
        if y is not None:
            self.check_support(y, weights, width)
        self.check_domain(z, weights, outputs)
        if y is not None:
            y = columns(y)
        seen, w = None, 1
        if weights is not None:  # a row of weight 0 is not read
            seen = weights > 0
            z, y, w = z[seen], y if y is None else y[seen], weights[seen, None]

        def put(out, values):
            if out is not None:
                out = columns(out) if out.ndim < 3 else out
                out[...] = 0
                out[... if seen is None else seen] = values()

        def second(diagonal, pairs):
            """The terms of a diagonal as a sum, or with those beside it as whole matrices."""
            if not block:
                return w * _joined(diagonal)
            return (w if seen is None else w[..., None]) * _matrices([sum(terms) for terms in diagonal], pairs())

        with np.errstate(all="ignore"):
            blocks = self._blocks(z, outputs)
            p = self._params(blocks)
            each = w * sum(self._nll(blocks, p, y)).sum(1, keepdims=True) if value or nll is not None else None
            put(nll, lambda: each)
            put(params, lambda: np.concatenate(p, axis=1) if isinstance(p, tuple) else p)
            put(mean, lambda: self._mean(blocks, p))
            put(variance, lambda: self._variance(blocks, p))
            put(fisher, lambda: second(self._fisher(blocks, p), lambda: self._fisher_pairs(blocks, p)))
            put(curvature, lambda: second(self._curvature(blocks, p, y), lambda: self._curvature_pairs(blocks, p, y)))
            put(grad, lambda: z.dtype.type(scale) * w * _joined(self._grad(blocks, p, y)))
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

    def _mean(self, z, p):
        return p

    def _curvature_pairs(self, z, p, y):
        """Terms of d²nll / dz_i dz_j by pair (i, j) of blocks; those that are 0 are left out."""
        return {}

    def _fisher_pairs(self, z, p):
        """Terms of their expectations."""
        return {}


def _matrices(diagonal, pairs):
    """Arrays (n, d) of each block of logits, and terms by pair of blocks, as matrices (n, width, width)."""
    rows, d = diagonal[0].shape
    matrices = np.zeros((rows, len(diagonal), d, len(diagonal), d), diagonal[0].dtype)
    each = np.arange(d)
    entries = {(i, i): value for i, value in enumerate(diagonal)} | {pair: sum(terms) for pair, terms in pairs.items()}
    for (i, j), value in entries.items():
        matrices[:, i, each, j, each] = matrices[:, j, each, i, each] = value
    return matrices.reshape(rows, len(diagonal) * d, len(diagonal) * d)


def _joined(blocks):
    """The sums of each block's terms, side by side as the logits are."""
    return np.concatenate([sum(terms) for terms in blocks], axis=1)


def residual(mean, y, others=None, rest=None):
    """The terms of mean − y, the gradient of every canonical family.

    With ``rest``, 1 − mean of a proportion, and ``others`` = 1 − y, it is (1 − y) mean − y (1 − mean): the same number,
    which keeps its digits where mean and y are both close to 1. With counts of both kinds it is n mean − y.
    """
    return (mean, -y) if rest is None else (others * mean, -y * rest)


class MeanHead(NumpyHead):
    """A family of one logit per output: a likelihood in terms of its mean, and a link; either is chosen freely.

    The variance is dispersion · V(mean), and the gradient is residual / variance · dmean/dz. With its canonical link
    that quotient is 1 / dispersion, and what is left is the residual. A family states `canonical`, `_log_v`, the
    logarithm of V(mean), and `_turn`, d log |dmean/dz / V(mean)| / dz (McCullagh & Nelder 1989, section 2.5).
    """

    canonical = ""
    dispersion = 1.0

    @property
    def _map(self):
        return LINKS[self.link.name]

    def _params(self, z):
        return self._map.mean(z)

    def _variance(self, z, mean):
        return self.dispersion * np.exp(self._log_v(z))

    def _leverage(self, z):
        """dmean/dz / V(mean)."""
        if self.link.name == self.canonical:
            return 1
        return self._map.sign * np.exp(self._map.log_slope(z) - self._log_v(z))

    def _grad(self, z, mean, y):
        leverage = self._leverage(z)
        return [tuple(leverage * term / self.dispersion for term in residual(mean, y))]

    def _fisher(self, z, mean):
        return [(self._map.sign * np.exp(self._map.log_slope(z)) * self._leverage(z) / self.dispersion,)]

    def _curvature(self, z, mean, y):
        if self.link.name == self.canonical:
            return self._fisher(z, mean)
        return [(*self._fisher(z, mean)[0], *(term * self._turn(z) for term in self._grad(z, mean, y)[0]))]


@twin
class Gaussian(MeanHead, losses.Gaussian):
    """`pyscratch.Gaussian` in NumPy."""

    canonical = "identity"

    @property
    def dispersion(self):
        """The variance."""
        return self.scale**2

    def _log_v(self, z):
        return 0 * z

    def _turn(self, z):
        return self._map.bend(z)

    def _nll(self, z, mean, y):
        return (y - mean) ** 2 / (2 * self.dispersion), 0 * y + (math.log(self.scale) + HALF_LOG_2PI)


@twin
class Bernoulli(MeanHead, losses.Bernoulli):
    """`pyscratch.Bernoulli` in NumPy."""

    canonical = "logit"

    def _sides(self, y):
        """Successes and failures."""
        return y, 1 - y

    def _variance(self, z, mean):
        return mean * self._map.rest(z)

    def _nll(self, z, mean, y):
        yes, no = self._sides(y)
        return -times(yes, self._map.log_mean(z)), -times(no, self._map.log_rest(z))

    def _grad(self, z, mean, y):
        """The residual; with any other link d/dz of each term: mean · leverage is down, rest · leverage is up."""
        yes, no = self._sides(y)
        if self.link.name == self.canonical:
            return [residual(mean, yes, no, self._map.rest(z))]
        return [(times(no, self._map.down(z)), -times(yes, self._map.up(z)))]

    def _fisher(self, z, mean):
        if self.link.name == self.canonical:
            return [(mean * self._map.rest(z),)]
        return [(times(self._map.down(z), self._map.up(z)),)]

    def _curvature(self, z, mean, y):
        yes, no = self._sides(y)
        if self.link.name == self.canonical:
            return [((yes + no) * self._fisher(z, mean)[0][0],)]
        return [(times(no, self._map.down_slope(z)), -times(yes, self._map.up_slope(z)))]


@twin
class Poisson(MeanHead, losses.Poisson):
    """`pyscratch.Poisson` in NumPy."""

    canonical = "log"

    def _log_v(self, z):
        return self._map.log_mean(z)

    def _turn(self, z):
        return self._map.turn(z)

    def _nll(self, z, mean, y):  # a rate that has overflowed costs more than any y gains from it
        gain = np.where(np.isinf(mean.astype(float)), 0, times(y, self._map.log_mean(z)))
        return mean, -gain, log_factorial(y)


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


@twin
class HeteroscedasticGaussian(NumpyHead, losses.HeteroscedasticGaussian):
    """`pyscratch.HeteroscedasticGaussian` in NumPy."""

    def _params(self, z):
        return z[0], SCALE_LINKS[self.scale_link].value(z[1]) + self.min_scale

    def _mean(self, z, p):
        return p[0]

    def _variance(self, z, p):
        return p[1] ** 2

    def _log_scale(self, z):
        link = SCALE_LINKS[self.scale_link]
        return np.log(link.value(z) + self.min_scale) if self.min_scale else link.log(z)

    def _share(self, z):
        """How much of the scale the logit moves: h / (h + min_scale)."""
        h = SCALE_LINKS[self.scale_link].value(z)
        return h / (h + self.min_scale) if self.min_scale else 1

    def _slope(self, z):
        """d log scale / dz."""
        return SCALE_LINKS[self.scale_link].slope(z) * self._share(z)

    def _bend(self, z):
        """The terms of d² log scale / dz²."""
        link, share = SCALE_LINKS[self.scale_link], self._share(z)
        return share * link.bend(z), share * (1 - share) * link.slope(z) ** 2

    def _per_scale(self, z, p, a):
        """a / scale; by a scale that has underflowed in two steps, from its logarithm."""
        far = ~(p[1] > 1e-30)
        if not np.any(far):
            return a / p[1]
        root = np.exp(-self._log_scale(z[1]) / 2)
        return np.where(far, times(times(a, root), root), a / p[1])

    def _nll(self, z, p, y):
        return self._per_scale(z, p, y - p[0]) ** 2 / 2, self._log_scale(z[1]), 0 * y + HALF_LOG_2PI

    def _grad(self, z, p, y):
        slope, u = self._slope(z[1]), self._per_scale(z, p, y - p[0])
        return [(self._per_scale(z, p, -u),), (slope, -times(slope, u**2))]

    def _curvature(self, z, p, y):
        slope, bend, u2 = self._slope(z[1]), self._bend(z[1]), self._per_scale(z, p, y - p[0]) ** 2
        endless = ~(u2 < math.inf)  # then the terms in u² must be one, or they would be ∞ − ∞
        steep = np.where(endless, 2 * slope**2 - sum(bend), 2 * slope**2)
        return [self._fisher(z, p)[0], (*bend, times(steep, u2), -times(sum(bend), np.where(endless, 0, u2)))]

    def _fisher(self, z, p):
        per_scale = self._per_scale(z, p, 0 * z[0] + 1)
        return [(self._per_scale(z, p, per_scale),), (2 * self._slope(z[1]) ** 2,)]


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


# ---- optimizer steps ----


class SGD(optimizers.SGD):
    """`pyscratch.SGD` in NumPy."""

    bind, clip = optimizers.Optimizer.bind, optimizers.Optimizer.clip

    def update(self, value, gradient, slots, step, rate):
        """One step in place; see `pyscratch.SGD`."""
        if slots:
            (velocity,) = slots
            velocity[...] = self.momentum * velocity + gradient
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        value -= rate * gradient


class _Adam:
    bind, clip = optimizers.Optimizer.bind, optimizers.Optimizer.clip

    def update(self, value, gradient, slots, step, rate):
        """One step in place; see `pyscratch.Adam`."""
        m, v = slots
        correction1, correction2 = self.corrections(step)
        m[...] = self.beta1 * m + (1 - self.beta1) * gradient
        v[...] = self.beta2 * v + (1 - self.beta2) * gradient**2
        value -= rate * (m / correction1) / (np.sqrt(v / correction2) + self.epsilon)


class Adam(_Adam, optimizers.Adam):
    """`pyscratch.Adam` in NumPy."""


class AdamW(_Adam, optimizers.AdamW):
    """`pyscratch.AdamW` in NumPy."""


# ---- networks ----


class Network(network.Network):
    """`pyscratch.Network`, with Adam in NumPy where no optimizer is named, and classes of this module in `load`."""

    _modules = (sys.modules[__name__],)

    def _optimizer(self, learning_rate):
        return Adam(learning_rate)


class Ensemble(ensemble.Ensemble):
    """`pyscratch.Ensemble` of this module's networks."""

    _network = Network


from pyscratch.reference_catalogue import Binomial, Gamma, NegativeBinomial, Tweedie  # noqa: E402, F401

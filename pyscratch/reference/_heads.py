"""What the twins of the families share: NumPy formulas behind the hooks of `losses.Loss`."""

import copy

import numpy as np

from pyscratch import _native
from pyscratch._checks import columns
from pyscratch.reference._functions import times
from pyscratch.reference._links import LINKS, SCALE_LINKS

families = {}  # the twin of every family in `losses.families`


def twin(cls):
    """Enter a reference class in the registry."""
    families[cls.__name__] = cls
    return cls


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
            z = self._shifted(z, offset)
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
            matrices = self._matrices([sum(terms) for terms in diagonal], pairs())
            return (w if seen is None else w[..., None]) * matrices

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

    def _inner(self, z, p, y, wanted):
        """Sizes that rounding errors go by where terms of an output are differences of what was computed before.

        A tuple for the nll; for gradient and curvature a tuple for each block of logits, or nothing.
        """
        return ()

    def _curvature_pairs(self, z, p, y):
        """Terms of d²nll / dz_i dz_j by pair (i, j) of blocks; those that are 0 are left out."""
        return {}

    def _fisher_pairs(self, z, p):
        """Terms of their expectations."""
        return {}

    def _mean_size(self, z, p):
        """The largest term of the mean."""
        return self._mean(z, p)

    def _variance_size(self, z, p):
        """The largest term of the variance."""
        return self._variance(z, p)

    def _condition(self, z, p, y):
        """By how much more than its largest term a rounding error may be, for each block of a gradient or curvature."""
        return (1,) * len(self.parameters)

    def _matrices(self, diagonal, pairs):
        """Arrays (n, d) of each block of logits, and terms by pair of blocks, as matrices (n, width, width)."""
        rows, d = diagonal[0].shape
        matrices = np.zeros((rows, len(diagonal), d, len(diagonal), d), diagonal[0].dtype)
        each = np.arange(d)
        sums = {pair: sum(terms) for pair, terms in pairs.items()}
        for (i, j), value in ({(i, i): value for i, value in enumerate(diagonal)} | sums).items():
            matrices[:, i, each, j, each] = matrices[:, j, each, i, each] = value
        return matrices.reshape(rows, len(diagonal) * d, len(diagonal) * d)


class ScaledHead(NumpyHead):
    """A family whose second logit is a scale, h(z) + min_scale."""

    def _params(self, z):
        return z[0], SCALE_LINKS[self.scale_link].value(z[1]) + self.min_scale

    def _mean(self, z, p):
        return p[0]

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

    def _per_dispersion(self, x):
        return x / self.dispersion

    def _leverage(self, z):
        """dmean/dz / V(mean)."""
        if self.link.name == self.canonical:
            return 1
        return self._map.sign * np.exp(self._map.log_slope(z) - self._log_v(z))

    def _grad(self, z, mean, y):
        leverage = self._leverage(z)
        return [tuple(self._per_dispersion(leverage * term) for term in residual(mean, y))]

    def _fisher(self, z, mean):
        slope = self._map.sign * np.exp(self._map.log_slope(z))
        return [(self._per_dispersion(slope * self._leverage(z)),)]

    def _curvature(self, z, mean, y):
        if self.link.name == self.canonical:
            return self._fisher(z, mean)
        return [(*self._fisher(z, mean)[0], *(term * self._turn(z) for term in self._grad(z, mean, y)[0]))]


class ShapedHead(MeanHead):
    """A family of `MeanHead` with a number that is fixed or predicted.

    A predicted number is an array in the formulas of the fixed one. By its logarithm a family states the terms of the
    gradient (`_shape_grad`), of the second derivative (`_shape_curvature`) and of the Fisher information; here they are
    chained with the link.
    """

    def _at(self, number):
        """The same family with an array as its number."""
        fixed = copy.copy(self)
        vars(fixed)[self.given] = number
        return fixed

    @property
    def _predicts(self):
        return getattr(self, self.given) is None

    def _params(self, z):
        if not self._predicts:
            return super()._params(z)
        return super()._params(z[0]), SCALE_LINKS[self.scale_link].value(z[1])

    def _mean(self, z, p):
        return p[0] if self._predicts else p

    def _variance(self, z, p):
        return self._at(p[1])._variance(z[0], p[0]) if self._predicts else super()._variance(z, p)

    def _nll(self, z, p, y):
        return self._at(p[1])._nll(z[0], p[0], y) if self._predicts else self._terms(z, p, y)

    def _grad(self, z, p, y):
        if not self._predicts:
            return super()._grad(z, p, y)
        slope, fixed = SCALE_LINKS[self.scale_link].slope(z[1]), self._at(p[1])
        return [*fixed._grad(z[0], p[0], y), tuple(slope * term for term in fixed._shape_grad(z[0], p[0], y))]

    def _fisher(self, z, p):
        if not self._predicts:
            return super()._fisher(z, p)
        slope, fixed = SCALE_LINKS[self.scale_link].slope(z[1]), self._at(p[1])
        return [*fixed._fisher(z[0], p[0]), tuple(slope**2 * term for term in fixed._shape_fisher(z[0], p[0]))]

    def _curvature(self, z, p, y):
        if not self._predicts:
            return super()._curvature(z, p, y)
        link, fixed = SCALE_LINKS[self.scale_link], self._at(p[1])
        by_log = [link.slope(z[1]) ** 2 * term for term in fixed._shape_curvature(z[0], p[0], y)]
        bent = [times(link.bend(z[1]), term) for term in fixed._shape_grad(z[0], p[0], y)]
        return [*fixed._curvature(z[0], p[0], y), (*by_log, *bent)]

    def _curvature_pairs(self, z, p, y):
        if not self._predicts:
            return {}
        slope, fixed = SCALE_LINKS[self.scale_link].slope(z[1]), self._at(p[1])
        return {(0, 1): tuple(slope * term for term in fixed._pair_curvature(z[0], p[0], y))}

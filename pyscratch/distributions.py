"""What a head promises: the assumed distribution of each row's target, from ``loss.distribution(z)``.

One object stands for all rows; nothing loops over them. Gaussians, proportions, classes and Poisson counts need nothing
but NumPy. The others are served by scipy.stats, through the name and the arguments that their class states; that needs
the extra ``pip install 'pyscratch[distributions]'``. What scipy lacks (mixtures, modes, ...) stands here.
"""

from functools import cached_property
import importlib
import math
from statistics import NormalDist

import numpy as np

from pyscratch import _native


def scipy(module, what=None):
    """A module of scipy; without scipy None, or one line on ``what`` needs it."""
    try:
        return importlib.import_module(f"scipy.{module}")
    except ImportError:
        if what is None:
            return None
        raise ImportError(f"{what} needs scipy: pip install 'pyscratch[distributions]'") from None


def _each(function):
    """A scalar function as an elementwise one."""
    vectorised = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(vectorised(x), float)


def normal_cdf(u):
    """P(Z <= u) of a standard normal, with its digits in both tails."""
    return _native.function("ndtr", np.asarray(u, float)) if _native.available else _erfc(-np.asarray(u, float))


def normal_density(u):
    """The density of a standard normal."""
    return np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)


_erfc = _each(lambda x: 0.5 * math.erfc(x / math.sqrt(2)))
normal_quantile = _each(lambda q: NormalDist().inv_cdf(q) if 0 < q < 1 else math.inf * (q - 0.5) if q == q else q)


class Distribution:
    """The assumed distributions of all rows' targets, one object.

    Attributes mean, variance, std, mode, entropy (in nats) and results of cdf, sf, quantile, interval have the shape of
    ``loss.mean(z)``: (n,) for one output, (n, d) otherwise; they are those of each output by itself. ``log_prob`` (n,)
    is of the outputs together. A mean or variance that does not exist is NaN (of Student's t: df <= 1, df <= 2).

    loss : Loss
    z : ndarray
        Logits, the offset added.
    offset : ndarray or None
        That offset, for what is compared with (`diagnostics.gain`).
    """

    ordered = True  # whether there are cdf, quantile and interval

    def __init__(self, loss, z, offset=None):
        self.loss, self.z, self.offset = loss, z, offset

    def __repr__(self):
        return f"<{type(self).__name__} of {self.loss!r}, {len(self.z)} rows>"

    def __len__(self):
        return len(self.z)

    def __getitem__(self, rows):
        """The distributions of some rows: a slice, indices or a mask."""
        rows = np.atleast_1d(rows) if not isinstance(rows, slice) else rows
        offset = self.offset if np.ndim(self.offset) == 0 else np.asarray(self.offset)[rows]
        return type(self)(self.loss, self.z[rows], offset)

    @property
    def parameters(self):
        """``loss.link(z)``."""
        return self.loss.link(self.z)

    @cached_property
    def _arguments(self):
        """Parameters in float64, each in the shape of the mean."""
        p = self.loss.link(self.z.astype(float))
        return tuple(np.reshape(a, self._shape) for a in (p if isinstance(p, tuple) else (p,)))

    @cached_property
    def _shape(self):
        rows, width = self.z.shape if self.z.ndim == 2 else (len(self.z), 1)
        outputs = self.loss.outputs(width)
        return (rows,) if outputs == 1 else (rows, outputs)

    @property
    def mean(self):
        """Mean of each row; NaN where there is none."""
        return self.loss.mean(self.z)

    @property
    def variance(self):
        """Variance of each row; NaN where there is none."""
        return self.loss.variance(self.z)

    @property
    def std(self):
        """Standard deviation of each row."""
        return np.sqrt(self.variance)

    @property
    def mode(self):
        """The y of the highest density or mass; NaN where several share it."""
        loc, scale, shapes = self._located
        return loc + scale * self._form.mode(*shapes)

    @property
    def entropy(self):
        """The nll to be expected where the assumption is true: −E log density or mass, in nats."""
        _, scale, shapes = self._located
        return np.log(scale) + self._form.entropy(*shapes)

    def log_prob(self, y):
        """Log density or log mass of each row's y, (n,): the sum over outputs of −nll."""
        return -self.loss.nll(self.z, y, reduction="none")

    def sample(self, rng=None, size=None):
        """Draw targets: in the shape of a row's targets, or ``size`` (an int or a tuple) times that.

        rng: a ``numpy.random.Generator``, a seed, or None for fresh entropy.
        """
        shape = self._target_shape
        size = () if size is None else (size,) if isinstance(size, (int, np.integer)) else tuple(size)
        return self._drawn(np.random.default_rng(rng), size + shape)

    def _drawn(self, rng, size):
        return self.loss._draw(rng, *self._arguments, size=size)

    @property
    def _target_shape(self):
        return self._arguments[0].shape

    # ---- distributions with an order ----

    def cdf(self, y):
        """P(target <= y); ``y`` is a number or has the shape of the mean."""
        return self._probability(self._cdf, y)

    def sf(self, y):
        """P(target > y), accurate where it is small."""
        return self._probability(self._sf, y)

    def quantile(self, q):
        """The smallest y with cdf(y) >= q, in the mean's shape; (m, ...) for an array of m levels in [0, 1]."""
        levels = np.asarray(q, float)
        if not np.all((levels >= 0) & (levels <= 1)):
            raise ValueError(f"q must lie in [0, 1], not {q!r}")
        with np.errstate(all="ignore"):
            each = [self._quantile(level) for level in levels.ravel()]
        return each[0] if levels.ndim == 0 else np.reshape(each, levels.shape + self._shape)

    def interval(self, coverage=0.9):
        """(low, high) quantiles that leave (1 − coverage) / 2 on either side."""
        if not 0 <= coverage <= 1:
            raise ValueError(f"coverage must lie in [0, 1], not {coverage!r}")
        return self.quantile((1 - coverage) / 2), self.quantile((1 + coverage) / 2)

    def _probability(self, function, y):
        y = np.asarray(y, float)
        if y.ndim and y.shape != self._shape:
            raise ValueError(f"y must be a number or have shape {self._shape}, not {y.shape} (nothing is broadcast)")
        with np.errstate(all="ignore"):
            return function(np.broadcast_to(y, self._shape))

    # What follows takes y or levels that broadcast to the mean's shape.

    def _observed(self, y):
        """The distributions that ready targets belong to, and these in the shape of the mean."""
        return self, y.reshape(self._shape)

    def _below(self, y):
        """P(target < y)."""
        return self._cdf(y)

    def _cdf(self, y):
        return self._served.cdf(y)

    def _sf(self, y):
        return self._served.sf(y)

    def _quantile(self, q):
        return self._served.ppf(q)

    @cached_property
    def _scipy_arguments(self):
        return self.loss._scipy(*self._arguments)

    @cached_property
    def _served(self):
        return getattr(scipy("stats", self._what), self.loss.scipy)(**self._scipy_arguments)

    @cached_property
    def _what(self):
        return f"the distribution of {type(self.loss).__name__}"

    @property
    def _form(self):
        """What scipy does not have, or slowly; see `_forms`."""
        scipy("special", self._what)
        return importlib.import_module("pyscratch._forms").form(self.loss.scipy)

    @property
    def _located(self):
        """(loc, scale, shapes) of scipy's arguments."""
        shapes = dict(self._scipy_arguments)
        return shapes.pop("loc", 0.0), shapes.pop("scale", 1.0), tuple(shapes.values())

    def _crps(self, y):
        loc, scale, shapes = self._located
        return scale * self._form.crps((y - loc) / scale, *shapes)


class Normal(Distribution):
    """Normal distributions; ``scale`` is their standard deviation."""

    @property
    def std(self):
        """Standard deviation, straight from the link."""
        p = self.parameters
        return p.scale if isinstance(p, tuple) else np.full_like(self.mean, self.loss.scale)

    @cached_property
    def _located(self):
        mean, *scale = self._arguments
        return mean, *(scale or [np.full(self._shape, self.loss.scale)])

    @property
    def mode(self):
        """The mean."""
        return self._located[0]

    @property
    def entropy(self):
        """Log scale + log(2πe) / 2."""
        return np.log(self._located[1]) + 0.5 * math.log(2 * math.pi * math.e)

    def _u(self, y):
        mean, scale = self._located
        return (y - mean) / scale

    def _cdf(self, y):
        return normal_cdf(self._u(y))

    def _sf(self, y):
        return normal_cdf(-self._u(y))

    def _quantile(self, q):
        mean, scale = self._located
        return mean + scale * normal_quantile(q)

    def _crps(self, y):  # Gneiting & Raftery (2007), section 4.2
        u = self._u(y)
        return self._located[1] * (u * (2 * normal_cdf(u) - 1) + 2 * normal_density(u) - 1 / math.sqrt(math.pi))


def shares(distribution):
    """Probabilities of a failure and of a success, each without cancellation where the link is symmetric."""
    z, loss = distribution.z.astype(float), distribution.loss
    yes = loss.mean(z)
    return (loss.mean(-z) if loss.link in ("logit", "probit", "cauchit") else 1 - yes), yes


class Bernoulli(Distribution):
    """0 or 1."""

    @cached_property
    def _shares(self):
        return shares(self)

    @property
    def mode(self):
        """The more likely of the two; 0 where both are as likely."""
        return np.where(np.isnan(self._shares[1]), math.nan, self._shares[1] > 0.5)

    @property
    def entropy(self):
        """−p log p − (1 − p) log(1 − p)."""
        return sum(-p * np.log(np.where(p > 0, p, 1)) for p in self._shares)

    def _cdf(self, y):
        return np.where(y < 0, 0.0, np.where(y < 1, self._shares[0], np.where(y >= 1, 1.0, y)))

    def _sf(self, y):
        return np.where(y < 0, 1.0, np.where(y < 1, self._shares[1], np.where(y >= 1, 0.0, y)))

    def _quantile(self, q):
        return np.where(q > self._shares[0], 1.0, 0.0) + self._shares[1] * 0

    def _below(self, y):
        return self._cdf(y - 1)

    def _crps(self, y):
        return (self._shares[1] - y) ** 2


class Categorical(Distribution):
    """One of K classes, without an order; ``mean`` holds their probabilities, (n, K)."""

    ordered = False

    @cached_property
    def _arguments(self):
        return (self.mean.astype(float),)

    @property
    def mode(self):
        """The most likely class of each row (n,), the first one of equals."""
        return np.argmax(self.mean, -1)

    @property
    def entropy(self):
        """−Σ p log p of each row (n,)."""
        p = self._arguments[0]
        return -(p * np.log(np.where(p > 0, p, 1))).sum(-1)

    @property
    def _target_shape(self):
        return self._arguments[0].shape[:-1]

    def _cdf(self, y):
        raise NotImplementedError(
            f"{type(self.loss).__name__} has no order: cdf, quantile and interval have no meaning"
        )

    _sf = _quantile = _crps = _cdf

"""What a head promises: the assumed distribution of each row's target, from ``loss.distribution(z)``.

Shapes are those of ``loss.mean(z)``: (n,) for one output, (n, d) otherwise. Nothing here needs scipy.
"""

import math
from statistics import NormalDist

import numpy as np


def _each(function):
    """A scalar function as an elementwise one."""
    vectorised = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(vectorised(x), float)


def _upper(x):  # P(Z > x) of a standard normal, without cancellation in either tail
    return 0.5 * math.erfc(x / math.sqrt(2.0))


def _normal_quantile(q):
    return NormalDist().inv_cdf(q) if 0 < q < 1 else math.copysign(math.inf, q - 0.5)


_normal_sf, _normal_ppf = _each(_upper), _each(_normal_quantile)
_lgamma = _each(math.lgamma)


class Distribution:
    """The assumed distribution of each row: attributes mean, variance, std; methods log_prob, sample and more.

    Families with an order have cdf, sf, quantile and interval too.
    """

    def __init__(self, loss, z):
        self.loss = loss
        self.z = z

    def __repr__(self):
        return f"<{type(self).__name__} of {self.loss!r}, {len(self.z)} rows>"

    @property
    def parameters(self):
        """``loss.link(z)``."""
        return self.loss.link(self.z)

    @property
    def _arguments(self):
        p = self.parameters
        return p if isinstance(p, tuple) else (p.reshape(self.mean.shape),)

    @property
    def mean(self):
        """Mean of each row."""
        return self.loss.mean(self.z)

    @property
    def variance(self):
        """Variance of each row."""
        return self.loss.variance(self.z)

    @property
    def std(self):
        """Standard deviation of each row."""
        return np.sqrt(self.variance)

    def log_prob(self, y):
        """Log density or log mass of each row's y, (n,): the sum over outputs of −nll."""
        return -self.loss.nll(self.z, y, reduction="none")

    def sample(self, rng=None, size=None):
        """Draw targets: in the shape of a row's targets, or ``size`` (an int or a tuple) times that.

        rng: a ``numpy.random.Generator``, a seed, or None for fresh entropy.
        """
        first = self._arguments[0]
        shape = self._target_shape(first.shape)
        size = () if size is None else (size,) if isinstance(size, (int, np.integer)) else tuple(size)
        return self.loss._draw(np.random.default_rng(rng), *self._arguments, size=size + shape)

    def _target_shape(self, shape):
        return shape

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
        if levels.ndim == 0:
            return self._quantile(float(levels))
        return np.stack([self._quantile(float(level)) for level in levels.ravel()]).reshape(
            levels.shape + self.mean.shape
        )

    def interval(self, coverage=0.9):
        """(low, high) quantiles that leave (1 − coverage) / 2 on either side."""
        if not 0 <= coverage <= 1:
            raise ValueError(f"coverage must lie in [0, 1], not {coverage!r}")
        return self.quantile((1 - coverage) / 2), self.quantile((1 + coverage) / 2)

    def _probability(self, function, y):
        y = np.asarray(y, float)
        if y.ndim and y.shape != self.mean.shape:
            raise ValueError(
                f"y must be a number or have shape {self.mean.shape}, not {y.shape} (nothing is broadcast)"
            )
        return function(np.broadcast_to(y, self.mean.shape))

    def _cdf(self, y):
        raise NotImplementedError(
            f"{type(self.loss).__name__} has no order: cdf, quantile and interval have no meaning"
        )

    _sf = _quantile = _cdf


class Normal(Distribution):
    """Normal distributions; ``scale`` is their standard deviation."""

    @property
    def std(self):
        """Standard deviation, straight from the link."""
        p = self.parameters
        return p.scale if isinstance(p, tuple) else np.full_like(self.mean, self.loss.scale)

    def _u(self, y):
        return (y - self.mean.astype(float)) / self.std.astype(float)

    def _cdf(self, y):
        return _normal_sf(-self._u(y))

    def _sf(self, y):
        return _normal_sf(self._u(y))

    def _quantile(self, q):
        return self.mean.astype(float) + self.std.astype(float) * _normal_ppf(q)


class Bernoulli(Distribution):
    """0 or 1."""

    def _cdf(self, y):
        rest = self.loss.mean(-self.z).astype(float) if self.loss.link == "logit" else 1 - self.mean.astype(float)
        return np.where(y < 0, 0.0, np.where(y < 1, rest, 1.0)) + y * 0

    def _sf(self, y):
        return np.where(y < 0, 1.0, np.where(y < 1, self.mean.astype(float), 0.0)) + y * 0

    def _quantile(self, q):
        return np.where(q > self._cdf(np.zeros(self.mean.shape)), 1.0, 0.0) + self.mean.astype(float) * 0


class Categorical(Distribution):
    """One of K classes; ``mean`` holds their probabilities, (n, K)."""

    @property
    def mode(self):
        """The most likely class of each row, the first one of equals."""
        return np.argmax(self.mean, -1)

    def _target_shape(self, shape):
        return shape[:-1]


class Count(Distribution):
    """Counts: quantiles by bisection on the cdf, which a subclass gives."""

    def _quantile(self, q):
        mean = self.mean.astype(float)
        if q >= 1:
            return np.where(mean > 0, math.inf, mean * 0)
        known = np.isfinite(mean)
        low = np.full(mean.shape, -1.0)  # cdf(low) < q <= cdf(high)
        high = np.ceil(np.where(known, mean + 4 * np.sqrt(mean) + 4, 0))
        while np.any(short := known & (self._cdf(high) < q)):
            low, high = np.where(short, high, low), np.where(short, 2 * high, high)
        while np.any(known & (high - low > 1)):
            middle = np.floor((low + high) / 2)
            enough = self._cdf(middle) >= q
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(known, high, mean)


class Poisson(Count):
    """Poisson counts. The cdf is a sum of positive terms on the smaller side of the mean: exact to rounding."""

    def _cdf(self, y):
        below, above = self._tails(np.floor(y))
        return np.where(np.isnan(below), 1 - above, below)

    def _sf(self, y):
        below, above = self._tails(np.floor(y))
        return np.where(np.isnan(above), 1 - below, above)

    def _tails(self, k):
        """(P(Y <= k), P(Y > k)), the larger one as NaN: its complement loses nothing."""
        rate = self.mean.astype(float)
        lower = k < rate
        below = np.where(lower, _mass_sum(np.where(lower, k, 0), rate, -1), math.nan)
        above = np.where(lower, math.nan, _mass_sum(np.where(lower, 1, k + 1), rate, +1))
        return below, np.where(np.isnan(rate) | np.isnan(k), math.nan, above)


def _mass_sum(k, rate, direction):
    """Σ of Poisson masses at k, k ± 1, ... away from the mode: each term from the one before (direction −1 or +1)."""
    inside = (k >= 0) & np.isfinite(k) & np.isfinite(rate)
    j = np.where(inside, k, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_mass = np.where(j == 0, 0.0, j * np.log(rate)) - rate - _lgamma(j + 1)
        term = np.where(inside, np.exp(log_mass), 0.0)
        total = term.copy()
        while np.any(term > 1e-17 * total):
            term = term * (j / rate if direction < 0 else rate / (j + 1))
            j = np.maximum(j + direction, 0.0)
            total += term
    return total

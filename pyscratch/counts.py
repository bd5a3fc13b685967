"""Distributions of counts. Poisson counts need nothing but NumPy; the others need scipy's incomplete beta function."""

from functools import cached_property
import math

import numpy as np

from pyscratch._checks import columns
from pyscratch.distributions import Distribution, normal_quantile, scipy, shares


class Count(Distribution):
    """Counts 0, 1, 2, ...: quantiles by bisection on the cdf, which a subclass gives."""

    def _below(self, y):
        return self._cdf(y - 1)

    def _quantile(self, q):
        mean, std = self._moments
        inside = np.isfinite(mean) & (q < 1)
        guess = np.where(inside, mean + std * normal_quantile(np.clip(q, 1e-300, 1 - 1e-16)), 0)
        low = high = np.floor(np.clip(guess, 0, 1e300))
        step = np.ones(low.shape)
        while np.any(short := inside & (self._cdf(high) < q) & (high < 1e300)):
            low, high, step = np.where(short, high, low), np.where(short, high + step, high), step * 2
        step = np.ones(low.shape)
        while np.any(far := inside & (low >= 0) & (self._cdf(low) >= q)):  # from here on cdf(low) < q <= cdf(high)
            low, high, step = np.where(far, np.maximum(low - step, -1), low), np.where(far, low, high), step * 2
        while np.any(inside & (high - low > np.maximum(1, 2e-16 * high))):
            middle = np.floor((low + high) / 2)
            enough = self._cdf(middle) >= q
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(inside, high, np.where(np.isfinite(mean), self._highest, mean))

    @cached_property
    def _moments(self):
        z = self.z.astype(float)
        return self.loss.mean(z), np.sqrt(self.loss.variance(z))

    @property
    def _highest(self):
        """The largest count that is possible."""
        return np.where(self._moments[0] > 0, math.inf, 0.0)

    @cached_property
    def _observations(self):
        """Logits with a row for each output (n · d, blocks)."""
        blocks = len(self.loss.parameters)
        z = self.z.astype(float).reshape(len(self.z), blocks, -1)
        return np.ascontiguousarray(z.transpose(0, 2, 1)).reshape(-1, blocks)

    def _log_mass(self, k, rows):
        """Log mass of the counts ``k`` (m, rows) of some of the `_observations`."""
        z = np.tile(self._observations[rows], (len(k), 1))
        return -self.loss.nll(z, k.ravel(), reduction="none").reshape(k.shape)

    @property
    @np.errstate(all="ignore")
    def entropy(self):
        """−Σ mass · log mass over all counts but a share of 1e-15 on either side."""
        low, high = np.ravel(self._quantile(1e-15)), np.ravel(self._quantile(1 - 1e-15))
        total, start = np.where(np.isfinite(high), 0.0, math.nan), 0
        while len(rows := np.flatnonzero(high - low >= start)):
            longest = np.max(high[rows] - low[rows]) + 1 - start
            k = low[rows] + start + np.arange(min(longest, max(1, 2**18 // len(rows))))[:, None]
            start += len(k)
            inside = k <= high[rows]
            log_mass = self._log_mass(np.where(inside, k, low[rows]), rows)
            total[rows] -= np.where(inside, np.exp(log_mass) * log_mass, 0).sum(0)
        return total.reshape(self._shape)

    def _crps(self, y):
        return self._distance(y) - self._spread

    @cached_property
    def _spread(self):
        """E|Y − Y'| / 2. Of the difference D = Y − Y' the characteristic function is φ = exp(−a), and
        E|D| = (1 / π) ∫ (1 − φ(t)) / (1 − cos t) dt over (0, π), as |k| is the integral of (1 − cos kt) / (1 − cos t).

        With tan(t / 2) = exp(v) the integrand is smooth and falls exponentially on either side: the trapezoidal rule.
        """
        step = 1 / 16
        v = np.arange(-44 - np.log1p(np.nanmax(self._moments[1], initial=0)), 44, step)
        total = 0
        for s, slope in zip(1 / (1 + np.exp(-2 * v)), step / np.cosh(v), strict=True):  # s = sin²(t / 2)
            total = total - np.expm1(-self._minus_log_cf(s)) * slope / s
        return total / (4 * math.pi)

    def _distance(self, y):
        """E|Y − y|; E (mean − Y) 1(Y <= y) is the mass at y times `_gap`, from the ratio of successive masses."""
        mass = np.exp(self._log_mass(np.reshape(y, (1, -1)), slice(None))).reshape(y.shape)
        return (y - self._moments[0]) * (self._cdf(y) - self._sf(y)) + 2 * self._gap(y) * mass


class Poisson(Count):
    """Poisson counts. The cdf is a sum of positive terms on the smaller side of the mean: exact to rounding."""

    @property
    def mode(self):
        """The largest count up to the mean (where the mean is a whole number, that and the count below it tie)."""
        return np.floor(self._arguments[0])

    def _cdf(self, y):
        below, above = self._tails(np.floor(y))
        return np.where(np.isnan(below), 1 - above, below)

    def _sf(self, y):
        below, above = self._tails(np.floor(y))
        return np.where(np.isnan(above), 1 - below, above)

    def _tails(self, k):
        """(P(Y <= k), P(Y > k)); the larger one may be NaN, for its complement loses nothing."""
        k, rate = np.broadcast_arrays(k, self._arguments[0])
        if special := scipy("special"):
            inside = (k >= 0) | np.isnan(k)
            order = np.where(inside, k, 0) + 1
            below, above = special.gammaincc(order, rate), special.gammainc(order, rate)
            return np.where(inside, below, 0.0), np.where(inside, above, 1.0)
        lower = k < rate
        below = np.where(lower, _mass_sum(np.where(lower, k, 0), rate, -1), math.nan)
        above = np.where(lower, math.nan, _mass_sum(np.where(lower, 1, k + 1), rate, +1))
        return below, np.where(np.isnan(rate) | np.isnan(k), math.nan, above)

    def _minus_log_cf(self, s):
        return 4 * self._arguments[0] * s

    def _gap(self, y):
        return self._arguments[0]


def _mass_sum(k, rate, direction):
    """Σ of Poisson masses at k, k ± 1, ... away from the mode: each term from the one before (direction −1 or +1)."""
    log_gamma = np.frompyfunc(math.lgamma, 1, 1)
    inside = (k >= 0) & np.isfinite(k) & np.isfinite(rate)
    j = np.where(inside, k, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_mass = np.where(j == 0, 0.0, j * np.log(rate)) - rate - log_gamma(j + 1).astype(float)
        term = np.where(inside, np.exp(log_mass), 0.0)
        total = term.copy()
        while np.any(term > 1e-17 * total):
            term = term * (j / rate if direction < 0 else rate / (j + 1))
            j = np.maximum(j + direction, 0.0)
            total += term
    return total


class _Tailed(Count):
    """Counts whose `_tail` is accurate on its own side of the mean: the other side is its complement."""

    def _cdf(self, y):
        return np.where(np.floor(y) < self._moments[0], self._tail(y, False), 1 - self._tail(y, True))

    def _sf(self, y):
        return np.where(np.floor(y) < self._moments[0], 1 - self._tail(y, False), self._tail(y, True))


class NegativeBinomial(_Tailed):
    """Negative binomial counts, by the incomplete beta function.

    Not by scipy.stats.nbinom: its argument r / (r + mean) has lost the mean where the concentration r is large.
    """

    @cached_property
    def _arguments(self):
        mean, *concentration = super()._arguments
        return mean, *(concentration or [np.full(self._shape, self.loss.concentration)])

    @property
    def mode(self):
        """The largest count up to mean (r − 1) / r; 0 for r <= 1."""
        mean, r = self._arguments
        return np.floor(mean * np.maximum(1 - 1 / r, 0))

    def _tail(self, k, upper):
        """P(Y <= k), or P(Y > k) if ``upper``."""
        special = scipy("special", self._what)
        mean, r = self._arguments
        k = np.floor(k)
        a, b, p, q = np.maximum(k + 1, 1e-300), r, r / (r + mean), mean / (r + mean)
        with np.errstate(invalid="ignore"):
            first = special.betainc(a, b, q) if upper else special.betainc(b, a, p)
            second = special.betaincc(b, a, p) if upper else special.betaincc(a, b, q)
        tail = np.where(q < p, first, second) if upper else np.where(p < q, first, second)
        tail = np.where(k == math.inf, float(not upper), tail)
        return np.where(k < 0, float(upper), np.where(np.isnan(k), k, tail))


    def _minus_log_cf(self, s):
        mean, r = self._arguments
        return r * np.log1p(4 * s * (mean / r) * (1 + mean / r))

    def _gap(self, y):
        mean, r = self._arguments
        return mean * (1 + y / r)


class Binomial(_Tailed):
    """How many of each row's trials succeed: of one trial, or of ``distribution.of(trials)``.

    ``log_prob`` takes pairs (successes, failures), as the loss does, whatever the number of trials; so does ``sample``
    return them.
    """

    trials = 1.0

    def of(self, trials):
        """The distributions of so many trials: a whole number >= 0, or one for each mean, in its shape."""
        n = np.asarray(trials, float)
        if n.ndim and n.shape != self._shape:
            raise ValueError(f"trials must be a number or have shape {self._shape}, not {n.shape}")
        if not np.all((n >= 0) & (n == np.floor(n)) & np.isfinite(n)):
            raise ValueError(f"trials must be whole numbers >= 0, not {trials!r}")
        other = type(self)(self.loss, self.z, self.offset)
        other.trials = n
        return other

    def __getitem__(self, rows):
        part = super().__getitem__(rows)
        part.trials = self.trials if np.ndim(self.trials) == 0 else self.trials[np.atleast_1d(np.r_[rows])]
        return part

    def _observed(self, y):
        yes, no = np.hsplit(y.reshape(len(y), -1), 2)
        return self.of((yes + no).reshape(self._shape)), yes.reshape(self._shape)

    @property
    def mean(self):
        """Trials · probability."""
        return self.loss.mean(self.z) * np.asarray(self.trials, self.z.dtype)

    @property
    def variance(self):
        """Trials · probability · (1 − probability)."""
        return self.loss.variance(self.z) * np.asarray(self.trials, self.z.dtype)

    @property
    def _moments(self):
        z = self.z.astype(float)
        return self.loss.mean(z) * self.trials, np.sqrt(self.loss.variance(z) * self.trials)

    @property
    def _highest(self):
        return np.where(self._shares[1] > 0, self.trials, 0.0) + 0 * self._shares[1]

    @cached_property
    def _shares(self):
        return shares(self)

    @property
    def mode(self):
        """The largest whole number up to (trials + 1) · probability, and no more than there are trials."""
        return np.minimum(np.floor((self.trials + 1) * self._shares[1]), self.trials)

    def _drawn(self, rng, size):
        return self.loss._draw(rng, self._arguments[0], size, self.trials)

    def _tail(self, k, upper):
        """P(Y <= k), or P(Y > k) if ``upper``, by the incomplete beta function."""
        special = scipy("special", self._what)
        (no, yes), n, k = self._shares, self.trials, np.floor(k)
        inside = (k >= 0) & (k < n)
        a, b = np.where(inside, k + 1, 1.0), np.where(inside, n - k, 1.0)
        small = yes < no
        if upper:
            tail = np.where(small, special.betainc(a, b, yes), special.betaincc(b, a, no))
        else:
            tail = np.where(small, special.betaincc(a, b, yes), special.betainc(b, a, no))
        outside = np.where(np.isnan(k), k, np.where(k < 0, float(upper), float(not upper)))
        return np.where(inside, tail, outside)


    def _log_mass(self, k, rows):
        z, n = self._observations[rows], np.broadcast_to(np.asarray(self.trials), self._shape).ravel()[rows]
        pairs = np.maximum(np.stack([k, n - k], -1), 0)
        nll = self.loss.nll(np.tile(z, (len(k), 1)), pairs.reshape(-1, 2), reduction="none").reshape(k.shape)
        return np.where((k >= 0) & (k <= n), -nll, -np.inf)

    def _minus_log_cf(self, s):
        no, yes = self._shares
        return -self.trials * np.log1p(-4 * s * yes * no)

    def _gap(self, y):  # the mass at y times this is E (mean − Y) 1(Y <= y), which is (n − y) p times the mass
        return (self.trials - y) * self._shares[1]


class Gated(Count):
    """Counts of another family with zeros of their own, all from the family's distributions."""

    @cached_property
    def _family(self):
        """The distributions inside."""
        z = self.z.astype(float)
        inside = self.loss.family.distribution(z[:, : z.shape[1] - z.shape[1] // len(self.loss.parameters)])
        vars(inside)["_what"] = self._what
        return inside

    @cached_property
    def _gate(self):
        """The probability of the last logit, and its complement."""
        z = self.z[:, -(self.z.shape[1] // len(self.loss.parameters)) :].astype(float).reshape(self._shape)
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))

    def _more_likely(self, k):
        """Which of 0 and ``k`` has more mass."""
        k = np.where(np.isfinite(k), k, 0.0)
        at_zero, at_k = self._log_mass(np.stack([np.ravel(0 * k), np.ravel(k)]), slice(None))
        return np.where((at_k > at_zero).reshape(k.shape), k, 0.0)

    def _blend(self, y, a):
        """The CRPS of a mixture, a of the family and 1 − a of zeros, where a > 1 leaves zeros out."""
        inside, mean = self._family, self._family._moments[0]
        return (1 - a) * np.abs(y) + a * (inside._distance(y) - (1 - a) * mean - a * inside._spread)


class ZeroInflated(Gated):
    """Zero-inflated counts."""

    @property
    def mode(self):
        """The family's mode, or 0 where that has more mass (or as much)."""
        return self._more_likely(self._family.mode)

    def _cdf(self, y):
        zero, rest = self._gate
        below = zero + rest * self._family._cdf(y)
        return np.where(y < 0, 0.0, np.where(below < 0.5, below, 1 - rest * self._family._sf(y)))

    def _sf(self, y):
        return np.where(y < 0, 1.0, self._gate[1] * self._family._sf(y))

    def _crps(self, y):
        return self._blend(y, self._gate[1])


class Hurdle(Gated):
    """Counts behind a hurdle."""

    @property
    def mode(self):
        """The mode of the counts > 0, or 0 where that has more mass (or as much)."""
        return self._more_likely(np.maximum(self._family.mode, 1))

    @cached_property
    def _some(self):
        """The probability of a count > 0 in the family by itself."""
        return self._family._sf(np.zeros(self._shape))

    def _cdf(self, y):
        zero, rest = self._gate
        inside = self._family._cdf(y)
        left = zero + rest * (inside - self._family._cdf(0 * y)) / self._some
        return np.where(y < 0, 0.0, np.where((inside < 0.5) & (y >= 1), left, 1 - self._sf(y)))

    def _sf(self, y):
        share = self._family._sf(np.maximum(y, 0)) / self._some
        share = np.where((self._some > 0) | np.isnan(self._some + y), share, y < 1)  # of a mean of 0 there is only 1
        return np.where(y < 0, 1.0, self._gate[1] * np.minimum(share, 1))

    def _crps(self, y):
        """Where nearly all mass of the family is at 0 it is summed: Σ cdf² below y, Σ sf² from y on."""
        few, total, k = self._some < 1e-3, np.zeros(self._shape), 0.0
        sf = self._sf(0 * y)
        while np.any(few & (sf > 1e-17)) and k < 1e4:
            total, k = total + np.where(k < y, 1 - sf, sf) ** 2, k + 1
            sf = self._sf(k + 0 * y)
        summed = few & ~(sf > 1e-17)
        return np.where(summed, total + np.maximum(y - k, 0), self._blend(y, self._gate[1] / self._some))


class Ordinal(Distribution):
    """Labels 0 ... K − 1 of ordered classes; ``probabilities`` (n, K) are theirs. They need no scipy."""

    @cached_property
    def probabilities(self):
        """Of each class, (n, K), each without cancellation."""
        z = columns(self.z.astype(float))
        labels = (np.full(len(z), float(k)) for k in range(z.shape[1] + 1))
        return np.exp(-np.stack([self.loss.nll(z, y, reduction="none") for y in labels], 1))

    @property
    def _arguments(self):
        return (self.probabilities,)

    @property
    def _target_shape(self):
        return (len(self.z),)

    @property
    def mode(self):
        """The most likely class, the lower one of equals."""
        return np.argmax(self.probabilities, 1)

    @property
    def entropy(self):
        """−Σ p log p."""
        p = self.probabilities
        return -(p * np.log(np.where(p > 0, p, 1))).sum(1)

    def _at(self, y, upper):
        """P(Y <= y), or P(Y > y) if ``upper``, each summed from its own end."""
        p, classes = self.probabilities, np.arange(self.probabilities.shape[1])
        inside = classes > y[..., None] if upper else classes <= y[..., None]
        total = np.where(inside, p, 0).sum(-1)
        return np.where(np.isnan(y), y, total)

    def _cdf(self, y):
        below = self._at(y, False)
        return np.where(below < 0.5, below, 1 - self._at(y, True))

    def _sf(self, y):
        above = self._at(y, True)
        return np.where(above < 0.5, above, 1 - self._at(y, False))

    def _below(self, y):
        return self._cdf(y - 1)

    def _quantile(self, q):
        classes = self.probabilities.shape[1]
        each = np.stack([self._cdf(np.full(len(self.z), float(k))) for k in range(classes - 1)], 1)
        return np.where(np.isnan(each).any(1), math.nan, (each < q).sum(1))

    def _crps(self, y):
        """Σ (cdf(k) − 1(y <= k))² over the classes."""
        classes = np.arange(self.probabilities.shape[1])
        gaps = [np.where(y > k, self._cdf(0 * y + k), self._sf(0 * y + k)) ** 2 for k in classes]
        return np.sum(gaps, 0)

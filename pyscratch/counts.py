"""Distributions of counts. Poisson counts need nothing but NumPy; the others need scipy's incomplete beta function."""

from functools import cached_property
import math

import numpy as np

from pyscratch.distributions import Distribution, normal_quantile, scipy


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

    @property
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
            k = low[rows] + start + np.arange(max(1, 2**18 // len(rows)))[:, None]
            start += len(k)
            inside = k <= high[rows]
            log_mass = self._log_mass(np.where(inside, k, low[rows]), rows)
            total[rows] -= np.where(inside, np.exp(log_mass) * log_mass, 0).sum(0)
        return total.reshape(self._shape)

    def _crps(self, y):
        """E|Y − y| − E|Y − Y'| / 2. Of the difference D = Y − Y' the characteristic function is φ = exp(−a), and
        E|D| = (1 / π) ∫ (1 − φ(t)) / (1 − cos t) dt over (0, π), as |k| is the integral of (1 − cos kt) / (1 − cos t).

        With tan(t / 2) = exp(v) the integrand is smooth and falls exponentially on either side: the trapezoidal rule.
        """
        step = 1 / 16
        v = np.arange(-44 - np.log1p(np.nanmax(self._moments[1], initial=0)), 44, step)
        total = 0
        for s, slope in zip(1 / (1 + np.exp(-2 * v)), step / np.cosh(v), strict=True):  # s = sin²(t / 2)
            total = total - np.expm1(-self._minus_log_cf(s)) * slope / s
        return self._distance(y) - total / (4 * math.pi)

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


class NegativeBinomial(Count):
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
        return np.where(k < 0, float(upper), tail) + 0 * k

    def _cdf(self, y):
        return self._tail(y, False)

    def _sf(self, y):
        return self._tail(y, True)

    def _minus_log_cf(self, s):
        mean, r = self._arguments
        return r * np.log1p(4 * s * (mean / r) * (1 + mean / r))

    def _gap(self, y):
        mean, r = self._arguments
        return mean * (1 + y / r)

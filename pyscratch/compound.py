"""Distributions of sums of a random number of amounts: what `Tweedie` promises. They need scipy's incomplete gamma."""

from functools import cached_property
import math

import numpy as np

from pyscratch.distributions import Distribution, scipy


class Tweedie(Distribution):
    """A Poisson number of Gamma amounts: 0 with a probability of its own, and a density above.

    ``mode`` is NaN, for a mass at 0 and a density do not compare. ``log_prob`` is the log mass at 0, else log density.
    """

    @cached_property
    def _parts(self):
        """(rate of the number, shape and scale of each amount), in the shape of the mean. Jørgensen (1997), 4.2.4."""
        (mean,), p, f = self._arguments, self.loss.power, self.loss.dispersion
        return mean ** (2 - p) / (f * (2 - p)), (2 - p) / (p - 1), f * (p - 1) * mean ** (p - 1)

    @property
    def mode(self):
        """NaN."""
        return np.full(self._shape, math.nan)

    def _cdf(self, y):
        return np.where(y < self._arguments[0], self._tail(y, False), 1 - self._tail(y, True))

    def _sf(self, y):
        return self._tail(y, True)

    def _tail(self, y, upper):
        """P(target > y) if ``upper``, or P(target <= y)."""
        special = scipy("special", self._what)
        tail = special.gammaincc if upper else special.gammainc
        total = self._series(y, tail) + (0 if upper else np.exp(-self._parts[0]))
        total = np.where(y == math.inf, float(not upper), total)
        return np.where(np.isnan(y), y, np.where(y < 0, float(upper), total))

    def _density(self, y):
        """The density of y > 0."""
        special = scipy("special", self._what)

        def gamma(a, x):
            return np.exp(special.xlogy(a - 1, x) - x - special.gammaln(a))

        return self._series(y, gamma) / self._parts[2]

    def _series(self, y, function):
        """Σ P(n amounts) · function(shape of their sum, y / scale) over the n >= 1 that have a share in it."""
        special = scipy("special", self._what)
        rate, shape, scale = self._parts
        x, total = np.maximum(y, 0) / scale, np.zeros(np.broadcast(y, rate).shape)
        n, last = np.maximum(np.floor(rate - 9 * np.sqrt(rate)), 1), rate + 9 * np.sqrt(rate) + 18
        share = np.exp(special.xlogy(n, rate) - rate - special.gammaln(n + 1))
        while np.any(inside := n <= last):
            total = total + np.where(inside, share * function(n * shape, x), 0)
            n = n + 1
            share = share * (rate / n)
        return total

    def _below(self, y):
        """P(target < y): without the mass at 0 if y is 0."""
        return np.where(y > 0, self._cdf(y), 0.0 * y)

    def _quantile(self, q):
        """Newton's rule on the smaller tail, between bounds that close in."""
        mean = self._arguments[0]
        positive = (q > np.exp(-self._parts[0])) & (q < 1)

        def missing(y):
            """cdf − q, with the digits of the smaller tail."""
            return self._tail(y, False) - q if q < 0.5 else (1 - q) - self._tail(y, True)

        low, high = np.zeros(self._shape), mean + np.sqrt(self.loss.variance(self.z.astype(float)))
        while np.any(far := positive & (missing(high) < 0)):
            low, high = np.where(far, high, low), np.where(far, 2 * high, high)
        y = (low + high) / 2
        for _ in range(1100):
            gap = missing(y)
            low, high = np.where(gap < 0, y, low), np.where(gap < 0, high, y)
            newton = y - gap / self._density(y)
            middle = np.where(high > 16 * low, high / 16, (low + high) / 2)
            after = np.where((newton > low) & (newton < high), newton, np.maximum(low, middle))
            if np.all((np.abs(after - y) <= 1e-14 * y) | ~positive):
                break
            y = after
        return np.where(positive, y, np.where(q < 1, 0.0, math.inf) + 0 * mean)

    def _points(self, count):
        """Ends of panels from 0 to where next to nothing is above, each larger than the one before by one factor."""
        top = np.maximum(self._quantile(1 - 1e-13), 1e-300)
        return top * np.append(0.0, np.geomspace(1e-14, 1, count)).reshape(-1, *[1] * len(self._shape))

    @property
    def _rule(self):
        """Gauss's nodes and weights on [0, 1], in front of the mean's shape."""
        nodes, shares = (np.reshape(a, (-1, *[1] * len(self._shape))) for a in np.polynomial.legendre.leggauss(12))
        return (1 + nodes) / 2, shares / 2

    @property
    def entropy(self):
        """−mass · log mass at 0 − ∫ density · log density, by Gauss's rule on panels."""
        rate, special = self._parts[0], scipy("special", self._what)
        nodes, shares = self._rule
        x, total = self._points(80), rate * np.exp(-rate)
        for low, high in zip(x[:-1], x[1:], strict=True):
            density = self._density(low + nodes * (high - low))
            total = total - (high - low) * (shares * special.xlogy(density, density)).sum(0)
        return total

    def _crps(self, y):
        """∫ cdf² below y plus ∫ sf² above it, by Gauss's rule on panels."""
        nodes, shares = self._rule
        x = self._points(60)
        total = np.maximum(y - x[-1], 0)
        for low, high in zip(x[:-1], x[1:], strict=True):
            cut = np.clip(y, low, high)
            below = (shares * self._cdf(low + nodes * (cut - low)) ** 2).sum(0)
            above = (shares * self._sf(cut + nodes * (high - cut)) ** 2).sum(0)
            total = total + below * (cut - low) + above * (high - cut)
        return total

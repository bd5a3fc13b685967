"""What scipy.stats lacks, or has row by row only: mode, entropy and CRPS of its distributions in their standard form.

Standard form is loc = 0, scale = 1; arguments are scipy's shapes. CRPS(y) = E|Y − y| − E|Y − Y'| / 2; the formulas are
collected in Jordan, Krüger & Lerch (2019), Evaluating probabilistic forecasts with scoringRules, appendix A.
Imported where a distribution needs it, for it needs scipy.
"""

import math

import numpy as np
from scipy import special, stats


def gamma_entropy(a):
    """a + log Γ(a) + (1 − a) ψ(a); for large a from Stirling's series, whose large terms have been cancelled by hand.

    With log Γ(a) = (a − 1/2) log a − a + log(2π) / 2 + δ and ψ(a) = log a − 1 / (2a) − ε it is
    log(a) / 2 + log(2π) / 2 + δ + (a − 1) (1 / (2a) + ε) (Abramowitz & Stegun 6.1.40, 6.3.18).
    """
    b, i = np.maximum(a, 50.0), 1 / np.maximum(a, 50.0)
    delta = i / 12 - i**3 / 360 + i**5 / 1260
    epsilon = i**2 / 12 - i**4 / 120 + i**6 / 252
    series = 0.5 * np.log(2 * math.pi * b) + delta + (b - 1) * (i / 2 + epsilon)
    c = np.minimum(a, 50.0)
    return np.where(a > 50, series, c + special.gammaln(c) + (1 - c) * special.digamma(c))


class Gamma:
    """scipy.stats.gamma(a)."""

    @staticmethod
    def mode(a):
        """The mode."""
        return np.maximum(a - 1, 0)

    entropy = staticmethod(gamma_entropy)

    @staticmethod
    def crps(y, a):
        """The CRPS; E|Y − Y'| / 2 is 1 / B(1/2, a) = exp(log Γ(a + 1/2) − log Γ(a)) / √π."""
        spread = special.poch(a, 0.5) / math.sqrt(math.pi)
        return y * (2 * special.gammainc(a, y) - 1) - a * (2 * special.gammainc(a + 1, y) - 1) - spread


class Beta:
    """scipy.stats.beta(a, b)."""

    @staticmethod
    def mode(a, b):
        """The mode; where both ends are poles the steeper one, NaN if they are equal."""
        inside = (a > 1) & (b > 1)
        end = np.where(a < b, 0.0, np.where(b < a, 1.0, math.nan))
        return np.where(inside, (a - 1) / np.where(inside, a + b - 2, 1), end)

    @staticmethod
    def entropy(a, b):
        """The entropy."""
        return gamma_entropy(a) + gamma_entropy(b) - gamma_entropy(a + b) - special.digamma(a + b)

    @staticmethod
    def crps(y, a, b):
        """The CRPS."""
        mean = a / (a + b)
        spread = np.exp(special.betaln(2 * a, 2 * b) - 2 * special.betaln(a, b)) * 2 / (a + b)
        distance = y * (2 * special.betainc(a, b, y) - 1) + mean - 2 * mean * special.betainc(a + 1, b, y)
        return distance - spread


class StudentT:
    """scipy.stats.t(df)."""

    @staticmethod
    def mode(df):
        """The mode."""
        return 0 * df

    @staticmethod
    def entropy(df):
        """The entropy; for large df that of a Gaussian and two terms in 1 / df."""
        v, i = np.minimum(df, 1e5), 1 / df
        exact = (v + 1) / 2 * (special.digamma((v + 1) / 2) - special.digamma(v / 2))
        exact = exact + 0.5 * np.log(v) + special.betaln(v / 2, 0.5)
        return np.where(df > 1e5, 0.5 * math.log(2 * math.pi * math.e) + i + i**2 / 4, exact)

    @staticmethod
    def crps(y, df):
        """The CRPS; NaN where there is no mean."""
        v = np.where(df > 1, df, math.nan)
        log_b = special.betaln(v / 2, 0.5)
        density = np.exp(-(v + 1) / 2 * np.log1p(y**2 / v) - log_b) / np.sqrt(v)
        distance = y * (2 * special.stdtr(v, y) - 1) + 2 * density * (v + y**2) / (v - 1)
        return distance - 2 * np.sqrt(v) / (v - 1) * np.exp(special.betaln(v - 0.5, 0.5) - 2 * log_b)


class Laplace:
    """scipy.stats.laplace."""

    @staticmethod
    def mode():
        """The mode."""
        return 0.0

    @staticmethod
    def entropy():
        """The entropy."""
        return 1 + math.log(2)

    @staticmethod
    def crps(y):
        """The CRPS."""
        return np.abs(y) + np.exp(-np.abs(y)) - 0.75


class LogNormal:
    """scipy.stats.lognorm(s)."""

    @staticmethod
    def mode(s):
        """The mode."""
        return np.exp(-(s**2))

    @staticmethod
    def entropy(s):
        """The entropy."""
        return np.log(s) + 0.5 * math.log(2 * math.pi * math.e)

    @staticmethod
    def crps(y, s):
        """The CRPS."""
        u = np.log(np.where(y > 0, y, 0)) / s
        share = special.ndtr(u - s) - special.ndtr(-s / math.sqrt(2))
        return y * (2 * special.ndtr(u) - 1) - 2 * np.exp(s**2 / 2) * share


class Weibull:
    """scipy.stats.weibull_min(c)."""

    @staticmethod
    def mode(c):
        """The mode."""
        return np.maximum(1 - 1 / c, 0) ** (1 / c)

    @staticmethod
    def entropy(c):
        """The entropy, γ (1 − 1/c) − log c + 1 with Euler's constant γ."""
        return np.euler_gamma * (1 - 1 / c) - np.log(c) + 1

    @staticmethod
    def crps(y, c):
        """The CRPS: the least of two has the scale 2^(−1/c), so E|Y − Y'| / 2 = mean (1 − 2^(−1/c))."""
        mean, cdf = special.gamma(1 + 1 / c), -np.expm1(-(y**c))
        return y * (2 * cdf - 1) + mean * 2 ** (-1 / c) - 2 * mean * special.gammainc(1 + 1 / c, y**c)


class Numerical:
    """Any other continuous distribution of scipy.stats, by quadrature between its quantiles."""

    def __init__(self, name):
        self._of = getattr(stats, name)

    def _points(self, shapes, t):
        """Quantiles at the levels 1 / (1 + exp(−t)): an array with the levels in front."""
        low, high = self._of.support(*shapes)
        t = np.reshape(t, (-1, *[1] * np.ndim(low)))
        left, right = self._of.ppf(special.expit(t), *shapes), self._of.isf(special.expit(-t), *shapes)
        return np.clip(np.where(t < 0, left, right), low, high)

    def mode(self, *shapes):
        """The point of the highest density: that of many quantiles, then the best between its neighbours."""
        x = self._points(shapes, np.linspace(-30, 30, 241))
        best = np.clip(np.argmax(self._of.pdf(x, *shapes), 0), 1, len(x) - 2)[None]
        low, high = (np.take_along_axis(x, best + side, 0)[0] for side in (-1, 1))
        for _ in range(100):
            third = (high - low) / 3
            left = self._of.pdf(low + third, *shapes) >= self._of.pdf(high - third, *shapes)
            low, high = np.where(left, low, low + third), np.where(left, high - third, high)
        return (low + high) / 2

    def entropy(self, *shapes):
        """−∫ log f(quantile(p)) dp with p = 1 / (1 + exp(−t)), by the trapezoidal rule in t."""
        t = np.arange(-36, 36.01, 0.25)
        share = np.reshape(0.25 * special.expit(t) * special.expit(-t), (-1, *[1] * np.ndim(shapes[0])))
        return -(share * self._of.logpdf(self._points(shapes, t), *shapes)).sum(0)

    def crps(self, y, *shapes):
        """∫ cdf² below y plus ∫ sf² above it, by Gauss's rule on panels between quantiles."""
        x = self._points(shapes, np.linspace(-36, 36, 81))
        nodes, shares = np.polynomial.legendre.leggauss(16)
        total = np.maximum(y - x[-1], 0) + np.maximum(x[0] - y, 0)
        for low, high in zip(x[:-1], x[1:], strict=True):
            cut = np.clip(y, low, high)
            for node, share in zip((1 + nodes) / 2, shares / 2, strict=True):
                below = self._of.cdf(low + node * (cut - low), *shapes) ** 2 * (cut - low)
                total = total + share * (below + self._of.sf(cut + node * (high - cut), *shapes) ** 2 * (high - cut))
        return total


_FORMS = {
    "gamma": Gamma,
    "beta": Beta,
    "t": StudentT,
    "laplace": Laplace,
    "lognorm": LogNormal,
    "weibull_min": Weibull,
}


def form(name):
    """The standard form of the distribution ``scipy.stats.<name>``."""
    return _FORMS.get(name) or Numerical(name)

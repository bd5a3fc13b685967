"""The twins of `catalogue`, in NumPy."""

import copy

import numpy as np

from pyscratch import catalogue
from pyscratch.reference import Bernoulli, MeanHead, twin
from pyscratch.reference_functions import (
    concentration_information,
    digamma_excess,
    harmonic_excess,
    lgamma_excess,
    log1pmx,
    log_factorial,
    log_rising,
    times,
    trigamma_drop,
    trigamma_excess,
)
from pyscratch.reference_links import SCALE_LINKS


@twin
class Binomial(Bernoulli, catalogue.Binomial):
    """`pyscratch.Binomial` in NumPy."""

    def _sides(self, y):
        d = y.shape[1] // 2
        return y[:, :d], y[:, d:]

    def _nll(self, z, mean, y):
        yes, no = self._sides(y)
        return *super()._nll(z, mean, y), -log_factorial(yes + no), log_factorial(yes), log_factorial(no)


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


@twin
class Gamma(ShapedHead, catalogue.Gamma):
    """`pyscratch.Gamma` in NumPy."""

    canonical = "canonical"

    @property
    def dispersion(self):
        """1 / shape."""
        return 1 / self.shape

    def _log_v(self, z):
        return 2 * self._map.log_mean(z)

    def _turn(self, z):
        return self._map.turn(z) - self._map.up(z)

    def _terms(self, z, mean, y):
        k, log_mean = 0 * y + self.shape, self._map.log_mean(z)
        r = y * np.exp(-log_mean)
        return k * (r - 1), k * (log_mean - np.log(y)), lgamma_excess(k), np.log(y)

    def _shape_grad(self, z, mean, y):
        """k (y / mean − 1 − log (y / mean)) + k (ψ(k) − log k)."""
        k, log_mean = self.shape, self._map.log_mean(z)
        return k * (y * np.exp(-log_mean) - 1), k * (log_mean - np.log(y)), digamma_excess(k)

    def _shape_fisher(self, z, mean):
        return (trigamma_excess(self.shape),)

    def _shape_curvature(self, z, mean, y):
        return *self._shape_grad(z, mean, y), *self._shape_fisher(z, mean)

    def _pair_curvature(self, z, mean, y):
        return self._grad(z, mean, y)[0]


@twin
class NegativeBinomial(ShapedHead, catalogue.NegativeBinomial):
    """`pyscratch.NegativeBinomial` in NumPy."""

    def _log_v(self, z):
        log_mean = self._map.log_mean(z)
        return log_mean + np.log1p(np.exp(log_mean) / self.concentration)

    def _turn(self, z):
        x = self._map.mean(z) / self.concentration
        return self._map.turn(z) - self._map.up(z) * x / (1 + x)

    def _log_shares(self, z, mean, r):
        """log (r / (r + mean)) and log (mean / (r + mean)), neither of which overflows with the mean."""
        x, log_x = mean / r, self._map.log_mean(z) - np.log(r)
        above = x > 1
        log1p_x = np.log1p(np.where(above, 1 / np.where(above, x, 0 * x + 1), x))
        return np.where(above, -log_x, 0) - log1p_x, np.where(above, 0, log_x) - log1p_x

    def _terms(self, z, mean, y):
        r = 0 * y + self.concentration
        log_p, log_q = self._log_shares(z, mean, r)
        return -r * log_p, -times(y, log_q), -y * np.log(r), log_factorial(y), -log_rising(y, r)

    def _shape_grad(self, z, mean, y):
        """r (log(1 + x) − x) + q (mean − y) + y − r (ψ(y + r) − ψ(r)), with x = mean / r and q = mean / (r + mean)."""
        r = self.concentration
        x, q = mean / r, mean / (r + mean)
        return r * log1pmx(x), q * mean, -q * y, harmonic_excess(y, r)

    def _shape_curvature(self, z, mean, y):
        r = self.concentration
        p, q = r / (r + mean), mean / (r + mean)
        return *self._shape_grad(z, mean, y), -r * q**2, -y * p**2, trigamma_drop(y, r)

    def _pair_curvature(self, z, mean, y):
        q = mean / (self.concentration + mean)
        return tuple(q * term for term in self._grad(z, mean, y)[0])

    def _shape_fisher(self, z, mean):
        return (concentration_information(self.concentration, mean / self.concentration),)


@twin
class Tweedie(MeanHead, catalogue.Tweedie):
    """`pyscratch.Tweedie` in NumPy."""

    def _log_v(self, z):
        return self.power * self._map.log_mean(z)

    def _turn(self, z):
        return self._map.turn(z) - (self.power - 1) * self._map.up(z)

    def _nll(self, z, mean, y):
        p, f, log_mean = self.power, self.dispersion, self._map.log_mean(z)
        return np.exp((2 - p) * log_mean) / ((2 - p) * f), times(y, np.exp((1 - p) * log_mean)) / ((p - 1) * f)

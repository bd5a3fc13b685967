"""The twin of `pyscratch.NegativeBinomial`."""

import math

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import (
    concentration_information,
    harmonic_excess,
    log1pmx,
    log_factorial,
    log_rising,
    times,
    trigamma_drop,
)
from pyscratch.reference._gated import Empty
from pyscratch.reference._heads import ShapedHead, twin
from pyscratch.reference._links import SCALE_LINKS


@twin
class NegativeBinomial(ShapedHead, losses.NegativeBinomial):
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
        r = np.minimum(self.concentration, 1e300) + 0 * y  # beyond, and at 0, logarithms would be infinite
        r = np.where(r == 0, 0 * y + 5e-324, r)
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

    def _empty(self, z, p):
        """Of n = r log(1 + x), x = mean / r: log n has the slope q / log(1 + x) by log mean, the rest of 1 by log r."""
        if not self._predicts:
            return self._empty_at(z, p, 0 * np.minimum(np.maximum(z, -1e308), 1e308) + self.concentration, [], [])
        link, r, s = SCALE_LINKS[self.scale_link], p[1], z[1]
        slope, bend = link.slope(s), link.bend(s)
        return self._empty_at(z[0], p[0], r, [slope], [bend])

    def _empty_at(self, z, mean, r, slopes, bends):
        log_mean = self._map.log_mean(z)
        z = np.minimum(np.maximum(z, -1e308), 1e308)  # what is infinite, or 0, becomes so large, or small
        tiny, huge = 0 * z + 5e-324, 0 * z + (math.inf if z.dtype == object else 1e300)  # many digits need no limit
        mean, r = np.minimum(np.maximum(mean, tiny), 1e8 * huge), np.minimum(np.maximum(r, tiny), huge)
        x = np.where(mean / r == 0, 0 * mean + 1e-300, mean / r)
        log_p, log_q = self._log_shares(z, mean, r)
        grown, p, q = np.where(log_p == 0, x, -log_p), np.exp(log_p), np.exp(log_q)
        above = x > 1
        over = np.where(above, x - grown, -log1pmx(x)) / grown
        late = np.where(above, grown - q, q * x + log1pmx(x)) / grown
        share, up, n = q / grown, self._map.up(z), r * grown
        turn = np.where(above, share - p, q - late)  # −d log share / d log mean
        log_n = np.where(above, np.log(r) + np.log(grown), log_mean - np.log1p(over))
        ups = [share * up]
        slopes_of_ups = {(0, 0): share * up * (self._map.turn(z) - turn * up)}
        for slope, bend in zip(slopes, bends, strict=True):
            ups.append(late * slope)
            slopes_of_ups[1, 1] = late * bend - share * turn * slope**2
            slopes_of_ups[0, 1] = share * turn * up * slope
        return Empty(n, log_n, ups, slopes_of_ups, over, x)

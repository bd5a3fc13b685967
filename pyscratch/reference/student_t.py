"""The twin of `pyscratch.StudentT`."""

import math

import numpy as np

from pyscratch import losses
from pyscratch.reference._functions import HALF_LOG_2PI, half_bend, half_climb, half_rise, log1pmx
from pyscratch.reference._heads import ScaledHead, twin
from pyscratch.reference._links import SCALE_LINKS


@twin
class StudentT(ScaledHead, losses.StudentT):
    """`pyscratch.StudentT` in NumPy, with u = (y − location) / scale, q = u² / df, p = 1 / (1 + q) and 1 − p = q p."""

    def _params(self, z):
        p = super()._params(z)
        return p if self.df is not None else (*p, SCALE_LINKS[self.scale_link].value(z[2]))

    def _df(self, z, p):
        return p[2] if self.df is None else np.where(np.abs(z[0]) < math.inf, 0 * z[0], 0) + self.df

    def _mean(self, z, p):
        return np.where(self._df(z, p) > 1, p[0], 0 * p[0] + math.nan)

    def _variance(self, z, p):
        v = self._df(z, p)
        exists = v > 2
        return np.where(exists, p[1] ** 2 * v / np.where(exists, v - 2, 0 * v + 1), 0 * v + math.nan)

    def _variance_size(self, z, p):
        """Next to df = 2 the rounding of df is all that is left of df − 2."""
        v = self._df(z, p)
        return self._variance(z, p) * v / np.where(v > 2, v - 2, 0 * v + 1)

    def _ratios(self, z, p, y):
        """df, u, q, p and 1 − p."""
        v, u = self._df(z, p), self._per_scale(z, p, y - p[0])
        q = u**2 / v
        return v, u, q, 1 / (1 + q), q / (1 + q)

    def _nll(self, z, p, y):
        v, u, q, _, _ = self._ratios(z, p, y)
        usual = q > 1e-30  # else, as for an infinite df, log(1 + q) is q
        distance = np.where(usual, (v + 1) / 2 * np.log1p(q), (u**2 + q) / 2)
        return self._log_scale(z[1]), -half_rise(v / 2), distance, 0 * y + HALF_LOG_2PI

    def _by_location(self, z, p, y):
        v, u, _, share, _ = self._ratios(z, p, y)
        return self._per_scale(z, p, -(1 + 1 / v) * u * share)

    def _by_log_df(self, z, p, y):
        """(df / 2) (ψ(df / 2) − ψ((df + 1) / 2) + 1 / df + log(1 + q)) − (df + 1) (1 − p) / 2.

        For small q, with log(1 + q) − q, what is left is (1 − p) (u² − 1) / 2.
        """
        v, u, q, _, rest = self._ratios(z, p, y)
        near = q < 1
        small = np.where(near, q, 0 * q)
        first = np.where(near, v / 2 * log1pmx(small), v / 2 * np.log1p(q))
        return -half_climb(v / 2), first, np.where(near, v / 2 * q * rest, -v / 2 * rest), -rest / 2

    def _grad(self, z, p, y):
        v, _, _, _, rest = self._ratios(z, p, y)
        slope = self._slope(z[1])
        blocks = [(self._by_location(z, p, y),), (slope, -slope * (v + 1) * rest)]
        if self.df is None:
            slope = SCALE_LINKS[self.scale_link].slope(z[2])
            blocks.append(tuple(slope * term for term in self._by_log_df(z, p, y)))
        return blocks

    def _curvature(self, z, p, y):
        v, u, _, share, rest = self._ratios(z, p, y)
        per, slope, bend = self._per_scale(z, p, 0 * u + 1), self._slope(z[1]), self._bend(z[1])
        weight, first = (v + 1) * rest, self._per_scale(z, p, per) * (1 + 1 / v) * share
        blocks = [(first * share, -first * rest), (*bend, 2 * slope**2 * share * weight, -sum(bend) * weight)]
        if self.df is None:
            link = SCALE_LINKS[self.scale_link]
            slope, bend = link.slope(z[2]) ** 2, link.bend(z[2])
            curved = slope * half_bend(v / 2), slope * rest, -slope * rest * weight / 2
            bent = (part * term for part in (slope, bend) for term in self._by_log_df(z, p, y))
            blocks.append((*curved, *bent))
        return blocks

    def _curvature_pairs(self, z, p, y):
        v, _, _, share, rest = self._ratios(z, p, y)
        by_location, slope = self._by_location(z, p, y), self._slope(z[1])
        pairs = {(0, 1): (-2 * share * slope * by_location,)}
        if self.df is None:
            turn = SCALE_LINKS[self.scale_link].slope(z[2])
            pairs[0, 2] = (-by_location * turn / (v + 1), by_location * turn * rest)
            pairs[1, 2] = (rest * slope * turn, -(rest**2) * (v + 1) * slope * turn)
        return pairs

    def _fisher(self, z, p):
        v, per = self._df(z, p), self._per_scale(z, p, 0 * z[0] + 1)
        blocks = [((v + 1) / (v + 3) * self._per_scale(z, p, per),), (2 * v / (v + 3) * self._slope(z[1]) ** 2,)]
        if self.df is None:
            slope = SCALE_LINKS[self.scale_link].slope(z[2]) ** 2
            blocks.append((slope * half_bend(v / 2), slope * (3 - v) / (2 * (v + 1) * (v + 3))))
        return blocks

    def _fisher_pairs(self, z, p):
        if self.df is not None:
            return {}
        v = p[2]
        slopes = self._slope(z[1]) * SCALE_LINKS[self.scale_link].slope(z[2])
        return {(1, 2): (-2 * v / ((v + 1) * (v + 3)) * slopes,)}

"""The distribution of a mixture of Gaussians, which scipy.stats does not have. Nothing but NumPy is needed."""

from functools import cached_property
import math

import numpy as np

from pyscratch.distributions import Distribution, normal_cdf, normal_density, normal_quantile


def _spread(gap, scale):
    """E|X| of a normal X with mean ``gap`` and standard deviation ``scale``."""
    u = gap / scale
    return 2 * scale * normal_density(u) + gap * (normal_cdf(u) - normal_cdf(-u))


class GaussianMixture(Distribution):
    """Mixtures of Gaussians.

    Its mean may lie where no data lie: between the components. ``mode`` is the y of the highest density.
    For several outputs, which are dependent, everything but ``log_prob`` and ``sample`` is that of each output by
    itself: of the marginal, again a mixture with the same weights.
    """

    @cached_property
    def _arguments(self):
        """Weights, means and scales in float64, as the link returns them."""
        return tuple(np.asarray(a, float) for a in self.loss.link(self.z.astype(float)))

    @property
    def _target_shape(self):
        return self._shape

    @cached_property
    def _parts(self):
        """(weights, means, scales) of the components, components in front, each part in the shape of the mean."""
        weights, means, scales = (np.moveaxis(a, 1, 0) for a in self._arguments)
        return (weights if means.ndim == 2 else weights[..., None]), means, scales

    def _u(self, y):
        _, means, scales = self._parts
        return (y - means) / scales

    def _sides(self, y):
        """Sums of weight · cdf and of weight · sf: together 1 but for rounding."""
        weights, u = self._parts[0], self._u(y)
        return (weights * normal_cdf(u)).sum(0), (weights * normal_cdf(-u)).sum(0)

    def _cdf(self, y):
        below, above = self._sides(y)
        return below / (below + above)

    def _sf(self, y):
        below, above = self._sides(y)
        return above / (below + above)

    def _log_terms(self, y):
        """log (weight · density) of each component."""
        weights, _, scales = self._parts
        with np.errstate(divide="ignore"):
            return np.log(weights) - self._u(y) ** 2 / 2 - np.log(scales) - 0.5 * math.log(2 * math.pi)

    def _log_density(self, y):
        terms = self._log_terms(y)
        top = np.max(terms, 0)
        return top + np.log(np.exp(terms - top).sum(0))

    def _quantile(self, q):
        """Newton's method on the cdf, or rather its smaller side, kept between the components' own quantiles."""
        weights, means, scales = self._parts
        each = means + scales * normal_quantile(q)
        each = np.where(weights > 0, each, np.nan)
        low, high = np.fmin.reduce(each), np.fmax.reduce(each)
        upper = np.asarray(q) > 0.5
        x = (low + high) / 2
        for _ in range(200):
            excess = np.where(upper, (1 - q) - self._sf(x), self._cdf(x) - q)
            low, high = np.where(excess < 0, x, low), np.where(excess >= 0, x, high)
            density = (weights * normal_density(self._u(x)) / scales).sum(0)
            after = x - excess / density
            after = np.where((after > low) & (after < high), after, (low + high) / 2)
            done = (np.abs(after - x) <= 2e-16 * np.abs(x)) | ~(high > low)
            x = np.where(done, x, after)
            if np.all(done | np.isnan(x)):
                break
        return np.where(np.isfinite(low) & np.isfinite(high), x, high)

    @property
    @np.errstate(all="ignore")
    def mode(self):
        """The y of the highest density, found by climbing from the mean of every component.

        Each step goes to the mean of the component means with weights r / scale², at which the density is no lower
        (Carreira-Perpiñán 2000, Mode-finding for mixtures of Gaussian distributions).
        """
        weights, means, scales = self._parts
        best, height = np.full(self._shape, math.nan), np.full(self._shape, -math.inf)
        for k in range(len(means)):
            x = means[k]
            for _ in range(500):
                terms = self._log_terms(x)
                pull = np.exp(terms - np.max(terms, 0)) / scales**2
                after = (pull * means).sum(0) / pull.sum(0)
                still = np.abs(after - x) <= 1e-15 * np.abs(x)
                x = after
                if np.all(still | np.isnan(x)):
                    break
            found = self._log_density(x)
            best, height = np.where(found > height, x, best), np.maximum(found, height)
        return best

    @property
    @np.errstate(all="ignore")
    def entropy(self):
        """−∫ f log f, by Gauss's rule between points that lie a scale apart around every component."""
        weights, means, scales = self._parts
        points = [means[k] + t * scales[k] for k in range(len(means)) for t in np.arange(-9.0, 9.5)]
        points = np.sort(points, 0)
        nodes, shares = np.polynomial.legendre.leggauss(16)
        total = 0 * means[0]
        for low, high in zip(points[:-1], points[1:], strict=True):
            for node, share in zip((1 + nodes) / 2, shares / 2, strict=True):
                log = self._log_density(low + node * (high - low))
                total = total - np.where(log > -700, share * (high - low) * np.exp(log) * log, 0)
        return total

    def _crps(self, y):
        """Σ w E|X − y| − Σ Σ w w' E|X − X'| / 2, Grimit et al. (2006)."""
        weights, means, scales = self._parts
        score = (weights * _spread(y - means, scales)).sum(0)
        for k in range(len(means)):
            apart = _spread(means - means[k], np.hypot(scales, scales[k]))
            score = score - (weights * weights[k] * apart).sum(0) / 2
        return score

"""A positive number whose logarithm is Gaussian."""

import numpy as np

from pyscratch import distributions
from pyscratch._loss import Card
from pyscratch.losses._family import family, logit_of, weighted_mean
from pyscratch.losses._scaled import Scaled


@family
class LogNormal(Scaled):
    """A positive number that is the product of many causes: its logarithm is Gaussian, with location and scale.

    scale_link, min_scale: of the standard deviation of log y; as in `HeteroscedasticGaussian`.

    The median is exp(location); the mean, exp(location + scale² / 2), is above it, and is what `predict` gives.
    """

    likelihood = "lognormal"
    examples = ({}, {"min_scale": 0.1}, {"scale_link": "exp"}, {"scale_link": "squareplus", "min_scale": 0.125})
    typical = (0.0, -1.5)
    support, remedy = "finite numbers > 0", "for data with zeros use Tweedie"
    ulps = {
        "nll": (12, 4),
        "grad": (12, 8),
        "mean": (4096, 4096),  # exp(location + scale² / 2): the rounding of scale² is a relative error of the result
        "variance": (8192, 8192),
        "curvature": (16, 8),
        "fisher": (16, 16),
    }
    scipy = "lognorm"
    distribution_class = distributions.Distribution
    card = Card(
        target="a positive number that spreads over orders of magnitude: incomes, sizes, concentrations",
        link="location = z1, scale = h(z2) + min_scale with h(z) = log(1 + exp(z)) for softplus, both of log y",
        nll="u² / 2 + log scale + log y + log(2π) / 2 with u = (log y − location) / scale",
        grad="−u / scale and (1 − u²) d log scale / dz2",
        curvature="Fisher: 1 / scale² and 2 (d log scale / dz2)²; the observed one may be negative",
        wrong="y can be zero (Tweedie), or its upper tail is no longer than exponential (Gamma, Weibull)",
        source="Johnson, Kotz & Balakrishnan (1994), Continuous Univariate Distributions 1, chapter 14",
    )

    def _supported(self, y, width):
        return np.isfinite(y) & (y > 0)

    def _scipy(self, location, scale):
        return {"s": scale, "scale": np.exp(location)}

    def _draw(self, rng, location, scale, size=None):
        return np.maximum(rng.lognormal(location, scale, size), np.finfo(np.float32).tiny)

    def _start(self, y, w, width):
        log_y = np.log(y)
        location = weighted_mean(log_y, w)
        scale = np.sqrt(weighted_mean((log_y - location) ** 2, w)) - self.min_scale
        return [location, logit_of(self.scale_link, np.maximum(scale, 1e-6))]

"""A real number with more far values than a Gaussian has."""

import numpy as np

from pyscratch import distributions
from pyscratch._loss import Card
from pyscratch.losses._family import family, logit_of, weighted_median
from pyscratch.losses._scaled import Scaled


@family
class Laplace(Scaled):
    """A real number with a sharp centre and long tails: the location is the median, mean absolute error the fit.

    scale_link, min_scale: of the scale, the mean distance from the location; as in `HeteroscedasticGaussian`.

    The nll has a kink where y is the location; its slope there is taken to be 0.
    """

    likelihood = "laplace"
    examples = ({}, {"min_scale": 0.1}, {"scale_link": "exp"}, {"scale_link": "squareplus", "min_scale": 0.125})
    support, kinked = "finite real numbers", True
    ulps = {
        "nll": (12, 4),
        "grad": (12, 4),
        "mean": (0, 0),
        "variance": (12, 12),
        "curvature": (16, 8),
        "fisher": (16, 16),
    }
    scipy = "laplace"
    distribution_class = distributions.Distribution
    card = Card(
        target="a real number; its median matters, and single values may be far off",
        link="location = z1, scale = h(z2) + min_scale with h(z) = log(1 + exp(z)) for softplus",
        nll="|y − location| / scale + log(2 scale)",
        grad="−sign(y − location) / scale and (1 − |y − location| / scale) d log scale / dz2",
        curvature="Fisher: 1 / scale² and (d log scale / dz2)²; the observed one by z1 is 0",
        wrong="errors are many small ones (Gaussian), or far values are farther than exp(−|y|) lets them be (StudentT)",
        source="Johnson, Kotz & Balakrishnan (1995), Continuous Univariate Distributions 2, chapter 24",
    )

    def _supported(self, y, width):
        return np.isfinite(y)

    def _scipy(self, location, scale):
        return {"loc": location, "scale": scale}

    def _draw(self, rng, location, scale, size=None):
        return rng.laplace(location, scale, size)

    def _start(self, y, w, width):
        location = np.array([weighted_median(column, w) for column in y.T])
        scale = w @ np.abs(y - location) / w.sum() - self.min_scale
        floor = 1e-6 * np.maximum(np.abs(location), 1.0)  # of targets that are all alike
        return [location, logit_of(self.scale_link, np.maximum(scale, floor))]

    def _scored(self, z, y, w, offset):
        return np.concatenate(self._start(y.reshape(len(y), -1) - offset[:, : len(z) // 2], w, len(z)))

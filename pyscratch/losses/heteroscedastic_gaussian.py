"""A real number whose spread is predicted too."""

import numpy as np

from pyscratch import distributions
from pyscratch._loss import Card
from pyscratch.losses._family import family, logit_of, weighted_mean
from pyscratch.losses._scaled import Scaled


@family
class HeteroscedasticGaussian(Scaled):
    """A real number whose uncertainty is predicted too: logits [mean of each output, scale of each output].

    scale_link: from the second logit to the standard deviation: "softplus", "exp", "squareplus", which is
        (z + sqrt(z² + 4)) / 2, or "logvar", exp(z / 2), for a logit that is the logarithm of the variance.
    min_scale: added to every standard deviation, >= 0. Without it an exactly fitted y has an unbounded likelihood.
    """

    likelihood, parameters = "heteroscedastic_gaussian", ("mean", "scale")
    scale_links = (*Scaled.scale_links, "logvar")
    examples = (
        {},
        {"min_scale": 0.1},
        {"scale_link": "exp"},
        {"scale_link": "squareplus", "min_scale": 0.125},
        {"scale_link": "logvar"},
    )
    support = "finite real numbers"
    ulps = {
        "nll": (12, 4),
        "grad": (12, 8),  # u = (y − mean) / scale is within 3 ULP, and enters squared
        "mean": (0, 0),
        "variance": (12, 12),
        "curvature": (16, 8),
        "fisher": (16, 16),
    }
    scipy = "norm"
    distribution_class = distributions.Normal
    card = Card(
        target="a real number whose spread changes with X",
        link="mean = z1, scale = h(z2) + min_scale with h(z) = log(1 + exp(z)) for softplus",
        nll="u² / 2 + log scale + log(2π) / 2 with u = (y − mean) / scale",
        grad="−u / scale and (1 − u²) d log scale / dz2",
        curvature="Fisher: 1 / scale² and 2 (d log scale / dz2)²; the observed one may be negative",
        wrong="y is skewed or bounded, or there are too few rows to learn a spread",
        source="Nix & Weigend (1994), Estimating the mean and variance of the target probability distribution",
    )

    def _supported(self, y, width):
        return np.isfinite(y)

    def _scipy(self, mean, scale):
        return {"loc": mean, "scale": scale}

    def _draw(self, rng, mean, scale, size=None):
        return rng.normal(mean, scale, size)

    def _start(self, y, w, width):
        mean = weighted_mean(y, w)
        scale = np.sqrt(weighted_mean((y - mean) ** 2, w)) - self.min_scale
        floor = 1e-6 * np.maximum(np.abs(mean), 1.0)  # of targets that are all alike
        return [mean, logit_of(self.scale_link, np.maximum(scale, floor))]

"""A real number with the same spread everywhere."""

import math

import numpy as np

from pyscratch import _checks, distributions
from pyscratch._checks import choice, positive
from pyscratch._loss import Card, Loss
from pyscratch.losses._family import family, logit_of, weighted_mean


@family
class Gaussian(Loss):
    """A real number, equally uncertain in every row: mean squared error is this assumption.

    scale: the standard deviation, a number > 0; `with_scale` finds the most likely one.
    link: "identity"; "log" or "softplus" for a mean > 0, "logit" for a mean between 0 and 1.
    """

    likelihood, links = "gaussian", ("identity", "log", "logit", "softplus")
    examples = ({}, {"scale": 2.5}, {"link": "log"}, {"link": "logit", "scale": 0.5}, {"link": "softplus"})
    support, remedy = "finite real numbers", ""
    ulps = {"nll": (4, 4), "grad": (4, 4), "variance": (2, 2)}
    link_ulps = {"logit": {"grad": (6, 6), "curvature": (8, 8), "fisher": (8, 8)}}
    scipy = "norm"
    distribution_class = distributions.Normal
    card = Card(
        target="a real number with the same spread everywhere",
        link="mean = z",
        nll="(y − mean)² / (2 scale²) + log(2π scale²) / 2",
        grad="(mean − y) / scale²: the residual",
        curvature="1 / scale², observed and Fisher",
        wrong="y is a count, a proportion or a price, or its spread changes with X",
        source="Bishop (2006), Pattern Recognition and Machine Learning, section 3.1.1",
    )

    def __init__(self, scale=1.0, link="identity"):
        self._freeze(scale=positive("scale", scale), link=choice("link", link, self.links))

    def _fields(self):
        return {"dispersion": self.scale**2}

    def _supported(self, y, width):
        return np.isfinite(y)

    def _scipy(self, mean):
        return {"loc": mean, "scale": self.scale}

    def _draw(self, rng, mean, size=None):
        return rng.normal(mean, self.scale, size)

    def _start(self, y, w, width):
        mean, spare = weighted_mean(y, w), 1e-3 / (w.sum() + 1)  # of a best constant that a link cannot reach
        if self.link.name in ("log", "softplus"):
            mean = np.maximum(mean, spare * np.maximum(np.abs(y).max(0), 1e-3))
        elif self.link.name == "logit":
            mean = np.clip(mean, spare, 1 - spare)
        return [logit_of(self.link.name, mean)]

    def with_scale(self, z, y, weights=None):
        """The same family with scale² = Σ w (y − mean)² / Σ w, over all outputs."""
        z, y, w = self._used_rows(z, y, weights)
        squares = ((y - _checks.columns(self.mean(z))) ** 2).mean(1)
        return type(self)(**{**self._options, "scale": math.sqrt(weighted_mean(squares, w))})

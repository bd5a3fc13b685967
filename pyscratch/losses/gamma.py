"""A positive number whose spread goes with its mean."""

import math

import numpy as np

from pyscratch import distributions
from pyscratch._checks import choice
from pyscratch._loss import Card
from pyscratch.losses._family import family, logit_of, weighted_mean
from pyscratch.losses._shaped import Shaped


@family
class Gamma(Shaped):
    """A positive number whose standard deviation goes with its mean: amounts, durations, prices.

    shape: the squared ratio of mean and standard deviation; None: predicted, from logits [mean of each output, shape of
        each output]. `with_scale` finds the most likely number.
    link: "log"; "canonical", mean = −1 / z for z < 0 (with +1 / z the gradient would be minus the residual); or
        "reciprocal_softplus", mean = 1 / log(1 + exp(z)), which no logit can leave.
    scale_link: "softplus", "exp" or "squareplus", of a predicted shape.
    """

    likelihood, free_likelihood, given = "gamma", "gamma_shape", "shape"
    links = ("log", "canonical", "reciprocal_softplus")
    domains = {"canonical": (-math.inf, 0.0)}
    examples = (
        {},
        {"shape": 2.5},
        {"shape": 0.75, "link": "canonical"},
        {"shape": 4.0, "link": "reciprocal_softplus"},
        {"scale_link": "exp"},
        {"link": "canonical", "scale_link": "squareplus"},
        {"link": "reciprocal_softplus"},
    )
    support, remedy = "finite numbers > 0", "for data with zeros use Tweedie"
    ulps = {
        "nll": (16, 8),
        "grad": (16, 8),
        "mean": (4, 4),
        "variance": (8, 8),
        "curvature": (16, 8),
        "fisher": (16, 16),
    }
    scipy = "gamma"
    distribution_class = distributions.Distribution
    card = Card(
        target="a positive number; its spread is proportional to its mean",
        link="mean = exp(z1), shape a number or log(1 + exp(z2))",
        nll="shape (y / mean + log mean) − (shape − 1) log y − shape log shape + log Γ(shape)",
        grad="shape (1 − y / mean); with the canonical link shape (mean − y): the residual",
        curvature="shape y / mean, Fisher: shape; with the canonical link shape mean², both",
        wrong="y can be zero (Tweedie), or has a heavier tail (LogNormal)",
        source="McCullagh & Nelder (1989), Generalized Linear Models, chapter 8",
    )

    def __init__(self, shape=None, link="log", scale_link="softplus"):
        self._freeze_shape(shape=shape, link=choice("link", link, self.links), scale_link=scale_link)

    def _fields(self):
        return {} if self.shape is None else {"dispersion": 1 / self.shape}

    def _supported(self, y, width):
        return np.isfinite(y) & (y > 0)

    def _scipy(self, mean, shape=None):
        shape = self.shape if shape is None else shape
        return {"a": shape + 0 * mean, "scale": mean / shape}

    def _draw(self, rng, mean, shape=None, size=None):
        shape = self.shape if shape is None else shape
        return np.maximum(rng.gamma(shape, mean / shape, size), np.finfo(np.float32).tiny)

    def _start(self, y, w, width):
        mean = weighted_mean(y, w)
        start = [logit_of(self.link.name, mean)]
        if self.shape is None:  # log shape − digamma(shape) is the log of the mean minus the mean of the logs
            gap = np.maximum(np.log(mean) - weighted_mean(np.log(y), w), 1e-9)
            start.append(self._start_shape((3 - gap + np.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)))
        return start

"""A positive number: how long until it fails."""

import math

import numpy as np

from pyscratch import distributions
from pyscratch._checks import choice
from pyscratch._loss import Card, Loss
from pyscratch.losses._family import family, logit_of, weighted_mean
from pyscratch.losses._shaped import POSITIVE


@family
class Weibull(Loss):
    """A lifetime or a strength, whose hazard grows (shape > 1) or falls (shape < 1) like a power of time.

    Logits are [scale of each output, shape of each output]; an offset is added to the logarithm of the scale.

    link: "log" or "softplus", of the scale, which a share 1 − 1/e of all y do not reach.
    scale_link: "softplus", "exp" or "squareplus", of the shape.
    """

    likelihood, links, scale_links, parameters = "weibull", ("log", "softplus"), POSITIVE, ("scale", "shape")
    examples = ({}, {"scale_link": "exp"}, {"link": "softplus"}, {"link": "softplus", "scale_link": "squareplus"})
    typical = (0.0, 1.2)
    support, remedy = "finite numbers > 0", "for data with zeros use Tweedie"
    ulps = {  # for t, in parts of t log t: a relative error of the shape is one of log t
        "nll": (16, 8),
        "grad": (16, 8),
        "mean": (4096, 4096),
        "params": (4, 4),
        "variance": (8192, 8192),
        "curvature": (16, 8),
        "fisher": (16, 16),
    }
    scipy = "weibull_min"
    distribution_class = distributions.Distribution
    card = Card(
        target="a positive number: a time until failure, a wind speed, a strength",
        link="scale = exp(z1), shape = log(1 + exp(z2))",
        nll="t − log t − log shape + log y with t = (y / scale)^shape",
        grad="shape (1 − t), and ((t − 1) log t − 1) d log shape / dz2",
        curvature="Fisher: shape² and (c² + π² / 6) (d log shape / dz2)², c = 0.4228; −c shape beside the diagonal",
        wrong="y can be zero (Tweedie), or has a tail like a power of y (LogNormal)",
        source="Johnson, Kotz & Balakrishnan (1994), Continuous Univariate Distributions 1, chapter 21",
    )
    _start_is_exact = False

    def __init__(self, link="log", scale_link="softplus"):
        self._freeze(link=choice("link", link, self.links), scale_link=choice("scale_link", scale_link, POSITIVE))

    def _supported(self, y, width):
        return np.isfinite(y) & (y > 0)

    def _scipy(self, scale, shape):
        return {"c": shape, "scale": scale}

    def _draw(self, rng, scale, shape, size=None):
        return np.maximum(scale * rng.weibull(shape, size), np.finfo(np.float32).tiny)

    def _start(self, y, w, width):
        log_y = np.log(y)  # by the moments of log y
        mean = weighted_mean(log_y, w)
        shape = math.pi / np.sqrt(6 * np.maximum(weighted_mean((log_y - mean) ** 2, w), 1e-12))
        return [logit_of(self.link.name, np.exp(mean + np.euler_gamma / shape)), logit_of(self.scale_link, shape)]

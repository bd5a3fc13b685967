"""A number between 0 and 1."""

import numpy as np

from pyscratch import distributions
from pyscratch._checks import choice
from pyscratch._loss import Card, Loss
from pyscratch.losses._family import family, logit_of, weighted_mean
from pyscratch.losses._shaped import POSITIVE


@family
class Beta(Loss):
    """A measured fraction, such as a share or a rate: logits [mean of each output, precision of each output].

    The shapes of other libraries are a = mean · precision and b = (1 − mean) · precision; the variance is
    mean (1 − mean) / (precision + 1).

    scale_link: "softplus", "exp" or "squareplus", of the precision.

    y must not be 0 or 1, where the density is 0 or infinite. Next to 1 a float32 has no digits left for 1 − y: there
    float64 says more. A y in float64 that a float32 would round to 0 or 1 becomes the number next to it.
    """

    likelihood, links, scale_links, parameters = "beta", ("logit",), POSITIVE, ("mean", "precision")
    examples = ({}, {"scale_link": "exp"}, {"scale_link": "squareplus"})
    typical = (0.0, 3.0)
    support = "numbers between 0 and 1, both excluded"
    ulps = {
        "nll": (16, 16),  # 13 where y and the mean are 1/2 and nothing but three rests is left
        "grad": (16, 8),
        "mean": (4, 4),
        "params": (4, 4),
        "variance": (8, 8),
        "curvature": (16, 8),
        "fisher": (16, 8),
    }
    scipy = "beta"
    distribution_class = distributions.Distribution
    card = Card(
        target="a number between 0 and 1 that is no share of counted trials",
        link="mean = 1 / (1 + exp(−z1)), precision n = log(1 + exp(z2)); a = mean n, b = (1 − mean) n",
        nll="log Γ(a) + log Γ(b) − log Γ(n) − (a − 1) log y − (b − 1) log(1 − y)",
        grad="mean b (ψ(a) − ψ(b) − log(y / (1 − y))), and for z2 a sum of ψ(a), ψ(b), ψ(n), log y and log(1 − y)",
        curvature="Fisher: mean² b² (ψ'(a) + ψ'(b)) for z1; the two logits share information",
        wrong="y can be 0 or 1, or is a number of successes out of so many trials (Binomial)",
        source="Ferrari & Cribari-Neto (2004), Beta regression for modelling rates and proportions",
    )
    _start_is_exact = False

    def __init__(self, link="logit", scale_link="softplus"):
        self._freeze(link=choice("link", link, self.links), scale_link=choice("scale_link", scale_link, POSITIVE))

    def _target(self, y, rows, outputs, width, dtype):
        ready, kind = super()._target(y, rows, outputs, width, dtype)
        rounded = (ready <= 0) | (ready >= 1)
        if rounded.any():
            given = np.asarray(y, float).reshape(ready.shape)
            rounded &= (given > 0) & (given < 1)
            ready = np.where(rounded, np.nextafter(ready, dtype.type(0.5)), ready)
        return ready, kind

    def _supported(self, y, width):
        return (y > 0) & (y < 1)

    def _bad_target(self, row, y, width):
        message, zeros, ones = super()._bad_target(row, y, width), int(np.sum(y == 0)), int(np.sum(y == 1))
        if not zeros + ones:
            return message
        return f"{message}; y holds {zeros} of 0 and {ones} of 1: squeeze all n rows to (y (n − 1) + 1/2) / n"

    def _scipy(self, mean, precision):
        return {"a": mean * precision, "b": (1 - mean) * precision}

    def _draw(self, rng, mean, precision, size=None):
        y = rng.beta(mean * precision, (1 - mean) * precision, size)
        return np.clip(y, np.finfo(float).tiny, 1 - np.finfo(float).epsneg)

    def _start(self, y, w, width):
        mean = weighted_mean(y, w)
        spread = np.maximum(weighted_mean((y - mean) ** 2, w), 1e-12)  # by moments
        return [logit_of("logit", mean), logit_of(self.scale_link, np.maximum(mean * (1 - mean) / spread - 1, 0.1))]


Beta._takes_reals = True  # a y that is ready is not converted

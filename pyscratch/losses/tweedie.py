"""An amount that is often exactly zero."""

import math

import numpy as np

from pyscratch import _checks, compound
from pyscratch._checks import choice, positive
from pyscratch._loss import Card, Loss
from pyscratch.losses._family import family, logit_of, weighted_mean
from pyscratch.losses._shaped import lowest


@family
class Tweedie(Loss):
    """An amount that is often exactly zero: a Poisson number of Gamma amounts, such as claims or rain.

    power: p, 1 < p < 2: the variance is dispersion · mean^p.
    dispersion: a number > 0; `with_scale` finds the most likely one.

    The terms of the density in y alone are a series (Dunn & Smyth 2005), summed to rounding. It costs more than the
    rest; a fit or a bound loss pays it once.
    """

    likelihood, links = "tweedie", ("log", "softplus")
    examples = ({}, {"power": 1.25, "dispersion": 2.0}, {"power": 1.75, "link": "softplus"})
    support, remedy = "finite numbers >= 0", ""
    ulps = {
        "nll": (16, 6),
        "grad": (16, 6),
        "mean": (4, 4),
        "variance": (24, 24),
        "curvature": (16, 8),
        "fisher": (16, 16),
    }
    distribution_class = compound.Tweedie
    card = Card(
        target="a number >= 0 with a mass at 0: the sum of a Poisson number of Gamma amounts",
        link="mean = exp(z)",
        nll="(mean^(2−p) / (2 − p) − y mean^(1−p) / (1 − p)) / dispersion + a series in y, p and dispersion",
        grad="(mean^(2−p) − y mean^(1−p)) / dispersion",
        curvature="((2−p) mean^(2−p) + (p−1) y mean^(1−p)) / dispersion, Fisher: mean^(2−p) / dispersion",
        wrong="zeros and amounts have different causes, or amounts have a heavier tail than Gamma",
        source="Jørgensen (1997), The Theory of Dispersion Models, chapter 4",
    )

    def __init__(self, power=1.5, dispersion=1.0, link="log"):
        power = positive("power", power)
        if not 1 < power < 2:
            raise ValueError(f"power must lie between 1 (Poisson) and 2 (Gamma), not {power}")
        self._freeze(power=power, dispersion=positive("dispersion", dispersion), link=choice("link", link, self.links))

    def _fields(self):
        return {"power": self.power, "dispersion": self.dispersion}

    def _supported(self, y, width):
        return np.isfinite(y) & (y >= 0)

    def _draw(self, rng, mean, size=None):
        p, f = self.power, self.dispersion
        number = rng.poisson(mean ** (2 - p) / (f * (2 - p)), size)
        return rng.standard_gamma(number * (2 - p) / (p - 1)) * (f * (p - 1) * mean ** (p - 1))

    def _start(self, y, w, width):
        floor = 0.5 / (w.sum() + 1) * np.maximum(y.max(0), np.finfo(float).tiny)
        return [logit_of(self.link.name, np.maximum(weighted_mean(y, w), floor))]

    def with_scale(self, z, y, weights=None):
        """The same family with the dispersion that is most likely for these rows, to 8 digits, by golden section."""
        z, y, w = self._used_rows(z, y, weights)
        mean = _checks.columns(self.mean(z))
        moments = weighted_mean(((y - mean) ** 2 / mean**self.power).mean(1), w)

        def at(log):
            return type(self)(**{**self._options, "dispersion": math.exp(log)})

        found = lowest(lambda log: at(log).nll(z, y, weights=w), math.log(moments) - 3, math.log(moments) + 3)
        return at(found)

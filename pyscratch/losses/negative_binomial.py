"""A count that varies more than a Poisson count."""

import numpy as np

from pyscratch import counts
from pyscratch._checks import choice
from pyscratch._loss import Card
from pyscratch.losses._family import family, logit_of, weighted_mean
from pyscratch.losses._shaped import Shaped


@family
class NegativeBinomial(Shaped):
    """A count that varies more than a Poisson count: variance = mean + mean² / concentration.

    concentration: a number > 0, or None: predicted, from logits [mean of each output, concentration of each output].
        `with_scale` finds the most likely number. The dispersion of other libraries is its inverse.
    scale_link: "softplus", "exp" or "squareplus", of a predicted concentration.

    The Fisher information of a predicted concentration is a series, summed to 1e-5 of its value.
    """

    likelihood, free_likelihood, given = "negative_binomial", "negative_binomial_concentration", "concentration"
    links = ("log", "softplus")
    examples = (
        {},
        {"concentration": 1.5},
        {"concentration": 1e6},
        {"concentration": 0.25, "link": "softplus"},
        {"link": "softplus", "scale_link": "exp"},
        {"scale_link": "squareplus"},
    )
    approximate = {"fisher": 1e-5}
    support, remedy = "counts 0, 1, 2, ...", "for amounts that are no counts use Gamma or Tweedie"
    ulps = {
        "nll": (16, 16),
        "grad": (16, 8),
        "mean": (4, 4),
        "variance": (8, 8),
        "curvature": (12, 8),
        "fisher": (8, 8),
    }
    takes_exposure = True
    scipy = "nbinom"
    distribution_class = counts.NegativeBinomial
    card = Card(
        target="a count of events whose rate varies beyond what X explains",
        link="mean = exp(z1), concentration r a number or log(1 + exp(z2))",
        nll="(y + r) log(1 + mean / r) − y log mean + log y! − Σ log(1 + j / r) over j < y",
        grad="r (mean − y) / (r + mean)",
        curvature="r mean (r + y) / (r + mean)², Fisher: r mean / (r + mean)",
        wrong="counts vary less than their mean, or zeros come from another process (ZeroInflated)",
        source="Hilbe (2011), Negative Binomial Regression, chapter 8 (NB2)",
    )

    def __init__(self, concentration=None, link="log", scale_link="softplus"):
        self._freeze_shape(concentration=concentration, link=choice("link", link, self.links), scale_link=scale_link)

    def _fields(self):
        return {} if self.concentration is None else {"parameter": self.concentration}

    def _supported(self, y, width):
        return np.isfinite(y) & (y >= 0) & (y == np.floor(y))

    def _scipy(self, mean, concentration=None):
        r = self.concentration if concentration is None else concentration
        return {"n": r + 0 * mean, "p": r / (r + mean)}

    def _draw(self, rng, mean, concentration=None, size=None):
        r = self.concentration if concentration is None else concentration
        return rng.poisson(rng.gamma(r, mean / r, size)).astype(float)

    def _draw_positive(self, rng, mean, concentration=None, size=None):
        """Counts > 0: a Poisson number > 0 of groups, whose sizes follow the logarithmic series distribution."""
        r = self.concentration if concentration is None else concentration
        x = mean / r
        groups = r * np.log1p(x)
        t = -np.log1p(rng.random(np.shape(mean) if size is None else size) * np.expm1(-groups))
        others = np.maximum(groups - t, 0) / np.log1p(x)  # the concentration of all groups but the first
        first = rng.logseries(np.minimum(x / (1 + x), 1 - 1e-16), size)
        return first + rng.poisson(rng.gamma(others, x)).astype(float)

    def _start(self, y, w, width):
        mean = np.maximum(weighted_mean(y, w), 0.5 / (w.sum() + 1))
        start = [logit_of(self.link.name, mean)]
        if self.concentration is None:  # by moments
            spare = np.maximum(weighted_mean((y - mean) ** 2, w) - mean, 1e-3 * mean)
            start.append(self._start_shape(np.clip(mean**2 / spare, 1e-3, 1e6)))
        return start

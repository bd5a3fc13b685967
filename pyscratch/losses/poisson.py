"""A count."""

import math

import numpy as np

from pyscratch import counts
from pyscratch._checks import choice
from pyscratch._loss import Card, Loss
from pyscratch.losses._family import family, logit_of, weighted_mean


@family
class Poisson(Loss):
    """A count of events: its variance equals its mean.

    link: "log"; "softplus", with which effects add up where counts are large; "sqrt" (mean = z²) and "identity" for
        logits > 0 only.
    integer: True asks for whole counts; False admits fractions (a quasi-likelihood).
    """

    likelihood, links = "poisson", ("log", "softplus", "sqrt", "identity")
    domains = {"sqrt": (0.0, math.inf), "identity": (0.0, math.inf)}
    examples = ({}, {"integer": False}, {"link": "softplus"}, {"link": "sqrt"}, {"link": "identity"})
    ulps = {"nll": (4, 4), "grad": (4, 4), "mean": (4, 4), "variance": (4, 4), "curvature": (8, 8), "fisher": (4, 4)}
    takes_exposure = True
    scipy = "poisson"
    distribution_class = counts.Poisson
    card = Card(
        target="a count of events, 0, 1, 2, ...; offset = log(exposure) makes it a rate",
        link="mean = exp(z)",
        nll="mean − y z + log y!",
        grad="mean − y: the residual",
        curvature="mean, observed and Fisher",
        wrong="the counts vary more than their mean (NegativeBinomial) or have too many zeros (ZeroInflated)",
        source="McCullagh & Nelder (1989), Generalized Linear Models, section 6.2",
    )

    def __init__(self, link="log", integer=True):
        self._freeze(link=choice("link", link, self.links), integer=bool(integer))

    support = "counts 0, 1, 2, ..."
    remedy = "Poisson(integer=False) admits fractions"

    def _support_of(self, width):
        """Counts, or numbers >= 0 with integer=False."""
        return self.support if self.integer else "finite numbers >= 0"

    def _fields(self):
        return {"integer": int(self.integer)}

    def _supported(self, y, width):
        fine = np.isfinite(y) & (y >= 0)
        return fine & (y == np.floor(y)) if self.integer else fine

    def _scipy(self, mean):
        return {"mu": mean}

    def _draw(self, rng, mean, size=None):
        return rng.poisson(mean, size)

    def _draw_positive(self, rng, mean, size=None):
        """Counts > 0: one event, first after the part t / mean of the time, and those after it."""
        t = -np.log1p(rng.random(np.shape(mean) if size is None else size) * np.expm1(-mean))
        return 1.0 + rng.poisson(np.maximum(mean - t, 0))

    def _start(self, y, w, width):
        return [logit_of(self.link.name, np.maximum(weighted_mean(y, w), 0.5 / (w.sum() + 1)))]

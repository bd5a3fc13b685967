"""Yes or no."""

import numpy as np

from pyscratch import distributions
from pyscratch._checks import choice, share
from pyscratch._loss import Card, Loss
from pyscratch.losses._family import family, logit_of, weighted_mean


@family
class Bernoulli(Loss):
    """Yes or no: binary cross-entropy is this assumption. Soft targets in [0, 1] are allowed (a quasi-likelihood).

    link: "logit"; "probit", the normal cdf; "cloglog", 1 − exp(−exp(z)), for an event seen if it came at least once;
        "loglog", its mirror image; "cauchit", the Cauchy cdf, which forgives surprising labels most.
    smoothing: e in [0, 1): the target becomes (1 − e) y + e / 2, in training only.
    """

    likelihood, links = "bernoulli", ("logit", "probit", "cloglog", "loglog", "cauchit")
    examples = (
        {},
        {"link": "probit"},
        {"link": "cloglog"},
        {"link": "loglog"},
        {"link": "cauchit"},
        {"smoothing": 0.1},
    )
    support, remedy = "numbers from 0 to 1", "labels −1 and +1 become 0 and 1 by (y + 1) / 2"
    ulps = {"nll": (4, 4), "grad": (4, 4), "mean": (4, 4), "variance": (6, 6), "curvature": (6, 6), "fisher": (6, 6)}
    link_ulps = {  # probit: a derivative of the Mills ratio cancels; cloglog: exp(−x) is off by x ulp of x = exp(z)
        "probit": {"curvature": (48, 48)},
        "cloglog": dict.fromkeys(("nll", "grad", "mean", "params", "variance", "curvature", "fisher"), (1024, 1024)),
        "loglog": dict.fromkeys(("nll", "grad", "mean", "params", "variance", "curvature", "fisher"), (1024, 1024)),
        "cauchit": {"grad": (8, 5), "curvature": (8, 8)},  # its slope is a quotient of quotients
    }
    scipy = "bernoulli"
    distribution_class = distributions.Bernoulli
    card = Card(
        target="0 or 1; a proportion in between counts as that much of a yes",
        link="mean = 1 / (1 + exp(−z))",
        nll="−y log mean − (1 − y) log(1 − mean)",
        grad="mean − y: the residual",
        curvature="mean (1 − mean), observed and Fisher",
        wrong="y counts several trials (Binomial), is a measured fraction (Beta) or has more than two classes",
        source="McCullagh & Nelder (1989), Generalized Linear Models, section 4.4",
    )

    def __init__(self, link="logit", smoothing=0.0):
        self._freeze(link=choice("link", link, self.links), smoothing=share("smoothing", smoothing))

    def _fields(self):
        return {"smoothing": self.smoothing}

    @property
    def plain(self):
        """The likelihood by itself: no smoothing."""
        return type(self)(**{**self._options, "smoothing": 0.0}) if self.smoothing else self

    def _supported(self, y, width):
        return (y >= 0) & (y <= 1)

    def _scipy(self, mean):
        return {"p": mean}

    def _draw(self, rng, mean, size=None):
        return rng.binomial(1, mean, size)

    def _start(self, y, w, width):
        half = 0.5 / (w.sum() + 1)
        return [logit_of(self.link.name, np.clip(weighted_mean(y, w), half, 1 - half))]

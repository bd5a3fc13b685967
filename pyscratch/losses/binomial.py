"""So many successes out of so many trials."""

import numpy as np

from pyscratch import _native, counts
from pyscratch._checks import choice
from pyscratch._loss import Card, Loss
from pyscratch.losses._family import family, logit_of
from pyscratch.losses.bernoulli import Bernoulli


@family
class Binomial(Bernoulli):
    """So many successes out of so many trials: y (n, 2) holds successes and failures, (n, 2 d) those of d outputs.

    ``mean`` is the probability of a success, ``variance`` that of one trial, and so is the Fisher information. The
    distribution is that of one trial too; ``distribution(z).of(trials)`` is that of the successes in so many.
    """

    likelihood, links = "binomial", ("logit", "probit", "cloglog")
    target = _native.PAIRS
    examples = ({}, {"link": "probit"}, {"link": "cloglog"})
    support, remedy = "counts 0, 1, 2, ... of successes and of failures", "for proportions use Bernoulli with weights"
    scipy = "binom"
    distribution_class = counts.Binomial
    ulps = {**Bernoulli.ulps, "nll": (16, 16)}
    card = Card(
        target="a pair of counts: successes and failures of n independent trials",
        link="mean = 1 / (1 + exp(−z)), the probability of a success",
        nll="−y log mean − (n − y) log(1 − mean) − log C(n, y)",
        grad="n mean − y: the residual",
        curvature="n mean (1 − mean), observed and Fisher",
        wrong="the successes vary more than independent trials do, or trials of a row differ in their probability",
        source="McCullagh & Nelder (1989), Generalized Linear Models, section 4.3",
    )

    def __init__(self, link="logit"):
        self._freeze(link=choice("link", link, self.links))

    def _fields(self):
        return {}

    plain = Loss.plain

    def _supported(self, y, width):
        return np.isfinite(y) & (y >= 0) & (y == np.floor(y))

    def _scipy(self, mean):
        return {"n": 1, "p": mean}

    def _draw(self, rng, mean, size=None, trials=1):
        """Pairs of each row: successes before failures."""
        n = np.asarray(trials).astype(np.int64)
        yes = rng.binomial(n, mean, size)
        pair = np.stack([yes, n - yes], -1) if np.ndim(mean) == 1 else np.concatenate([yes, n - yes], -1)
        return pair.astype(float)

    def _start(self, y, w, width):
        yes, no = w @ y[:, :width], w @ y[:, width:]
        return [logit_of(self.link.name, (yes + 0.5 * (yes * no == 0)) / (yes + no + (yes * no == 0)))]

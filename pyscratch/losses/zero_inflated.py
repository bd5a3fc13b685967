"""Counts with more zeros than their family has."""

import numpy as np

from pyscratch import counts
from pyscratch._loss import Card
from pyscratch.losses._family import family as enter
from pyscratch.losses._family import logit_of
from pyscratch.losses._gated import Gated


@enter
class ZeroInflated(Gated):
    """A count of another family, or, with a probability that is predicted too, a structural zero.

    Logits: those of the family, then one more for each output, the logit of the probability of a structural zero.
    The parameters are the family's and ``structural_zero``: ``family_mean`` is the mean of the counts that are no
    structural zeros, ``loss.mean(z)`` that of y.

    family: a family of counts, Poisson(...) or NegativeBinomial(...), with any of its options.
    """

    likelihood, gate = "zero_inflated", "structural_zero"
    scipy = "none: a mixture of a point and a family"
    distribution_class = counts.ZeroInflated
    card = Card(
        target="a count whose zeros have two causes: no event was possible, or none happened",
        link="that of the family, and structural_zero = s = 1 / (1 + exp(−z)) of the last logit",
        nll="−log(s + (1 − s) P(0)) at y = 0, else the family's nll − log(1 − s)",
        grad="at y = 0 with t = s / (s + (1 − s) P(0)): 1 − t times the family's, s − t; else the family's, s",
        curvature="Fisher: (1 − s) (the family's − t P(0) g g'), g its gradient at y = 0; observed may be negative",
        wrong="nothing tells the two kinds of zeros apart and only P(0) matters (Hurdle), or counts merely vary more "
        "(NegativeBinomial)",
        source="Lambert (1992), Zero-inflated Poisson regression, with an application to defects in manufacturing",
    )

    def _draw(self, rng, *parameters, size=None):
        *inside, zero = parameters
        y = self.family._draw(rng, *inside, size=size)
        return np.where(rng.random(np.shape(y)) < zero, 0.0, y)

    def _start(self, y, w, width):
        """Counts as if y > 0 were all that is seen, then the zeros that these do not explain."""
        d = y.shape[1]
        start, spare = self._start_counts(y, w), 0.5 / (w.sum() + 1)
        z = np.concatenate(start)[None]
        empty = np.exp(-np.array([self.family.nll(z[:, i::d], [0.0]) for i in range(d)]))
        share = (w @ (y == 0) / w.sum() - empty) / np.maximum(1 - empty, spare)
        return [*start, logit_of("logit", np.clip(share, spare, 1 - spare))]

"""Counts whose zeros have a probability of their own."""

import numpy as np

from pyscratch import counts
from pyscratch._loss import Card
from pyscratch.losses._family import family as enter
from pyscratch.losses._family import logit_of
from pyscratch.losses._gated import Gated


@enter
class Hurdle(Gated):
    """Zero or not, and if not a count of another family that is not 0: two questions with logits of their own.

    Logits: those of the family, then one more for each output, the logit of the probability of a zero.
    The parameters are the family's and ``zero``: ``family_mean`` is the mean that the family would have with its own
    zeros, ``loss.mean(z)`` that of y.

    family: a family of counts, Poisson(...) or NegativeBinomial(...), with any of its options.
    """

    likelihood, gate = "hurdle", "zero"
    scipy = "none: a point and a truncated family"
    distribution_class = counts.Hurdle
    card = Card(
        target="a count, where whether there is an event at all and how many there are have different causes",
        link="that of the family, and zero = s = 1 / (1 + exp(−z)) of the last logit",
        nll="−log s at y = 0, else the family's nll + log(1 − P(0)) − log(1 − s)",
        grad="of the last logit s − (1 at y = 0, else 0), the residual; of the others 0 at y = 0, else the family's + "
        "P(0) / (1 − P(0)) times that at y = 0",
        curvature="s (1 − s), nothing between the two parts; of the counts Fisher: that of a truncated family",
        wrong="a zero may be a count like the others (ZeroInflated, or the family itself)",
        source="Mullahy (1986), Specification and testing of some modified count data models",
    )

    def _draw(self, rng, *parameters, size=None):
        *inside, zero = parameters
        y = self.family._draw_positive(rng, *inside, size=size)
        return np.where(rng.random(np.shape(y)) < zero, 0.0, y)

    def _start(self, y, w, width):
        spare = 0.5 / (w.sum() + 1)
        return [*self._start_counts(y, w), logit_of("logit", np.clip(w @ (y == 0) / w.sum(), spare, 1 - spare))]

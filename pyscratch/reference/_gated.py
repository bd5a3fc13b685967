"""What the twins of ZeroInflated and Hurdle share."""

from collections import namedtuple

import numpy as np

from pyscratch.reference._functions import times
from pyscratch.reference._heads import NumpyHead, families
from pyscratch.reference._links import LINKS, SCALE_LINKS

# Of y = 0 in a family of counts: its nll n, log n, the derivatives of log n (a list, and a dict by pair of logits),
# mean / n − 1 and variance / mean − 1. A family says it in `_empty`.
Empty = namedtuple("Empty", "nll log_nll up up_slope per_nll excess")


class GatedHead(NumpyHead):
    """A family, whose formulas are called, and the logit g of a gate: s = sigmoid(g)."""

    _families = families

    def _inside(self, blocks):
        """The family's part of logits or parameters, as its formulas take them."""
        return blocks[:-1] if len(blocks) > 2 else blocks[0]

    def _params(self, z):
        p = self.family._params(self._inside(z))
        return (*(p if isinstance(p, tuple) else (p,)), LINKS["logit"].mean(z[-1]))

    def _empty(self, z, p):
        return self.family._empty(self._inside(z), self._inside(p))

    def _information(self, z, p):
        """The Fisher information of the family, each logit's over n; its limit where n is 0."""
        e, fisher = self._empty(z, p), self.family._fisher(self._inside(z), self._inside(p))
        n = np.where(e.nll == 0, 0 * e.nll + 1, e.nll)
        return [np.where(e.nll == 0, up**2, sum(terms) / n) for up, terms in zip(e.up, fisher, strict=True)]

    def _counts(self, name, z, p, *rest):
        """A formula of the family."""
        return getattr(self.family, name)(self._inside(z), self._inside(p), *rest)

    def _gate(self, z):
        """s, 1 − s, −log s and −log(1 − s)."""
        g, logit = z[-1], LINKS["logit"]
        return logit.mean(g), logit.rest(g), -logit.log_mean(g), SCALE_LINKS["softplus"].value(g)


def apart(y, at_zero, else_):
    """The terms for y = 0, then those for y > 0, each 0 (or NaN) where it does not belong."""
    zero = y == 0
    return (
        *(np.where(zero, term, times(0, term)) for term in at_zero),
        *(np.where(zero, times(0, term), term) for term in else_),
    )

"""Counts of another family, and zeros of their own: what ZeroInflated and Hurdle share."""

from collections import namedtuple
from functools import cached_property

import numpy as np

from pyscratch._loss import Loss
from pyscratch.losses._family import families, logit_of, own_head, told
from pyscratch.losses._shaped import Shaped, most_likely
from pyscratch.losses.negative_binomial import NegativeBinomial
from pyscratch.losses.poisson import Poisson

INSIDE = ("Poisson", "NegativeBinomial")  # whose C kernels say what their zeros are


class Gated(Loss):
    """A family of counts with one more logit per output, in the last block, that decides about zeros.

    The name in the C registry is ``likelihood``, then the family's name. The C options are the family's.
    """

    parameters = ("family_mean", "zero")
    gate = ""  # name of the last parameter
    support = "counts 0, 1, 2, ..."
    ulps = {
        "nll": (16, 16),
        "grad": (16, 8),
        "mean": (8, 8),
        "variance": (16, 16),
        "curvature": (16, 8),
        "fisher": (16, 16),
    }
    takes_exposure = True
    examples = (
        {"family": Poisson()},
        {"family": Poisson(link="softplus")},
        {"family": Poisson(link="sqrt", integer=False)},
        {"family": Poisson(link="identity")},
        {"family": NegativeBinomial(concentration=1.5)},
        {"family": NegativeBinomial(concentration=0.25, link="softplus")},
        {"family": NegativeBinomial()},
        {"family": NegativeBinomial(link="softplus", scale_link="exp")},
    )
    _start_is_exact = False
    _families = families  # those of the same side, native or reference

    def __init__(self, family):
        family = self._own(family)
        names = ("family_mean", *family.parameters[1:], self.gate)
        vars(self).update(parameters=names, _tuple=namedtuple("Parameters", names))
        vars(self).update(links=family.links, domains=family.domains, remedy=family.remedy)
        if len(names) > 2:  # the family's, from which as much may be subtracted
            vars(self).update(approximate={name: 5 * share for name, share in family.approximate.items()})
        self._freeze(family=family)

    def _own(self, family):
        """The family as this side has it: a native one has its kernel in C, a reference one its formulas in NumPy."""
        own = own_head(self._families, family) if type(family).__name__ in INSIDE else None
        if own is None:
            raise TypeError(
                f"{type(self).__name__} takes a family of counts of ours, such as {INSIDE[0]}() or {INSIDE[1]}(), "
                f"not {told(family)}"
            )
        return own

    @cached_property
    def name(self):
        """The head's name in the C registry."""
        return f"{self.likelihood}_{self.family.name}"

    def _fields(self):
        return self.family._fields()

    @property
    def _c_options(self):
        return self.family._c_options

    def _supported(self, y, width):
        return self.family._supported(y, width)

    def _support_of(self, width):
        """The support in words."""
        return self.family._support_of(width)

    def with_scale(self, z, y, weights=None):
        """The same around the family with the most likely concentration; itself where it has none that is fixed."""
        inside = self.family
        if not isinstance(inside, Shaped) or inside.options[inside.given] is None:
            return super().with_scale(z, y, weights)
        free = {**inside.options, inside.given: None, "scale_link": "exp"}
        number = most_likely(type(self)(type(inside)(**free)), *self._used_rows(z, y, weights))
        return type(self)(type(inside)(**{**inside.options, inside.given: number}))

    def _start_counts(self, y, w):
        """Near the best logits of a family whose counts y > 0 are seen, by their mean and their factorial moment."""
        inside, seen, sum_y = self.family, w @ (y > 0), w @ y
        mean = np.maximum(np.divide(sum_y, seen, where=seen > 0, out=0 * sum_y), 1 + 0.5 / (w.sum() + 1))
        mean = mean - 1 / mean
        start = [logit_of(inside.link.name, mean)]
        if len(inside.parameters) > 1:
            pairs = np.divide(w @ (y * (y - 1)), sum_y, where=sum_y > 0, out=0 * sum_y)  # mean (1 + 1 / concentration)
            start.append(inside._start_shape(np.clip(mean / np.maximum(pairs - mean, 1e-3 * mean), 0.05, 100)))
        return start

    def _start_range(self, w, width):
        """Half a row at least has a zero of the gate's, half a row has none; a concentration is from 0.01 to 1e6."""
        low, high = super()._start_range(w, width)
        d = self.outputs(width)
        high[-d:] = logit_of("logit", 1 - 0.5 / (w.sum() + 1))
        low[-d:] = -high[-d:]
        if len(self.parameters) > 2:
            low[d:-d], high[d:-d] = self.family._start_shape(0.01), self.family._start_shape(1e6)
        return low, high

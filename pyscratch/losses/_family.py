"""The registry of the families, and what their classes share."""

from statistics import NormalDist

import numpy as np

families = {}  # every family by its class name: tests, benches and the catalogue iterate it


def family(cls):
    """Enter a family in the registry."""
    families[cls.__name__] = cls
    return cls


def own_head(registry, head):
    """A head of ours as one side has it, in C or in the reference, by that side's registry; None for any other."""
    cls = registry.get(type(head).__name__)
    if cls is not None and type(head) is not cls and type(head).__module__.startswith("pyscratch."):
        return cls(**head.options)
    return head if cls is not None and type(head) is cls else None


def told(head):
    """What a user gave in place of a head, in words."""
    return f"the class {head.__name__}" if isinstance(head, type) else repr(head)


def _inverse_softplus(x):
    return x + np.log(-np.expm1(-x))


def _probit(p):
    return np.asarray(np.frompyfunc(NormalDist().inv_cdf, 1, 1)(p), float)


_LOGITS = {  # the logit at which a link has a given value
    "identity": np.asarray,
    "log": np.log,
    "exp": np.log,
    "logit": lambda p: np.log(p) - np.log1p(-p),
    "probit": _probit,
    "cloglog": lambda p: np.log(-np.log1p(-p)),
    "loglog": lambda p: -np.log(-np.log(p)),
    "cauchit": lambda p: np.tan(np.pi * (p - 0.5)),
    "softplus": _inverse_softplus,
    "reciprocal_softplus": lambda x: _inverse_softplus(1 / x),
    "canonical": lambda x: -1 / x,
    "sqrt": np.sqrt,
    "squareplus": lambda x: x - 1 / x,
    "logvar": lambda x: 2 * np.log(x),
}


def logit_of(link, value):
    """The logit that ``link`` maps to ``value``."""
    return _LOGITS[link](value)


def weighted_mean(y, w):
    """Weighted mean of each column of ``y``."""
    return w @ y / w.sum()


def weighted_median(x, w):
    """The smallest number with at least half of the weight at or below it."""
    order = np.argsort(x)
    below = np.cumsum(w[order])
    return x[order[np.searchsorted(below, below[-1] / 2)]]

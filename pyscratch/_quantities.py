"""Several quantities of a head in one pass over memory: what `Loss.evaluate` does."""

from functools import cache
from typing import NamedTuple

import numpy as np

from pyscratch import _checks

USUAL = ("nll", "grad", "mean", "variance", "fisher")
OF_TARGETS = ("nll", "grad", "curvature")
OF_WEIGHTS = ("nll", "grad", "curvature", "fisher")
NAMES = (*USUAL, "curvature", "link")
PER_OUTPUT = ("mean", "variance")
PASSES = {**{name: name for name in NAMES}, "link": "params"}  # names of the outputs of `_head`


class Pass(NamedTuple):
    """How quantities are computed: names that the kernel gives in one pass, with its outputs, and those asked alone."""

    together: tuple
    alone: tuple
    outs: tuple  # (name, output of the kernel) of those that are arrays
    value: bool


def evaluate(loss, z, y, want, weights, offset, reduction, reduced):
    """See `Loss.evaluate`; ``reduced`` makes what a reduction promises out of a sum."""
    want = (want,) if isinstance(want, str) else tuple(want)
    (z, y, kind, rows, outputs, width), offset, weights = loss._read(z, y, offset, weights)
    every = weights is None or bool(weights.all())  # a pass with weights does not read the other rows
    plan = _planned(type(loss), want, y is not None, every)
    equal = loss._equal if weights is None and loss.plain is loss else {}
    result = {name: _alone(loss, name, z, offset, weights) for name in plan.alone if equal.get(name) not in want}
    weight = loss._weight(rows, y, weights) if y is not None else 1.0
    scale = 1.0 if reduction != "mean" else 1.0 / weight if weight else 0.0
    each = np.empty(rows, z.dtype) if plan.value and reduction == "none" else None
    per_output = (rows,) if outputs == 1 else (rows, outputs)
    arrays = {out: np.empty(per_output if out in PER_OUTPUT else z.shape, z.dtype) for _, out in plan.outs}
    if plan.together:
        total = loss._head(rows, outputs, width, z, offset, kind, y, weights, scale, plan.value, each, **arrays)
    if plan.value:
        result["nll"] = reduced(total, weight, reduction, each)
    for name, out in plan.outs:
        result[name] = loss._named(arrays[out]) if name == "link" else arrays[out]
    for name, same in equal.items():
        if name in want and name not in result:
            result[name] = result[same].copy()
    return {name: result[name] for name in want}


@cache
def _planned(cls, want, known, every):
    """The `Pass` of these names for a class of losses; ValueError for a name that is none, or that needs targets."""
    for name in want:
        _checks.choice("want", name, NAMES)
    lost = [name for name in want if name in OF_TARGETS]
    if lost and not known:
        raise ValueError(f"y is needed for {', '.join(lost)}")
    first = {cls._passes[name]: name for name in reversed(want)}  # of two names of one output the first
    together = tuple(name for out, name in first.items() if out and (every or name in OF_WEIGHTS))
    outs = tuple((name, cls._passes[name]) for name in together if name != "nll")
    return Pass(together, tuple(dict.fromkeys(name for name in want if name not in together)), outs, "nll" in together)


def _alone(loss, name, z, offset, weights):
    """A quantity by the method of its name; the reading of ``z`` and ``offset`` is done."""
    if name in OF_WEIGHTS:
        return getattr(loss, name)(z, offset=offset, weights=weights)
    return getattr(loss, name)(z, offset=offset)

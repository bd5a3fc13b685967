"""Several quantities of a head in one pass over memory: what `Loss.evaluate` does."""

from functools import cache
import math
from typing import NamedTuple

from numpy import empty

from pyscratch import _checks, _native

USUAL = ("nll", "grad", "mean", "variance", "fisher")
OF_TARGETS = ("nll", "grad", "curvature")
OF_WEIGHTS = ("nll", "grad", "curvature", "fisher")
NAMES = (*USUAL, "curvature", "link")
PER_OUTPUT = ("mean", "variance")
LARGE = 1 << 16  # bytes of logits from which results share a block of memory
PASSES = {**{name: name for name in NAMES}, "link": "params"}  # names of the outputs of `_head`


class Pass(NamedTuple):
    """How quantities are computed: which by one pass of the kernel, which by their own methods, which are copies."""

    names: dict  # all that are wanted, in their order, without values
    value: bool  # whether the pass gives the nll
    outs: tuple  # (name, output of the kernel, whether it has one number per output) of the arrays that it fills
    alone: tuple
    copies: tuple  # (name, the name of the same numbers)
    link: str | None  # the output that is to be named as parameters


def evaluate(loss, z, y, want, weights, offset, reduction, reduced):
    """See `Loss.evaluate`; ``reduced`` makes what a reduction promises out of a sum."""
    want = (want,) if isinstance(want, str) else tuple(want)
    (z, y, kind, rows, outputs, width), offset, weights = loss._read(z, y, offset, weights)
    every = weights is None or bool(weights.all())  # a pass with weights does not read the other rows
    plan = _planned(type(loss), want, y is not None, every, weights is None and loss.plain is loss)
    result = plan.names.copy()
    for name in plan.alone:
        result[name] = _alone(loss, name, z, offset, weights)
    if plan.value or plan.outs:
        weight = loss._weight(rows, y, weights) if y is not None else 1.0
        scale = 1.0 if reduction != "mean" else 1.0 / weight if weight else 0.0
        each = empty(rows, z.dtype) if plan.value and reduction == "none" else None
        arrays, per_output = {}, (rows,) if outputs == 1 else (rows, outputs)
        make = empty if z.nbytes < LARGE else _shared(plan.outs, z, per_output)
        for name, out, single in plan.outs:
            arrays[out] = result[name] = make(per_output if single else z.shape, z.dtype)
        total = loss._head(rows, outputs, width, z, offset, kind, y, weights, scale, plan.value, each, **arrays)
        if plan.value:
            result["nll"] = reduced(total, weight, reduction, each)
        if plan.link:
            result["link"] = loss._named(arrays[plan.link])
    for name, same in plan.copies:
        result[name] = result[same].copy()
    return result


def _shared(outs, z, per_output):
    """An `empty` for all of them together, in one block of memory, where each starts a cache line.

    What several large arrays leave behind the C library gives back to the system, and fresh pages would cost more than
    the pass.
    """
    line = _native.CACHE_LINE // z.dtype.itemsize

    def place(shape):
        return -(-math.prod(shape) // line) * line

    block = _native.aligned(sum(place(per_output if single else z.shape) for _, _, single in outs), z.dtype)

    def make(shape, dtype):
        nonlocal block
        array, block = block[: math.prod(shape)].reshape(shape), block[place(shape) :]
        return array

    return make


@cache
def _planned(cls, want, known, every, plain):
    """The `Pass` of these names for a class of losses; ValueError for a name that is none, or that needs targets."""
    for name in want:
        _checks.choice("want", name, NAMES)
    lost = [name for name in want if name in OF_TARGETS]
    if lost and not known:
        raise ValueError(f"y is needed for {', '.join(lost)}")
    first = {cls._passes[name]: name for name in reversed(want)}  # of two names of one output the first
    together = tuple(name for out, name in first.items() if out and (every or name in OF_WEIGHTS))
    outs = tuple((name, cls._passes[name], cls._passes[name] in PER_OUTPUT) for name in together if name != "nll")
    alone = tuple(dict.fromkeys(name for name in want if name not in together))
    equal = cls._equal if plain else {}
    copies = tuple((name, equal[name]) for name in alone if equal.get(name) in want)
    alone = tuple(name for name in alone if (name, equal.get(name)) not in copies)
    link = cls._passes["link"] if "link" in together else None
    return Pass(dict.fromkeys(want), "nll" in together, outs, alone, copies, link)


def _alone(loss, name, z, offset, weights):
    """A quantity by the method of its name; the reading of ``z`` and ``offset`` is done."""
    if name in OF_WEIGHTS:
        return getattr(loss, name)(z, offset=offset, weights=weights)
    return getattr(loss, name)(z, offset=offset)

"""Several quantities of a head in one pass over memory: what `Loss.evaluate` does."""

import numpy as np

from pyscratch import _checks

USUAL = ("nll", "grad", "mean", "variance", "fisher")
OF_TARGETS = ("nll", "grad", "curvature")
OF_WEIGHTS = ("nll", "grad", "curvature", "fisher")
NAMES = (*USUAL, "curvature", "link")
PASSES = {**{name: name for name in NAMES}, "link": "params"}  # names of the outputs of `_head`


def evaluate(loss, z, y, want, weights, offset, reduction, reduced):
    """See `Loss.evaluate`; ``reduced`` makes what a reduction promises out of a sum."""
    want = _wanted(want, y)
    (z, y, kind, rows, outputs, width), offset, weights = loss._read(z, y, offset, weights)
    outs = {loss._passes[name]: name for name in reversed(want)}  # of two names of one output the first
    every = weights is None or weights.all()  # a pass with weights does not read the other rows
    together = [name for out, name in outs.items() if out and (every or name in OF_WEIGHTS)]
    result = {name: _alone(loss, name, z, offset, weights) for name in want if name not in together}

    weight = loss._weight(rows, y, weights) if y is not None else 1.0
    scale = 1.0 if reduction != "mean" else 1.0 / weight if weight else 0.0
    each = np.empty(rows, z.dtype) if "nll" in want and reduction == "none" else None
    per_output = (rows,) if outputs == 1 else (rows, outputs)
    shapes = {"mean": per_output, "variance": per_output}
    outs = {name: loss._passes[name] for name in together if name != "nll"}
    arrays = {out: np.empty(shapes.get(out, z.shape), z.dtype) for out in outs.values()}
    if together:
        total = loss._head(rows, outputs, width, z, offset, kind, y, weights, scale, "nll" in want, each, **arrays)
    for name in together:
        array = reduced(total, weight, reduction, each) if name == "nll" else arrays[outs[name]]
        result[name] = loss._named(array) if name == "link" else array
    return {name: result[name] for name in want}


def _wanted(want, y):
    want = (want,) if isinstance(want, str) else tuple(want)
    for name in want:
        _checks.choice("want", name, NAMES)
    lost = [name for name in want if name in OF_TARGETS]
    if y is None and lost:
        raise ValueError(f"y is needed for {', '.join(lost)}")
    return want


def _alone(loss, name, z, offset, weights):
    """A quantity by the method of its name; the reading of ``z`` and ``offset`` is done."""
    if name in OF_WEIGHTS:
        return getattr(loss, name)(z, offset=offset, weights=weights)
    return getattr(loss, name)(z, offset=offset)

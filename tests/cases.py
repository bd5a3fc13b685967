"""What the tests iterate: every family of the registry with its example options, number types, sizes."""

import numpy as np

import pyscratch as ps
from pyscratch import _native, losses, reference
from pyscratch._checks import columns

REALS = [np.float32, np.float64]
LANE_BYTES = {"scalar": 1, "neon": 16, "avx2": 32, "avx512": 64}
EXAMPLES = [(name, options) for name, cls in losses.families.items() for options in cls.examples]


def name_of(example):
    """A short name of a family with options."""
    name, options = example
    return name + "".join(f"-{key}={value}" for key, value in options.items())


def twins(example):
    """The native loss and its reference twin."""
    name, options = example
    return losses.families[name](**options), reference.families[name](**options)


def sizes(isa, dtype, loss=None, width=None):
    """Numbers of rows around the edges of a vector, and more: of wide rows those that fill more than one tile."""
    lanes = max(1, LANE_BYTES[isa] // np.dtype(dtype).itemsize)
    many = 1000 if loss is None or width == widths(loss)[0] else 100
    return sorted({0, 1, lanes - 1, lanes, lanes + 1, many})


def widths(loss):
    """Logits per row for one and several outputs (or classes), as far as the loss takes them."""

    def takes(width):
        try:
            loss.outputs(width)
        except ValueError:
            return False
        return True

    return sorted({width for d in (1, 2, 3, 9) if takes(width := loss.width(d))})


def draw_logits(loss, rows, width, rng, dtype=np.float64, spread=1.5):
    """Random logits; the first one inside the domain of its link."""
    z = rng.normal(0, spread, (rows, width))
    if loss.typical:
        z += np.repeat(loss.typical[: len(loss.parameters)], loss.outputs(width))
    return loss._arranged(z).astype(dtype)


def with_offset(loss, z, offset):
    """Logits moved by an offset (n, d): the first block of them, or of a mixture the means of every component."""
    moved, d = z.copy(), offset.shape[1]
    if loss.increasing:
        moved -= offset
    elif "means" in loss.parameters:
        k = loss.components
        for first in range(k, k + k * d, d):
            moved[:, first : first + d] += offset
    else:
        moved[:, :d] += offset
    return moved


def width_of_three(loss):
    """Logits for one output, or for three classes."""
    return loss.width(3) if loss.of_classes else loss.width()


def draw(loss, rows, width, rng, dtype=np.float64, spread=1.5):
    """Random logits and targets that follow them, ready for the kernels."""
    z = draw_logits(loss, rows, width, rng, dtype, spread)
    twin = reference.families[type(loss).__name__](**loss.options).plain
    y = twin.distribution(z.astype(float)).sample(rng)
    if y.dtype.kind == "f":
        y = np.clip(y, np.finfo(dtype).min, np.finfo(dtype).max)
    return z, y if loss.target == _native.LABELS else loss.targets(y, width, dtype)


def beyond(loss, start, grad, weights):
    """Which logits stand at the end of the range that a start is taken from, where the best ones are not in it."""
    low, high = loss._start_range(weights, len(start))
    return (start <= low) & (grad > 0) | (start >= high) & (grad < 0)


LOGITS = [0.0, 1e-6, 0.01, 0.3, 0.7, 1.0, 2.5, 5.0, 8.0, 12.0, 17.5, 20.0, 30.0, 38.0, 60.0, 86.0, 110.0, 300.0, 700.0]
TARGETS = [0, 1, 2, 3, 7, 20, 64, 200, 1000, 1e5, -3, -1e-3, 0.5, 0.3, 0.999, 1e-5, 0.9, 17.25, -250.5]


def grid(loss, dtype, rows=80):
    """Rows of one output: half of the logits usual ones, half from a grid with far tails; targets of the support."""
    rng = seeded(loss.name, "grid")
    width = width_of_three(loss)
    values = np.array([sign * z for z in LOGITS for sign in (1, -1)], dtype)
    z = rng.choice(values, (rows, width))
    z[: rows // 2] = rng.normal(0, 2, (rows // 2, width))
    first = z[:, :1]
    first[...] = np.where((first > loss.domain[0]) & (first < loss.domain[1]), first, -first)
    if loss.increasing:
        z = np.sort(z, axis=1)
    inside = ((first > loss.domain[0]) & (first < loss.domain[1]))[:, 0]
    if loss.target == _native.LABELS:
        return z, rng.integers(0, width, rows)
    candidates = np.array(TARGETS, dtype)
    candidates = candidates[loss._supported(candidates, width)]
    columns = loss._y_columns(1)
    return z[inside], rng.choice(candidates, (int(inside.sum()), columns))


def formulas(twin, z, y, wanted, number=lambda x: np.asarray(x, float)):
    """One output by the formulas of the reference, and the size of its largest term; in any arithmetic.

    ``wanted`` is "nll" (per row), "grad", "curvature", "fisher", "params", "mean" or "variance". Returns two arrays.
    """
    rows, width = z.shape
    outputs = twin.outputs(width)
    blocks = twin._blocks(number(z), outputs)
    y = columns(y if y.dtype.kind == "i" else number(y))
    with np.errstate(all="ignore"):
        p = twin._params(blocks)
        if wanted in ("params", "mean", "variance"):
            value = p if wanted == "params" else getattr(twin, f"_{wanted}")(blocks, p)
            value = np.concatenate(value, axis=1) if isinstance(value, tuple) else value
            sizes = {"mean": twin._mean_size, "variance": twin._variance_size}
            return value, sizes[wanted](blocks, p) if wanted in sizes else value
        if wanted == "nll":
            terms = twin._nll(blocks, p, y)
            sizes_ = [np.max(np.abs(term), axis=1) for term in (*terms, *twin._inner(blocks, p, y, wanted))]
            return sum(terms).sum(1), np.max(sizes_, axis=0)
        arguments = (blocks, p) if wanted == "fisher" else (blocks, p, y)
        blocks_of_terms = getattr(twin, f"_{wanted}")(*arguments)
        inner = twin._inner(blocks, p, y, wanted) or [()] * len(blocks_of_terms)
        size = [
            np.max([np.abs(term) for term in (*terms, *more)], axis=0)
            for terms, more in zip(blocks_of_terms, inner, strict=True)
        ]
        if wanted != "fisher":
            size = [each * more for each, more in zip(size, twin._condition(blocks, p, y), strict=True)]
        return np.concatenate([sum(terms) for terms in blocks_of_terms], axis=1), np.concatenate(size, axis=1)


def flat(p):
    """Parameters as one array, in the layout of the logits."""
    if not isinstance(p, tuple):
        return p
    return np.concatenate([block.reshape(len(block), int(np.prod(block.shape[1:]))) for block in p], axis=1)


def ask(loss, z, y, wanted):
    """The same output from the public method."""
    if wanted == "nll":
        return loss.nll(z, y, reduction="none")
    if wanted == "grad":
        return loss.grad(z, y, reduction="sum")
    if wanted == "curvature":
        return loss.curvature(z, y)
    if wanted == "params":
        return flat(loss.link(z))
    return getattr(loss, wanted)(z)


ALL_OUTPUTS = ("nll", "grad", "params", "mean", "variance", "curvature", "fisher")


def seeded(*words):
    """A generator of its own for every test case."""
    return np.random.default_rng([hash_of(word) for word in words])


def hash_of(word):
    """A hash that does not change from run to run."""
    return sum((i + 1) * byte for i, byte in enumerate(repr(word).encode())) % 2**32


__all__ = [name for name in dir() if not name.startswith("_")]
assert ps  # the package under test

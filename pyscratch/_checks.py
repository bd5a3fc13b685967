"""What may come in: arrays are converted or refused here, once, for the C kernels and the reference alike.

Nothing is ever broadcast between logits, y, weights and offset. An array that is ready (float32 or float64,
C-contiguous, aligned, native byte order) is used as it is; any other layout or number type is one copy.
"""

import math
import operator

import numpy as np

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
READY = 0x0101  # flags.num: C-contiguous and aligned

_HINTS = {
    "O": "convert it with np.asarray(..., dtype=float)",
    "c": "take its real part",
    "U": "encode the strings as numbers",
    "S": "encode the strings as numbers",
}


def real_array(name, x):
    """``x`` as an array of a real number type; TypeError for masked, object, complex, text and date arrays."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass its data, and weights that are 0 where it is masked")
    a = np.asarray(x)
    if a.dtype.kind not in "fiub":
        hint = _HINTS.get(a.dtype.kind, "convert it to numbers")
        raise TypeError(f"{name} must hold real numbers, not dtype {a.dtype}: {hint}")
    return a


def ready(a, dtype):
    """``a`` itself if it is ready and of ``dtype``, else a copy that is."""
    return np.require(a, dtype, "CA")


def columns(a):
    """An array (n,) as (n, 1); one of two axes as it is."""
    return a if a.ndim == 2 else a[:, None]


def logits(z, y=None, name="logits"):
    """Logits as a ready array (n,) or (n, width) of float32 or float64; lists and integers become float64."""
    a = real_array(name, z)
    if a.dtype.kind != "f":
        if isinstance(z, np.ndarray) and y is not None and np.asarray(y).dtype.kind == "f":
            raise TypeError(f"{name} are of dtype {a.dtype} and y of {np.asarray(y).dtype}: are the arguments swapped?")
        if a.dtype.kind == "b":
            raise TypeError(f"{name} must be float32 or float64, not bool")
        a = a.astype(F64)
    if a.dtype.itemsize not in (4, 8):
        raise TypeError(f"{name} must be float32 or float64, not {a.dtype}: convert with .astype(np.float32)")
    if a.ndim not in (1, 2):
        raise ValueError(f"{name} must have shape (n,) or (n, width), not {a.shape}")
    return ready(a, F64 if a.dtype.itemsize == 8 else F32)


def column_shape(name, shape, rows, columns, what):
    """ValueError unless ``shape`` is (rows, columns), or (rows,) for one column."""
    if shape == (rows, columns) or (columns == 1 and shape == (rows,)):
        return
    wanted = f"({rows},) or ({rows}, 1)" if columns == 1 else f"({rows}, {columns})"
    if shape[:1] and shape[0] != rows and math.prod(shape) == rows * columns:
        fix = f"reshape {name} if its values are in that order"
    elif shape[:1] != (rows,):
        fix = f"give as many rows of {name} as of logits"
    elif len(shape) < 2:
        fix = "check the width of the last layer"
    else:
        fix = f"pick the columns of {name}, or check the width of the last layer"
    raise ValueError(f"{name} has shape {shape} where {what} ask for {wanted}: {fix} (nothing is broadcast)")


def _first(name, a, flat):
    """How a reader would index element ``flat`` of ``a``: "y[3]" or "y[3, 1]"."""
    index = np.unravel_index(flat, a.shape)
    if len(index) == 2 and a.shape[1] == 1:
        index = index[:1]
    return f"{name}[{', '.join(str(int(i)) for i in index)}]"


def _lost(a, b):
    """The flat index of the first whole number of ``a`` that its copy ``b`` in another dtype does not hold, or None."""
    limit = 2.0 ** (np.finfo(b.dtype).nmant + 1)
    far = np.flatnonzero(~(np.abs(b.ravel()) < limit)) if b.size else ()
    for i in far:
        before, after = a.ravel()[i], b.ravel()[i]
        whole = np.isfinite(before) and before == np.floor(before)
        if whole and not (np.isfinite(after) and int(before) == int(after)):
            return int(i)
    return None


def reals(name, x, rows, columns, dtype, what, whole=False):
    """Numbers (rows,) or (rows, columns) as a ready array of ``dtype``.

    Floats are rounded to ``dtype``. An integer (or, with ``whole``, any whole number) that does not survive is a
    ValueError that names its index, and so is a finite number that overflows.
    """
    a = real_array(name, x)
    column_shape(name, a.shape, rows, columns, what)
    with np.errstate(over="ignore", invalid="ignore"):
        b = ready(a, dtype)
    if b.dtype == a.dtype:
        return b
    lost = _lost(a, b) if whole or a.dtype.kind in "iu" else None
    if lost is None and a.dtype.itemsize > b.dtype.itemsize:
        overflowing = np.flatnonzero(np.isinf(b) & np.isfinite(a))
        lost = int(overflowing[0]) if overflowing.size else None
    if lost is not None:
        advice = "use float64 logits or scale y" if dtype == F32 else "scale y"
        raise ValueError(f"{_first(name, a, lost)} = {a.ravel()[lost]} cannot be held in {dtype}: {advice}")
    return b


def labels(name, x, rows):
    """Class labels (rows,) or (rows, 1) of any integer or bool dtype as a ready int64 array."""
    a = real_array(name, x)
    column_shape(name, a.shape, rows, 1, f"{rows} rows of logits")
    if a.size and a.dtype.kind not in "iub":
        raise TypeError(f"{name} must hold integer labels, not {a.dtype}: convert with .astype(np.int64)")
    if a.dtype == np.uint64 and a.size and a.max() > np.iinfo(np.int64).max:
        worst = int(np.argmax(a > np.iinfo(np.int64).max))
        raise ValueError(f"{_first(name, a, worst)} = {a.ravel()[worst]}: labels are counted from 0 to K - 1")
    return ready(a, np.dtype(np.int64))


def weights(x, rows, dtype):
    """Row weights as a ready (rows,) array; a number stands for the same weight in every row."""
    if type(x) is np.ndarray and x.dtype is dtype and x.shape == (rows,) and x.flags.num & READY == READY:
        return x
    a = real_array("weights", x)
    if a.ndim == 0:
        return np.full(rows, a, dtype)
    if a.shape != (rows,):
        fix = "use weights.ravel()" if a.shape == (rows, 1) else "give one weight per row"
        raise ValueError(f"weights have shape {a.shape} where {rows} rows of logits ask for ({rows},): {fix}")
    with np.errstate(over="ignore"):
        return ready(a, dtype)


def offset(x, rows, columns, dtype):
    """An offset as a ready (rows, columns) array; a number stands for the same offset everywhere."""
    a = real_array("offset", x)
    if a.ndim == 0:
        return np.full((rows, columns), a, dtype)
    column_shape("offset", a.shape, rows, columns, f"{rows} rows of logits for {columns} output(s)")
    return ready(a, dtype).reshape(rows, columns)


def output(name, a, shape, dtype, inputs, alias=None):
    """Check an ``out`` array: exact shape and dtype, writable, ready; it may be ``alias`` but overlap nothing else."""
    if type(a) is not np.ndarray or a.dtype != dtype or a.shape != shape:
        came = f"{a.dtype} array of shape {a.shape}" if isinstance(a, np.ndarray) else type(a).__name__
        raise ValueError(f"{name} must be a {dtype} array of shape {shape}, not a {came}")
    if a.flags.num & READY != READY or not a.flags.writeable:
        raise ValueError(f"{name} must be writable, aligned and C-contiguous")
    for other in inputs:
        if other is not None and np.may_share_memory(a, other) and not (other is alias and same_memory(a, alias)):
            raise ValueError(f"{name} overlaps an input; only the gradient may use the logits' own memory")


def same_memory(a, b):
    """Whether two ready arrays of one shape are the same elements."""
    return a.size > 0 and a.ctypes.data == b.ctypes.data


# ---- options of a loss ----


def positive(name, x, zero=False):
    """``x`` as a float > 0 (or >= 0); TypeError for what is no number, ValueError for the others."""
    bound = ">= 0" if zero else "> 0"
    if isinstance(x, (bool, np.bool_)) or not isinstance(x, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number {bound}, not {type(x).__name__}")
    x = float(x)
    if not math.isfinite(x) or x < 0 or (x == 0 and not zero):
        raise ValueError(f"{name} must be finite and {bound}, not {x}")
    return x


def share(name, x):
    """``x`` as a float in [0, 1)."""
    x = positive(name, x, zero=True)
    if x >= 1:
        raise ValueError(f"{name} must be below 1, not {x}")
    return x


def choice(name, x, choices):
    """``x`` if it is one of the names; ValueError that lists them otherwise."""
    if not isinstance(x, str) or x not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {x!r}")
    return str(x)


def whole(name, value, least):
    """A whole number of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if isinstance(value, (bool, np.bool_)) or number < least:
        raise ValueError(f"{name} must be a whole number, at least {least}, got {value!r}")
    return number

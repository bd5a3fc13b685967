"""What comes into a network: X, y, weights and offset, checked once and made into the arrays that the kernels read."""

import numpy as np

from pyscratch import _checks, _native


class Rows:
    """Checked data: arrays as the kernels read them, and which rows are used.

    X (n, n_in); y as the loss wants it, with its kind for the C interface; weights (n,) and offset (n, k) or None;
    used (m,) the indices of the rows that count: those of weight 0 are not among them.
    """

    def __init__(self, X, y, kind, weights, offset, used):
        self.X, self.y, self.kind, self.weights, self.offset, self.used = X, y, kind, weights, offset, used

    def subset(self, used):
        """The same arrays with other rows in use."""
        return Rows(self.X, self.y, self.kind, self.weights, self.offset, used)

    def part(self, rows):
        """(y, weights, offset) of some rows."""
        return [None if array is None else array[rows] for array in (self.y, self.weights, self.offset)]

    def blocks(self, size=4096):
        """The used rows in blocks."""
        return (self.used[first : first + size] for first in range(0, len(self.used), size))

    def weight(self, loss):
        """Σ w of the used rows, as the loss counts it (class weights count)."""
        return sum(loss._weight(len(rows), *self.part(rows)[:2]) for rows in self.blocks())


def features(net, X, used=None):
    """X as a ready array (n, n_in); finite, at least in the used rows."""
    a = _checks.real_array("X", X)
    if a.ndim != 2 or (net.n_in is not None and a.shape[1] != net.n_in):
        fix = ": X[:, None] for one feature, X[None, :] for one row" if a.ndim == 1 else ""
        raise ValueError(f"X must have the shape (n, {net.n_in or 'features'}), got {a.shape}{fix}")
    with np.errstate(over="ignore"):
        x = np.require(a, net.dtype, "CA")
    bad = not_finite(x, used)
    if bad is not None:
        raise ValueError(
            f"X[{bad[0]}, {bad[1]}] = {a[bad]}: features must be finite in {net.dtype.name} (at most "
            f"{np.finfo(net.dtype).max:.3g} in size): fill or drop missing values, or give the row weight 0 in fit and "
            f"score"
        )
    return x


def offsets(net, offset, count, used=None):
    """The offset as a ready array (n, k) or None; finite, at least in the used rows."""
    if offset is None:
        return None
    offset = _checks.offset(offset, count, net.head._offset_columns(net.width), net.dtype)
    bad = not_finite(offset, used)
    if bad is not None:
        raise ValueError(f"offset[{bad[0]}] = {offset[bad]}: an offset must be finite")
    return offset


def not_finite(x, used=None):
    """Row and column of the first NaN or infinity of a ready array, or None; if `used` is given, among these rows."""
    if _native.available:
        flat = _native.first_not_finite(x)
    else:
        flat = next(iter(np.flatnonzero(~np.isfinite(x))), None)
    if flat is None:
        return None
    if used is not None and len(used) < len(x):
        bad = not_finite(x[used])
        return None if bad is None else (int(used[bad[0]]), bad[1])
    return divmod(int(flat), x.shape[1])


def targets(net, y, weights, count):
    """Rows without X and offset: y as the loss wants it, weights, and the indices of the rows that count."""
    y = _checks.real_array("y", y)
    if weights is not None:
        weights = _checks.weights(weights, count, net.dtype)
        bad = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
        if bad.size:
            raise ValueError(f"weights[{bad[0]}] = {weights[bad[0]]}: weights must be finite and >= 0")
    if y.ndim == 2 and len(y) == count and getattr(net.loss, "target", None) == _native.REALS:
        _check_columns(net, y.shape[1])
    y, kind = net.head._target(y, count, net.outputs, net.width, net.dtype)
    if getattr(net.head, "_ignores", False):
        weights = net.head._row_weights(weights, y, count, net.dtype)
    used = np.arange(count) if weights is None else np.flatnonzero(weights)
    net.head.check_support(y, weights, net.width)
    return Rows(None, y, kind, weights, None, used)


def _check_columns(net, columns):
    """The columns of y against the last layer: this message can say which layer to write."""
    if columns and columns != net.outputs:
        width, last = net.loss.width(columns), net.layers[-1]
        raise ValueError(
            f"{net.loss!r} with {columns} outputs, the columns of y, needs {width} logits per row: end the network in "
            f"Dense({getattr(last, 'n_in', None) or 'n_in'}, {width}) instead of {last!r}"
        )


def rows(net, X, y, weights=None, offset=None, exposure=None):
    """Everything about a set of rows."""
    offset = offset if exposure is None else net._exposed(exposure, offset)
    shape = _checks.real_array("X", X).shape
    count = shape[0] if shape else 0
    if net.width is None and len(shape) == 2:
        net.ask_width(shape[1])
    checked = targets(net, y, weights, count)
    checked.X = features(net, X, checked.used)
    checked.offset = offsets(net, offset, count, checked.used)
    return checked


def share(net, given, part):
    """Training and held-out rows: a share drawn from the rows that count."""
    count = round(part * len(given.used)) if 0 < part < 1 else 0
    if not 0 < count < len(given.used):
        raise ValueError(
            f"validation={part!r} as a share must be in (0, 1) and leave rows on both sides; there are "
            f"{len(given.used)} rows"
        )
    order = net.rng.permutation(len(given.used))
    return given.subset(given.used[np.sort(order[count:])]), given.subset(given.used[np.sort(order[:count])])


def named(net, given, what):
    """The rows of one argument, called ``what`` in errors: (X, y), (X, y, weights), or a dict with offset too."""
    if not isinstance(given, dict):
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise TypeError(f"{what} must be (X, y), (X, y, weights), or a dict with X, y, weights, offset, exposure")
        given = dict(zip(("X", "y", "weights"), given, strict=False))
    if not {"X", "y"} <= set(given) <= {"X", "y", "weights", "offset", "exposure"}:
        raise ValueError(
            f"{what} must have the keys X and y, and may have weights, offset and exposure; got {list(given)}"
        )
    try:
        return rows(net, **given)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from None


def held_out(net, validation):
    """The rows of ``validation``."""
    checked = named(net, validation, "validation")
    if not len(checked.used):
        raise ValueError("validation: there are no rows of positive weight")
    return checked

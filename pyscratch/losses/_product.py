"""Several heads side by side on one body."""

from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pyscratch import _checks, _native, _quantities, joint
from pyscratch._checks import F64, READY
from pyscratch._loss import Loss
from pyscratch.losses._family import families, own_head, told


class Part(NamedTuple):
    """A head of a `Product`: how many outputs it has (classes, for Categorical), and which columns are its own."""

    head: Loss
    outputs: int
    logits: slice
    y: slice
    mean: slice  # also of the variance
    offset: slice

    @property
    def width(self):
        """How many logits of a row are its own."""
        return self.logits.stop - self.logits.start


class Product(Loss):
    """Several heads side by side, each with its own columns: given the logits their targets are independent.

    heads: one head per target, such as ``Product([Poisson(), (Gaussian(), 3), (Categorical(), 10)])``. A head with
        several outputs, and Categorical always, stands in a pair with their number (that of the classes).

    Logits, y and means have the heads' columns side by side, in their order; ``loss.parts`` says which is whose. The
    nll of a row is the sum of the heads' nll, the gradient is each head's in its own columns: those two are the bits
    that the heads return one by one. ``loss.width()`` is how many logits a row needs.

    y: (n, columns), real numbers: d columns of most heads, 2 d of Binomial, one of Categorical, with labels as whole
        numbers (rows of probabilities have no place). ``loss.join(counts, positions, labels)`` makes it from what the
        heads take by themselves, ``loss.split(y)`` is the way back.
    mean, variance, offset: (n, columns), d columns of most heads and K of Categorical. An offset is added to each
        head's first block of logits: 0 where a head is to have none.
    weights: of rows. Class weights multiply the terms of their head and do not count in Σ w, and a label of
        ``ignore_index`` leaves the other heads of its row alone.

    ``link(z)`` is a tuple of what the heads' links return. ``distribution(z)`` has ``parts``, the distributions of the
    heads; ``log_prob`` is the sum of theirs. An error names the head, and the first bad row of it.
    """

    likelihood, parameters, target = "product", (), None
    distribution_class = joint.Joint
    _families = families  # those of the same side, native or reference

    def __init__(self, heads):
        try:
            heads = tuple(heads)
        except TypeError:
            raise TypeError(f"Product takes a list of heads, such as [Poisson(), Bernoulli()], not {heads!r}") from None
        if not heads:
            raise ValueError("Product needs at least one head")
        heads = tuple(self._pair(index, given) for index, given in enumerate(heads))
        parts, ends = [], (0, 0, 0, 0)
        for index, (head, outputs) in enumerate(heads):
            with _blaming(f"heads[{index}], {head!r}"):
                width = head.width(outputs)
                d = head.outputs(width)
                targets = 1 if head.target == _native.LABELS else head._y_columns(d)
                starts, counts = ends, (width, targets, head._mean_columns(width), head._offset_columns(width))
            ends = tuple(start + count for start, count in zip(starts, counts, strict=True))
            parts.append(Part(head, outputs, *map(slice, starts, ends)))
        vars(self).update(parts=tuple(parts), _ends=ends)
        self._freeze(heads=heads)

    def _pair(self, index, given):
        """A head of this side, and the number of its outputs."""
        head, outputs = given if isinstance(given, (tuple, list)) and len(given) == 2 else (given, None)
        own = own_head(self._families, head)
        if own is None:
            raise TypeError(
                f"heads[{index}] must be a head of ours such as Poisson(), or a pair of one and the number of its "
                f"outputs such as (Gaussian(), 3), not {told(head)}"
            )
        head = own
        if outputs is None and head.of_classes:
            raise ValueError(f"heads[{index}], {head!r}, needs the number of classes: write ({head!r}, K)")
        return head, 1 if outputs is None else _checks.whole(f"heads[{index}][1], the outputs of {head!r},", outputs, 1)

    @property
    def name(self):
        """That of the likelihood, then the heads' links."""
        return f"product/{' + '.join(part.head.link.name for part in self.parts)}"

    def _with(self, change):
        """The same with other heads: ``change(part)`` for each."""
        return type(self)([(change(part), part.outputs) for part in self.parts])

    @cached_property
    def plain(self):
        """The likelihood by itself, without class weights and smoothing."""
        return self._with(lambda part: part.head.plain)

    @property
    def class_weights(self):
        """The word "balanced", if a head's are still to be found: see `balanced`; else None."""
        given = [getattr(part.head, "class_weights", None) for part in self.parts]
        return "balanced" if "balanced" in given else None

    def balanced(self, y, weights=None, width=None):
        """The same with numbers for class_weights="balanced"; see `Categorical`."""
        if self.class_weights is None:
            return self
        y, _ = self._target(y, len(y), None, None, F64)

        def change(part):
            own = self._own(part, y, weights)
            return part.head.balanced(own, weights, part.outputs) if hasattr(part.head, "balanced") else part.head

        return self._with(change)

    # ---- sizes ----

    def width(self):
        """How many logits a row needs: the sum of the heads'."""
        return self._ends[0]

    def outputs(self, width):
        """How many columns the mean has; ValueError if ``width`` is not the sum of the heads'."""
        if width != self._ends[0]:
            raise ValueError(f"the heads of this Product take {self._told('logits')}, not {width} logits per row")
        return self._ends[2]

    def _told(self, which):
        """How many columns the heads have, in words."""
        own = [(getattr(part, which), type(part.head).__name__) for part in self.parts]
        return f"{' + '.join(f'{c.stop - c.start} ({name})' for c, name in own)} = {own[-1][0].stop}"

    def _y_columns(self, outputs):
        return self._ends[1]

    def _offset_columns(self, width):
        return self._ends[3]

    def _block_outputs(self, width):
        return 1

    # ---- targets ----

    def join(self, *targets):
        """y (n, columns) from the heads' own targets, one argument for each: counts (n,), labels (n,), (n, d), ..."""
        if len(targets) != len(self.parts):
            raise TypeError(f"join takes the targets of {len(self.parts)} heads, not of {len(targets)}")
        joined, rows = [], len(targets[0])
        for part, given in zip(self.parts, targets, strict=True):
            with self._naming(part):
                if part.head.target == _native.LABELS:
                    given = _checks.labels("y", given, rows)
                else:
                    given, _ = part.head._target(given, rows, part.outputs, part.width, F64)
            joined.append(_checks.columns(given).astype(F64))
        return np.concatenate(joined, axis=1)

    def split(self, y):
        """The heads' own targets, a list: the columns of each, labels as integers."""
        y, _ = self._target(y, len(y), None, None, F64)
        return [self._own(part, y, None) for part in self.parts]

    def _target(self, y, rows, outputs, width, dtype):
        shape = (rows, self._ends[1])
        if type(y) is np.ndarray and y.dtype is dtype and y.shape == shape and y.flags.num & READY == READY:
            return y, _native.REALS
        a = _checks.real_array("y", y)
        _checks.column_shape("y", a.shape, *shape, f"the heads with {self._told('y')} columns")
        a, ready = a.reshape(shape), np.empty(shape, dtype)
        for part in self.parts:
            whole = part.head.target == _native.LABELS or bool(part.head._fields().get("integer"))
            own = a[:, part.y]
            with self._naming(part):
                ready[:, part.y] = _checks.reals("y", own, rows, own.shape[1], dtype, "logits", whole)
        return ready, _native.REALS

    def _own(self, part, y, weights):
        """The ready targets of a head from the ready array of all."""
        own = np.ascontiguousarray(y[:, part.y])
        if part.head.target != _native.LABELS:
            return own
        own = own[:, 0]
        with np.errstate(invalid="ignore"):
            labels = own.astype(np.int64)
        wrong = labels != own
        if weights is not None:
            wrong &= weights > 0
        if wrong.any():
            row = int(np.argmax(wrong))
            missing = " (is it missing? give the row weight 0)" if np.isnan(own[row]) else ""
            told = f"y[{row}] = {own[row]}: {type(part.head).__name__} needs labels, whole numbers{missing}"
            with self._naming(part):
                raise ValueError(told)
        return labels

    def check_support(self, y, weights, width):
        """ValueError for the first row of the ready array ``y`` that a head refuses, unless its weight is 0."""
        for part in self.parts:
            own = self._own(part, y, weights)
            mine = part.head._row_weights(weights, own, len(own), y.dtype)
            with self._naming(part):
                part.head.check_support(own, mine, part.width)

    def _naming(self, part):
        """A context whose errors name the head."""
        columns = [f"{name}[:, {own.start}:{own.stop}]" for name, own in (("logits", part.logits), ("y", part.y))]
        return _blaming(f"heads[{self.parts.index(part)}], {part.head!r} with {' and '.join(columns)}")

    # ---- the hooks: every head on a copy of its columns, and what it returns into theirs ----

    def _head(
        self, rows, outputs, width, z, offset, kind, y, weights, scale=1.0, value=False, nll=None, grad=None,
        block=False, **outs,
    ):  # fmt: skip
        z = z.reshape(rows, width)
        if self._c_parts and y is not None and not outs:
            moved = z if offset is None else self._shifted(z, offset)
            status, total = _native.product(self._c_parts, rows, width, moved, y, weights, scale, value, nll, grad)()
            if not status:
                return total  # else the head that refuses is asked below, and says why
        outs = {name: array for name, array in {"grad": grad, **outs}.items() if array is not None}
        total, each = 0.0, None if nll is None else np.empty_like(nll)
        for array in outs.values() if block else [] if nll is None else [nll]:
            array[...] = 0
        for part, *given in self._taken(z, offset, y, weights):
            with self._naming(part):
                if block:
                    self._whole(part, *given, outs)
                else:
                    total += self._one(part, *given, scale, value, each, outs)
            if nll is not None:
                nll += each
        return total if value else None

    @cached_property
    def _c_parts(self):
        """The heads as C takes them together; a label that is ignored needs weights of its head's own."""
        if any(part.head._ignores for part in self.parts):
            return ()
        return _native.product_parts([(part.head, part.head.outputs(part.width), part.width) for part in self.parts])

    def _taken(self, z, offset, y, weights):
        """Of every head: its `Part`, then logits, offset, y and weights as its own hooks take them."""
        for part in self.parts:
            head, own = part.head, None if y is None else self._own(part, y, weights)
            mine = None if offset is None else np.ascontiguousarray(offset[:, part.offset])
            logits = np.ascontiguousarray(z[:, part.logits])
            logits, mine = head._offset(logits, mine, len(z), head.outputs(part.width))
            yield part, logits, mine, own, head._row_weights(weights, own, len(z), z.dtype)

    def _one(self, part, z, offset, y, weights, scale, value, nll, outs):
        """One pass of a head; what its kernel does not have, or must not have weights, is asked by itself."""
        head, (rows, width) = part.head, z.shape
        d, every = head.outputs(width), weights is None or weights.all()
        passes = {name: head._passes["link" if name == "params" else name] for name in outs}
        passes = {name: out if every or name in _quantities.OF_WEIGHTS else None for name, out in passes.items()}
        made = {out: np.empty((rows, d) if out in _MOMENTS else z.shape, z.dtype) for out in passes.values() if out}
        total = 0.0
        if value or made:
            total = head._head(rows, d, width, z, offset, head.target, y, weights, scale, value, nll, **made)
        for name, out in passes.items():
            found = made[out] if out else _alone(head, name, z, offset, weights)
            _checks.columns(outs[name])[:, part.mean if name in _MOMENTS else part.logits] = _checks.columns(found)
        return total or 0.0

    def _whole(self, part, z, offset, y, weights, outs):
        """Whole second derivatives: a block on the diagonal."""
        given = {"offset": offset, "weights": weights, "block": True}
        for name, array in outs.items():
            own = array[:, part.logits, part.logits]
            own[...] = part.head.fisher(z, **given) if name == "fisher" else part.head.curvature(z, y, **given)

    def _bind(self, rows, outputs, width, z, offset, kind, y, weights, scale, nll, grad):
        def prepared(value, nll, grad):
            def usual():
                return self._head(rows, outputs, width, z, offset, kind, y, weights, scale, value, nll, grad)

            def call():
                status, total = run()
                return usual() if status else total

            if not self._c_parts or offset is not None:
                return usual
            run = _native.product(self._c_parts, rows, width, z, y, weights, scale, value, nll, grad)
            return call

        return prepared(True, nll, None), prepared(False, None, grad), prepared(True, nll, grad)

    def _offset(self, z, offset, rows, outputs):
        return z, (None if offset is None else _checks.offset(offset, rows, self._ends[3], z.dtype))

    def _shifted(self, z, offset):
        parts = self.parts
        return np.concatenate([p.head._shifted(z[:, p.logits], offset[:, p.offset]) for p in parts], axis=1)

    def _named(self, flat):
        return tuple(part.head._named(np.ascontiguousarray(flat[:, part.logits])) for part in self.parts)

    def _split(self, z):
        return [z[:, part.logits] for part in self.parts]

    def _valid_logits(self, width):
        return np.concatenate([part.head._valid_logits(part.width) for part in self.parts])

    # ---- what is done head by head ----

    def natural_grad(self, z, y, *, offset=None, exposure=None):
        """The heads' natural gradients side by side; see `Loss.natural_grad`."""
        (z, y, _, rows, _, width), offset, _ = self._read(z, y, self.exposed(exposure, offset), None)
        out = np.empty((rows, width), z.dtype)
        for part, logits, mine, own, _ in self._taken(z.reshape(rows, width), offset, y, None):
            with self._naming(part):
                out[:, part.logits] = part.head.natural_grad(logits, own, offset=mine)
        return out.reshape(z.shape)

    def with_scale(self, z, y, weights=None):
        """The same with every head at its most likely fixed scale or shape for these rows."""
        (z, y, _, rows, _, width), _, weights = self._read(z, y, None, weights)
        scaled = []
        for part, logits, _, own, mine in self._taken(z.reshape(rows, width), None, y, weights):
            with self._naming(part):
                scaled.append((part.head.with_scale(logits, own, mine), part.outputs))
        return type(self)(scaled)

    def start(self, y, *, weights=None, offset=None, exposure=None, width=None):
        """The heads' starts side by side; see `Loss.start`."""
        return self._constants("start", y, weights, self.exposed(exposure, offset), width)

    def best_constant(self, y, *, weights=None, offset=None, width=None):
        """Logits (width,) of the most likely constant heads, side by side."""
        return self._constants("best_constant", y, weights, offset, width)

    def _constants(self, which, y, weights, offset, width):
        if width is not None:
            self.outputs(width)
        rows = len(y)
        y, _ = self._target(y, rows, None, None, F64)
        weights = None if weights is None else _checks.weights(weights, rows, F64)
        offset = None if offset is None else _checks.offset(offset, rows, self._ends[3], F64)
        found = []
        for part in self.parts:
            own, given = self._own(part, y, weights), {"weights": weights, "width": part.width}
            if offset is not None and offset[:, part.offset].any():
                given["offset"] = offset[:, part.offset]
            with self._naming(part):
                found.append(getattr(part.head, which)(own, **given))
        return np.concatenate(found)


_MOMENTS = ("mean", "variance")  # what has one column per output, or class


def _alone(head, name, z, offset, weights):
    """An output by a call of its own."""
    return head._more("params", z, offset) if name == "params" else _quantities._alone(head, name, z, offset, weights)


@contextmanager
def _blaming(what):
    """Errors begin with ``what``."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from None

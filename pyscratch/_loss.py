"""What every head does: arguments in, numbers out. The families themselves stand in `losses`.

A `Loss` checks its arguments and reduces its results here, once; it computes through three hooks (`_head`, `_bind`,
`_weigh`), which run the C kernels. The reference puts NumPy formulas behind the same hooks.
"""

from collections import namedtuple
from dataclasses import dataclass
from functools import cached_property, partial
import math
from typing import NamedTuple
import warnings

import numpy as np
from numpy import ndarray

from pyscratch import _checks, _constant, _native, _quantities
from pyscratch._checks import F32, F64, READY

REDUCTIONS = ("mean", "sum", "none", "total")


@dataclass(frozen=True)
class Total:
    """Σ w · nll and Σ w of some rows; ``a + b`` is the total of both sets of rows, so parts of a batch merge."""

    sum: float = 0.0
    weight: float = 0.0

    def __add__(self, other):
        if isinstance(other, Total):
            return Total(self.sum + other.sum, self.weight + other.weight)
        return self if isinstance(other, int) and other == 0 else NotImplemented  # 0: the start of the built-in sum

    __radd__ = __add__

    @property
    def mean(self):
        """Σ w · nll / Σ w, NaN if Σ w is 0."""
        return self.sum / self.weight if self.weight else math.nan


class Card(NamedTuple):
    """What a family's page in the catalogue says: kind of target, formulas, and when it is the wrong bet."""

    target: str
    link: str
    nll: str
    grad: str
    curvature: str
    wrong: str
    source: str

    def text(self):
        """The card as a block of a docstring."""
        words = {"nll": "nll", "wrong": "Wrong bet", "grad": "Gradient"}
        return "\n".join(f"{words.get(key, key.capitalize())}: {value}" for key, value in self._asdict().items())


class Link:
    """The map from logits to parameters, ``loss.link(z)``; it compares equal to its name: ``loss.link == "log"``."""

    __slots__ = ("_loss", "name")

    def __init__(self, loss, name):
        object.__setattr__(self, "_loss", loss)
        object.__setattr__(self, "name", name)

    def __setattr__(self, name, value):
        raise AttributeError("a link is frozen")

    def __call__(self, z, *, offset=None, exposure=None):
        """Parameters of logits ``z``: an array of z's shape for one parameter, a named tuple otherwise."""
        return self._loss._parameters(z, self._loss.exposed(exposure, offset))

    def __eq__(self, other):
        if isinstance(other, Link):
            return self.name == other.name and self._loss == other._loss
        return self.name == other if isinstance(other, str) else NotImplemented

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return repr(self.name)

    def __reduce__(self):
        return getattr, (self._loss, "link")


class Loss:
    """A head: an assumed distribution of y, with a link from the network's logits to its parameters.

    Objects are frozen, hashable and picklable; they hold options, never arrays. All methods take logits ``z`` of shape
    (n, width), or (n,) if width is 1, in float32 or float64, in which they compute and return; sums are in double.
    Parameters stand in blocks along the last axis, [mean of each output, scale of each output]. Targets ``y`` have
    shape (n, d), or (n,) if d is 1. Nothing is broadcast. The outputs of a row are independent: their terms are added.

    weights: one number >= 0 per row. A row of weight 0 is not read; its y may be missing.
    offset: (n, d), added to the first block of logits.
    exposure: of counts with a log link: how long or how much was watched, > 0; the same as an offset of its logarithm.
    reduction: "mean" is Σ w · nll / Σ w, "sum" is Σ w · nll, "none" is w · nll per row, "total" is a mergeable `Total`.
    The gradient is that of the returned number ("none", "total": of the sum), in the shape of the logits.
    out: where the result goes. The gradient may overwrite the logits; contents are unspecified after an error.

    TypeError for number types, ValueError for shapes, support and options, naming the first bad element and a remedy.
    """

    # What a family says about itself.
    likelihood = ""  # with the links the name of its C kernel: "poisson" + "/log"
    links = ()
    scale_links = ()
    parameters = ("mean",)  # one block of logits each
    target = _native.REALS  # kind of y
    examples = ({},)  # options that tests, benches and the catalogue try
    typical = ()  # logits of an ordinary case by block, around which tests and benches draw them; 0 if not given
    domains = {}  # by link: between which numbers the first logit must lie, where a link is not defined everywhere
    ulps = {}  # "nll": (ULP of the result, ULP of the largest term): either bound holds
    link_ulps = {}  # by link: what differs from that
    approximate = {}  # what is a sum that is cut off, and its error relative to the result or its largest term
    scipy = None  # name of the distribution in scipy.stats
    support = ""  # which y are possible, in words
    of_classes = False  # whether what `width` counts are classes
    increasing = False  # whether the logits of a row must not decrease: those of ordered classes
    kinked = False  # whether the nll has kinks, so that its mean curvature is not the Fisher information
    remedy = ""  # what to do about another y
    card = None
    takes_exposure = False  # whether the mean of a count, by its log link, is a rate times an exposure
    _weighs_targets = False  # whether Σ w depends on y
    _ignores = False  # whether some targets stand for rows of weight 0
    _start_is_exact = True  # whether `_start` is the best constant, not only near it
    _start_is_best = True  # whether `start` is the best constant, not only a place to begin
    _fisher_is_expected = True  # whether `fisher` is the expectation of `curvature`, not only a bound

    _equal = {}  # quantities that are the same numbers as another where there are neither weights nor such options
    _passes = _quantities.PASSES  # which output of `_head` each quantity is; None if it has to be asked by itself

    _head = _native.head
    _bind = _native.bind
    _weigh = _native.weigh

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._tuple = namedtuple("Parameters", cls.parameters)
        cls._one_to_one = cls.outputs is Loss.outputs and len(cls.parameters) == 1
        cls._takes_reals = cls._target is Loss._target and cls.target == _native.REALS
        if "card" in vars(cls) and cls.__doc__:
            lines = cls.card.text().replace("\n", "\n    ")
            cls.__doc__ = f"{cls.__doc__.rstrip()}\n\n    Support: {cls.support}\n    {lines}\n    "

    # ---- a frozen value ----

    def _freeze(self, **options):
        vars(self).update(options, _options=options)
        name = self.name.partition("/")[2]
        vars(self).update(link=Link(self, name), ulps={**self.ulps, **self.link_ulps.get(name, {})})

    @property
    def options(self):
        """The constructor's arguments as a dict: ``type(loss)(**loss.options) == loss``."""
        return dict(self._options)

    def __setattr__(self, name, value):
        raise AttributeError(f"a loss is frozen: make another, such as {self!r}")

    def __delattr__(self, name):
        raise AttributeError("a loss is frozen")

    def __eq__(self, other):
        return type(self) is type(other) and self._options == other._options

    def __hash__(self):
        return hash((type(self), *self._options.items()))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self._options.items())})"

    def __reduce__(self):
        return partial(type(self), **self._options), ()

    @cached_property
    def name(self):
        """The head's name in the C registry: likelihood/link. A scale link is an option of the kernel."""
        return f"{self.likelihood}/{self._options.get('link', self.links[0])}"

    @cached_property
    def _row(self):
        return _native.family(self.name)

    @cached_property
    def _c_options(self):
        scale_link = self._options.get("scale_link", _native.SCALE_LINKS[0])
        return _native.options(scale_link=_native.SCALE_LINKS.index(scale_link), **self._fields())

    def _scipy(self, *parameters):
        """Parameters as the arguments of ``scipy.stats.<scipy>``: the shapes in its order, then loc and scale."""
        raise NotImplementedError(f"{type(self).__name__} does not say which distribution of scipy it is")

    def _fields(self):
        """The members of the C struct `ps_options` that this family uses."""
        return {}

    @property
    def domain(self):
        """Between which numbers the first logit (of each output) must lie."""
        return self.domains.get(self.link.name, (-math.inf, math.inf))

    def _valid_logits(self, width):
        """A row of logits that the links take."""
        low, high = self.domain
        return np.full(width, 1.0 if low >= 0 else -1.0 if high <= 0 else 0.0)

    def _arranged(self, z):
        """Any logits (n, width), moved to where the links take them: what tests and benches draw."""
        (low, high), d = self.domain, self.outputs(z.shape[1])
        if not (math.isfinite(low) or math.isfinite(high)):
            return z
        first = np.abs(z[:, :d]) + 0.1
        return np.concatenate([np.clip(first if low >= 0 else -first, low, high), z[:, d:]], axis=1)

    @property
    def plain(self):
        """The likelihood by itself, without options that act on training only (class weights, smoothing)."""
        return self

    # ---- sizes ----

    def width(self, outputs=1):
        """How many logits a row needs for ``outputs`` outputs (classes, for Categorical)."""
        return len(self.parameters) * outputs

    def outputs(self, width):
        """How many outputs a row of ``width`` logits describes; ValueError if the width does not fit."""
        blocks = len(self.parameters)
        if width < 1 or width % blocks:
            names = " + ".join(self.parameters)
            raise ValueError(
                f"{self!r} takes {blocks} logits per output ({names}), not {width} per row: one output needs a last "
                f"layer of width {self.width()}"
            )
        return width // blocks

    def _mean_columns(self, width):
        """How many columns the mean has: of classes one for each."""
        return width if self.target == _native.LABELS else self.outputs(width)

    def _offset_columns(self, width):
        """How many columns an offset has: of classes one for each logit."""
        return width if self.target == _native.LABELS else self.outputs(width)

    def _y_columns(self, outputs):
        return outputs if self.target == _native.REALS else 2 * outputs

    # ---- the three small methods, and the fused pass ----

    def nll(self, z, y, *, weights=None, offset=None, exposure=None, reduction="mean", out=None):
        """Negative log-likelihood with all constants: a float, an array (n,) for "none", a `Total` for "total"."""
        return self._evaluate(z, y, weights, offset, exposure, reduction, out, True, False)

    def grad(self, z, y, *, weights=None, offset=None, exposure=None, reduction="mean", out=None):
        """Derivative of ``nll(z, y)`` by the logits, in their shape."""
        return self._evaluate(z, y, weights, offset, exposure, reduction, out, False, True)

    def nll_and_grad(self, z, y, *, weights=None, offset=None, exposure=None, reduction="mean", out=None):
        """Value and gradient in one pass; ``out`` is the gradient's array, or (nll per row, gradient) for "none"."""
        return self._evaluate(z, y, weights, offset, exposure, reduction, out, True, True)

    def _ready(self, z, y):
        """Arguments as the kernels read them; the first way out is short, for a call may cost a few microseconds."""
        dtype = z.dtype if type(z) is ndarray and z.flags.num & READY == READY else None
        if (dtype is not F64 and dtype is not F32) or not 0 < z.ndim < 3:
            z = _checks.logits(z, y)
            dtype = z.dtype
        rows, width = z.shape if z.ndim == 2 else (z.shape[0], 1)
        outputs = width if self._one_to_one and width else self.outputs(width)
        if self._takes_reals and type(y) is ndarray and y.dtype is dtype and y.flags.num & READY == READY:
            shape = y.shape
            if (outputs == 1 and shape[0] == rows) if len(shape) == 1 else shape == (rows, outputs):
                return z, y, 0, rows, outputs, width
        y, kind = self._target(y, rows, outputs, width, dtype)
        return z, y, kind, rows, outputs, width

    def _target(self, y, rows, outputs, width, dtype):
        """``y`` as a ready array, and its kind."""
        what = f"logits of {rows} rows and {width} columns for {outputs} output(s)"
        whole = bool(self._fields().get("integer"))
        return _checks.reals("y", y, rows, self._y_columns(outputs), dtype, what, whole), self.target

    def _offset(self, z, offset, rows, outputs):
        """Logits and offset for the kernels: a family whose offset is not one number per output adds it here."""
        return z, (None if offset is None else _checks.offset(offset, rows, outputs, z.dtype))

    def exposed(self, exposure, offset=None):
        """The offset of counts that were watched for so long: ``offset`` + log(exposure); ``offset`` itself for None.

        exposure: a number or an array, as the offset, finite and > 0. ValueError for a family that it does not make
        exact: a count whose mean it multiplies, by the log link (Poisson, NegativeBinomial).
        """
        if exposure is None:
            return offset
        if not (self.takes_exposure and self.link.name == "log"):
            raise ValueError(
                "exposure multiplies the mean of a count, by the log link of Poisson or NegativeBinomial; "
                f"for {self!r} it would change more than the mean: use offset or weights"
            )
        exposure = _checks.real_array("exposure", exposure).astype(F64)
        wrong = ~((exposure > 0) & np.isfinite(exposure))
        if wrong.any():
            index = np.unravel_index(int(np.argmax(wrong)), exposure.shape)
            place = f"exposure[{', '.join(map(str, map(int, index)))}]" if index else "exposure"
            raise ValueError(f"{place} = {exposure[index]}: an exposure must be finite and > 0")
        if offset is not None and np.ndim(offset) and exposure.ndim and np.shape(offset) != exposure.shape:
            raise ValueError(f"exposure has shape {exposure.shape} where offset has {np.shape(offset)}")
        return np.log(exposure) + (0.0 if offset is None else np.asarray(offset))

    def _row_weights(self, weights, y, rows, dtype):
        """Weights as a ready array, or None for ones; a family that ignores some targets weighs those rows 0."""
        return None if weights is None else _checks.weights(weights, rows, dtype)

    def _shifted(self, z, offset):
        """Logits (n, width) with an offset (n, d) added."""
        return np.concatenate([z[:, : offset.shape[1]] + offset, z[:, offset.shape[1] :]], axis=1)

    def _weight(self, rows, y, weights):
        """Σ w."""
        return float(rows) if weights is None else self._weigh(weights)

    def _evaluate(self, z, y, weights, offset, exposure, reduction, out, value, gradient):
        if exposure is not None:
            offset = self.exposed(exposure, offset)
        z, y, kind, rows, outputs, width = self._ready(z, y)
        if offset is not None:
            z, offset = self._offset(z, offset, rows, outputs)
        if weights is not None or self._ignores:
            weights = self._row_weights(weights, y, rows, z.dtype)
        weight = float(rows) if weights is None and not self._weighs_targets else self._weight(rows, y, weights)
        scale = 1.0
        if reduction == "mean":
            scale = 1.0 / weight if weight else 0.0
        elif reduction not in REDUCTIONS:
            _checks.choice("reduction", reduction, REDUCTIONS)
        nll = grad = None
        if out is not None:
            nll, grad = self._out(out, value, gradient, z, reduction, (offset, y, weights))
            if grad is not None and np.may_share_memory(grad, z):  # nothing is overwritten before it is checked
                self._head(rows, outputs, width, z, offset, kind, y, weights, 1.0, True)
        if gradient and grad is None:
            grad = _native.gradient_of(z)
        if value and nll is None and reduction == "none":
            nll = np.empty(rows, z.dtype)
        total = self._head(rows, outputs, width, z, offset, kind, y, weights, scale, value, nll, grad)
        if not value:
            return grad
        result = total / weight if reduction == "mean" and weight else _reduced(total, weight, reduction, nll)
        return (result, grad) if gradient else result

    @staticmethod
    def _out(out, value, gradient, z, reduction, others):
        """The arrays of ``out``, checked: for nll per row, for the gradient."""
        nll, grad = out if isinstance(out, tuple) and len(out) == 2 else (None, out) if gradient else (out, None)
        if nll is not None and not (value and reduction == "none"):
            raise ValueError('out for the nll needs reduction="none": any other value is a number, not an array')
        if grad is not None and not gradient:
            raise ValueError("out for the gradient does not belong in a call of nll")
        if nll is not None:
            _checks.output("out", nll, (z.shape[0],), z.dtype, (z, grad, *others))
        if grad is not None:
            _checks.output("out", grad, z.shape, z.dtype, (z, *others), alias=z)
        return nll, grad

    def bind(self, z, y, *, weights=None, offset=None, exposure=None, reduction="mean"):
        """A `Bound` call on fixed buffers, for loops: everything is checked once. See `Bound`."""
        return Bound(self, z, y, weights, self.exposed(exposure, offset), reduction)

    # ---- what the logits mean ----

    def _read(self, z, y, offset, weights):
        """Arguments as the kernels read them: (z, y or None, kind, rows, outputs, width), offset, weights."""
        if y is None:
            z, kind = _checks.logits(z), self.target
            rows, width = z.shape if z.ndim == 2 else (z.shape[0], 1)
            outputs = self.outputs(width)
        else:
            z, y, kind, rows, outputs, width = self._ready(z, y)
        if offset is not None:
            z, offset = self._offset(z, offset, rows, outputs)
        if weights is not None or self._ignores:
            weights = self._row_weights(weights, y, rows, z.dtype)
        if weights is not None:
            self._weigh(weights)
        return (z, y, kind, rows, outputs, width), offset, weights

    def _more(self, which, z, offset=None, y=None, weights=None, shape=None, out=None):
        """One of the outputs that the kernels can compute beside value and gradient."""
        (z, y, kind, rows, outputs, width), offset, weights = self._read(z, y, offset, weights)
        shapes = {None: z.shape, "block": (rows, width, width), "outputs": (rows,) if outputs == 1 else (rows, outputs)}
        if out is None:
            out = np.empty(shapes[shape], z.dtype)
        else:
            _checks.output("out", out, shapes[shape], z.dtype, (z, offset, y, weights))
        self._head(rows, outputs, width, z, offset, kind, y, weights, **{which: out}, block=shape == "block")
        return out

    def evaluate(
        self, z, y=None, *, want=_quantities.USUAL, weights=None, offset=None, exposure=None, reduction="mean"
    ):
        """Several quantities in one pass over memory: a dict by name, the same bits as the methods return one by one.

        want: names out of "nll", "grad", "mean", "variance", "fisher", "curvature" and "link".
        y: may be None where none of nll, grad and curvature is wanted.
        weights, offset, reduction: as in those methods; mean, variance and link have no weights.
        Arrays of many rows may be views of one block of memory: keep a copy of what is to outlive the others.
        """
        if reduction not in REDUCTIONS:
            _checks.choice("reduction", reduction, REDUCTIONS)
        if exposure is not None:
            offset = self.exposed(exposure, offset)
        return _quantities.evaluate(self, z, y, want, weights, offset, reduction, _reduced)

    def _parameters(self, z, offset=None):
        return self._named(self._more("params", z, offset))

    def _named(self, flat):
        """Parameters in the layout of the logits as what the link returns."""
        return flat if len(self.parameters) == 1 else self._tuple(*self._split(flat))

    def _split(self, z):
        """The blocks of logits or parameters: each (n,) for one output, (n, d) otherwise."""
        d = self.outputs(z.shape[1])
        blocks = [z[:, i * d : (i + 1) * d] for i in range(len(self.parameters))]
        return [block[:, 0] for block in blocks] if d == 1 else blocks

    def mean(self, z, *, offset=None, exposure=None, out=None):
        """Mean of the assumed distribution: (n,) for one output, (n, d) otherwise; NaN where it has none."""
        return self._more("mean", z, self.exposed(exposure, offset), shape="outputs", out=out)

    def variance(self, z, *, offset=None, exposure=None, out=None):
        """Variance of the assumed distribution, in the shape of `mean`; NaN where it has none."""
        return self._more("variance", z, self.exposed(exposure, offset), shape="outputs", out=out)

    def curvature(self, z, y, *, weights=None, offset=None, exposure=None, out=None, block=False):
        """Diagonal of the second derivative of w · nll by the logits, per row, in their shape; it may be negative.

        block: True gives each row's whole matrix (n, width, width). Different outputs of a row share no entry.
        """
        return self._more("curvature", z, self.exposed(exposure, offset), y, weights, "block" if block else None, out)

    def fisher(self, z, *, weights=None, offset=None, exposure=None, out=None, block=False):
        """Diagonal of the Fisher information, the expectation of `curvature` under the model: never negative.

        block: True gives each row's whole matrix (n, width, width), symmetric and positive semidefinite.
        """
        return self._more("fisher", z, self.exposed(exposure, offset), None, weights, "block" if block else None, out)

    def natural_grad(self, z, y, *, offset=None, exposure=None):
        """Fisher information⁻¹ · gradient of each row's nll, in the logits' shape: the gradient in the model's metric.

        It does not depend on how the parameters are written (Amari 1998, Natural gradient works efficiently).
        Where the information has no inverse its pseudoinverse is taken; where it is 0, 0.
        """
        offset = self.exposed(exposure, offset)
        grad = self.grad(z, y, offset=offset, reduction="sum")
        flat = _checks.columns(grad)
        d = self._block_outputs(flat.shape[1])
        whole = self.fisher(z, offset=offset, block=True)
        each = np.stack([whole[:, i::d, i::d] for i in range(d)], 1).astype(F64)  # (n, d, blocks, blocks)
        gradient = flat.reshape(len(flat), -1, d).transpose(0, 2, 1)
        unit = np.sqrt(np.einsum("ndii->ndi", each))
        per = np.divide(1.0, unit, out=np.zeros_like(unit), where=unit > 0)
        solved = per * np.einsum(
            "ndij,ndj->ndi", np.linalg.pinv(per[..., None] * each * per[..., None, :], hermitian=True), per * gradient
        )
        return solved.transpose(0, 2, 1).reshape(grad.shape).astype(grad.dtype)

    def _block_outputs(self, width):
        """How many outputs of a row share no second derivative."""
        return self.outputs(width)

    def distribution(self, z, *, offset=None, exposure=None):
        """The assumed distribution of each row's target, as an object: mean, std, log_prob, sample, quantile, ..."""
        offset = self.exposed(exposure, offset)
        z, given = _checks.logits(z), offset
        rows, width = z.shape if z.ndim == 2 else (z.shape[0], 1)
        z, offset = self._offset(z, offset, rows, self.outputs(width))
        if offset is not None:
            z = self._shifted(z.reshape(rows, width), offset)
        return self.distribution_class(self.plain, z, given)

    # ---- fits without a network ----

    def with_scale(self, z, y, weights=None):
        """The same family at the fixed scale or shape that is most likely for these rows; itself if it has none."""
        self._ready(z, y)
        return self

    def _used_rows(self, z, y, weights):
        """Logits (n, width), y (n, columns) and weights of the rows with a weight > 0, in float64, checked."""
        z, y, _, rows, _, width = self._ready(z, y)
        w = self._row_weights(np.ones(rows) if weights is None else weights, y, rows, F64)
        self._weigh(w)
        self.check_support(y, w, width)
        seen = w > 0
        return _checks.columns(z)[seen].astype(F64), _checks.columns(y)[seen].astype(F64), w[seen]

    def check_domain(self, z, weights, outputs):
        """ValueError for the first row of logits outside the domain of the link, unless its weight is 0."""
        (low, high), first = self.domain, z[:, :outputs]
        below = (first <= low) & math.isfinite(low)
        wrong = (below | (first >= high) & math.isfinite(high)).any(1)
        if weights is not None:
            wrong &= weights > 0
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(self._explain(_native.BAD_LOGIT, row, z, None, weights))

    def start(self, y, *, weights=None, offset=None, exposure=None, width=None):
        """Logits (width,) of the best constant head for targets ``y``, in float64: where training should begin.

        Closed form, or where there is none (or an offset) Newton's method. Where the best constant is infinite (no
        event, an absent class) half an observation is added. ValueError if the weights are all 0.
        """
        offset = self.exposed(exposure, offset)
        a = _checks.real_array("y", y)
        rows = len(a) if a.ndim else 0
        if width is None:
            width = self.width(a.shape[1] // self._y_columns(1) if a.ndim == 2 else 1)
        outputs = self.outputs(width)
        y, kind = self._target(y, rows, outputs, width, F64)
        w = self._row_weights(np.ones(rows) if weights is None else weights, y, rows, F64)
        if not self._weigh(w) > 0:
            raise ValueError("there is no best constant without a row of positive weight")
        self.check_support(y, w, width)
        seen = w > 0
        z = np.concatenate(self._start(y[seen].reshape(-1, *y.shape[1:] or (1,)), w[seen], width))
        if offset is not None:
            offset = np.full((rows, width), offset) if np.ndim(offset) == 0 else np.asarray(offset, F64)
            return self._best(z, y[seen], w[seen], offset[seen])
        return z if self._start_is_exact else self._best(z, y[seen], w[seen], None)

    def best_constant(self, y, *, weights=None, offset=None, width=None):
        """Logits (width,) of the most likely constant head: `start`, where that is exact."""
        return self.start(y, weights=weights, offset=offset, width=width)

    def _best(self, z, y, w, offset):
        """The best constant logits, next to an offset or not, from ``z``, which is near them.

        An offset moves them by no more than twice its size: so where they are infinite (no event), they stay finite.
        """
        columns = 0 if offset is None else offset.size // max(len(y), 1)
        reach = np.where(np.arange(len(z)) < columns, 2 * np.max(np.abs(offset), initial=0) if columns else 0, np.inf)
        if not self._start_is_exact:
            reach += 30.0
        low, high = self._start_range(w, len(z))
        low, high = np.maximum(low, z - reach), np.minimum(high, z + reach)
        if np.isfinite(self.domain).any():  # every row must stay inside the domain of the link
            first = slice(self.outputs(len(z)))
            least, most, unit = (0, 0, 0) if offset is None else (offset.min(0), offset.max(0), 1)
            inside = 1e-3 * (unit + np.abs(z[first]))
            low[first] = np.maximum(low[first], self.domain[0] - least + inside)
            high[first] = np.minimum(high[first], self.domain[1] - most - inside)
        return _constant.best(self.plain, np.clip(z, low, high), y, w, offset, low, high)

    def _start_range(self, w, width):
        """Between which logits a constant head is a start for training, though a better one may lie beyond."""
        return np.full(width, -np.inf), np.full(width, np.inf)

    def targets(self, y, width, dtype=F64, weights=None):
        """``y`` as the ready array that the kernels read, its support checked, for logits (n, width) of ``dtype``.

        Its slices pass through every other method without another copy: what a training loop prepares once.
        """
        rows = len(np.asarray(y)) if np.ndim(y) else 0
        y, _ = self._target(y, rows, self.outputs(width), width, np.dtype(dtype))
        self.check_support(y, self._row_weights(weights, y, rows, np.dtype(dtype)), width)
        return y

    # ---- errors ----

    def _supported(self, y, width):
        """Which elements of ``y`` (rows of it, for Categorical) lie in the support: a bool array."""
        raise NotImplementedError

    def check_support(self, y, weights, width):
        """ValueError for the first row of the ready array ``y`` outside the support, unless its weight is 0."""
        fine = _checks.columns(self._supported(y, width)).all(1)
        if weights is not None:
            fine |= weights == 0
        if not fine.all():
            row = int(np.argmin(fine))
            raise ValueError(self._bad_target(row, y, width))

    def _bad_target(self, row, y, width):
        place, value, column = f"y[{row}]", y[row], ()
        fine = np.atleast_1d(self._supported(y[row : row + 1], width)[0])
        if y.ndim == 2 and fine.size == y.shape[1]:
            column = int(np.argmin(fine))
            place, value = (place if y.shape[1] == 1 else f"y[{row}, {column}]"), value[column]
        missing = " (is it missing? give the row weight 0)" if np.any(np.isnan(value)) else ""
        remedy = f"; {self.remedy}" if self.remedy and not missing else ""
        return f"{place} = {value}: {type(self).__name__} needs {self._support_of(width)}{missing}{remedy}"

    def _support_of(self, width):
        """The support in words, for logits of this width."""
        return self.support

    def _explain(self, status, row, z, y, weights):
        """What a status of the C library means for these arguments."""
        if status == _native.BAD_WEIGHT:
            return f"weights[{row}] = {weights[row]}: weights must be finite and >= 0"
        if status == _native.BAD_TARGET:
            return self._bad_target(row, y, z.shape[1] if z is not None and z.ndim == 2 else 1)
        if status == _native.BAD_LOGIT:
            low, high = self.domain
            side = f"> {low:g}" if high == math.inf else f"< {high:g}"
            others = [repr(link) for link in self.links if link not in self.domains]
            return (
                f"logits[{row}] = {z[row]}: the {self.link.name!r} link needs a first logit {side}; a link that takes "
                f"every logit is {' or '.join(others)}"
            )
        return None


def _reduced(total, weight, reduction, nll):
    """The number (or array) that a reduction promises."""
    if reduction == "none":
        return nll
    if reduction == "sum":
        return total
    if reduction == "total":
        return Total(total, weight)
    if weight:
        return total / weight
    warnings.warn("mean nll of no rows (or only rows of weight 0) is NaN", RuntimeWarning, stacklevel=4)
    return math.nan


class Bound:
    """A head bound to fixed buffers: ``call = loss.bind(z, y)``, then fill ``z`` and ask again, as often as you like.

    ``z`` must be an array that is ready (float32 or float64, C-contiguous, aligned), for the kernels read its memory.
    ``y``, ``weights`` and ``offset`` are converted once and must not change: sums over them are kept.
    ``gradient`` and ``nll_per_row`` (only with reduction "none") are the same arrays at each call, overwritten.
    """

    __slots__ = ("_both", "_grad", "_value", "gradient", "loss", "nll_per_row", "reduction", "weight", "z")

    def __init__(self, loss, z, y, weights, offset, reduction):
        _checks.choice("reduction", reduction, REDUCTIONS)
        given = z
        z, y, kind, rows, outputs, width = loss._ready(z, y)
        if z is not given:
            raise ValueError(
                "bind needs logits that are ready (a float32 or float64 array, C-contiguous, aligned): it reads their "
                "memory at each call"
            )
        self.z, self.loss, self.reduction = z, loss, reduction
        weights = loss._row_weights(weights, y, rows, z.dtype)
        z, offset = loss._offset(z, offset, rows, outputs)
        if z is not given:
            raise ValueError(f"{type(loss).__name__} cannot bind an offset: add it to the logits")
        self.weight = loss._weight(rows, y, weights)
        loss.check_support(y, weights, width)
        scale = 1.0 if reduction != "mean" else 1.0 / self.weight if self.weight else 0.0
        self.gradient = _native.gradient_of(z)
        self.nll_per_row = np.empty(rows, z.dtype) if reduction == "none" else None
        self._value, self._grad, self._both = loss._bind(
            rows, outputs, width, z, offset, kind, y, weights, scale, self.nll_per_row, self.gradient
        )

    def nll(self):
        """The value, as ``loss.nll`` gives it."""
        return self._reduce(self._value())

    def grad(self):
        """The gradient: always the array ``gradient``."""
        self._grad()
        return self.gradient

    def nll_and_grad(self):
        """Value and gradient in one pass; the gradient is always the array ``gradient``."""
        total = self._both()
        if self.reduction == "mean" and self.weight:
            return total / self.weight, self.gradient
        return self._reduce(total), self.gradient

    def _reduce(self, total):
        return _reduced(total, self.weight, self.reduction, self.nll_per_row)

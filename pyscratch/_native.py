"""The only file that touches the compiled library: pointers in, a status out, one function per C entry.

Arrays that arrive here are ready: C-contiguous, aligned, native byte order, of the right dtype (`_checks` sees to it).
``from_buffer`` costs 0.3 µs where ``array.ctypes`` costs 4, but it takes any byte order without a word.
"""

import functools
import os
import weakref

import numpy as np

STREAMED_BYTES = 8 << 20  # the same in pyscratch.c
CACHE_LINE = 64


class _Missing:
    """Stands for the compiled library where there is none: every use says what to do, an import says nothing."""

    def __init__(self, reason):
        self._reason = reason

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args, **kwargs):
        raise ImportError(self._reason)


def _remedy(error):
    """One line on why the library did not load and what to do about it."""
    package = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(package)
    if os.path.exists(os.path.join(root, "setup.py")):
        return (
            f"the C kernels are not built in the source folder {root}: run `pip install -e {root}`, or start Python in "
            f"another folder to use an installed pyscratch ({error})"
        )
    return f"the C kernels of pyscratch in {package} do not load: reinstall with `pip install -U pyscratch` ({error})"


try:
    from pyscratch._lib import ffi, lib
except ImportError as error:
    ffi = lib = _Missing(_remedy(error))

available = not isinstance(lib, _Missing)  # whether the C kernels are there

NULL = ffi.NULL
_pointer = ffi.from_buffer
_new = ffi.new
_ps_head = lib.ps_head
_ps_head_call = lib.ps_head_call
_ps_weights = lib.ps_weights
_PAIR = ffi.typeof("double[2]") if available else None
_NUMBER = ffi.typeof("double *") if available else None
_INDEX = ffi.typeof("size_t *") if available else None

REALS, LABELS, ROWS, PAIRS = range(4)  # target_kind
_BASE, _BLOCK = 1, 3  # flags: add the terms in y alone; that, and write whole second derivatives
BAD_CALL, BAD_TARGET, BAD_LOGIT, BAD_WEIGHT, NOT_FINITE = 1, 2, 3, 4, 8  # statuses that a caller explains
SCALE_LINKS = ("softplus", "exp", "squareplus", "logvar")  # as ps_options numbers them
ACTIVATIONS = {"identity": 0, "tanh": 1, "relu": 2, "sigmoid": 3, "gelu": 4, "silu": 5}
FUSED = ("tanh", "relu", "sigmoid")  # a Dense may end in these; their backward pass starts from the output
OPTIMIZERS = {"sgd": 0, "adam": 1}
DENSE, _ACTIVATION, LAYER_NORM, DROPOUT, THRESHOLDS = range(5)  # kind of a stage


def _check(status, explain=None, *details):
    """The one place that raises for a status; ``explain(status, *details)`` may say more than the C message."""
    if status:
        told = explain(status, *details) if explain else None
        raise ValueError(told or ffi.string(lib.ps_message(status)).decode())


def _or_null(array):
    return NULL if array is None else _pointer(array)


# ---- heads ----


def family(name):
    """The registry row of a head, such as "poisson/log"."""
    row = lib.ps_family(name.encode())
    if row < 0:
        raise NotImplementedError(f"this build of pyscratch has no C kernel for {name!r}; the reference may have one")
    return row


def families():
    """The names of all heads that the library has."""
    return [ffi.string(lib.ps_family_name(row)).decode() for row in range(lib.ps_families())]


_alive = weakref.WeakKeyDictionary()  # what a struct points to lives as long as the struct


def options(class_weights=None, **fields):
    """The `ps_options` of a frozen loss, built once per object."""
    struct = _new("ps_options *", {"dispersion": 1.0, "parameter": 1.0, "power": 1.5, "integer": 1, **fields})
    if class_weights is not None:
        struct.class_weights = _alive[struct] = _new("double[]", class_weights)
    return struct


def head(
    loss, rows, outputs, width, z, offset, kind, y, weights, scale=1.0, value=False, nll=None, grad=None,
    params=None, mean=None, variance=None, curvature=None, fisher=None, block=False, bad=NULL,
):  # fmt: skip
    """Run a head once (`ps_head`): fill the arrays that are not None, return Σ w nll if ``value``.

    With ``block`` curvature and fisher are (rows, width, width), else their diagonals.
    """
    total = _new(_PAIR) if value else NULL
    status = _ps_head(
        loss._row, loss._c_options, z.itemsize >> 3, rows, outputs, width, _pointer(z),
        NULL if offset is None else _pointer(offset), kind, NULL if y is None else _pointer(y),
        NULL if weights is None else _pointer(weights), scale, _BLOCK if block else _BASE, total,
        NULL if nll is None else _pointer(nll), NULL if grad is None else _pointer(grad),
        NULL if params is None else _pointer(params), NULL if mean is None else _pointer(mean),
        NULL if variance is None else _pointer(variance), NULL if curvature is None else _pointer(curvature),
        NULL if fisher is None else _pointer(fisher), bad,
    )  # fmt: skip
    if status:
        if bad is NULL:  # ask again for the row: it costs an allocation, and the inputs are as they were
            head(loss, rows, outputs, width, z, offset, kind, y, weights, scale, value, nll, grad, params, mean,
                 variance, curvature, fisher, block, _new(_INDEX))  # fmt: skip
        _check(status, loss._explain, bad[0], z, y, weights)
    return total[0] if value else None


def bind(loss, rows, outputs, width, z, offset, kind, y, weights, scale, nll, grad):
    """Prepare a head on fixed buffers: functions of no argument for the value, the gradient and both.

    Each runs the C kernel and returns Σ w nll. The terms in y alone are summed here, once; where ``nll`` per row is
    wanted they are part of every call. The functions keep the buffers alive.
    """
    total, bad = _new(_PAIR), _new(_INDEX)
    keep = [None if array is None else _pointer(array) for array in (z, offset, y, weights, nll, grad)]
    places = dict(zip(("z", "offset", "y", "weights"), keep, strict=False))

    def prepared(**fields):
        fields = {
            "family": loss._row, "real": z.itemsize >> 3, "target_kind": kind, "options": loss._c_options, "rows": rows,
            "outputs": outputs, "width": width, "scale": scale, "bad_row": bad, **fields,
        }  # fmt: skip
        call = _new("ps_call *", {name: field for name, field in fields.items() if field is not None})

        def run():
            status = _ps_head_call(call)
            if status:
                _check(status, loss._explain, bad[0], z, y, weights)
            return total[0] + base

        run.keep = keep
        return run

    base = 0.0
    if nll is None:  # z stays NULL: only the terms in y alone
        base = prepared(y=places["y"], weights=places["weights"], total=total, flags=_BASE)()
    value = {"total": total, "nll": keep[4], "flags": 0 if nll is None else _BASE}
    return prepared(**places, **value), prepared(**places, grad=keep[5]), prepared(**places, **value, grad=keep[5])


def product_parts(heads):
    """The `ps_call` array of several heads side by side, from (head, outputs, width) of each."""
    each = [
        {"family": head._row, "options": head._c_options, "target_kind": head.target, "outputs": d, "width": width}
        for head, d, width in heads
    ]
    array = _new("ps_call[]", each)
    _alive[array] = each
    return array


def whole_call(width, dtype, y, weights, offset=None, **more):
    """The `ps_call` of several heads together, without rows and scale. It keeps the arrays alive."""
    arrays = {"y": y, "weights": weights, "offset": offset, **more}
    pointers = {name: _pointer(array) for name, array in arrays.items() if array is not None}
    call = _new("ps_call *", {"real": dtype.itemsize >> 3, "width": width, "outputs": 1, **pointers})
    _alive[call] = pointers
    return call


def product(parts, rows, width, z, y, weights, scale, value, nll, grad):
    """Several heads side by side (`ps_product`), prepared: ``call()`` returns a status and, if ``value``, Σ w nll."""
    call, total = whole_call(width, z.dtype, y, weights, z=z, nll=nll, grad=grad), _new(_PAIR)
    call.rows, call.scale, call.flags, call.total = rows, scale, _BASE, total if value else NULL
    count, run = len(parts), lib.ps_product
    return lambda: (run(call, count, parts, NULL), total[0])


def weigh(loss, weights):
    """Σ weights; a weight that is negative, infinite or NaN is an error that names its row."""
    total = _new(_NUMBER)
    if _ps_weights(weights.itemsize >> 3, len(weights), _pointer(weights), total, NULL):
        bad = _new(_INDEX)
        status = _ps_weights(weights.itemsize >> 3, len(weights), _pointer(weights), total, bad)
        _check(status, loss._explain, bad[0], None, None, weights)
    return total[0]


def gradient_of(z):
    """Return an array like the logits ``z``; a large one can be written past the caches."""
    return np.empty(z.shape, z.dtype) if z.nbytes < STREAMED_BYTES else aligned(z.size, z.dtype).reshape(z.shape)


def aligned(count, dtype):
    """Return ``count`` numbers in a row, the first of which starts a cache line."""
    block = np.empty(count * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -block.ctypes.data % CACHE_LINE
    return block[start : start + count * dtype.itemsize].view(dtype)


def first_not_finite(x):
    """The flat index of the first NaN or infinity of a ready array, or None."""
    bad = _new(_INDEX)
    return bad[0] if lib.ps_finite(x.itemsize >> 3, x.size, _pointer(x), bad) else None


def function(name, x):
    """f(x), elementwise in float64, by the function of that name that the kernels are made of."""
    x = np.ascontiguousarray(x, float)
    y = np.empty_like(x)
    _check(lib.ps_function(_functions()[name], 1, x.size, _pointer(x), NULL, _pointer(y)))
    return y


@functools.cache
def _functions():
    numbers = {}
    while (name := lib.ps_function_name(len(numbers))) != NULL:
        numbers[ffi.string(name).decode()] = len(numbers)
    return numbers


# ---- layers and optimizers ----


def dense_workspace(dtype, rows, n_in, n_out):
    """How many bytes `dense_forward` and `dense_backward` need to work in."""
    return lib.ps_dense_workspace(dtype.itemsize >> 3, rows, n_in, n_out)


def dense_forward(activation, x, W, b, y, workspace):
    """Y = activation(x W + b); ``activation`` is a number of `ACTIVATIONS`, ``b`` may be None."""
    rows, n_in = x.shape
    _check(
        lib.ps_dense_forward(
            x.itemsize >> 3, rows, n_in, W.shape[1], activation, _pointer(x), _pointer(W), _or_null(b), _pointer(y),
            _or_null(workspace),
        )
    )  # fmt: skip


def dense_backward(activation, x, W, y, grad, dx, dW, db, workspace):
    """Gradients of Dense; each of ``dx``, ``dW``, ``db`` may be None, ``y`` too if the activation is the identity."""
    rows, n_in = x.shape
    _check(
        lib.ps_dense_backward(
            x.itemsize >> 3, rows, n_in, W.shape[1], activation, _pointer(x), _pointer(W), _or_null(y), _pointer(grad),
            _or_null(dx), _or_null(dW), _or_null(db), _or_null(workspace),
        )
    )  # fmt: skip


def activation_forward(activation, x, y):
    """Y = activation(x), elementwise."""
    _check(lib.ps_activation_forward(x.itemsize >> 3, activation, x.size, _pointer(x), _pointer(y)))


def activation_backward(activation, y, grad, dx):
    """Dx = grad · activation'(x), from what the forward pass returned; from x where the activation is not `FUSED`."""
    _check(lib.ps_activation_backward(y.itemsize >> 3, activation, y.size, _pointer(y), _pointer(grad), _pointer(dx)))


def layer_norm_forward(epsilon, x, scale, shift, y):
    """Y = scale (x - mean) / sqrt(variance + epsilon) + shift, row by row."""
    bind_layer_norm_forward(epsilon, x, scale, shift, y)(len(x))


def layer_norm_backward(epsilon, x, scale, grad, dx, dscale, dshift):
    """Gradients of `layer_norm_forward`; ``dx`` may be None."""
    bind_layer_norm_backward(epsilon, x, scale, grad, dx, dscale, dshift)(len(x))


def dropout(rate, seed, place, step, x, y):
    """Y = x / (1 - rate) where an element is kept at this step, else 0; also the way back, from gradient to dx."""
    rows, width = x.shape
    _check(lib.ps_dropout(x.itemsize >> 3, rows, width, rate, seed, place, step, _pointer(x), _pointer(y)))


def thresholds_forward(x, first, gaps, y):
    """Y = c − x, c_0 = first and then steps of log(1 + exp(gap))."""
    rows, width = y.shape
    _check(
        lib.ps_thresholds_forward(
            y.itemsize >> 3, rows, width, _pointer(x), _pointer(first), _pointer(gaps), _pointer(y)
        )
    )


def thresholds_backward(gaps, grad, dx, dfirst, dgaps):
    """Gradients of `thresholds_forward`; ``dx`` may be None."""
    rows, width = grad.shape
    _check(
        lib.ps_thresholds_backward(
            grad.itemsize >> 3, rows, width, _pointer(gaps), _pointer(grad), _or_null(dx), _pointer(dfirst),
            _pointer(dgaps),
        )
    )  # fmt: skip


def clip(grad, most):
    """Scale ``grad`` in place so that its norm is at most ``most``."""
    _check(lib.ps_clip(grad.itemsize >> 3, grad.size, _pointer(grad), most))


def sgd(value, grad, velocity, rate, momentum, nesterov=False):
    """One step of SGD in place; ``velocity`` may be None without momentum."""
    bind_sgd(value, grad, velocity, momentum, nesterov)(rate)


def adam(value, grad, m, v, rate, beta1, beta2, epsilon, correction1, correction2):
    """One step of Adam in place; the corrections are 1 − beta^t."""
    _check(
        lib.ps_adam(
            value.itemsize >> 3, value.size, _pointer(value), _pointer(grad), _pointer(m), _pointer(v), rate, beta1,
            beta2, epsilon, correction1, correction2,
        )
    )  # fmt: skip


# ---- the machine ----


def isa():
    """Name of the instruction set whose kernels are active: "scalar", "avx2", "avx512" or "neon"."""
    return ffi.string(lib.ps_isa()).decode()


def isas():
    """Names of the instruction sets that this machine runs, best first."""
    return ffi.string(lib.ps_isas()).decode().split()


def use_isa(name=""):
    """Use the kernels of one instruction set ("" for the best); ValueError if there is none of that name here."""
    _check(lib.ps_use_isa(name.encode()), lambda status: f"instruction set {name!r}: this machine runs {isas()}")


if available and os.environ.get("PYSCRATCH_ISA"):
    try:
        use_isa(os.environ["PYSCRATCH_ISA"])
    except ValueError as error:
        raise ValueError(f"PYSCRATCH_ISA: {error}") from None


def threads():
    """How many threads a call may use."""
    return lib.ps_threads()


def set_threads(count=0):
    """Use ``count`` threads; 0 for as many as the affinity and the quota of this process allow."""
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"count must be an integer >= 0, not {count!r}")
    _check(lib.ps_use_threads(count))


# ---- calls bound to fixed buffers, for training loops: pointers are taken once, the buffers are kept alive ----


def base(loss, rows, outputs, width, kind, y, weights):
    """Σ w · (the terms of the nll in y alone)."""
    total = _new(_PAIR)
    fields = {
        "family": loss._row, "real": _real_of(weights if kind == LABELS else y), "target_kind": kind, "flags": _BASE,
        "options": loss._c_options, "rows": rows, "outputs": outputs, "width": width, "y": _pointer(y),
        "weights": _or_null(weights), "total": total,
    }  # fmt: skip
    _check(_ps_head_call(_new("ps_call *", fields)))
    return total[0]


def _real_of(array):
    return 1 if array is None else array.itemsize >> 3


def bind_batch(loss, outputs, width, z, offset, kind, y, weights, grad):
    """``call(rows, scale)`` on the first rows of the buffers: returns Σ w · nll without the terms in y alone."""
    total, bad = _new(_PAIR), _new(_INDEX)
    struct = batch_call(loss, outputs, width, z.dtype, kind, y, weights, offset, z=z, grad=grad)
    struct.total, struct.bad_row = total, bad

    def call(rows, scale):
        struct.rows, struct.scale = rows, scale
        status = _ps_head_call(struct)
        if status:
            _check(status, loss._explain, bad[0], z, y, weights)
        return total[0]

    return call


def batch_call(loss, outputs, width, dtype, kind, y, weights, offset, **more):
    """The `ps_call` of a head, without rows and scale. It keeps the arrays alive."""
    arrays = {"y": y, "weights": weights, "offset": offset, **more}
    pointers = {name: _pointer(array) for name, array in arrays.items() if array is not None}
    fields = {
        "family": loss._row, "real": dtype.itemsize >> 3, "target_kind": kind, "options": loss._c_options,
        "width": width, "outputs": outputs, **pointers,
    }  # fmt: skip
    struct = _new("ps_call *", fields)
    _alive[struct] = pointers, loss
    return struct


def _bound(function, *arguments):
    """``call(rows)``; arrays among the arguments become pointers, and the first place is for the row count."""
    real, *rest = (argument if isinstance(argument, (int, float)) else _or_null(argument) for argument in arguments)

    def call(rows):
        status = function(real, rows, *rest)
        if status:
            _check(status)

    return call


def bind_dense_forward(x, W, b, activation, y, workspace):
    """``call(rows)``: the first rows of y become activation(x W + b)."""
    n_in, n_out = W.shape
    return _bound(lib.ps_dense_forward, x.itemsize >> 3, n_in, n_out, ACTIVATIONS[activation], x, W, b, y, workspace)


def bind_dense_backward(x, W, activation, y, grad, dx, dW, db, workspace):
    """``call(rows)``: dW, db and, unless it is None, dx from the first rows of x, y and grad."""
    n_in, n_out = W.shape
    sizes = (x.itemsize >> 3, n_in, n_out, ACTIVATIONS[activation])
    return _bound(lib.ps_dense_backward, *sizes, x, W, y, grad, dx, dW, db, workspace)


def bind_activation_forward(x, activation, y):
    """``call(rows)``: the first rows of y become activation(x)."""
    real, number, width, px, py = x.itemsize >> 3, ACTIVATIONS[activation], x.shape[1], _pointer(x), _pointer(y)
    return lambda rows: _check(lib.ps_activation_forward(real, number, rows * width, px, py))


def bind_layer_norm_forward(epsilon, x, scale, shift, y):
    """``call(rows)``: the first rows of y become those of x, normalised."""
    return _bound(lib.ps_layer_norm_forward, x.itemsize >> 3, x.shape[1], epsilon, x, scale, shift, y)


def bind_layer_norm_backward(epsilon, x, scale, grad, dx, dscale, dshift):
    """``call(rows)``: dscale, dshift and, unless it is None, dx from the first rows of x and grad."""
    arrays = (x, scale, grad, dx, dscale, dshift)
    return _bound(lib.ps_layer_norm_backward, x.itemsize >> 3, x.shape[1], epsilon, *arrays)


def bind_activation_backward(y, activation, grad, dx):
    """``call(rows)``: the first rows of dx become grad times the derivative, from the output y (or from x: `FUSED`)."""
    real, number, width = y.itemsize >> 3, ACTIVATIONS[activation], y.shape[1]
    py, pg, pd = _pointer(y), _pointer(grad), _pointer(dx)
    return lambda rows: _check(lib.ps_activation_backward(real, number, rows * width, py, pg, pd))


def bind_sgd(value, grad, velocity, momentum, nesterov=False):
    """``call(rate)``: one step of SGD in place."""
    real, size, v, g, speed = value.itemsize >> 3, value.size, _pointer(value), _pointer(grad), _or_null(velocity)
    return lambda rate: _check(lib.ps_sgd(real, size, v, g, speed, rate, momentum, nesterov))


def bind_adam(value, grad, m, v, beta1, beta2, epsilon):
    """``call(rate, correction1, correction2)``: one step of Adam in place."""
    real, size = value.itemsize >> 3, value.size
    pointers = [_pointer(array) for array in (value, grad, m, v)]

    def call(rate, correction1, correction2):
        _check(lib.ps_adam(real, size, *pointers, rate, beta1, beta2, epsilon, correction1, correction2))

    return call


class TrainingPlan:
    """A `ps_plan` on fixed arrays: `begin` an epoch, then `run` it, part by part.

    ``stages`` are pairs of a layer with parameters (or None) and the name of the activation after it; ``call`` comes
    from `batch_call` on all rows; ``decayed`` holds (first, count) of each part of the values that weight decay acts
    on; ``parts`` come from `product_parts`, where there are several heads; ``settings`` are more fields of the struct.
    """

    def __init__(self, X, stages, call, values, gradients, slots, decayed, parts=(), **settings):
        rows, n_in = X.shape
        slot = [_pointer(array) for array in slots]
        self._decayed = _new("size_t[]", [number for part in decayed for number in part])
        self._stages, self._keep = _stage_array(stages, n_in)
        self._keep += [call, parts, _pointer(X), _pointer(values), _pointer(gradients), slot]
        fields = {
            "real": X.itemsize >> 3, "stages": len(self._stages), "stage": self._stages, "rows": rows, "n_in": n_in,
            "X": self._keep[-4], "head": call[0], "parameters": values.size, "values": self._keep[-3],
            "gradients": self._keep[-2], "slot": slot, "decayed": self._decayed, "decayed_parts": len(decayed),
            "part": parts or NULL, "parts": len(parts), **settings,
        }  # fmt: skip
        self._plan, self._next = _new("ps_plan *", fields), _new(_INDEX)

    def begin(self, order, total, rates, steps):
        """An epoch over the rows in ``order`` (int64), whose nll is added to ``total``, after so many ``steps``."""
        plan = self._plan
        size = lib.ps_arena(plan)  # it depends on the active instruction set
        if size > plan.arena_bytes:
            self._arena = ffi.new("char[]", size)
            plan.arena, plan.arena_bytes = self._arena, size
        self._order, self._rates = _pointer(order), _pointer(rates)
        plan.order, plan.used = ffi.cast("int64_t *", self._order), len(order)
        plan.rates = ffi.cast("double *", self._rates)
        plan.total, plan.steps = total, steps
        self._next[0] = 0

    def run(self, seconds):
        """Goes on for about so many seconds; returns a status."""
        return lib.ps_epoch(self._plan, self._next, seconds)

    @property
    def batch(self):
        """The batch to go on with, counted from 0; where the status is not 0, the one that it is about."""
        return self._next[0]

    @property
    def steps(self):
        """Taken so far by the optimizer."""
        return self._plan.steps

    @property
    def total(self):
        """What `begin` was given and the Σ w nll of all batches since, without the terms in y alone."""
        return self._plan.total


class PredictionPlan:
    """A `ps_plan` that only goes forward, at most ``block`` rows at a time."""

    def __init__(self, stages, n_in, dtype, block, call=None):
        self._stages, self._keep = _stage_array(stages, n_in)
        real, width = dtype.itemsize >> 3, self._stages[len(self._stages) - 1].n_out
        call = call or _new("ps_call *", {"real": real, "outputs": 1, "width": width})
        fields = {
            "real": real, "stages": len(self._stages), "stage": self._stages, "n_in": n_in, "batch": block,
            "head": call[0],
        }  # fmt: skip
        self._plan, self.width, self._call = _new("ps_plan *", fields), width, call
        self._make_room()

    def _make_room(self):
        size = lib.ps_predict_arena(self._plan)
        if size > self._plan.arena_bytes:
            self._arena = ffi.new("char[]", size)
            self._plan.arena, self._plan.arena_bytes = self._arena, size

    def logits(self, x, z):
        """Logits of the rows of x into z."""
        self._make_room()  # it depends on the active instruction set
        _check(lib.ps_predict(self._plan, len(x), _pointer(x), _pointer(z)))

    def bind(self, x, z, explain):
        """``call()``: logits of the rows of x into z, and the outputs that the `ps_call` asks for."""
        predict, plan, rows, px, pz = lib.ps_predict, self._plan, len(x), _pointer(x), _pointer(z)

        def call():
            if predict(plan, rows, px, pz):
                self._make_room()
                _check(predict(plan, rows, px, pz), explain)

        call.keep = self
        return call


def _stage_array(stages, width):
    """The `ps_stage` array of a body that takes ``width`` features, and what must stay alive with it."""
    array, keep = _new("ps_stage[]", len(stages)), []
    for place, (layer, activation) in zip(array, stages, strict=True):
        place.kind, place.activation, place.n_in = layer._kind if layer else _ACTIVATION, ACTIVATIONS[activation], width
        place.n_out = width = (layer.n_out if layer else None) or width
        place.epsilon = getattr(layer, "epsilon", 0.0)
        if layer and layer._kind == DROPOUT:
            place.rate, place.seed, place.place = layer.rate, layer.seed, layer._number
        for member, name in zip(("W", "b", "dW", "db"), layer._arrays if layer else (), strict=False):
            keep.append(_pointer(getattr(layer, name)))
            setattr(place, member, keep[-1])
    return array, keep

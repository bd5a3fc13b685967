"""One training step on fixed buffers: gather the rows of a batch, forward, head, backward, optimizer.

Where every layer, the loss and the optimizer are ours, whole epochs are one call in C (`EpochPlan`). Otherwise (`Plan`)
a body is bound to buffers in C where every layer is one of ours (`Body`: activations fused into Dense, no allocation,
no checks), and goes through the layers' own methods where not (`PythonBody`); so does the head. All do the same
arithmetic in the same order.
"""

import math

import numpy as np

from pyscratch import _checks, _native, layers, losses, optimizers
from pyscratch._data import Rows
from pyscratch._loss import Loss, Total
from pyscratch.schedules import Schedule


class Diverged(Exception):
    """The loss of a batch (counted from 1), or the weights after it, are not finite."""

    def __init__(self, batch, what="the loss is"):
        super().__init__(batch, what)
        self.batch, self.what = batch, what


def is_native(layer):
    """Whether the layer's arithmetic is ours in C; a subclass may have changed it."""
    return type(layer) in layers.NATIVE


class Body:
    """Native layers bound to buffers for at most `capacity` rows.

    Attributes
    ----------
    x : ndarray (capacity, n_in)
        To be filled before `forward`.
    z, g : ndarray (capacity, width)
        The logits, and their gradient, to be filled before `backward`.
    """

    def __init__(self, stack, n_in, capacity, dtype):
        dtype = np.dtype(dtype)
        self.x = np.zeros((capacity, n_in), dtype)
        self._forward, backward = [], []
        stages = list(_stages(stack))
        largest = max(
            (
                _native.dense_workspace(dtype, capacity, *layer.W.shape)
                for layer, _ in stages
                if isinstance(layer, layers.Dense)
            ),
            default=0,
        )
        workspace = np.empty(max(largest, 1), np.uint8)
        x, dx = self.x, None
        for layer, activation in stages:
            y = np.zeros((capacity, getattr(layer, "n_out", None) or x.shape[1]), dtype)
            g = np.zeros_like(y)
            forward, back = _bind_stage(layer, activation, x, y, g, dx, workspace)
            self._forward.append(forward)
            if back:
                backward.append(back)
            x, dx = y, g
        self.z, self.g, self._backward = x, dx, backward[::-1]

    def forward(self, count):
        for call in self._forward:
            call(count)
        return self.z[:count]

    def backward(self, count, g=None):
        """From g, or from what stands in the buffer `g`."""
        if g is not None:
            self.g[:count] = g
        for call in self._backward:
            call(count)


def _bind_stage(layer, activation, x, y, g, dx, workspace):
    """The calls forward and back (None where there is nothing to do) of one stage on its buffers."""
    back = None
    if layer is None:
        kept = y if activation in _native.FUSED else x
        if dx is not None:
            back = _native.bind_activation_backward(kept, activation, g, dx)
        return _native.bind_activation_forward(x, activation, y), back
    if isinstance(layer, layers.Dropout):
        if dx is not None:
            back = _bind_dropout(layer, g, dx)
        return _bind_dropout(layer, x, y), back
    if isinstance(layer, layers.OrderedThresholds):
        return _bind_thresholds(layer, x, y, g, dx)
    if isinstance(layer, layers.LayerNorm):
        back = _native.bind_layer_norm_backward(layer.epsilon, x, layer.scale, g, dx, layer.dscale, layer.dshift)
        return _native.bind_layer_norm_forward(layer.epsilon, x, layer.scale, layer.shift, y), back
    back = _native.bind_dense_backward(x, layer.W, activation, y, g, dx, layer.dW, layer.db, workspace)
    return _native.bind_dense_forward(x, layer.W, layer.b, activation, y, workspace), back


def _bind_dropout(layer, x, y):
    def call(count):
        _native.dropout(layer.rate, layer.seed, layer._number, layer._step, x[:count], y[:count])

    return call


def _bind_thresholds(layer, x, y, g, dx):
    def forward(count):
        _native.thresholds_forward(x[:count], layer.first, layer.gaps, y[:count])

    def back(count):
        to = None if dx is None else dx[:count]
        _native.thresholds_backward(layer.gaps, g[:count], to, layer.dfirst, layer.dgaps)

    return forward, back


def _stages(stack, training=True):
    """(layer, "identity" or the activation that a Dense ends in), and (None, activation) for one by itself."""
    index = 0
    while index < len(stack):
        layer, after = stack[index], stack[index + 1] if index + 1 < len(stack) else None
        index += 1
        if isinstance(layer, layers.Dropout):
            if training:
                yield layer, "identity"
        elif not isinstance(layer, (layers.Dense, layers.LayerNorm, layers.OrderedThresholds)):
            yield None, layer.name
        elif isinstance(layer, layers.Dense) and getattr(after, "name", "") in _native.FUSED:
            yield layer, after.name
            index += 1
        else:
            yield layer, "identity"


class PythonBody:
    """Any layers, through their own `forward` and `backward`."""

    def __init__(self, net, n_in, capacity):
        self.net = net
        self.x = np.zeros((capacity, n_in), net.dtype)

    def forward(self, count):
        x = self.x[:count].copy()  # a layer keeps its input, and the buffer is refilled
        for layer in self.net.layers:
            x = layer.forward(x)
        return self.net._checked_logits(x, count)

    def backward(self, count, g):
        for layer in reversed(self.net.layers):
            g = layer.backward(g)
        self.net._gather_gradients()


class Head:
    """The loss of a batch whose rows are gathered into buffers, through the loss's own methods."""

    def __init__(self, loss, rows, width, capacity):
        self.loss, self.kind, self.width, self.outputs = loss, rows.kind, width, loss.outputs(width)
        self.sources = (rows.y, rows.weights, rows.offset)
        self.buffers = [
            None if array is None else np.zeros((capacity, *array.shape[1:]), array.dtype) for array in self.sources
        ]

    def base(self, rows):
        """The terms in y alone that `value` leaves out, summed over the used rows."""
        return 0.0

    def gather(self, order):
        count = len(order)
        for array, buffer in zip(self.sources, self.buffers, strict=True):
            if array is not None:
                array.take(order, 0, buffer[:count], "clip")

    def part(self, count):
        return [None if buffer is None else buffer[:count] for buffer in self.buffers]

    def value(self, z, count, scale):
        """Σ w nll of the gathered rows with the logits z, and `scale` times its gradient."""
        y, weights, offset = self.part(count)
        total, grad = self.loss.nll_and_grad(z, y, weights=weights, offset=offset, reduction="total")
        return total.sum, grad * z.dtype.type(scale)


class HookHead(Head):
    """A family of ours, in C or in the reference: one pass, without the checks made before the first epoch."""

    def value(self, z, count, scale):
        y, weights, offset = self.part(count)
        if offset is not None:
            z, offset = self.loss._offset(z, offset, count, self.outputs)
        grad = np.empty_like(z)
        total = self.loss._head(
            count, self.outputs, self.width, z, offset, self.kind, y, weights, scale, True, None, grad
        )
        return total, grad


class BoundHead(Head):
    """A family in C on the buffers of a native body; the terms in y alone are summed once."""

    def __init__(self, loss, rows, width, capacity, body):
        super().__init__(loss, rows, width, capacity)
        y, weights, offset = self.buffers
        self.added = None
        if offset is not None and loss._offset(body.z, offset, capacity, self.outputs)[0] is not body.z:
            self.added, offset = offset, None  # a family that takes its offset with the logits
        self.call = _native.bind_batch(loss, self.outputs, width, body.z, offset, rows.kind, y, weights, body.g)

    def base(self, rows):
        return _base(self.loss, rows, self.width)

    def value(self, z, count, scale):
        if self.added is not None:
            z += self.added[:count]
        return self.call(count, scale), None


def _base(loss, rows, width):
    """The terms in y alone, summed over the used rows."""
    outputs = loss.outputs(width)
    return sum(
        _native.base(loss, len(used), outputs, width, rows.kind, *rows.part(used)[:2]) for used in rows.blocks()
    )


class UserLoss:
    """A loss of the user's own, any object with ``nll(z, y)`` (n,) and ``grad(z, y)`` (n, width), as one of ours.

    Weights, offset and sums are added here. It may also have ``link(z)`` or ``mean(z)``, and ``outputs(width)``.
    """

    def __init__(self, loss):
        self.loss, self.plain = loss, self

    def outputs(self, width):
        return self.loss.outputs(width) if hasattr(self.loss, "outputs") else 1

    _offset_columns = outputs

    def _target(self, y, rows, outputs, width, dtype):
        y = _checks.real_array("y", y)
        if y.shape[:1] != (rows,):
            raise ValueError(f"y has shape {y.shape} where X has {rows} rows")
        return (y if y.dtype.kind in "iub" else y.astype(dtype)), None

    def check_support(self, y, weights, width):
        bad = ~np.isfinite(y).all(axis=tuple(range(1, y.ndim)))
        if weights is not None:
            bad &= weights > 0
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"y[{row}] = {y[row]}: targets must be finite (a missing one: give the row weight 0)")

    _shifted = Loss._shifted

    def _weight(self, rows, y, weights):
        return float(rows) if weights is None else float(weights.sum(dtype=np.float64))

    def nll_and_grad(self, z, y, *, weights=None, offset=None, reduction="total", gradient=True):
        if offset is not None:
            z = self._shifted(z, offset)
        nll = np.asarray(self.loss.nll(z, y), np.float64)
        grad = np.array(self.loss.grad(z, y), z.dtype, ndmin=2) if gradient else z
        if nll.shape != (len(z),) or grad.shape != z.shape:
            raise ValueError(
                f"{type(self.loss).__name__} must return nll of shape ({len(z)},) and grad of shape {z.shape} "
                f"for logits {z.shape}, got {nll.shape} and {grad.shape}"
            )
        if weights is not None:
            nll, grad = nll * weights, grad * weights[:, None]
        return Total(float(nll.sum()), self._weight(len(z), y, weights)), grad

    def nll(self, z, y, *, weights=None, offset=None, reduction="total"):
        total, _ = self.nll_and_grad(z, y, weights=weights, offset=offset, gradient=False)
        return total if reduction == "total" else total.mean

    def mean(self, z, *, offset=None):
        if offset is not None:
            z = self._shifted(z, offset)
        return self.loss.mean(z) if hasattr(self.loss, "mean") else self.loss.link(z)


def adapted(loss):
    """The loss as the plans use it."""
    return loss if isinstance(loss, Loss) else UserLoss(loss)


def _hooked(loss):
    """Whether the loss computes through `Loss._head`; a user's subclass may have changed the public methods."""
    return isinstance(loss, Loss) and all(
        getattr(type(loss), name) is getattr(Loss, name) for name in ("nll", "grad", "nll_and_grad")
    )


def _bound(net):
    """Whether body and loss of a network can be bound to buffers in C."""
    loss = net.head
    return all(map(is_native, net.layers)) and _hooked(loss) and type(loss)._head is _native.head


def _joined(net):
    """Whether the same holds for all heads of a product."""
    return all(map(is_native, net.layers)) and type(net.head) is losses.Product and bool(net.head._c_parts)


def prepare(net, rows, batch_size, optimizer, slots):
    """The `Plan` of a fit: in C if everything is ours."""
    if isinstance(optimizer, optimizers.LBFGS):
        from pyscratch._lbfgs import FullBatchPlan

        return FullBatchPlan(net, rows, batch_size, optimizer, slots)
    ours = (_bound(net) or _joined(net)) and type(optimizer) in (optimizers.SGD, optimizers.Adam, optimizers.AdamW)
    return (EpochPlan if ours else Plan)(net, rows, batch_size, optimizer, slots)


class Plan:
    """A network, its training rows, a batch size and an optimizer, ready to take steps.

    The gradient of a batch is Σ w g / (rows · mean weight of the training set), so that every batch is an unbiased
    estimate of the gradient of the mean, whatever the weights in it.
    """

    def __init__(self, net, rows, batch_size, optimizer, slots):
        self.net, self.rows, self.used, self.X = net, rows, rows.used, rows.X
        self.batch_size = min(batch_size, len(rows.used))
        self.weight = rows.weight(net.head)
        self.mean_weight = self.weight / len(rows.used)
        self.optimizer = optimizer
        self.rate = float(self._rates(1)[0])
        self._bind(rows, optimizer, slots)

    def _bind(self, rows, optimizer, slots):
        net, loss, capacity, n_in = self.net, self.net.head, self.batch_size, rows.X.shape[1]
        native = all(map(is_native, net.layers))
        self.body = Body(net.layers, n_in, capacity, net.dtype) if native else PythonBody(net, n_in, capacity)
        if _bound(net):
            self.head = BoundHead(loss, rows, net.width, capacity, self.body)
        else:
            self.head = (HookHead if _hooked(loss) else Head)(loss, rows, net.width, capacity)
        self.base = self.head.base(rows)
        self.update = optimizer.bind(net.values, net.gradients, slots)

    def _rates(self, batches):
        """The learning rate of each batch of the next epoch."""
        rate = self.optimizer.learning_rate
        if not isinstance(rate, Schedule):
            return np.full(batches, float(rate))
        watched = next(iter(self.net._watched.values()), [])
        return np.require(np.broadcast_to(rate.rates(self._done(batches), list(watched)), (batches,)), float, "CA")

    def _done(self, batches):
        """Epochs that will be done after each batch of the next one, since the optimizer's state was made."""
        return (self.net.steps + 1.0 + np.arange(batches)) / batches

    def train(self, epochs, shuffle, finished):
        """Epoch after epoch, until ``finished(total)`` or there were enough; may return why it ended."""
        for _ in range(epochs):
            if finished(self.epoch(self.net.rng.permutation(self.used) if shuffle else self.used)):
                break

    def epoch(self, order):
        """Takes a step on each batch of the rows in `order`; returns the Total of the epoch."""
        rates = self._rates(-(-len(order) // self.batch_size))
        self.rate = float(rates[0])
        total = self._steps(order, rates)
        if not np.isfinite(self.net.values).all():
            raise Diverged(-(-len(order) // self.batch_size), "the weights are")
        return Total(total, self.weight)

    def _steps(self, order, rates):
        total, size = self.base, self.batch_size
        for batch, first in enumerate(range(0, len(order), size), 1):
            if self.net._stopped:
                raise KeyboardInterrupt
            value = self.step(order[first : first + size], float(rates[batch - 1]))
            if value is None:
                raise Diverged(batch)
            total += value
        return total

    def step(self, order, rate=None):
        """One batch: returns Σ w nll, or None (and changes nothing) when it is not finite."""
        try:
            self._tell(self.net.steps)
            return self._step(order, self.rate if rate is None else rate)
        except ValueError:
            self._check_targets()
            raise
        finally:
            self._tell(None)

    def _check_targets(self):
        """A target that was changed since the checks is an error that names its row."""
        y, weights, _ = self.rows.part(slice(None))
        self.net.head.check_support(y, weights, self.net.width)

    def _tell(self, step):
        """Tells the layers that want to know which training step it is (None: no more)."""
        for place, layer in enumerate(self.net.layers):
            if callable(getattr(layer, "training", None)):
                layer.training(step, place)

    def _step(self, order, rate):
        value = self._gradient(order, 1.0 / (len(order) * self.mean_weight))
        if value is not None:
            self.net.gather()
            self._move(rate)
            self.net.scatter()
        return value

    def _gradient(self, order, scale):
        """Σ w nll of some rows, and `scale` times its gradient in the network's; None when it is not finite."""
        count, body = len(order), self.body
        self.X.take(order, 0, body.x[:count], "clip")
        self.head.gather(order)
        value, g = self.head.value(body.forward(count), count, scale)
        if not math.isfinite(value):
            return None
        body.backward(count, g)
        return value

    def _move(self, rate):
        """The optimizer's step, after clipping and weight decay."""
        net, optimizer = self.net, self.optimizer
        net.steps += 1
        if getattr(optimizer, "clip_norm", None):
            optimizer.clip(net.gradients)
        decay = getattr(optimizer, "weight_decay", 0.0)
        for first, count in net.matrices() if decay else ():
            net.values[first : first + count] *= net.dtype.type(1.0 - rate * decay)
        self.update(net.steps, rate)


def _head_calls(net, rows):
    """The loss as a `ps_plan` has it: call, parts, whether the offset is of all logits; and the terms in y alone."""
    loss, offset = net.head, rows.offset
    few = np.zeros((1, net.width), net.dtype)  # to ask what the loss does with an offset
    everywhere = offset is not None and loss._offset(few, offset[:1], 1, net.outputs)[0] is not few
    call = _native.batch_call(loss, net.outputs, net.width, net.dtype, rows.kind, rows.y, rows.weights, offset)
    return call, (), everywhere, _base(loss, rows, net.width)


def _product_calls(net, rows):
    """The same of several heads side by side."""
    loss, offset, base = net.head, rows.offset, 0.0
    if offset is not None:
        offset = loss._shifted(np.zeros((len(offset), net.width), net.dtype), offset)
    for part in loss.parts:
        y = loss._own(part, rows.y, rows.weights)
        base += _base(part.head, Rows(rows.X, y, part.head.target, rows.weights, None, rows.used), part.width)
    call = _native.whole_call(net.width, net.dtype, rows.y, rows.weights, offset)
    return call, loss._c_parts, offset is not None, base


class EpochPlan(Plan):
    """The same steps with the same bits, as calls in C that come back every 50 ms: Ctrl-C is heard between them."""

    SECONDS = 0.05

    def _bind(self, rows, optimizer, slots):
        self.given = rows, optimizer, slots
        self._tell(None)
        net = self.net
        call, parts, everywhere, self.base = (_product_calls if _joined(net) else _head_calls)(net, rows)
        self.plan = _native.TrainingPlan(
            rows.X,
            list(_stages(net.layers)),
            call,
            net.values,
            net.gradients,
            slots,
            net.matrices(),
            parts,
            batch=self.batch_size,
            mean_weight=self.mean_weight,
            offset_everywhere=everywhere,
            **optimizer._constants(),
        )

    def _steps(self, order, rates):
        order, net, plan = np.ascontiguousarray(order, np.int64), self.net, self.plan
        plan.begin(order, self.base, rates, net.steps)
        status = batch = 0
        while not status and batch * self.batch_size < len(order):
            try:
                status = plan.run(self.SECONDS)
            finally:  # an interrupt may come between any two lines
                net.steps = plan.steps
            batch = plan.batch
            if net._stopped:
                raise KeyboardInterrupt
        if status == _native.NOT_FINITE:
            raise Diverged(batch + 1)
        if status in (_native.BAD_TARGET, _native.BAD_LOGIT):  # nothing changed: the Python path says which row and why
            self._check_targets()
            Plan._bind(self, *self.given)
            self.step(order[batch * self.batch_size : (batch + 1) * self.batch_size])
        _native._check(status)
        return plan.total

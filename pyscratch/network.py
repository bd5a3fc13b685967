"""A network: layers that turn features into logits, and a loss that says what the logits mean."""

import copy
import inspect
import math
import numbers

import numpy as np

from pyscratch import _data, _native, _plan, _storage, _training, glm, layers, losses, optimizers
from pyscratch._checks import whole
from pyscratch._loss import Loss
from pyscratch._predictor import BLOCK, Forward, Predictor
from pyscratch._stream import Stream, StreamPlan
from pyscratch.layers import Layer
from pyscratch.optimizers import Optimizer
from pyscratch.schedules import Schedule

__all__ = ["Network"]


class Network:
    """A body of layers, a loss at its end, and the training of both.

    Parameters
    ----------
    layers : sequence of layers
        Descriptions; the network copies them, so that two networks made from one list share nothing.
    loss : Loss
        The distribution of y that the logits describe. An object of your own will do: ``nll(z, y)`` returns one number
        per row (n,), ``grad(z, y)`` its derivative (n, width), ``link(z)`` what `predict` is to return.
    rng : numpy.random.Generator, int or None
        Draws the initial weights, then in `fit` the validation share and the order of the rows.
    dtype : numpy.float64 or numpy.float32
        Of parameters, features and logits. Both start from the same weights, rounded.

    Attributes
    ----------
    layers : tuple
        The network's own layers; ``net.layers[0].W`` is a writable array.
    values, gradients : ndarray (n,)
        All parameters and their gradients, flat; the layers' arrays are views into them. (Of a layer that holds its own
        arrays they are copies: `gather` and `scatter` bring them up to date.)
    history : History or None
        Of the latest `fit`, also after an error or an interrupt.
    optimizer, steps
        Of the latest `fit`, and how many steps its state has seen.
    n_in, width, outputs : int
        Features that come in, logits and outputs per row.
    head : Loss
        The loss as training calls it: `loss` itself, or an object of your own made to look like one.

    Raises
    ------
    ValueError
        When the widths of two layers, or of the last layer and the loss, do not fit.
    TypeError
        For something that is no layer, no loss, or a dtype that is neither of the two.

    Examples
    --------
    >>> net = ps.Network([ps.Dense(9, 64), ps.Tanh(), ps.Dense(64, 1)], loss=ps.Poisson(), rng=0)
    >>> history = net.fit(X, y, epochs=50, validation=0.2, patience=5)
    >>> rates = net.predict(X_new)
    """

    _modules = (layers, losses, optimizers)  # where `load` finds a class by its name

    def __init__(self, layers, loss, *, rng=None, dtype=np.float64):
        self.dtype = _real(dtype)
        self.layers = tuple(_own(index, layer) for index, layer in enumerate(layers))
        self.n_in, self.width = _widths(self.layers)
        self.head = _head(loss)
        self._check_width(self.width)
        self.rng = np.random.default_rng(rng)
        self.history = self.optimizer = self._body = None
        self.steps, self._slots, self._stopped = 0, {}, False
        self._watched = {}  # what a schedule sees: "nll" or "validation_nll", a list with one number per epoch
        self._started = False  # whether the last bias was set to the best constant, or the weights were trained
        self._place()
        for layer in self.layers:
            if _held(layer):
                for name, value in layer.draw(self.rng).items():
                    setattr(layer, name, value)
        self.gather()

    def __repr__(self):
        return f"{type(self).__name__}({list(self.layers)!r}, {self.loss!r}, dtype={self.dtype.name})"

    @property
    def loss(self):
        """The loss it was made with; another head is another network."""
        return self.head.loss if isinstance(self.head, _plan.UserLoss) else self.head

    # ---- parameters ----

    @property
    def values(self):
        """All parameters (n,), flat. Assigning copies into the array."""
        return self._values

    @values.setter
    def values(self, values):
        self._values[...] = values

    @property
    def gradients(self):
        """Their gradients (n,), as the last `backward` left them."""
        return self._gradients

    def _place(self, values=None):
        """Cuts the layers' parameters out of one flat array; a layer with its own arrays gets a place to copy to."""
        sizes = [
            layer._size() if _held(layer) else sum(np.size(value) for value, _ in layer.parameters())
            for layer in self.layers
        ]
        self._values = np.zeros(sum(sizes), self.dtype) if values is None else values
        self._gradients = np.zeros(sum(sizes), self.dtype)
        self._foreign, start = [], 0
        for layer, size in zip(self.layers, sizes, strict=True):
            place = slice(start, start + size)
            start += size
            if _held(layer):
                layer._place(self.values[place], self.gradients[place])
            elif size:
                self._foreign.append((layer, place))

    def matrices(self):
        """(first, count) of each part of `values` that weight decay acts on: parameters of two or more dimensions.

        Biases, scales and shifts have one.
        """
        parts, first = [], 0
        for layer in self.layers:
            for shape in layer.shapes().values() if _held(layer) else [np.shape(a) for a, _ in layer.parameters()]:
                count = int(np.prod(shape))
                if len(shape) > 1:
                    parts.append((first, count))
                first += count
        return parts

    def gather(self):
        """Copies the parameters of layers that hold their own arrays into `values`."""
        for layer, place in self._foreign:
            self.values[place] = np.concatenate([np.ravel(value) for value, _ in layer.parameters()])

    def _gather_gradients(self):
        """Copies the gradients of layers that hold their own arrays into `gradients`."""
        for layer, place in self._foreign:
            for value, gradient in layer.parameters():
                if np.shape(gradient) != np.shape(value):
                    raise ValueError(
                        f"parameters() of {layer!r}: a value of shape {np.shape(value)} has a gradient of "
                        f"shape {np.shape(gradient)}"
                    )
            self.gradients[place] = np.concatenate([np.ravel(gradient) for _, gradient in layer.parameters()])

    def scatter(self):
        """Copies `values` back into the layers that hold their own arrays."""
        for layer, place in self._foreign:
            flat = self.values[place]
            for value, _ in layer.parameters():
                value[...] = flat[: value.size].reshape(value.shape)
                flat = flat[value.size :]

    # ---- forward and backward ----

    def forward(self, X, *, offset=None, exposure=None):
        """Logits (n, width) of the features X (n, n_in), in the network's dtype; the layers keep what `backward` needs.

        ``offset`` (n,) or (n, d) is added to the first d logits. TypeError and ValueError as in `fit`.
        """
        x = _data.features(self, X)
        for layer in self.layers:
            x = layer.forward(x)
        z, offset = self._checked_logits(x, len(x)), _data.offsets(self, self._exposed(exposure, offset), len(x))
        return z if offset is None else self.head._shifted(z, offset)

    def backward(self, g):
        """From g (n, width) = d loss / d logits of the last `forward`: fills the gradients, returns d loss / d X."""
        for layer in reversed(self.layers):
            g = layer.backward(g)
        self._gather_gradients()
        return g

    def _checked_logits(self, x, count):
        """What the last layer returned, as a ready array (count, width)."""
        x = np.require(x, self.dtype, "CA")
        if x.ndim != 2 or len(x) != count or (self.width is not None and x.shape[1] != self.width):
            raise ValueError(
                f"the last layer, {self.layers[-1]!r}, returned the shape {x.shape} where ({count}, "
                f"{self.width or 'width'}) was expected"
            )
        if self.width is None:
            self._check_width(x.shape[1])
            self.width = x.shape[1]
        return x

    def _logits(self, X, rows=None):
        """Logits of X, or of some of its rows, in blocks and without what `backward` would need."""
        count = len(X) if rows is None else len(rows)
        run = self._borrow(min(count, BLOCK))
        logits = None if self.width is None else np.empty((count, self.width), self.dtype)
        for first in range(0, count, BLOCK):
            part = slice(first, min(first + BLOCK, count))
            x = X[part] if rows is None else X[rows[part]]
            if logits is None:
                z = run(x, None)
                logits = np.empty((count, self.width), self.dtype)
                logits[part] = z
            else:
                run(x, logits[part])
        self._body = run
        return np.empty((0, 0), self.dtype) if logits is None else logits

    def _borrow(self, capacity):
        """A function from features to logits. Its buffers are kept for the next call, but lent to one thread only."""
        run, self._body = self._body, None
        return run if run is not None and run.capacity >= capacity else Forward(self, capacity)

    # ---- prediction ----

    def predict(self, X, *, offset=None, exposure=None):
        """The mean of the assumed distribution: (n,) for one output, (n, d) otherwise, (n, K) for Categorical.

        X (n, n_in) is finite and real, computed in the network's dtype; ``offset`` (n,) or (n, d) is added to the first
        logits. TypeError for what is no real array, ValueError for shapes, NaN and infinities (with row and column).
        """
        z, offset = self._located(X, self._exposed(exposure, offset))
        return self.head.mean(z, offset=offset)

    def predictor(self, rows=1):
        """`predict` prepared for a fixed number of rows: ``call = net.predictor()``, then ``call(x)`` in a loop.

        See `Predictor`. ValueError when the layers do not say their widths.
        """
        return Predictor(self, whole("rows", rows, 1))

    def predict_class(self, X, *, offset=None, exposure=None):
        """The most probable class of each row: (n,) int64 for Categorical and Ordinal, 0 or 1 for Bernoulli.

        Those of a `Product` stand side by side. TypeError for a loss without classes.
        """
        if getattr(self.loss, "increasing", False):
            return self.distribution(X, offset=offset, exposure=exposure).mode
        return classes(self.loss, self.predict(X, offset=offset, exposure=exposure))

    def distribution(self, X, *, offset=None, exposure=None):
        """The whole assumed distribution of each row's y, as an object: mean, std, log_prob, sample, quantile, ..."""
        z, offset = self._located(X, self._exposed(exposure, offset))
        if not hasattr(self.head, "distribution"):
            raise TypeError(f"{type(self.loss).__name__} does not say distribution(z)")
        return self.head.distribution(z, offset=offset)

    def score(self, X, y, *, weights=None, offset=None, exposure=None):
        """Mean log-likelihood per row, −Σwℓ/Σw, all constants included: higher is better; a density may exceed one.

        The plain likelihood, without class weights and smoothing. y, ``weights`` and ``offset`` as in `fit`; rows of
        weight 0 are not read. Raises as `fit` does.
        """
        rows = _data.rows(self, X, y, weights, self._exposed(exposure, offset))
        return -self._total(rows).mean

    def _exposed(self, exposure, offset):
        """The offset that an exposure makes; see `Loss.exposed`."""
        if exposure is None:
            return offset
        if not hasattr(self.head, "exposed"):
            raise TypeError(f"{type(self.loss).__name__} does not take an exposure: use offset")
        return self.head.exposed(exposure, offset)

    def _located(self, X, offset):
        X = _data.features(self, X)
        return self._logits(X), _data.offsets(self, offset, len(X))

    def _total(self, rows):
        """Total nll of the plain likelihood over the used rows."""
        everything = len(rows.used) == len(rows.X)
        y, weights, offset = rows.part(slice(None) if everything else rows.used)
        z = self._logits(rows.X, None if everything else rows.used)
        return self.head.plain.nll(z, y, weights=weights, offset=offset, reduction="total")

    # ---- training ----

    def fit(
        self,
        X,
        y=None,
        *,
        weights=None,
        offset=None,
        exposure=None,
        epochs=100,
        batch_size=128,
        optimizer=None,
        validation=None,
        patience=None,
        min_delta=0.0,
        shuffle=True,
        start=True,
        callbacks=(),
        progress=None,
    ):
        """Trains the network on the rows (X, y); a second call goes on from the present weights and optimizer state.

        Parameters
        ----------
        X : array (n, n_in), or batches
            Finite and real; used without a copy if it is C-contiguous and of the network's dtype, also as a
            ``np.memmap``. Standardise it. Without y: batches of data that is larger than memory, see Notes.
        y : array
            Targets as the loss takes them, (n,) or (n, d), checked once before the first step. Leave it raw.
        weights : array (n,), optional
            Finite, >= 0. Rows of weight 0 are left out before anything else, their X and y are not read.
        offset : array (n,) or (n, d), optional
            Added to the first logits, such as log(exposure) for counts.
        exposure : array (n,), optional
            Of counts with a log link: how long or how much was watched, > 0; an offset of its logarithm.
        epochs, batch_size : int
            The last batch of an epoch may be smaller.
        optimizer : Optimizer, optional
            Settings. Default: that of the fit before, at the first fit Adam(1e-3). Its state (moments, steps) continues
            when the class is that of the fit before, else it begins anew.
        validation : (X, y), (X, y, weights), dict or float, optional
            Held-out rows; a dict has the keys X, y, weights, offset; a number in (0, 1) is a share of the rows, drawn
            from `rng` before epoch 1, anew in each fit.
        patience : int, optional
            Stop when the validation nll has not improved by more than ``min_delta`` for so many epochs; the weights of
            the best epoch are restored. None: no early stopping, the last weights stay.
        min_delta : float
            >= 0.
        shuffle : bool
            Draw a new order of the rows from `rng` in each epoch.
        start : bool
            At the first fit set the last bias to the best constant head (`start_from`).
        callbacks : callable or sequence of callables
            ``callback(net, history)`` after each epoch; one that returns True ends the fit.
        progress : bool, optional
            One line on stderr. None: only if that is a terminal.

        Returns
        -------
        History
            nll, validation_nll, learning_rate, seconds per epoch; best_epoch, stopped. Class weights and smoothing
            act on the training nll only.

        Raises
        ------
        TypeError, ValueError
            For data and options, before anything has changed, naming argument, first bad row (and column) and a remedy.
        FloatingPointError
            When a loss ceases to be finite, naming epoch and batch. The weights are then those of the last epoch whose
            losses were all finite; the optimizer's state is forgotten.
        KeyboardInterrupt
            Ctrl-C passes through; the weights are those of the last finished batch.

        Notes
        -----
        The gradient of a batch is Σ w g / (rows in it · mean weight of the training set), an unbiased estimate of the
        gradient of Σwℓ/Σw over the training set, whatever the weights in the batch.

        ``fit(batches)`` takes a step on each batch as it comes: ``batches`` is a function without arguments that gives
        an iterator, such as a generator function, or an iterable that can be gone through once per epoch. A batch is
        (X, y), (X, y, weights), or a dict with offset too; its rows are checked as it comes, and an error names it by
        number. ``batch_size`` and ``shuffle`` then mean nothing, the first batch gives the best constant, validation is
        data rather than a share, and weights should have a mean of about 1, for nobody knows it before the end.
        Schedules move with every batch where ``len(batches)`` is known, and from epoch to epoch where it is not.
        """
        epochs, batch_size = whole("epochs", epochs, 0), whole("batch_size", batch_size, 1)
        patience = None if patience is None else whole("patience", patience, 1)
        if patience is not None and validation is None:
            raise ValueError("patience needs validation=: rows that early stopping can watch")
        if not (isinstance(min_delta, numbers.Real) and 0 <= min_delta < math.inf):
            raise ValueError(f"min_delta must be finite and >= 0, got {min_delta!r}")
        optimizer = self._checked_optimizer(optimizer)
        callbacks = (callbacks,) if callable(callbacks) else tuple(callbacks)
        for index, callback in enumerate(callbacks):
            if not callable(callback):
                raise TypeError(f"callbacks[{index}] = {callback!r} cannot be called: callback(net, history)")
        offset, given = self._exposed(exposure, offset), self.head
        try:
            if y is None:
                plan, held_out = self._on_batches(X, weights, offset, epochs, optimizer, validation, start)
            else:
                plan, held_out = self._on_arrays(X, y, weights, offset, batch_size, optimizer, validation, start)
            return _training.run(
                self,
                plan,
                held_out,
                epochs=epochs,
                shuffle=shuffle,
                patience=patience,
                min_delta=float(min_delta),
                callbacks=callbacks,
                progress=progress,
            )
        finally:
            self.head = given  # balanced class weights are those of one fit

    def _on_arrays(self, X, y, weights, offset, batch_size, optimizer, validation, start):
        """The plan of a fit to arrays, and the held-out rows; the last place where an error changes nothing."""
        rows = _data.rows(self, X, y, weights, offset)
        held_out = None
        if isinstance(validation, numbers.Real):
            rows, held_out = _data.share(self, rows, validation)
        elif validation is not None:
            held_out = _data.held_out(self, validation)
        if not len(rows.used):
            raise ValueError("there are no rows to fit (X is empty, or every weight is 0)")
        if hasattr(self.head, "balanced"):
            y, weights, _ = rows.part(rows.used)
            self.head = self.head.balanced(y, weights, self.width)
        if not rows.weight(self.head) > 0:
            raise ValueError("class_weights are 0 for every class in y: there is nothing to fit")
        if start and not self._started and self._can_start():
            self._start(rows)
        self._begin(optimizer)
        return _plan.prepare(self, rows, batch_size, optimizer, list(self._slots.values())), held_out

    def _on_batches(self, batches, weights, offset, epochs, optimizer, validation, start):
        """The plan of a fit to batches, and the held-out rows."""
        stream = Stream(batches, epochs)
        if weights is not None or offset is not None:
            raise TypeError("weights and offset belong into the batches: (X, y, weights), or a dict with offset")
        if getattr(self.head, "class_weights", None) == "balanced":
            raise ValueError('class_weights="balanced" needs all targets at once: give arrays, or the numbers')
        if isinstance(validation, numbers.Real):
            raise ValueError("validation must be held-out data, (X, y): a share of batches cannot be drawn")
        if isinstance(optimizer, optimizers.LBFGS):
            raise ValueError("LBFGS needs all rows in every step: give arrays, or an optimizer such as Adam")
        held_out = None if validation is None else _data.held_out(self, validation)
        start = start and not self._started and self._can_start()
        self._begin(optimizer)
        return StreamPlan(self, stream, optimizer, list(self._slots.values()), start), held_out

    def _begin(self, optimizer):
        self._started = True
        self._take(optimizer)
        self.gather()
        self._stopped = False

    def fit_exact(self, X, y, *, weights=None, offset=None, exposure=None, steps=100):
        """Maximum likelihood of a network that is one Dense layer with one logit; see `pyscratch.glm.fit`."""
        return glm.fit(self, X, y, weights=weights, offset=self._exposed(exposure, offset), steps=steps)

    def covariance(self, X, y, *, weights=None, offset=None, exposure=None, kind="fisher"):
        """Covariance of its coefficients, "fisher", "observed" or "robust"; see `pyscratch.glm.covariance`."""
        offset = self._exposed(exposure, offset)
        return glm.covariance(self, X, y, weights=weights, offset=offset, kind=kind)

    def stop(self):
        """Ends a `fit` that runs in another thread, at its last finished batch: there it raises KeyboardInterrupt."""
        self._stopped = True

    def start_from(self, y, *, weights=None, offset=None, exposure=None):
        """Sets the bias of the last Dense, or the cutpoints, to the logits of the best constant head for y.

        Weights stay as drawn, so the first predictions scatter around the best constant. `fit` does this at its first
        call. TypeError when the last layer has no bias or the loss does not say its best constant.
        """
        if not self._can_start():
            raise TypeError(
                f"start_from needs a Dense as the last layer, or another with start_at(z), and a loss with start(y): "
                f"got {self.layers[-1]!r} and {self.loss!r}"
            )
        rows = _data.targets(self, y, weights, len(np.atleast_1d(y)))
        rows.offset = _data.offsets(self, self._exposed(exposure, offset), len(rows.y), rows.used)
        self._start(rows)

    def _can_start(self):
        return hasattr(self.layers[-1], "start_at") and hasattr(self.head, "start")

    def _start(self, rows):
        y, weights, offset = rows.part(rows.used)
        self.layers[-1].start_at(self.head.plain.start(y, weights=weights, offset=offset, width=self.width))
        self._started = True

    def _checked_optimizer(self, optimizer):
        if optimizer is None:
            optimizer = self.optimizer or self._optimizer(1e-3)
        if not hasattr(optimizer, "bind") or isinstance(optimizer, type):
            raise TypeError(f"optimizer must be an Optimizer such as Adam(1e-3), got {optimizer!r}")
        if hasattr(optimizer, "check"):
            optimizer.check(self)
        return optimizer

    def _optimizer(self, learning_rate):
        return optimizers.Adam(learning_rate)

    def _take(self, optimizer):
        """Makes it the network's optimizer; the state continues if it is of the same kind."""
        if type(optimizer) is not type(self.optimizer) or tuple(self._slots) != tuple(optimizer.slots):
            self.steps, self._slots = 0, {name: np.zeros_like(self.values) for name in optimizer.slots}
            self._watched = {}
        if self.optimizer is not None and optimizer.learning_rate != self.optimizer.learning_rate:
            self._watched = {}
        self.optimizer = optimizer

    def _forget(self):
        """Forgets the optimizer's state: the next fit begins with fresh moments."""
        self.steps, self._slots = 0, {name: np.zeros_like(self.values) for name in self._slots}
        self._watched = {}

    def _watch(self, which):
        """The list of what a schedule watches: it goes on while it is the same quantity."""
        if which not in self._watched:
            self._watched = {which: []}
        return self._watched[which]

    def _check_width(self, width):
        if width is not None:
            try:
                self.outputs = self.head.outputs(width)
            except ValueError as error:
                raise ValueError(
                    f"the last layer, {self.layers[-1]!r}, gives {width} logits per row: {error}"
                ) from None

    def ask_width(self, n_in):
        """Finds out how many logits a last layer of the user's own returns: it is shown a row of zeros."""
        self._logits(np.zeros((1, n_in), self.dtype))

    # ---- copies and files ----

    def __getstate__(self):
        self.gather()
        state = {
            **self.__dict__,
            "layers": tuple(layer._description() if _held(layer) else layer for layer in self.layers),
        }
        for name in ("_body", "_foreign", "_gradients"):
            del state[name]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._body = None
        self._place(self._values)
        self.scatter()

    def __deepcopy__(self, memo):
        other = object.__new__(type(self))
        memo[id(self)] = other
        other.__setstate__({name: copy.deepcopy(value, memo) for name, value in self.__getstate__().items()})
        return other

    def save(self, path):
        """Writes the network to one .npz file, atomically; `load` reads it.

        It holds layers and loss by class name and options, the parameters, the optimizer with its state, what its
        schedule has watched and the generator's state, so that a loaded network continues training bit for bit; and a
        checksum over every byte.
        Only numbers and names are written, no code. TypeError when a class of your own cannot be described.
        """
        self.gather()
        description = {
            "dtype": self.dtype.name,
            "layers": [_storage.describe(layer) for layer in self.layers],
            "loss": _storage.describe(self.loss),
            "optimizer": _storage.describe(self.optimizer),
            "steps": self.steps,
            "watched": self._watched,
            "started": self._started,
            "generator": _storage.generator_state(self.rng),
            "slots": list(self._slots),
        }
        arrays = {"values": self.values}
        arrays.update({f"slot{index}": slot for index, slot in enumerate(self._slots.values())})
        _storage.write(path, description, arrays)

    @classmethod
    def load(cls, path, *, layers=None, losses=None, optimizers=None):
        """Reads a network that `save` wrote. Nothing in the file is executed.

        Parameters
        ----------
        path : str or path
        layers, losses, optimizers : dict, optional
            Classes of your own by name, such as ``layers={"Gain": Gain}``; they are called with the stored options.

        Raises
        ------
        ValueError
            When the file is damaged (its checksum does not agree), foreign, from a newer format, or names a class that
            is not ours and was not handed over.
        """
        told, arrays = _storage.read(path)

        def rebuilt(key, kind, base, handed):
            ours = {
                name: value
                for module in cls._modules
                for name, value in vars(module).items()
                if inspect.isclass(value) and issubclass(value, base)
            }
            return _storage.rebuild(told[key], {**ours, **(handed or {})}, kind)

        stack, loss = rebuilt("layers", "layers", Layer, layers), rebuilt("loss", "losses", Loss, losses)
        net = cls(stack, loss, dtype=told["dtype"])
        if net.values.shape != arrays["values"].shape:
            raise ValueError(f"{path}: holds {arrays['values'].size} parameters, its layers have {net.values.size}")
        net.values[...] = arrays["values"]
        net.scatter()
        net.optimizer = rebuilt("optimizer", "optimizers", (Optimizer, Schedule), optimizers)
        slots = [
            np.array(arrays[f"slot{index}"], net.dtype).reshape(net.values.shape) for index in range(len(told["slots"]))
        ]
        net._slots = dict(zip(told["slots"], slots, strict=True))
        net.steps, net._started = told["steps"], told["started"]
        net._watched = told.get("watched", {})
        net.rng = _storage.restore_generator(told["generator"])
        return net


def classes(loss, mean):
    """The most probable classes of rows with these means; TypeError for a loss without classes."""
    if isinstance(loss, losses.Product):
        return np.column_stack([classes(part.head, mean[:, part.mean]) for part in loss.parts])
    if getattr(loss, "likelihood", "") == "bernoulli":
        return (mean > 0.5).astype(np.int64)
    if getattr(loss, "target", None) == _native.LABELS:
        return np.argmax(mean, axis=1)
    raise TypeError(f"{loss!r} has no classes: predict_class needs Categorical, Ordinal or Bernoulli, use predict")


def _held(layer):
    """Whether the network holds the layer's parameters."""
    return isinstance(layer, Layer) and type(layer).parameters is Layer.parameters


def _real(dtype):
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype must be numpy.float64 or numpy.float32, got {dtype}")
    return np.dtype(dtype.name)


def _own(index, layer):
    if isinstance(layer, type):
        raise TypeError(f"layers[{index}] is the class {layer.__name__}: write {layer.__name__}(...)")
    missing = [name for name in ("forward", "backward", "parameters") if not callable(getattr(layer, name, None))]
    if missing:
        raise TypeError(f"layers[{index}] = {layer!r} is no layer: it does not have {', '.join(missing)}")
    return layer._description() if isinstance(layer, Layer) else copy.deepcopy(layer)


def _head(loss):
    if isinstance(loss, type):
        raise TypeError(f"loss is the class {loss.__name__}: write {loss.__name__}()")
    missing = [name for name in ("nll", "grad") if not callable(getattr(loss, name, None))]
    if missing:
        raise TypeError(f"loss must be a Loss such as Poisson(), or have nll(z, y) and grad(z, y), got {loss!r}")
    return _plan.adapted(loss)


def _widths(stack):
    """Features that the body takes, logits that it gives (None: not known); ValueError where two layers do not fit."""
    if not stack:
        raise ValueError("layers must hold at least one layer")
    first = width = giver = None
    for index, layer in enumerate(stack):
        n_in, n_out = getattr(layer, "n_in", None), getattr(layer, "n_out", None)
        if n_in is not None:
            if width is not None and n_in != width:
                raise ValueError(
                    f"layers[{index}], {layer!r}, takes {n_in} features, but layers[{giver}], {stack[giver]!r}, "
                    f"gives {width}"
                )
            if first is None and all(_keeps_width(before) for before in stack[:index]):
                first = n_in
        if n_out is not None:
            width, giver = n_out, index
        elif not _keeps_width(layer):
            width = None
    return first, width


def _keeps_width(layer):
    """Whether what comes in has as many features as what goes out, for all that is known."""
    return isinstance(layer, Layer) and layer.n_in is None and layer.n_out is None


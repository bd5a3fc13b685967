"""The body of a network: layers between the features and the logits.

A layer is a description until a :class:`~pyscratch.Network` draws it. The network copies its layers, cuts their
parameters out of one flat array and draws the initial values; ``net.layers[0].W`` is then a writable view.

A layer of your own is a class with ``forward(x)``, ``backward(g)`` and ``parameters()``. It may hold its own arrays,
or derive from :class:`Layer`, say ``shapes()`` and ``draw(rng)``, and let the network hold them::

    class Gain(ps.Layer):                                    # y = x * s, one factor per feature
        def __init__(self, features):
            self.n_in = self.n_out = self.features = features
        def shapes(self):
            return {"s": (self.features,)}
        def draw(self, rng):
            return {"s": np.ones(self.features)}
        def forward(self, x):
            self.x = x
            return x * self.s
        def backward(self, g):
            self.ds = (g * self.x).sum(axis=0)               # the gradient of "s" is "ds"
            return g * self.s
"""

import copy
import math
import numbers
import operator

import numpy as np

from pyscratch import _native
from pyscratch._storage import options_of

__all__ = ["GELU", "Dense", "Dropout", "Layer", "LayerNorm", "OrderedThresholds", "ReLU", "Sigmoid", "SiLU", "Tanh"]

_IDENTITY = 0  # the activation of a Dense that is not fused with one


class Layer:
    """What every layer has. Derive from it to write a layer in Python.

    Attributes
    ----------
    n_in, n_out : int or None
        Features that come in and go out; None when any number passes unchanged. A network checks them at construction.
    """

    n_in = None
    n_out = None
    _held = ()  # names of the parameters and gradients that are views into a network's flat arrays

    def shapes(self):
        """Name and shape of each parameter that the network is to hold; its gradient is named ``"d" + name``."""
        return {}

    def draw(self, rng):
        """Initial values by name, drawn in float64 from a ``numpy.random.Generator``; the network rounds them."""
        return {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def forward(self, x):
        """Outputs (rows, n_out) for the inputs x (rows, n_in). Keeps what `backward` needs."""
        raise NotImplementedError(f"{type(self).__name__} does not say forward(x)")

    def backward(self, g):
        """From g = d loss / d output of the last `forward`: fills the gradients, returns d loss / d x."""
        raise NotImplementedError(f"{type(self).__name__} does not say backward(g)")

    def training(self, step, place):
        """Called before each training step with the steps taken so far and the layer's place, then with step None.

        Between the two calls `forward` and `backward` belong to training; otherwise to prediction.
        """

    def parameters(self):
        """Pairs (value, gradient) of arrays. A layer that overrides this holds its own arrays."""
        return [(getattr(self, name), getattr(self, "d" + name)) for name in self.shapes()]

    @property
    def options(self):
        """The constructor's arguments, read back from attributes of the same names; `Network.save` writes them."""
        return options_of(self)

    def _description(self):
        """A copy without parameters: what the constructor made."""
        layer = copy.copy(self)
        for name in (*self._held, "_held", "_x", "_y", "_step", "_number"):
            layer.__dict__.pop(name, None)
        return copy.deepcopy(layer)

    def _place(self, values, gradients):
        """Takes views into two flat arrays as parameters and gradients; returns how many elements were taken."""
        start, held = 0, []
        for name, shape in self.shapes().items():
            stop = start + int(np.prod(shape))
            for key, flat in ((name, values), ("d" + name, gradients)):
                self.__dict__[key] = flat[start:stop].reshape(shape)
                held.append(key)
            start = stop
        self._held = tuple(held)
        return start

    def _size(self):
        """How many numbers the network has to hold for this layer."""
        return sum(int(np.prod(shape)) for shape in self.shapes().values())

    def __setattr__(self, name, value):
        # Assigning a held array copies into it: `layer.W = other` must not cut the layer off from its network.
        if name in self._held:
            self._fill(name, value)
        else:
            object.__setattr__(self, name, value)

    def _fill(self, name, value):
        view = self.__dict__[name]
        value = np.asarray(value)
        if value.shape != view.shape:
            raise ValueError(f"{name} of {self!r} has the shape {view.shape}, got {value.shape}")
        view[...] = value

    def __repr__(self):
        try:
            inside = ", ".join(f"{value!r}" for value in self.options.values())
        except TypeError:
            inside = "..."
        return f"{type(self).__name__}({inside})"


class Dense(Layer):
    """The affine layer ``y = x @ W + b``.

    Parameters
    ----------
    n_in, n_out : int
        Features in and out, at least 1.

    Attributes
    ----------
    W : ndarray (n_in, n_out)
        Drawn uniformly from ±1/sqrt(n_in) in float64, then rounded to the network's dtype (LeCun et al., Efficient
        BackProp, 1998: the scale that keeps a layer's outputs at the order of its inputs).
    b : ndarray (n_out,)
        Starts at zero.
    dW, db : ndarray
        Gradients: ``x.T @ g`` and ``g.sum(axis=0)``; ``dx = g @ W.T``.
    """

    _kind, _arrays = _native.DENSE, ("W", "b", "dW", "db")

    def __init__(self, n_in, n_out):
        self.n_in = _size("n_in", n_in)
        self.n_out = _size("n_out", n_out)

    def shapes(self):
        """W (n_in, n_out) and b (n_out,)."""
        return {"W": (self.n_in, self.n_out), "b": (self.n_out,)}

    def draw(self, rng):
        """W uniform within ±1/sqrt(n_in), b zero."""
        bound = 1.0 / np.sqrt(self.n_in)
        return {"W": rng.uniform(-bound, bound, (self.n_in, self.n_out)), "b": np.zeros(self.n_out)}

    def forward(self, x):
        """``x @ W + b`` for x (rows, n_in); any real dtype, computed in the network's. ValueError for another width."""
        if not self._held:
            raise RuntimeError(f"{self!r} has no parameters yet: a layer is a description until a Network draws it")
        self._x = _matrix("x", x, self.W.dtype, (None, self.n_in), self)
        return self._affine(self._x)

    def backward(self, g):
        """Fills dW and db from g (rows, n_out), returns dx (rows, n_in)."""
        x = _remembered(self, "_x")
        return self._pull(x, _matrix("g", g, self.W.dtype, (len(x), self.n_out), self))

    def start_at(self, z):
        """Moves b so that zero inputs give the logits z."""
        self.b = z

    def _affine(self, x):
        y = np.empty((len(x), self.n_out), x.dtype)
        _native.dense_forward(_IDENTITY, x, self.W, self.b, y, self._workspace(len(x)))
        return y

    def _pull(self, x, g):
        dx = np.empty_like(x)
        _native.dense_backward(_IDENTITY, x, self.W, None, g, dx, self.dW, self.db, self._workspace(len(x)))
        return dx

    def _workspace(self, rows):
        return np.empty(_native.dense_workspace(self.W.dtype, rows, self.n_in, self.n_out), np.uint8)


class LayerNorm(Layer):
    """Layer normalisation (Ba, Kiros and Hinton, 2016): ``y = scale (x - mean) / sqrt(variance + epsilon) + shift``.

    Mean and variance are those of each row, so a row's output does not depend on the rows beside it.

    Parameters
    ----------
    features : int
        At least 1.
    epsilon : float
        Finite and > 0.

    Attributes
    ----------
    scale, shift : ndarray (features,)
        Start at one and at zero; weight decay leaves them alone.
    dscale, dshift : ndarray (features,)
        Their gradients.
    """

    _kind, _arrays = _native.LAYER_NORM, ("scale", "shift", "dscale", "dshift")

    def __init__(self, features, epsilon=1e-5):
        self.features = self.n_in = self.n_out = _size("features", features)
        if isinstance(epsilon, bool) or not isinstance(epsilon, numbers.Real):
            raise TypeError(f"epsilon must be a number, got {epsilon!r}")
        if not 0 < epsilon < math.inf:
            raise ValueError(f"epsilon must be finite and > 0, got {epsilon!r}")
        self.epsilon = float(epsilon)

    def shapes(self):
        """Scale and shift, (features,) each."""
        return {"scale": (self.features,), "shift": (self.features,)}

    def draw(self, rng):
        """Ones and zeros."""
        return {"scale": np.ones(self.features), "shift": np.zeros(self.features)}

    def forward(self, x):
        """Rows of x (rows, features), normalised; any real dtype, computed in the network's."""
        if not self._held:
            raise RuntimeError(f"{self!r} has no parameters yet: a layer is a description until a Network draws it")
        self._x = _matrix("x", x, self.scale.dtype, (None, self.features), self)
        return self._normalised(self._x)

    def backward(self, g):
        """Fills dscale and dshift from g (rows, features), returns dx."""
        x = _remembered(self, "_x")
        return self._pull(x, _matrix("g", g, self.scale.dtype, x.shape, self))

    def _normalised(self, x):
        y = np.empty_like(x)
        _native.layer_norm_forward(self.epsilon, x, self.scale, self.shift, y)
        return y

    def _pull(self, x, g):
        dx = np.empty_like(x)
        _native.layer_norm_backward(self.epsilon, x, self.scale, g, dx, self.dscale, self.dshift)
        return dx


class Dropout(Layer):
    """In training each element is 0 with probability ``rate``, else ``x / (1 - rate)`` (Srivastava et al., 2014).

    A prediction lets everything pass. Which elements are dropped depends on the seed, the layer's place, the step, the
    row of the batch and the column, through Philox4x32-10 (Salmon et al., 2011): the same in both reals, on every
    instruction set and in the reference.

    Parameters
    ----------
    rate : float
        In [0, 1).
    seed : int, optional
        In [0, 2^64). None: the network draws one.
    """

    _kind, _arrays = _native.DROPOUT, ()
    _step = None

    def __init__(self, rate=0.5, seed=None):
        if isinstance(rate, bool) or not isinstance(rate, numbers.Real):
            raise TypeError(f"rate must be a number, got {rate!r}")
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be in [0, 1), got {rate!r}")
        self.rate = float(rate)
        self.seed = None if seed is None else operator.index(seed)
        if self.seed is not None and not 0 <= self.seed < 2**64:
            raise ValueError(f"seed must be in [0, 2^64), got {seed!r}")

    def draw(self, rng):
        """The seed, unless it was given."""
        if self.seed is None:
            self.seed = int(rng.integers(2**63))
        return {}

    def training(self, step, place):
        """Drop elements until it is called with step None."""
        self._step, self._number = step, place

    def forward(self, x):
        """x (rows, n) with dropped elements in training, else unchanged."""
        x = _reals("x", x, self)
        return x if self._step is None else self._masked(x)

    def backward(self, g):
        """The gradient of what was kept."""
        g = _reals("g", g, self)
        return g if self._step is None else self._masked(g)

    def _masked(self, x):
        y = np.empty_like(x)
        _native.dropout(self.rate, self.seed, self._number, self._step, x, y)
        return y


class OrderedThresholds(Layer):
    """From one number z to the K − 1 logits ``c_k − z`` of `Ordinal`, with cutpoints c that increase.

    It comes last, after ``Dense(n, 1)``. A bias of that layer and the first cutpoint move the same thing.

    Parameters
    ----------
    classes : int
        K, at least 2.

    Attributes
    ----------
    first : ndarray (1,)
        c_0. It starts at 0, or where `fit` or `start_from` puts it.
    gaps : ndarray (K − 2,)
        From each cutpoint to the next log(1 + exp(gap)), which is positive whatever the gap is. They start at 0.
    dfirst, dgaps : ndarray
        Their gradients. Weight decay leaves both alone.
    """

    _kind, _arrays = _native.THRESHOLDS, ("first", "gaps", "dfirst", "dgaps")
    n_in = 1

    def __init__(self, classes):
        self.classes = _size("classes", classes)
        if self.classes < 2:
            raise ValueError(f"classes must be at least 2, got {classes!r}")
        self.n_out = self.classes - 1

    def shapes(self):
        """First (1,) and gaps (K − 2,)."""
        return {"first": (1,), "gaps": (self.classes - 2,)}

    @property
    def cutpoints(self):
        """c (K − 1,)."""
        return self._cut(np.zeros((1, 1), self.first.dtype))[0]

    def forward(self, x):
        """``c − x`` (rows, K − 1) for x (rows, 1); any real dtype, computed in the network's."""
        if not self._held:
            raise RuntimeError(f"{self!r} has no parameters yet: a layer is a description until a Network draws it")
        self._x = _matrix("x", x, self.first.dtype, (None, 1), self)
        return self._cut(self._x)

    def backward(self, g):
        """Fills dfirst and dgaps from g (rows, K − 1), returns dx (rows, 1)."""
        rows = len(_remembered(self, "_x"))
        return self._pull(_matrix("g", g, self.first.dtype, (rows, self.n_out), self))

    def _cut(self, x):
        y = np.empty((len(x), self.n_out), x.dtype)
        _native.thresholds_forward(x, self.first, self.gaps, y)
        return y

    def _pull(self, g):
        dx = np.empty((len(g), 1), g.dtype)
        _native.thresholds_backward(self.gaps, g, dx, self.dfirst, self.dgaps)
        return dx

    def start_at(self, z):
        """Moves the cutpoints so that x = 0 gives the logits z, which increase."""
        steps = np.diff(z)
        self.first, self.gaps = z[:1], steps + np.log(-np.expm1(-steps))


class _Activation(Layer):
    """One function of every element. Kept is what the derivative is taken from: the output, or else the input."""

    def forward(self, x):
        x = _reals("x", x, self)
        y = self._apply(x)
        self._y = y if self.name in _native.FUSED else x
        return y

    def backward(self, g):
        y = _remembered(self, "_y")
        return self._pull(y, _matrix("g", g, y.dtype, y.shape, self))

    def _apply(self, x):
        y = np.empty_like(x)
        _native.activation_forward(_native.ACTIVATIONS[self.name], x, y)
        return y

    def _pull(self, y, g):
        dx = np.empty_like(y)
        _native.activation_backward(_native.ACTIVATIONS[self.name], y, g, dx)
        return dx


class Tanh(_Activation):
    """``y = tanh(x)``, element by element; ``dx = (1 - y²) g``."""

    name = "tanh"


class ReLU(_Activation):
    """``y = max(x, 0)``, element by element; ``dx = g`` where y > 0, else 0. NaN stays NaN."""

    name = "relu"


class Sigmoid(_Activation):
    """``y = 1 / (1 + exp(-x))``, element by element; ``dx = y (1 - y) g``."""

    name = "sigmoid"


class GELU(_Activation):
    """``y = x Phi(x)``, Phi the distribution function of the standard normal (Hendrycks and Gimpel, 2016), exact.

    ``dx = (Phi(x) + x phi(x)) g``.
    """

    name = "gelu"


class SiLU(_Activation):
    """``y = x sigmoid(x)``, also called swish (Elfwing et al., 2018); ``dx = s (1 + x (1 - s)) g``, s = sigmoid(x)."""

    name = "silu"


NATIVE = (Dense, LayerNorm, Dropout, OrderedThresholds, Tanh, ReLU, Sigmoid, GELU, SiLU)  # with arithmetic in our C


def _size(name, value):
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")
    return size


def _reals(name, x, layer):
    """x as a C-contiguous array of float32 or float64 (whole numbers become float64)."""
    x = np.asarray(x)
    if x.dtype.kind not in "fiub" or x.dtype.itemsize > 8:
        raise TypeError(f"{name} of {layer!r} must hold real numbers, got {x.dtype}")
    return np.ascontiguousarray(x, np.float32 if x.dtype == np.float32 else np.float64)


def _matrix(name, x, dtype, shape, layer):
    """x as a C-contiguous array of the dtype, of the shape, where None fits any length."""
    if not (isinstance(x, np.ndarray) and x.dtype == dtype and x.flags.c_contiguous):
        x = np.ascontiguousarray(_reals(name, x, layer), dtype)
    if x.ndim != len(shape) or any(want is not None and want != got for want, got in zip(shape, x.shape, strict=True)):
        wanted = "(" + ", ".join("rows" if want is None else str(want) for want in shape) + ")"
        raise ValueError(f"{name} of {layer!r} must have the shape {wanted}, got {x.shape}")
    return x


def _remembered(layer, name):
    try:
        return layer.__dict__[name]
    except KeyError:
        raise RuntimeError(f"{layer!r}: backward needs a forward before it") from None

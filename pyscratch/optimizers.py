"""Optimizers: settings only. Their state (steps taken, velocity, moments) lives in the network that they train.

An optimizer of your own derives from :class:`Optimizer`, names its state arrays in ``slots`` and says ``update``::

    @dataclasses.dataclass(frozen=True)
    class SignDescent(ps.Optimizer):
        learning_rate: float = 1e-3
        def update(self, value, gradient, slots, step, rate):
            value -= rate * np.sign(gradient)
"""

import dataclasses
import math
import numbers

import numpy as np

from pyscratch import _native
from pyscratch._checks import whole
from pyscratch._storage import options_of
from pyscratch.layers import Dropout
from pyscratch.schedules import Cosine, Plateau, Schedule, Warmup

__all__ = ["LBFGS", "SGD", "Adam", "AdamW", "Cosine", "Optimizer", "Plateau", "Warmup"]


class Optimizer:
    """What every optimizer has: ``learning_rate``, the names of its state arrays, and one step.

    Attributes
    ----------
    slots : tuple of str
        One flat array of zeros for each, of the parameters' size and dtype, is kept by the network.
    learning_rate : float or Schedule
        Of the next step.
    clip_norm : float or None
        Before a step the gradient of all parameters is scaled so that its norm is at most this (Pascanu et al., 2013).
    weight_decay : float
        Before a step, matrices (not biases) are multiplied by ``1 - rate · weight_decay`` (Loshchilov & Hutter, 2019).
    """

    slots = ()
    learning_rate = 1e-3
    clip_norm = None
    weight_decay = 0.0

    def check(self, net):
        """Raise what is wrong with training this network by this optimizer, before anything has changed."""

    def update(self, value, gradient, slots, step, rate):
        """One step in place.

        Parameters
        ----------
        value, gradient : ndarray (n,)
            All parameters of the network and the gradient of the batch's mean loss.
        slots : list of ndarray (n,)
            The state arrays, in the order of `slots`.
        step : int
            1 at the first step since the state was made.
        rate : float
            The learning rate of this step.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say update(value, gradient, slots, step, rate)")

    def clip(self, gradient):
        """Scale the gradient in place so that its norm, summed in double, is at most `clip_norm`."""
        norm = np.linalg.norm(gradient.astype(np.float64))
        if norm > self.clip_norm:
            gradient *= gradient.dtype.type(self.clip_norm / norm)

    def bind(self, value, gradient, slots):
        """``call(step, rate)`` on fixed arrays: what a training loop uses."""

        def call(step, rate):
            self.update(value, gradient, slots, step, rate)

        return call

    @property
    def options(self):
        """The constructor's arguments; `Network.save` writes them."""
        return options_of(self)


class _Native(Optimizer):
    """One C call on the flat arrays; ``_constants`` are its settings as a `ps_plan` names them."""

    def update(self, value, gradient, slots, step, rate):
        self.bind(value, gradient, slots)(step, rate)

    def clip(self, gradient):
        """Scale the gradient in place so that its norm, summed in double, is at most `clip_norm`."""
        _native.clip(gradient, self.clip_norm)

    def _common(self):
        return {"clip": self.clip_norm or 0.0, "decay": self.weight_decay}


@dataclasses.dataclass(frozen=True)
class SGD(_Native):
    """Stochastic gradient descent with momentum (Polyak, 1964): ``v = momentum v + g``, ``w = w - learning_rate v``.

    Nesterov's looks ahead (Sutskever et al., 2013): ``w = w - learning_rate (momentum v + g)``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Finite and > 0.
    momentum : float
        In [0, 1); 0 keeps no velocity.
    nesterov : bool
        Needs momentum.
    weight_decay : float
        >= 0; acts on matrices, not on biases: see `Optimizer`.
    clip_norm : float, optional
        Most that the norm of the gradient may be; > 0.
    """

    learning_rate: float | Schedule = 1e-2
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self):
        _settle(self, learning_rate=math.inf, momentum=1)
        if not isinstance(self.nesterov, (bool, np.bool_)):
            raise TypeError(f"nesterov must be True or False, got {self.nesterov!r}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum > 0, such as SGD(1e-2, momentum=0.9, nesterov=True)")

    @property
    def slots(self):
        """The velocity, unless the momentum is 0."""
        return ("velocity",) if self.momentum else ()

    def _constants(self):
        settings = {"optimizer": _native.OPTIMIZERS["sgd"], "momentum": self.momentum, "nesterov": self.nesterov}
        return {**settings, **self._common()}

    def bind(self, value, gradient, slots):
        """``call(step, rate)`` on fixed arrays: one C call."""
        sgd = _native.bind_sgd(value, gradient, slots[0] if slots else None, self.momentum, self.nesterov)
        return lambda step, rate: sgd(rate)


@dataclasses.dataclass(frozen=True)
class Adam(_Native):
    """Adam (Kingma and Ba, 2015, algorithm 1).

    ``m = beta1 m + (1 - beta1) g``, ``v = beta2 v + (1 - beta2) g²``, and with the bias corrections
    ``w = w - learning_rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Finite and > 0.
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
        Finite and > 0.
    clip_norm : float, optional
        Most that the norm of the gradient may be; > 0.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float | None = None

    slots = ("m", "v")

    def __post_init__(self):
        _settle(self, learning_rate=math.inf, beta1=1, beta2=1, epsilon=math.inf)

    def corrections(self, step):
        """``1 - beta1^step`` and ``1 - beta2^step``."""
        return 1.0 - self.beta1**step, 1.0 - self.beta2**step

    def _constants(self):
        names = ("beta1", "beta2", "epsilon")
        settings = {"optimizer": _native.OPTIMIZERS["adam"], **{name: getattr(self, name) for name in names}}
        return {**settings, **self._common()}

    def bind(self, value, gradient, slots):
        """``call(step, rate)`` on fixed arrays: one C call."""
        adam = _native.bind_adam(value, gradient, *slots, self.beta1, self.beta2, self.epsilon)

        def call(step, rate):
            adam(rate, *self.corrections(step))

        return call


@dataclasses.dataclass(frozen=True)
class AdamW(Adam):
    """`Adam` with decoupled weight decay (Loshchilov and Hutter, 2019): see `Optimizer`.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, clip_norm
        As for `Adam`.
    weight_decay : float
        >= 0; acts on matrices, not on biases.
    """

    weight_decay: float = 1e-2


@dataclasses.dataclass(frozen=True)
class LBFGS(Optimizer):
    """Limited-memory BFGS through ``scipy.optimize``, for convex problems and small networks: all rows in every step.

    ``net.fit(X, y, epochs=500, optimizer=ps.LBFGS())``: an epoch is one step, a direction and a line search along it,
    which asks for loss and gradient of all rows once or a few times. The fit ends at ``epochs``, or earlier when it has
    converged: ``history.stopped`` says so. ``batch_size`` and ``shuffle`` mean nothing to it, a network with Dropout is
    refused, and its memory begins anew in each fit. Train in float64: float32 ends where its rounding begins.

    Parameters
    ----------
    memory : int
        How many of the last steps tell it about curvature; at least 1.
    tolerance : float
        Converged when no element of the gradient of the mean loss is larger, or when the loss falls no more but by
        rounding: for a mean loss near 1 at about 1e-8 (a GLM is exact by `Network.fit_exact`); > 0.
    weight_decay : float
        Adds ``weight_decay / 2`` times the sum of squares of the matrices (not the biases) to the mean loss: for SGD
        the setting of that name has the same optimum. `History` holds the loss alone.
    """

    memory: int = 10
    tolerance: float = 1e-6
    weight_decay: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "memory", whole("memory", self.memory, 1))
        _settle(self, tolerance=math.inf)

    def check(self, net):
        """ImportError without scipy, ValueError for a network whose loss is random."""
        self.minimize()
        if any(isinstance(layer, Dropout) and layer.rate for layer in net.layers):
            raise ValueError("LBFGS needs a loss that is the same at each call, but Dropout draws: use Adam")

    @staticmethod
    def minimize():
        """Return ``scipy.optimize.minimize``."""
        try:
            from scipy.optimize import minimize
        except ImportError:
            raise ImportError("LBFGS needs scipy: pip install 'pyscratch[lbfgs]'") from None
        return minimize


def _settle(settings, **limits):
    """Each setting as a float; limit 1: in [0, 1), limit infinity: finite and > 0. Also what every optimizer has."""
    if isinstance(settings.learning_rate, Schedule):
        limits.pop("learning_rate", None)
    if settings.clip_norm is not None:
        limits["clip_norm"] = math.inf
    decay = settings.weight_decay
    if isinstance(decay, bool) or not isinstance(decay, numbers.Real):
        raise TypeError(f"weight_decay must be a number, got {decay!r}")
    if not 0 <= decay < math.inf:
        raise ValueError(f"weight_decay must be finite and >= 0, got {decay!r}")
    for name, limit in limits.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{name} must be a number, got {value!r}")
        if not (0 <= value < limit and (limit == 1 or value > 0)):
            raise ValueError(f"{name} must be {'in [0, 1)' if limit == 1 else 'finite and > 0'}, got {value!r}")
        object.__setattr__(settings, name, float(value))  # the dataclasses are frozen

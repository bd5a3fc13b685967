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

from pyscratch import _native
from pyscratch._storage import options_of

__all__ = ["SGD", "Adam", "Optimizer"]


class Optimizer:
    """What every optimizer has: ``learning_rate``, the names of its state arrays, and one step.

    Attributes
    ----------
    slots : tuple of str
        One flat array of zeros for each, of the parameters' size and dtype, is kept by the network.
    """

    slots = ()
    learning_rate = 1e-3

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


@dataclasses.dataclass(frozen=True)
class SGD(_Native):
    """Stochastic gradient descent with momentum (Polyak, 1964): ``v = momentum v + g``, ``w = w - learning_rate v``.

    Parameters
    ----------
    learning_rate : float
        Finite and > 0.
    momentum : float
        In [0, 1); 0 keeps no velocity.
    """

    learning_rate: float = 1e-2
    momentum: float = 0.0

    def __post_init__(self):
        _settle(self, learning_rate=math.inf, momentum=1)

    @property
    def slots(self):
        """The velocity, unless the momentum is 0."""
        return ("velocity",) if self.momentum else ()

    def _constants(self):
        return {"optimizer": _native.OPTIMIZERS["sgd"], "momentum": self.momentum}

    def bind(self, value, gradient, slots):
        """``call(step, rate)`` on fixed arrays: one C call."""
        sgd = _native.bind_sgd(value, gradient, slots[0] if slots else None, self.momentum)
        return lambda step, rate: sgd(rate)


@dataclasses.dataclass(frozen=True)
class Adam(_Native):
    """Adam (Kingma and Ba, 2015, algorithm 1).

    ``m = beta1 m + (1 - beta1) g``, ``v = beta2 v + (1 - beta2) g²``, and with the bias corrections
    ``w = w - learning_rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)``.

    Parameters
    ----------
    learning_rate : float
        Finite and > 0.
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
        Finite and > 0.
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    slots = ("m", "v")

    def __post_init__(self):
        _settle(self, learning_rate=math.inf, beta1=1, beta2=1, epsilon=math.inf)

    def corrections(self, step):
        """``1 - beta1^step`` and ``1 - beta2^step``."""
        return 1.0 - self.beta1**step, 1.0 - self.beta2**step

    def _constants(self):
        names = ("beta1", "beta2", "epsilon")
        return {"optimizer": _native.OPTIMIZERS["adam"], **{name: getattr(self, name) for name in names}}

    def bind(self, value, gradient, slots):
        """``call(step, rate)`` on fixed arrays: one C call."""
        adam = _native.bind_adam(value, gradient, *slots, self.beta1, self.beta2, self.epsilon)

        def call(step, rate):
            adam(rate, *self.corrections(step))

        return call


def _settle(settings, **limits):
    """Each setting as a float; limit 1: in [0, 1), limit infinity: finite and > 0."""
    for name, limit in limits.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{name} must be a number, got {value!r}")
        if not (0 <= value < limit and (limit == 1 or value > 0)):
            raise ValueError(f"{name} must be {'in [0, 1)' if limit == 1 else 'finite and > 0'}, got {value!r}")
        object.__setattr__(settings, name, float(value))  # the dataclasses are frozen

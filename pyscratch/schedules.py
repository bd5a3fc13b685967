"""Learning rates that change: given to an optimizer in place of a number, as in ``Adam(Cosine(1e-3, epochs=50))``.

A schedule of your own derives from :class:`Schedule` and says ``rates(done, nll)``.
"""

import dataclasses
import math
import numbers

import numpy as np

from pyscratch._storage import options_of

__all__ = ["Cosine", "Plateau", "Schedule", "Warmup"]


class Schedule:
    """What every schedule has."""

    def rates(self, done, nll):
        """The learning rate of each step of an epoch: an array of their number, or one number for all.

        Parameters
        ----------
        done : ndarray (steps,)
            How many epochs, with fractions, will be done after each step, since the optimizer's state was made.
        nll : list of float
            What is watched, one number per finished epoch since then: the validation nll, or that of training. A fit
            that watches the other of the two, or has another schedule, begins a new list.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say rates(done, nll)")

    @property
    def options(self):
        """The constructor's arguments; `Network.save` writes them."""
        return options_of(self)


@dataclasses.dataclass(frozen=True)
class Warmup(Schedule):
    """Rises in a straight line to ``peak`` within the first ``warmup`` epochs, then stays (Goyal et al., 2017).

    Parameters
    ----------
    peak : float
        Finite and > 0.
    warmup : float
        Epochs, >= 0; fractions are allowed.
    """

    peak: float
    warmup: float = 1.0

    def __post_init__(self):
        _numbers(self, peak=(0, False), warmup=(0, True))

    def rates(self, done, nll):
        """``peak · min(1, done / warmup)``."""
        return self.peak * np.minimum(1.0, done / self.warmup) if self.warmup else np.full_like(done, self.peak)


@dataclasses.dataclass(frozen=True)
class Cosine(Schedule):
    """After a `Warmup` falls to ``floor`` along half a cosine, and stays (Loshchilov and Hutter, SGDR, 2017).

    Parameters
    ----------
    peak : float
        Finite and > 0.
    epochs : float
        When the floor is reached, counted from the first step, the warm-up included; > warmup.
    warmup, floor : float
        >= 0.
    """

    peak: float
    epochs: float
    warmup: float = 0.0
    floor: float = 0.0

    def __post_init__(self):
        _numbers(self, peak=(0, False), warmup=(0, True), floor=(0, True))
        _numbers(self, epochs=(self.warmup, False))

    def rates(self, done, nll):
        """``floor + (peak - floor) (1 + cos(pi t)) / 2``, t the part of the way from the warm-up's end to epochs."""
        way = np.clip((done - self.warmup) / (self.epochs - self.warmup), 0.0, 1.0)
        falling = self.floor + (self.peak - self.floor) * 0.5 * (1.0 + np.cos(math.pi * way))
        return np.where(done < self.warmup, Warmup(self.peak, self.warmup).rates(done, nll), falling)


@dataclasses.dataclass(frozen=True)
class Plateau(Schedule):
    """Multiplied by ``factor`` whenever the watched nll has not improved for ``patience`` epochs.

    The validation nll is watched, or that of training where nothing is held out. A `fit` with the same schedule goes on
    where the one before ended, also after `Network.save` and `Network.load`.

    Parameters
    ----------
    start : float
        Finite and > 0.
    factor : float
        In (0, 1).
    patience : int
        At least 1.
    min_delta, floor : float
        An improvement is one by more than min_delta; the rate does not fall below the floor. Both >= 0.
    """

    start: float
    factor: float = 0.5
    patience: int = 5
    min_delta: float = 0.0
    floor: float = 0.0

    def __post_init__(self):
        _numbers(self, start=(0, False), factor=(0, False), min_delta=(0, True), floor=(0, True), patience=(0, False))
        if self.factor >= 1:
            raise ValueError(f"factor must be in (0, 1), got {self.factor!r}")

    def rates(self, done, nll):
        """The same for every step of an epoch."""
        rate, best, waited = self.start, math.inf, 0
        for value in nll:
            waited = 0 if value < best - self.min_delta else waited + 1
            best = value if not waited else best
            if waited >= self.patience:
                rate, waited = max(self.factor * rate, self.floor), 0
        return np.full_like(done, rate)


def _numbers(schedule, **limits):
    """Each setting is a finite number above its limit, or at it where that is allowed."""
    for name, (low, allowed) in limits.items():
        value = getattr(schedule, name)
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{name} must be a number, got {value!r}")
        if not (math.isfinite(value) and (value > low or (allowed and value == low))):
            raise ValueError(f"{name} must be finite and {'>=' if allowed else '>'} {low:g}, got {value!r}")

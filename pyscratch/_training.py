"""The loop of `Network.fit`, shared by the library and the reference: epochs, early stopping, history, progress."""

import math
import sys
import time

from pyscratch._plan import Diverged

__all__ = ["History"]


class History:
    """What happened in one `fit`, epoch by epoch.

    Attributes
    ----------
    nll : list of float
        Mean training nll of each epoch, Σwℓ/Σw merged over its batches while the weights move, all constants included.
    validation_nll : list of float
        Mean nll of the held-out rows after each epoch; empty without `validation`.
    learning_rate, seconds : list of float
        Of each epoch; the rate is NaN with `LBFGS`, which has none.
    best_epoch : int or None
        The epoch, counted from 1, with the lowest validation nll (by more than `min_delta`); None without `validation`.
    stopped : str
        Why the fit ended: "epochs", "patience", "callback", or "error" (also after an interrupt); with `LBFGS` also
        "converged", or "line search" when the loss could not be made lower along its last direction.
    """

    def __init__(self):
        self.nll, self.validation_nll, self.learning_rate, self.seconds = [], [], [], []
        self.best_epoch = None
        self.stopped = "epochs"

    def __len__(self):
        return len(self.nll)

    def __repr__(self):
        last = f", nll={self.nll[-1]:.6g}" if self.nll else ""
        if self.validation_nll:
            last += f", validation_nll={self.validation_nll[-1]:.6g}, best_epoch={self.best_epoch}"
        return f"History({len(self)} epochs{last}, stopped={self.stopped!r})"


class Watch:
    """Early stopping: notes the best epoch, keeps its weights when there is patience, says when it is over."""

    def __init__(self, history, patience, min_delta):
        self.history, self.patience, self.min_delta = history, patience, min_delta
        self.best, self.weights = math.inf, None

    def better(self, nll, values):
        """Takes the validation nll of the epoch that ended."""
        epoch = len(self.history)
        if self.history.best_epoch is None or nll < self.best - self.min_delta:
            self.best, self.history.best_epoch = (nll if nll == nll else math.inf), epoch
            if self.patience is not None:
                self.weights = keep(self.weights, values)

    @property
    def over(self):
        return self.patience is not None and len(self.history) - self.history.best_epoch >= self.patience


def keep(place, values):
    """A copy of the values, in place where there is one."""
    if place is None:
        return values.copy()
    place[...] = values
    return place


class Run:
    """What happens between the epochs of a fit: history, early stopping, callbacks, progress."""

    def __init__(self, net, plan, held_out, epochs, patience, min_delta, callbacks, progress):
        self.net, self.plan, self.held_out, self.callbacks = net, plan, held_out, callbacks
        self.history = net.history = History()
        self.watch = Watch(self.history, patience, min_delta) if held_out else None
        self.watched = net._watch("validation_nll" if held_out else "nll")
        self.line = Progress(epochs, progress)
        self.good = net.values.copy()
        self.begin = time.perf_counter()

    def finished(self, total):
        """Takes note of an epoch and its Total; True when it is to be the last."""
        history = self.history
        self.good = keep(self.good, self.net.values)
        history.nll.append(total.mean)
        history.learning_rate.append(self.plan.rate)
        if self.held_out:
            history.validation_nll.append(self.net._total(self.held_out).mean)
            self.watch.better(history.validation_nll[-1], self.net.values)
        self.watched.append((history.validation_nll or history.nll)[-1])
        history.seconds.append(time.perf_counter() - self.begin)
        self.line.show(history)
        asked = [callback(self.net, history) is True for callback in self.callbacks]  # every callback runs
        over = any(asked) or bool(self.watch and self.watch.over)
        if over:
            history.stopped = "callback" if any(asked) else "patience"
        self.begin = time.perf_counter()
        return over


def run(net, plan, held_out, *, epochs, shuffle, patience, min_delta, callbacks, progress):
    """Trains `net` for at most `epochs`; see `Network.fit` for what may happen. Returns the History."""
    run = Run(net, plan, held_out, epochs, patience, min_delta, callbacks, progress)
    history = run.history
    try:
        history.stopped = plan.train(epochs, shuffle, run.finished) or history.stopped
    except Diverged as error:
        net.values[...] = run.good
        net._forget()
        history.stopped = "error"
        raise FloatingPointError(_told(error, len(history), plan.rate)) from None
    except BaseException:
        history.stopped = "error"
        raise
    finally:
        net.scatter()
        run.line.end()
    if run.watch and run.watch.weights is not None:
        net.values[...] = run.watch.weights
        net.scatter()
    return history


def _told(error, epochs, rate):
    """What to say about a fit that diverged after so many good epochs."""
    lower = f"try a lower learning rate than {rate:g}, " if rate == rate else ""
    return (
        f"fit stopped: {error.what} not finite in epoch {epochs + 1}, batch {error.batch}; the weights are those of "
        f"{f'epoch {epochs}' if epochs else 'before the fit'}. Standardise X, {lower}or look for outliers in y"
    )


class Progress:
    """One line on a terminal, rewritten at most ten times a second; nothing where the output is piped."""

    def __init__(self, epochs, wanted):
        self.epochs, self.stream = epochs, sys.stderr
        self.wanted = bool(getattr(self.stream, "isatty", bool)()) if wanted is None else bool(wanted)
        self.begin = self.shown = time.monotonic()
        self.length = 0

    def show(self, history):
        now = time.monotonic()
        if not self.wanted or (now - self.shown < 0.1 and len(history) not in (1, self.epochs)):
            return
        self.shown = now
        done = now - self.begin
        text = f"epoch {len(history)}/{self.epochs}  nll {history.nll[-1]:.5g}"
        if history.validation_nll:
            text += f"  validation {history.validation_nll[-1]:.5g} (best: epoch {history.best_epoch})"
        text += f"  {done:.1f} s, {done * (self.epochs / len(history) - 1):.1f} s left"
        self.stream.write("\r" + text.ljust(self.length))
        self.stream.flush()
        self.length = len(text)

    def end(self):
        if self.length:
            self.stream.write("\n")
            self.stream.flush()

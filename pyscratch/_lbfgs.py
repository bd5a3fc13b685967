"""Training on all rows at once: loss and gradient as functions of the flat parameter vector, for scipy's L-BFGS.

Byrd, Lu, Nocedal and Zhu, A Limited Memory Algorithm for Bound Constrained Optimization, SISC 16 (1995).
"""

import math

import numpy as np

from pyscratch._loss import Total
from pyscratch._plan import Diverged, Plan

BLOCK = 1024  # rows that go through the network at a time


class _Enough(Exception):
    """The fit is over before the search is."""


class FullBatchPlan(Plan):
    """An epoch is one step of L-BFGS: a direction from all rows and the last few steps, and a search along it."""

    def __init__(self, net, rows, batch_size, optimizer, slots):
        super().__init__(net, rows, BLOCK, optimizer, slots)
        self.rate = math.nan

    def train(self, epochs, shuffle, finished):
        """At most so many steps; the network's weights are always those of the last one, whatever ends the fit."""
        net, optimizer = self.net, self.optimizer
        self.good = net.values.astype(np.float64)
        self.tried = None
        if not epochs:
            return None
        self.value, self.slope = self._objective(self.good)[1:]
        if not math.isfinite(self.value):
            raise Diverged(1)
        options = {
            "maxiter": epochs, "maxfun": 100 * epochs + 100, "maxls": 40, "maxcor": optimizer.memory,
            "gtol": optimizer.tolerance, "ftol": float(np.finfo(net.dtype).eps),
        }  # fmt: skip

        def step(x):
            self._accept(x)
            if finished(self.total):
                raise _Enough

        try:
            found = optimizer.minimize()(
                self._guarded, self.good, jac=True, method="L-BFGS-B", callback=step, options=options
            )
        except _Enough:
            return None
        finally:
            net.values[...] = self.good
            net.scatter()
        return {0: "converged", 1: None}.get(found.status, "line search")

    def _accept(self, x):
        """The search ended at x: the last point that it tried, but for a rule of scipy that nobody promises."""
        if self.tried is None or not np.array_equal(x, self.tried):
            self._guarded(x)
        self.good, (self.total, self.value, self.slope) = x.copy(), self.found
        self.net.values[...] = x
        self.net.scatter()
        self.net.steps += 1

    def _guarded(self, x):
        """Loss and gradient; where they are not finite, a parabola that sends the search back a tenth of its way."""
        self.found = total, value, slope = self._objective(x)
        self.tried = x.copy()
        if math.isfinite(value) and np.isfinite(slope).all():
            return value, slope
        way = x - self.good
        fall = abs(self.slope @ way)
        return self.value + 4.0 * fall, 9.0 * fall / max(way @ way, np.finfo(np.float64).tiny) * way

    def _objective(self, x):
        """(Total of the loss, its mean with the penalty, the gradient of that) at the parameters x."""
        net, decay = self.net, self.optimizer.weight_decay
        net.values[...] = x
        net.scatter()
        total, slope = self.base, np.zeros(net.values.size)
        self._tell(net.steps)
        try:
            for first in range(0, len(self.used), self.batch_size):
                if net._stopped:
                    raise KeyboardInterrupt
                part = self._gradient(self.used[first : first + self.batch_size], 1.0 / self.weight)
                total += math.nan if part is None else part
                slope += net.gradients
        except ValueError:
            self._check_targets()
            raise
        finally:
            self._tell(None)
        value = total / self.weight
        for first, count in net.matrices() if decay else ():
            matrix = slice(first, first + count)
            value += 0.5 * decay * (x[matrix] @ x[matrix])
            slope[matrix] += decay * x[matrix]
        return Total(total, self.weight), value, slope

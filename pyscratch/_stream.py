"""Training on batches that come one after another, for data that is larger than memory."""

import math

import numpy as np

from pyscratch import _data
from pyscratch._loss import Total
from pyscratch._plan import Diverged, Plan


class Stream:
    """Batches of an epoch as `Network.fit` takes them: a function that makes an iterator, or an iterable."""

    def __init__(self, batches, epochs):
        if not callable(batches) and not hasattr(batches, "__iter__"):
            raise TypeError(f"y is missing: fit(X, y), or fit(batches) with a function or an iterable, got {batches!r}")
        if isinstance(batches, np.ndarray):
            raise TypeError("y is missing: fit(X, y)")
        self.batches = batches
        self.count = len(batches) if hasattr(batches, "__len__") else None
        if epochs > 1 and not callable(batches) and iter(batches) is batches:
            raise ValueError(
                f"an iterator is used up after one epoch, epochs={epochs}: give the function that makes it, "
                f"fit(batches) instead of fit(batches())"
            )

    def rows(self, net):
        """The checked rows of each batch, counted from 1; batches without rows that count are left out."""
        for number, batch in enumerate(self.batches() if callable(self.batches) else self.batches, 1):
            rows = _data.named(net, batch, f"batch {number}")
            if len(rows.used):
                yield number, rows


class StreamPlan(Plan):
    """A step on each batch as it comes, with the bits of the same steps on arrays."""

    def __init__(self, net, stream, optimizer, slots, start):
        self.net, self.stream, self.optimizer, self.slots, self.start = net, stream, optimizer, slots, start
        self.mean_weight, self.batch_size, self.made_for = 1.0, 0, None
        self.rate = math.nan

    def train(self, epochs, shuffle, finished):
        """Epoch after epoch in the order of the batches, until ``finished(total)`` or there were enough."""
        for _ in range(epochs):
            if finished(self.epoch(None)):
                break

    def _done(self, batches):
        if self.stream.count:
            return super()._done(batches)
        return np.full(batches, len(self.net.history or ()) + 1.0)  # nobody knows how many are to come

    def epoch(self, order):
        """Takes a step on every batch; returns the Total of the epoch."""
        rates = self._rates(self.stream.count or 1)
        self.rate, total, number = float(rates[0]), Total(), 0
        for number, rows in self.stream.rows(self.net):
            if self.net._stopped:
                raise KeyboardInterrupt
            self._take(rows)
            value = self.step(rows.used, float(rates[min(number, len(rates)) - 1]))
            if value is None:
                raise Diverged(number)
            total += Total(value + self.head.base(rows), rows.weight(self.net.head))
        if not number:
            raise ValueError("there are no rows to fit: no batch came, or every weight was 0")
        if not np.isfinite(self.net.values).all():
            raise Diverged(number, "the weights are")
        return total

    def _take(self, rows):
        """Makes a batch the rows of the next step; buffers are made anew where it is larger than those before."""
        net, y, weights, offset = self.net, rows.y, rows.weights, rows.offset
        if self.start:
            self.start = False
            net._start(rows)
        shapes = [None if array is None else (array.dtype, array.shape[1:]) for array in (rows.X, y, weights, offset)]
        made_for = rows.kind, shapes
        self.rows, self.used, self.X = rows, rows.used, rows.X
        if len(self.used) > self.batch_size or made_for != self.made_for:
            self.batch_size, self.made_for = max(len(self.used), self.batch_size), made_for
            self._bind(rows, self.optimizer, self.slots)
        self.head.sources = y, weights, offset


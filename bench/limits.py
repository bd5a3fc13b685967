"""What one thread of this machine can do at most: multiply-adds per second, and bytes per second of a copy.

Both are measured by ``limits.c``, compiled for the instruction set that is active, in the same run as the rows that are
held against them: the best of several tries, so that a row's share of its limit is not flattered by noise.
"""

from functools import cached_property, partial
import time

import numpy as np

from bench.native import library

DECLARATIONS = """
size_t multiply_adds_of_a_step(void);
double multiply_adds(size_t steps);
void copy(size_t count, const REAL *from, REAL *to, int past, size_t times);
"""


class Limits:
    """The limits for one instruction set and one real ("float32" or "float64")."""

    def __init__(self, isa, real):
        self.real, self._copies = np.dtype(real), {}
        self._number = "float" if self.real.itemsize == 4 else "double"
        self._lib, ffi = library("limits.c", DECLARATIONS, isa, real)
        self._from_buffer = ffi.from_buffer

    @cached_property
    def flops(self):
        """Floating-point operations per second; a multiply-add is two."""
        steps = 200_000
        seconds = min(timed(lambda: self._lib.multiply_adds(steps)) for _ in range(15))
        return 2 * steps * self._lib.multiply_adds_of_a_step() / seconds

    def bandwidth(self, size):
        """Bytes per second, read and written, of the faster copy that touches ``size`` bytes altogether."""
        size = max(size, 2048)
        if size not in self._copies:
            count = size // 2 // self.real.itemsize
            arrays = [aligned(count, self.real) for _ in range(2)]
            source, target = (self._from_buffer(f"{self._number}[]", array) for array in arrays)
            times = max(1, 2_000_000 // size)
            moved = 2 * times * count * self.real.itemsize
            ways = [partial(self._lib.copy, count, source, target, streaming, times) for streaming in (0, 1)]
            best = min(timed(way) for _ in range(9) for way in ways)
            self._copies[size] = moved / best
        return self._copies[size]

    def seconds(self, moved, flops):
        """The least time for work that must move so many bytes and do so many operations."""
        return max(moved / self.bandwidth(moved), flops / self.flops)

    def table(self):
        """What was measured, for the JSON."""
        copies = [{"bytes": size, "per_second": rate} for size, rate in sorted(self._copies.items())]
        return {"flops": self.flops, "copy": copies}


def aligned(count, real):
    """Return an array that begins at a multiple of 64 bytes, with all its pages there."""
    raw = np.ones(count * real.itemsize + 64, np.uint8)
    return raw[-raw.ctypes.data % 64 :][: count * real.itemsize].view(real)


def timed(function):
    """Return the seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start

"""What the benchmarks measure with: that it is built for this machine and does what it says. Nothing is timed here."""

import numpy as np
import pytest

from bench import composed
from bench.limits import Limits, aligned
from bench.native import library
from pyscratch import _native


@pytest.mark.parametrize("isa", _native.isas() if _native.available else [])
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_the_limits_of_the_machine_can_be_measured(isa, real):
    limits = Limits(isa, real)
    lanes = limits._lib.multiply_adds_of_a_step() // 12
    assert lanes == {"scalar": 1, "neon": 16, "avx2": 32, "avx512": 64}[isa] // np.dtype(real).itemsize or lanes == 1
    assert limits._lib.multiply_adds(100) == 12  # each of the chains went to 1
    source, target = (aligned(1024, limits.real) for _ in range(2))
    source[:] = np.arange(1024)
    for past_the_caches in (0, 1):
        target[:] = 0
        limits._lib.copy(1024, *(limits._from_buffer(f"{limits._number}[]", a) for a in (source, target)),
                         past_the_caches, 1)  # fmt: skip
        assert np.array_equal(source, target)


@pytest.mark.parametrize("isa", _native.isas() if _native.available else [])
@pytest.mark.parametrize("real", composed.REALS)
def test_pairs_fused_by_hand_have_the_same_answer(isa, real, use_isa):
    use_isa(isa)
    lib, ffi = library("composed.c", composed.DECLARATIONS, isa, real)
    for pair, (name, options) in composed.PAIRS.items():
        loss, z, y = composed.drawn(name, options, 101, real)
        composed.check(*composed.by_hand(lib, ffi, pair, z, y), loss, z, y)

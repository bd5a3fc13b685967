"""Fixtures: the product of families, number types and instruction sets."""

import signal

from cases import EXAMPLES, REALS, name_of, twins
import numpy as np
import pytest

from pyscratch import _native

# A shell that starts the tests in the background has SIGINT ignored, and Python then raises no KeyboardInterrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=EXAMPLES, ids=name_of)
def example(request):
    """A family's name and options."""
    return request.param


@pytest.fixture
def pair(example):
    """The native loss and its twin in the reference."""
    return twins(example)


@pytest.fixture(params=REALS, ids=lambda dtype: np.dtype(dtype).name)
def dtype(request):
    """float32 and float64."""
    return request.param


@pytest.fixture
def use_isa():
    """`_native.use_isa`, undone after the test."""
    before = _native.isa() if _native.available else None
    yield _native.use_isa
    if before:
        _native.use_isa(before)


@pytest.fixture
def each_isa(use_isa):
    """Iterates the instruction sets, each of them active in its turn: where the expected answer takes the time."""

    def through():
        for name in _native.isas():
            use_isa(name)
            yield name

    return through


@pytest.fixture(params=_native.isas() if _native.available else ["none: the C kernels are not built"])
def isa(request, use_isa):
    """Every instruction set that this machine runs, active for the test."""
    use_isa(request.param)
    return request.param

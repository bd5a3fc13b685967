"""Calls from several threads and processes at once, and repeated calls: always the same bits."""

from concurrent.futures import ThreadPoolExecutor
import os
from pathlib import Path
import subprocess
import sys

from cases import draw, seeded, widths
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _native, losses

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def two_threads():
    """A pool of two, whatever the machine offers."""
    before = ps.threads()
    yield lambda count: ps.set_threads(count)
    ps.set_threads(before)


def test_any_number_of_threads_gives_the_same_bits(pair, dtype, two_threads):
    loss, _ = pair
    width = widths(loss)[-1]
    z, y = draw(loss, 25_000, width, seeded(loss.name), dtype)
    answers = []
    for count in (1, 2, 1):
        two_threads(count)
        answers.append(loss.nll_and_grad(z, y))
    for value, grad in answers[1:]:
        assert value == answers[0][0] and np.array_equal(grad, answers[0][1])


def test_python_threads_do_not_meet():
    cases = [(losses.Poisson(), *draw(losses.Poisson(), 5000, 1, seeded(i))) for i in range(4)]
    want = [loss.nll_and_grad(z, y) for loss, z, y in cases]

    def repeat(case):
        return [case[0].nll_and_grad(*case[1:]) for _ in range(50)]

    with ThreadPoolExecutor(4) as pool:
        for answers, (value, grad) in zip(pool.map(repeat, cases), want, strict=True):
            assert all(v == value and np.array_equal(g, grad) for v, g in answers)


def test_errors_in_python_threads_keep_their_rows():
    def bad_row(row):
        y = np.zeros(5000)
        y[row:] = -1
        messages = set()
        for _ in range(30):
            with pytest.raises(ValueError) as caught:
                losses.Poisson().nll(np.zeros(5000), y)
            messages.add(str(caught.value).split(" ")[0])
        return messages

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(bad_row, [10, 2000, 4999])) == [{"y[10]"}, {"y[2000]"}, {"y[4999]"}]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes():
    z, y = draw(losses.Poisson(), 100_000, 1, seeded("fork"))
    want = losses.Poisson().nll(z, y)
    for _ in range(5):
        child = os.fork()
        if child == 0:
            os._exit(0 if losses.Poisson().nll(z, y) == want else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not _native.available, reason="the C kernels are not built")
def test_the_environment_chooses_an_instruction_set():
    """PYSCRATCH_ISA; a name that is unknown is an error, and so is one that this machine does not run."""

    def run(name):
        code = "import pyscratch as ps; print(ps.isa())"
        found = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYSCRATCH_ISA": name, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True,
        )  # fmt: skip
        return found.stdout.strip() or found.stderr.strip().splitlines()[-1]

    for isa in _native.isas():
        assert run(isa) == isa
    assert run("") == _native.isas()[0]
    assert run("sse9") == f"ValueError: PYSCRATCH_ISA: instruction set 'sse9': this machine runs {_native.isas()}"

"""The pool of threads: how many, the same bits for any number, forks, signals, several callers, races."""

import os
from pathlib import Path
import shutil
import subprocess
import sys
import threading

from cases import draw, seeded, twins
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _native, losses

if not _native.available:
    pytest.skip("the C kernels are not built", allow_module_level=True)

HERE = Path(__file__).resolve().parent
LOSSES = [ps.Gaussian(), ps.Bernoulli(), ps.Poisson(), ps.HeteroscedasticGaussian(), ps.Categorical()]


@pytest.fixture(autouse=True)
def same_count_afterwards():
    """Each test leaves the number of threads as it was."""
    before = ps.threads()
    yield
    ps.set_threads(before)


def run(program, **environment):
    """What a new interpreter prints, started beside the package that is tested."""
    environment = {**os.environ, "PYTHONPATH": str(Path(ps.__file__).parent.parent), **environment}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def large(loss, dtype, rows=100_000):
    """Logits and targets of so many rows that threads share them."""
    rng = np.random.default_rng(0)
    width = 7 if isinstance(loss, ps.Categorical) else loss.width(1)
    y = rng.integers(0, 2, rows)
    return rng.normal(size=(rows, width)).astype(dtype), y if width == 7 else y.astype(dtype)


def test_the_count():
    """0 chooses; what does not fit is refused and changes nothing."""
    ps.set_threads(3)
    assert ps.threads() == 3
    for bad in (-1, 100_000, 1.5, "2"):
        with pytest.raises(ValueError):
            ps.set_threads(bad)
        assert ps.threads() == 3
    ps.set_threads()
    assert 1 <= ps.threads() <= 256


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_the_default_obeys_the_affinity():
    """A process that may run on one processor uses one thread."""
    one = next(iter(os.sched_getaffinity(0)))
    pin = f"import os; os.sched_setaffinity(0, {{{one}}}); import pyscratch as ps; print(ps.threads())"
    assert run(pin, PYSCRATCH_THREADS="") == "1"


def test_the_environment_chooses():
    """PYSCRATCH_THREADS."""
    assert run("import pyscratch as ps; print(ps.threads())", PYSCRATCH_THREADS="5") == "5"


@pytest.mark.parametrize("name", losses.families)
def test_heads_have_the_same_bits_for_any_number_of_threads(isa, dtype, name):
    """Value, gradient and rows of every family, over several blocks."""
    loss, _ = twins((name, losses.families[name].examples[0]))
    width = 7 if loss.of_classes else loss.width(1)
    rows = 40_000 // (1 if loss.of_classes else width)
    z, y = draw(loss, rows, width, seeded(name), dtype)
    ps.set_threads(1)
    value, grad = loss.nll_and_grad(z, y)
    each = loss.nll(z, y, reduction="none")
    for threads in (2, 3, 8, 64, 2):
        ps.set_threads(threads)
        for _ in range(2):
            again, regrad = loss.nll_and_grad(z, y)
            assert again == value and (regrad == grad).all()
        assert (loss.nll(z, y, reduction="none") == each).all()


@pytest.mark.parametrize("name", losses.families)
def test_a_row_does_not_depend_on_its_batch(isa, dtype, name):
    """Whichever rows stand beside it, wherever the arrays begin and however far apart their elements are."""
    loss, _ = twins((name, losses.families[name].examples[0]))
    rng = seeded(name)
    z, y = draw(loss, 9_000, 7 if loss.of_classes else loss.width(1), rng, dtype)
    each, grad = loss.nll(z, y, reduction="none"), loss.grad(z, y, reduction="sum")
    for rows in (1, 2, 5, 16, 37, 8_500):
        pick = rng.permutation(9_000)[:rows]
        moved = [np.empty((2 * (rows + 1), *array.shape[1:]), array.dtype) for array in (z, y)]
        for place, array in zip(moved, (z, y), strict=True):
            place[2::2] = array[pick]
        for near, far in ((z[pick], y[pick]), (moved[0][2::2], moved[1][2::2])):
            assert (loss.nll(near, far, reduction="none") == each[pick]).all()
            assert (loss.grad(near, far, reduction="sum") == grad[pick]).all()
        shifted = [np.empty(array[pick].size + 1, array.dtype)[1:].reshape(array[pick].shape) for array in (z, y)]
        shifted[0][...], shifted[1][...] = z[pick], y[pick]
        assert (loss.grad(*shifted, reduction="sum") == grad[pick]).all()


def test_several_python_threads_at_once():
    """One of them has the pool, the others work alone: each gets its own answer."""
    ps.set_threads(4)
    cases = [(loss, *large(loss, np.float64, 30_000)) for loss in LOSSES]
    want = [loss.nll_and_grad(z, y) for loss, z, y in cases]
    wrong = []

    def work(first):
        for turn in range(20):
            which = (first + turn) % len(cases)
            loss, z, y = cases[which]
            value, grad = loss.nll_and_grad(z, y)
            if value != want[which][0] or (grad != want[which][1]).any():
                wrong.append((first, turn))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


FORK = """
import os, warnings
import numpy as np, pyscratch as ps
warnings.simplefilter("ignore", DeprecationWarning)
ps.set_threads(3)
z = np.linspace(-3, 3, 100_000); y = (z > 0).astype(float); loss = ps.Bernoulli()
want = loss.nll(z, y)
for turn in range(100):
    child = os.fork()
    if not child:
        same = loss.nll(z, y) == want
        if turn % 10 == 0 and os.fork() == 0:
            os._exit(0 if loss.nll(z, y) == want else 3)
        if turn % 10 == 0:
            same = same and os.wait()[1] == 0
        os._exit(0 if same else 3)
    assert loss.nll(z, y) == want
    assert os.waitpid(child, 0)[1] == 0, turn
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forks_after_use_work():
    """A hundred times: parent, child and grandchild compute with their pools."""
    assert run(FORK) == "ok"


WORKERS = """
import os, threading
import numpy as np, pyscratch as ps
ps.set_threads(3)
z = np.zeros(300_000)
ps.Gaussian().nll(z, z)
for task in os.listdir("/proc/self/task"):
    if int(task) != os.getpid():
        lines = dict(line.split(":", 1) for line in open(f"/proc/self/task/{task}/status"))
        print(int(lines["SigBlk"], 16))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_workers_block_signals():
    """All that can be blocked: SIGINT, SIGTERM, SIGALRM, SIGPROF and the rest go to Python's threads."""
    masks = [int(line) for line in run(WORKERS, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1").split()]
    wanted = sum(1 << (number - 1) for number in (1, 2, 3, 10, 12, 14, 15, 17, 27))
    assert len(masks) == 2
    assert all(mask & wanted == wanted for mask in masks)


FLUSH = """
import numpy as np, torch, pyscratch as ps
assert torch.set_flush_denormal(True)
ps.set_threads(3)
z = np.full((300_000, 1), 1e-41, np.float32)
grad = ps.Gaussian().grad(z, 0 * z, reduction="sum")
print((grad.view(np.int32) == z.view(np.int32)).all(), float(torch.tensor(1e-41) * 1.0))
"""


def test_anothers_flush_to_zero_changes_no_bits():
    """Workers that start under flush-to-zero keep small numbers, and the caller keeps its mode."""
    pytest.importorskip("torch")
    assert run(FLUSH) == "True 0.0"


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_the_pool_under_sanitizers(tmp_path, sanitizer):
    """tests/pool.c: several callers, nested calls, counts that change, sleeping workers."""
    compiler, source = shutil.which("cc"), HERE.parent / "csrc"
    if not compiler or not source.is_dir():
        pytest.skip("needs cc and the sources")
    program = tmp_path / "pool"
    build = [compiler, "-std=gnu11", "-O1", "-g", f"-fsanitize={sanitizer}", f"-I{source}", HERE / "pool.c"]
    built = subprocess.run([*build, source / "threads.c", "-o", program, "-pthread"], capture_output=True, text=True)
    if built.returncode:
        pytest.skip(f"cc does not build with -fsanitize={sanitizer}: {built.stderr.strip()[-200:]}")
    done = subprocess.run([program], capture_output=True, text=True, timeout=120)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("this kernel's memory layout is not one that the sanitizer knows")
    assert done.returncode == 0 and done.stdout == "ok\n", done.stdout + done.stderr

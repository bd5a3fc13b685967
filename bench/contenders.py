"""What is timed: cases, and the contenders for each kind of case.

A contender is a function of a case that prepares everything and returns a call without arguments; what that returns is
checked against the float64 reference before it is timed. It returns None for a case that it cannot do, and a library
that is not installed is skipped. To add one: a function below, under ``@contender(kind, name, against=...)``, which
names the contender of pyscratch that does the same work: "bound" leaves out terms in y alone (log y!, log 2π / 2), or
rather computes them once; "call" checks its arguments, computes all terms and allocates its gradient. Other libraries
stand in `peers`.
"""

from dataclasses import dataclass, field

import numpy as np

from bench import CORES
from pyscratch import Gaussian, Network, _native, compare, layers, losses, reference

REALS = ("float32", "float64")
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # of a checked answer, relative to max(unit of the case, |exact|)
HEAD_ROWS = (32, 1_000, 100_000, 4_000_000)
REFERENCE_UP_TO = 5_000_000  # logits
LABEL_SIZES = ((32, 10), (1_000, 10), (10_000, 10), (4_096, 1_000), (256, 50_000))
DENSE_SIZES = (
    (32, 16, 16), (32, 64, 64), (128, 128, 128), (256, 256, 256),
    (1024, 512, 512), (4096, 784, 128), (1024, 1024, 1024),
)  # fmt: skip
DENSE_KINDS = ("dense forward", "dense both")

CONTENDERS = {}  # kind of case -> name -> function
RIVALS = {}  # kind of case -> name of a contender of pyscratch -> names of those that do the same work
WITHOUT_CONSTANTS = set()  # (kind, name) of those whose value lacks the terms in y alone


def contender(kind, name, against=None, constants=True):
    """Enter a function in the registry; ``against`` is the contender of pyscratch that it is measured against."""

    def enter(function):
        CONTENDERS.setdefault(kind, {})[name] = function
        if not constants:
            WITHOUT_CONSTANTS.add((kind, name))
        if against:
            RIVALS.setdefault(kind, {}).setdefault(against, []).append(name)
        return function

    return enter


@dataclass
class Case:
    """One row of the table: what everybody computes, the exact answer, and the least work it takes."""

    kind: str
    name: str
    real: str
    size: tuple
    inputs: dict = field(repr=False)
    exact: tuple = field(repr=False)
    bytes: int = 0  # read and written at least once
    flops: int = 0
    unit: float = 1.0  # size of what is added up to an answer
    without_constants: tuple = field(default=(), repr=False)  # exact, less the terms in y alone

    def answer(self, name):
        """Return what the contender of that name must return."""
        return self.without_constants if (self.kind, name) in WITHOUT_CONSTANTS else self.exact


# ---- heads: nll and gradient in one pass ----


def head_case(kind, name, size, real, **options):
    """Return the case of a head on (rows,) or (rows, classes), summed over rows."""
    options = options or losses.families[name].examples[0]
    loss, twin = losses.families[name](**options), reference.families[name](**options)
    rows, outputs = size if len(size) == 2 else (*size, 1)
    z, y = compare.draw(twin, rows, outputs, np.random.default_rng(0), real)
    exact = twin.nll_and_grad(z.astype(float), y.astype(float) if y.dtype.kind == "f" else y, reduction="sum")
    moved = 2 * z.nbytes + y.nbytes  # logits and targets in, gradient out
    unit = max(1.0, float(np.abs(exact[1]).max()))  # a gradient by a small scale rounds by its largest entries
    return Case(kind, name, real, size, {"loss": loss, "twin": twin, "z": z, "y": y}, exact, bytes=moved, unit=unit)


def head_cases(quick=False):
    """Yield (kind, name, size, real) of each case of the heads."""
    for name, cls in losses.families.items():
        sizes = LABEL_SIZES if cls.of_classes else [(rows,) for rows in HEAD_ROWS]
        for size in sizes[: 2 if quick else None]:
            for real in REALS:
                yield "head", name, size, real


@contender("head", "bound")
def native_head(case):
    """Return the bound call: what a training loop does."""
    return case.inputs["loss"].bind(case.inputs["z"], case.inputs["y"], reduction="sum").nll_and_grad


@contender("head", "call")
def checked_head(case):
    """Return the call that checks its arguments and allocates its gradient."""
    loss, z, y = case.inputs["loss"], case.inputs["z"], case.inputs["y"]
    return lambda: loss.nll_and_grad(z, y, reduction="sum")


@contender("head", "reference", against="call")
def reference_head(case):
    """Return the textbook formulas in NumPy, where they end within a second or so."""
    if case.inputs["z"].size > REFERENCE_UP_TO:
        return None
    twin, z, y = case.inputs["twin"], case.inputs["z"], case.inputs["y"]
    return lambda: twin.nll_and_grad(z, y, reduction="sum")


# ---- Dense: forward, and forward with backward ----


def dense_case(kind, name, size, real):
    """Return the case of a Dense layer: y, or (y, dx, dW, db)."""
    rows, n_in, n_out = size
    rng = np.random.default_rng(0)
    shapes = {"x": (rows, n_in), "W": (n_in, n_out), "b": (n_out,), "g": (rows, n_out)}
    inputs = {name: rng.standard_normal(shape).astype(real) for name, shape in shapes.items()}
    inputs["W"] /= np.sqrt(n_in)
    x, W, b, g = (inputs[name].astype(float) for name in shapes)
    exact = (x @ W + b,) if kind == "dense forward" else (x @ W + b, g @ W.T, x.T @ g, g.sum(axis=0))
    products = 1 if kind == "dense forward" else 3
    moved = sum(array.nbytes for array in inputs.values()) * (1 if products == 1 else 2)  # as many results as inputs
    unit = np.sqrt(max(size))  # the longest sum of products of standard normal numbers is about that large
    return Case(kind, name, real, size, inputs, exact, moved, 2 * rows * n_in * n_out * products, unit)


def dense_cases(quick=False):
    """Yield (kind, name, size, real) of each case of Dense."""
    for kind in DENSE_KINDS:
        for size in DENSE_SIZES[: 3 if quick else None]:
            for real in REALS:
                yield kind, "Dense", size, real


def layer_calls(layer, case, kind):
    """Return the calls of a layer, with the case's parameters in it."""
    net = Network([layer], loss=Gaussian(), dtype=case.real)
    layer = net.layers[0]
    layer.W, layer.b = case.inputs["W"], case.inputs["b"]
    x, g = case.inputs["x"], case.inputs["g"]
    if kind == "dense forward":
        return lambda: (layer.forward(x),)
    return lambda: (layer.forward(x), layer.backward(g), layer.dW, layer.db)


for _kind in DENSE_KINDS:

    @contender(_kind, "bound")
    def native_dense(case, kind=_kind):
        """Return the kernels on fixed buffers: what a training loop does."""
        x, W, b, g = (case.inputs[name] for name in "xWbg")
        y, dx, dW, db = (np.empty_like(array) for array in (g, x, W, b))
        workspace = np.empty(_native.dense_workspace(x.dtype, *case.size), np.uint8)
        forward = _native.bind_dense_forward(x, W, b, "identity", y, workspace)
        backward = _native.bind_dense_backward(x, W, "identity", y, g, dx, dW, db, workspace)
        rows = len(x)

        def both():
            forward(rows)
            backward(rows)
            return y, dx, dW, db

        def alone():
            forward(rows)
            return (y,)

        return alone if kind == "dense forward" else both

    @contender(_kind, "call")
    def native_layer(case, kind=_kind):
        """Return the layer of the library, which allocates its outputs."""
        return layer_calls(layers.Dense(*case.size[1:]), case, kind)

    @contender(_kind, "reference", against="call")
    def reference_dense(case, kind=_kind):
        """Return the layer of the reference: NumPy's matrix products."""
        return layer_calls(reference.Dense(*case.size[1:]), case, kind)

    @contender(_kind, "numpy out=", against="bound")
    def numpy_dense(case, kind=_kind):
        """Return NumPy's matrix products into fixed buffers."""
        x, W, b, g = (case.inputs[name] for name in "xWbg")
        y, dx, dW, db = (np.empty_like(array) for array in (g, x, W, b))

        def alone():
            np.matmul(x, W, out=y)
            return (np.add(y, b, out=y),)

        def both():
            alone()
            np.matmul(g, W.T, out=dx)
            np.matmul(x.T, g, out=dW)
            return y, dx, dW, np.sum(g, axis=0, out=db)

        return alone if kind == "dense forward" else both


# ---- threads ----


def thread_cases(quick=False):
    """Yield (kind, name, size, real) of heads and Dense on one thread and on two, where two processors may be used."""
    if len(CORES) < 2:
        return
    sizes = {name: LABEL_SIZES[2:4] if losses.families[name].of_classes else [(100_000,), (1_000_000,)]
             for name in losses.families}  # fmt: skip
    for name, each in {**sizes, "Dense": DENSE_SIZES[2:]}.items():
        for size in each[: 1 if quick else None]:
            for real in REALS:
                yield "threads", name, size, real


def thread_case(kind, name, size, real):
    """Return one of these cases; Dense goes forward and back."""
    return dense_case(kind, name, size, real) if name == "Dense" else head_case(kind, name, size, real)


def on_threads(count):
    """Return a contender: the bound call on so many threads."""

    def make(case):
        call = native_dense(case, "dense both") if case.name == "Dense" else native_head(case)

        def run():
            _native.set_threads(count)
            answer = call()
            _native.set_threads(1)
            return answer

        return run

    return make


contender("threads", "two")(on_threads(2))
contender("threads", "one", against="two")(on_threads(1))


MAKERS = [(head_cases, head_case), (dense_cases, dense_case), (thread_cases, thread_case)]


def cases(quick=False, words=""):
    """Yield each case whose description has all of these words in it; only one at a time holds memory."""
    for descriptions, make in MAKERS:
        for description in descriptions(quick):
            text = " ".join(map(str, description)).lower()
            if all(word in text for word in words.lower().split()):
                yield make(*description)

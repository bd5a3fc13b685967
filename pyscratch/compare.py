"""Library and reference side by side: values, gradients, a short training, and how much faster the library is.

usage: python -m pyscratch.compare [head ...]      every head of the registry without arguments; needs only numpy

Logits are drawn where the family's formula is used, targets from the distribution that they describe. A difference is
the largest |C - NumPy| / max(1, |NumPy|) over all elements. Times are medians of calls that take turns, on one thread.
"""

import argparse
import os
import sys
import time

import numpy as np

from pyscratch import _native, losses, reference

ROWS, FEATURES, HIDDEN = 10_000, 8, 32
PROMISES = {"float64": 1e-10, "float32": 1e-3}  # the largest difference that is no mistake


def gap(a, b):
    """Return the largest |a - b| / max(1, |b|); equal infinities and NaN in the same place are no difference."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        each = np.where(same, 0.0, np.abs(a - b) / np.maximum(1, np.abs(b)))
    return float(np.max(each, initial=0.0))


def interleaved(functions, repeats=9, least=2e-3):
    """Return the median seconds of one call of each function; they take turns, so that noise strikes all alike.

    Calls shorter than ``least`` seconds are timed several at once.
    """
    counts, samples = [], [[] for _ in functions]
    for function in functions:
        start = time.perf_counter()
        function()
        counts.append(max(1, int(least / max(time.perf_counter() - start, 1e-7))))
    for _ in range(repeats):
        for function, count, sample in zip(functions, counts, samples, strict=True):
            start = time.perf_counter()
            for _ in range(count):
                function()
            sample.append((time.perf_counter() - start) / count)
    return [float(np.median(sample)) for sample in samples]


def pairs():
    """Yield each family with its options, as (loss of the library, loss of the reference)."""
    for name, cls in losses.families.items():
        for options in cls.examples:
            yield cls(**options), reference.families[name](**options)


def outputs_of(loss):
    """Return how many outputs (classes, for Categorical) a comparison asks of a head."""
    if not loss.of_classes:
        return 1
    return len(loss.class_weights) if loss.options.get("class_weights") else 10


def draw(twin, rows, outputs, rng, dtype=np.float64):
    """Return logits (rows, width) in the family's domain and targets from the distribution that they describe.

    Both are as the kernels read them, so that no conversion is timed.
    """
    z = rng.standard_normal((rows, twin.width(outputs)))
    if twin.typical:
        z += np.repeat(twin.typical[: len(twin.parameters)], outputs)
    z = twin._arranged(z).astype(dtype)
    return z, twin.targets(twin.distribution(z).sample(rng), z.shape[1], dtype)


def quantities(loss, z, y):
    """Return what is compared of one head: a function without arguments for each name."""
    return {
        "nll": lambda: loss.nll(z, y, reduction="none"),
        "grad": lambda: loss.grad(z, y, reduction="sum"),
        "nll_and_grad": lambda: loss.nll_and_grad(z, y),
        "link": lambda: loss.link(z),
        "mean": lambda: loss.mean(z),
        "variance": lambda: loss.variance(z),
        "curvature": lambda: loss.curvature(z, y),
        "fisher": lambda: loss.fisher(z),
    }


def flat(result):
    """Return every number of a result as one array."""
    parts = result if isinstance(result, tuple) else (result,)
    return np.concatenate([np.ravel(part) for part in parts])


def training(ps, loss, X, y, width, dtype):
    """Return a function that trains a small network for ten epochs and returns its history and predictions."""

    def run():
        layers = [ps.Dense(X.shape[1], HIDDEN), ps.Tanh(), ps.Dense(HIDDEN, width)]
        net = ps.Network(layers, loss=loss, rng=0, dtype=dtype)
        history = net.fit(X, y, epochs=10, batch_size=64, progress=False)
        return np.concatenate([history.nll, np.ravel(net.predict(X))])

    return run


def compare(loss, twin, dtype="float64", show=print):
    """Compare one head with its twin, show a table, and return the largest difference.

    One of a quantity that the family states to be approximate counts in parts of what it states.
    """
    import pyscratch

    rng = np.random.default_rng(0)
    z, y = draw(twin, ROWS, outputs_of(loss), rng, dtype)
    X = rng.standard_normal((ROWS // 5, FEATURES)).astype(dtype)
    native, textbook = quantities(loss, z, y), quantities(twin, z, y)
    rows = {name: (function, textbook[name], 9) for name, function in native.items()}
    sides = (pyscratch, loss), (reference, twin)
    # where a network can leave the domain of the link, it will
    trains = not (np.isfinite(loss.domain).any() or loss.increasing)
    if trains:
        rows["training"] = (*(training(ps, head, X, y[: len(X)], z.shape[1], dtype) for ps, head in sides), 3)
    how = f"training: {len(X):,} rows, ten epochs" if trains else "no training: a network's logits may leave the domain"
    show(f"{loss!r}: {ROWS:,} rows of {z.shape[1]} logits, {dtype}; {how}")
    show("                largest difference         C ms     NumPy ms   NumPy/C")
    worst = 0.0
    for name, (mine, its, repeats) in rows.items():
        difference = gap(flat(mine()), flat(its()))
        seconds = interleaved((mine, its), repeats)
        worst = max(worst, difference * PROMISES[dtype] / max(PROMISES[dtype], loss.approximate.get(name, 0)))
        milliseconds = "".join(f"{1e3 * value:13.3f}" for value in seconds)
        show(f"  {name:<16}{difference:16.1e}{milliseconds} {seconds[1] / seconds[0]:8.1f}x")
    show("")
    return worst


def main(arguments=None):
    """Compare the heads that are named; the exit code is 1 when library and reference differ."""
    parser = argparse.ArgumentParser(prog="python -m pyscratch.compare", description=__doc__.splitlines()[0])
    parser.add_argument("heads", nargs="*", metavar="head", help=f"of {', '.join(losses.families)}; default: all")
    parser.add_argument("--float32", action="store_true", help="compare in single precision")
    options = parser.parse_args(arguments)
    chosen = {name.lower() for name in options.heads} or {name.lower() for name in losses.families}
    unknown = chosen - {name.lower() for name in losses.families}
    if unknown:
        parser.error(f"no head {', '.join(sorted(unknown))}: there are {', '.join(losses.families)}")
    dtype = "float32" if options.float32 else "float64"
    _native.set_threads(1)
    wanted = [pair for pair in pairs() if type(pair[0]).__name__.lower() in chosen]
    differing = [repr(loss) for loss, twin in wanted if not compare(loss, twin, dtype) <= PROMISES[dtype]]
    if differing:
        print(f"library and reference differ by more than {PROMISES[dtype]}: {', '.join(differing)}")
    else:
        print(f"library and reference agree to {PROMISES[dtype]} on {len(wanted)} heads")
    return bool(differing)


if __name__ == "__main__":
    if os.environ.get("OMP_NUM_THREADS") != "1":  # NumPy's matrix products read it when they are loaded: start again
        os.execve(sys.executable, [sys.executable, "-m", "pyscratch.compare", *sys.argv[1:]],
                  {**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    sys.exit(main())

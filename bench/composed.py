"""What free links and several quantities at once cost: two tables that `make bench` prints.

Composed pairs of a likelihood and a link run through one general loop. Three of them are held against the same pair
fused by hand in ``composed.c``, whose answer is checked first. And `evaluate` of five quantities is set against
`nll_and_grad` of the same rows, for every family. Medians of interleaved runs on one core.
"""

from functools import partial

import numpy as np

from bench import TURN
from bench.native import library
import pyscratch as ps
from pyscratch import compare, losses, reference
from pyscratch._quantities import USUAL
from pyscratch.compare import interleaved

PAIRS = {
    "poisson_softplus": ("Poisson", {"link": "softplus"}),
    "gamma_reciprocal_softplus": ("Gamma", {"shape": 2.0, "link": "reciprocal_softplus"}),
    "bernoulli_cloglog": ("Bernoulli", {"link": "cloglog"}),
}
DECLARATION = "double {}_by_hand(size_t n, const REAL *z, const REAL *y, REAL *grad);\n"
DECLARATIONS = "".join(map(DECLARATION.format, PAIRS))
SIZES, REALS = (10_000, 100_000), ("float32", "float64")


def drawn(name, options, rows, real):
    """Return the loss with logits and targets."""
    twin = reference.families[name](**options)
    outputs = 10 if twin.of_classes else 1
    z, y = compare.draw(twin, rows, outputs, np.random.default_rng(0), real)
    return losses.families[name](**options), z, y


def by_hand(lib, ffi, pair, z, y):
    """Return the kernel of ``composed.c`` as a call, and its gradient."""
    kernel, number = getattr(lib, f"{pair}_by_hand"), "float" if z.itemsize == 4 else "double"
    grad = np.empty_like(z)
    arguments = [ffi.from_buffer(f"{number}[]", array.reshape(-1)) for array in (z, y)]
    arguments.append(ffi.from_buffer(f"{number}[]", grad.reshape(-1), require_writable=True))
    return partial(kernel, len(z), *arguments), grad


TERMS = {  # Σ of the terms with z
    "Poisson": lambda m, y: m.sum() - (y * np.log(m)).sum(),
    "Gamma": lambda m, y: 2 * (y / m + np.log(m)).sum(),
    "Bernoulli": lambda m, y: -np.log(np.where(y > 0.5, m, 1 - m)).sum(),
}


def check(call, grad, loss, z, y):
    """AssertionError if the kernel fused by hand has another answer than the formula, or than the library."""
    mean = reference.families[type(loss).__name__](**loss.options).mean(z.astype(float).ravel())
    value, want = call(), TERMS[type(loss).__name__](mean, y.astype(float).ravel())
    gradient, bound = loss.grad(z, y, reduction="sum"), 1e-5 if z.itemsize == 4 else 1e-12
    assert abs(value - want) <= bound * max(1, abs(want)), (loss, value, want)
    assert np.all(np.abs(grad - gradient) <= bound * np.maximum(1, np.abs(gradient))), loss


def composed(repeats):
    """Yield (pair, real, rows, microseconds of the library, of the kernel by hand)."""
    for pair, (name, options) in PAIRS.items():
        for real in REALS:
            lib, ffi = library("composed.c", DECLARATIONS, ps.isa(), real)
            for rows in SIZES:
                loss, z, y = drawn(name, options, rows, real)
                z[:2], y[:2] = [[-100], [5]], 1  # where a formula that is written down plainly has no digits left
                call, grad = by_hand(lib, ffi, pair, z, y)
                bound = loss.bind(z, y, reduction="sum")
                check(call, grad, loss, z, y)
                mine, its = interleaved((bound.nll_and_grad, call), repeats, TURN)
                yield pair, real, rows, 1e6 * mine, 1e6 * its


def several(repeats, rows=1_000):
    """Yield (family, microseconds of value and gradient, of five quantities) in float32."""
    for name, cls in losses.families.items():
        loss, z, y = drawn(name, cls.examples[0], rows, "float32")
        both = partial(loss.nll_and_grad, z, y)
        five = partial(loss.evaluate, z, y, want=USUAL)
        two, all_five = interleaved((both, five), repeats, TURN)
        yield name, 1e6 * two, 1e6 * all_five


def main(repeats=9):
    """Print both tables, of one thread; return them for the JSON."""
    ps.set_threads(1)
    print(f"\n{'composed pair, µs':<28}{'real':<9}{'rows':>9}{'composed':>12}{'by hand':>12}{'ratio':>9}")
    pairs = []
    for pair, real, rows, mine, its in composed(repeats):
        pairs.append({"pair": pair, "real": real, "rows": rows, "composed": mine, "by_hand": its})
        print(f"{pair:<28}{real:<9}{rows:>9,}{mine:>12.1f}{its:>12.1f}{mine / its:>8.2f}x")
    print(f"\n{'1,000 rows, float32, µs':<28}{'nll and grad':>15}{'five quantities':>17}{'ratio':>9}")
    families = []
    for name, two, five in several(repeats):
        families.append({"family": name, "nll_and_grad": two, "five": five})
        print(f"{name:<28}{two:>15.1f}{five:>17.1f}{five / two:>8.2f}x")
    return {"composed": pairs, "five_quantities": families}


if __name__ == "__main__":
    main()

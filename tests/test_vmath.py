"""The mathematical functions of the kernels against mpmath: each keeps the bound that csrc/functions.h states."""

import functools

import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _native

mp = pytest.importorskip("mpmath")
if not _native.available:
    pytest.skip("the C kernels are not built", allow_module_level=True)

ffi, lib = _native.ffi, _native.lib
REALS = [np.float32, np.float64]


def names():
    """The functions that the library lists."""
    listed = []
    while (name := lib.ps_function_name(len(listed))) != ffi.NULL:
        listed.append(ffi.string(name).decode())
    return listed


NAMES = names()


def apply(name, a, b=None):
    """y[i] = f(a[i], b[i]) under the active instruction set."""
    y = np.empty_like(a)
    real = REALS.index(a.dtype.type)
    second = ffi.NULL if b is None else ffi.from_buffer(b)
    status = lib.ps_function(NAMES.index(name), real, a.size, ffi.from_buffer(a), second, ffi.from_buffer(y))
    assert status == 0
    return y


def bound(name):
    """(ulp, floor): the error allowed, in ulp of max(|y|, floor)."""
    numbers = ffi.new("double[2]")
    assert lib.ps_function_bound(NAMES.index(name), numbers, numbers + 1) == 0
    return numbers[0], numbers[1]


# ---- what each function is: (formula, points) ----


def real_line(top):
    """Both signs, spaced by logarithm from far below 1 up to top, and evenly over the middle."""

    def points(dtype, rng):
        size = 10 ** rng.uniform(-12, np.log10(top(dtype)), 250)
        return np.concatenate([[0], size, -size, rng.uniform(-4, 4, 250)])

    return points


def half_line(bottom, top, *centres):
    """x > 0, spaced by logarithm, with more points around what is delicate."""

    def points(dtype, rng):
        near = [centre + rng.normal(size=40) * 10.0 ** rng.uniform(-4, -1, 40) for centre in centres]
        return np.concatenate(
            [10 ** rng.uniform(np.log10(bottom), np.log10(top), 300), rng.uniform(0.01, 10, 200), *near]
        )

    return points


def positive_reals(dtype, rng):
    """All exponents of the type, denormals too."""
    tiny, huge = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    return np.concatenate([np.exp(rng.uniform(np.log(tiny), np.log(huge), 400)), rng.uniform(0.5, 2, 300)])


def shapes_and_counts(dtype, rng):
    """Shapes from 1e-3 to 1e12, and counts."""
    a = np.concatenate([10 ** rng.uniform(-3, 12, 300), rng.uniform(0.1, 4, 100)])
    return a, np.concatenate([rng.choice([0.5, 1, 2, 3, 7, 64, 1000], 200), np.floor(10 ** rng.uniform(0, 6, 200))])


def rows_and_counts(dtype, rng):
    """n and k <= n."""
    n = np.floor(10 ** rng.uniform(0, 6, 300))
    return n, np.floor(n * rng.uniform(size=300))


def log1p_minus(x):
    return mp.log1p(x) - x


def log1mexp(x):
    return mp.log(-mp.expm1(-x)) if x < 1 else mp.log1p(-mp.exp(-x))


def ndtr(z):
    return mp.erfc(-z / mp.sqrt(2)) / 2


def log_ndtr(z):
    return mp.log(ndtr(z)) if z < 0 else mp.log1p(-ndtr(-z))


def log_ratio(a, b):
    return mp.loggamma(a + b) - mp.loggamma(a) - b * mp.log(a)


def log_choose(n, k):
    return mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)


def softplus(z):
    return mp.log1p(mp.exp(z))


def limit(single, double):
    return lambda dtype: single if dtype == np.float32 else double


EXP = real_line(limit(88, 709))
SHAPES = half_line(1e-3, 1e12, 1, 2, 3)
FUNCTIONS = {
    "exp": (mp.exp, lambda dtype, rng: np.concatenate([EXP(dtype, rng), rng.uniform(-103, 88, 200)])),
    "exp_nonpositive": (mp.exp, lambda dtype, rng: -np.abs(real_line(limit(103, 744))(dtype, rng))),
    "expm1": (mp.expm1, EXP),
    "tanh": (mp.tanh, real_line(limit(30, 60))),
    "log": (mp.log, positive_reals),
    "log1p": (mp.log1p, lambda dtype, rng: np.concatenate([positive_reals(dtype, rng), -(rng.uniform(size=200) ** 4)])),
    "log1pmx": (
        log1p_minus,
        lambda dtype, rng: np.concatenate([half_line(1e-12, 1e30)(dtype, rng), -rng.uniform(size=200)]),
    ),
    "log1p_unit": (
        mp.log1p,
        lambda dtype, rng: np.concatenate([rng.uniform(size=300), 10 ** rng.uniform(-30, 0, 200)]),
    ),
    "log1mexp": (log1mexp, half_line(1e-30, 80, np.log(2))),
    "sigmoid": (lambda z: 1 / (1 + mp.exp(-z)), EXP),
    "rest": (lambda z: 1 / (1 + mp.exp(z)), EXP),
    "softplus": (softplus, EXP),
    "log_softplus": (lambda z: mp.log(softplus(z)), EXP),
    "lgamma": (mp.loggamma, half_line(1e-30, 1e12, 1, 1.46, 2, 3)),
    "log_factorial": (lambda y: mp.loggamma(1 + y), half_line(1e-30, 1e12, 0.46, 0.5, 1, 2)),
    "digamma": (mp.digamma, half_line(1e-10, 1e12, 1.4616321449683623, 3)),
    "trigamma": (lambda x: mp.psi(1, x), half_line(1e-10, 1e12, 3)),
    "shape_nll": (lambda k: mp.loggamma(k) - k * mp.log(k) + k, SHAPES),
    "shape_score": (lambda k: mp.digamma(k) - mp.log(k), SHAPES),
    "shape_information": (lambda k: k * k * mp.psi(1, k) - k, SHAPES),
    "ratio_log": (log_ratio, shapes_and_counts),
    "ratio_slope": (lambda a, b: a * (mp.digamma(a + b) - mp.digamma(a)) - b, shapes_and_counts),
    "log_choose": (log_choose, rows_and_counts),
    "ndtr": (ndtr, real_line(limit(12, 36))),
    "log_ndtr": (log_ndtr, real_line(limit(12, 36))),
    "inverse_mills": (lambda z: mp.npdf(z) / ndtr(z), real_line(limit(12, 36))),
    "erfc": (mp.erfc, real_line(limit(9, 26))),
    "atan": (mp.atan, real_line(limit(1e30, 1e300))),
    "sin": (mp.sin, real_line(limit(1e4, 1e5))),
    "cos": (mp.cos, real_line(limit(1e4, 1e5))),
}
# The size of what cancels, where it is not 1: from 3 on these two are all Stirling series.
TERMS = {name: lambda a, b: 1 if a < 3 else 1 / a for name in ("ratio_log", "ratio_slope")}


@functools.cache
def expected(name, dtype):
    """(arguments, exact values, size of the terms); every value is a 50-digit number."""
    formula, points = FUNCTIONS[name]
    drawn = points(dtype, np.random.default_rng(5))
    arguments = [np.asarray(p).astype(dtype) for p in (drawn if isinstance(drawn, tuple) else (drawn,))]
    with mp.workdps(70):
        rows = [[mp.mpf(float(x)) for x in row] for row in zip(*arguments, strict=True)]
        terms = [TERMS[name](*row) if name in TERMS else 1 for row in rows]
        return arguments, [formula(*row) for row in rows], terms


def ulp_of(size, dtype):
    """The spacing of dtype at a positive number."""
    info = np.finfo(dtype)
    return mp.ldexp(1, max(mp.frexp(size)[1] - 1, int(info.minexp)) - info.nmant)


@pytest.fixture(params=ps.isas())
def isa(request):
    before = ps.isa()
    ps.use_isa(request.param)
    yield request.param
    ps.use_isa(before)


def test_every_function_has_a_formula_and_special_values():
    assert sorted(NAMES) == sorted(FUNCTIONS) == sorted(SPECIAL)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("name", NAMES)
def test_within_the_stated_bound(name, dtype, isa):
    arguments, exact, terms = expected(name, dtype)
    allowed, floor = bound(name)
    y = apply(name, *arguments)
    assert np.isfinite(y).all()
    errors = [
        float(abs(mp.mpf(float(got)) - want) / ulp_of(max(abs(want), floor * term), dtype))
        for got, want, term in zip(y, exact, terms, strict=True)
    ]
    worst = int(np.argmax(errors))
    where = ", ".join(repr(a[worst]) for a in arguments)
    value = f"{name}({where}) = {y[worst]!r}, exactly {mp.nstr(exact[worst], 20)}"
    assert errors[worst] <= allowed, f"{value}: {errors[worst]:.2f} ulp"


INF, NAN = np.inf, np.nan
HALF_PI = np.pi / 2
SPECIAL = {
    "exp": [(0, 1), (-0.0, 1), (INF, INF), (-INF, 0), (1000, INF), (-1000, 0)],
    "exp_nonpositive": [(0, 1), (-0.0, 1), (-INF, 0), (-1000, 0)],
    "expm1": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -1), (1000, INF), (-1000, -1), (1e-40, 1e-40)],
    "tanh": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (1e-40, 1e-40), (-1e-40, -1e-40)],
    "log": [(0, -INF), (-0.0, -INF), (1, 0), (INF, INF), (-1, NAN), (-INF, NAN), (-1e-40, NAN)],
    "log1p": [(0, 0), (-0.0, -0.0), (-1, -INF), (INF, INF), (-2, NAN), (-INF, NAN), (1e-40, 1e-40)],
    "log1pmx": [(0, 0), (-1, -INF), (INF, -INF), (-2, NAN), (-INF, NAN)],
    "log1p_unit": [(0, 0), (1e-40, 1e-40)],
    "log1mexp": [(0, -INF), (INF, 0), (-1, NAN)],
    "sigmoid": [(0, 0.5), (INF, 1), (-INF, 0)],
    "rest": [(0, 0.5), (INF, 0), (-INF, 1)],
    "softplus": [(INF, INF), (-INF, 0), (1000, 1000)],
    "log_softplus": [(INF, INF), (-INF, -INF), (-1000, -1000)],
    "log_factorial": [(0, 0), (1, 0), (INF, INF)],
    "lgamma": [(0, INF), (1, 0), (2, 0), (INF, INF), (-1, NAN)],
    "digamma": [(0, -INF), (INF, INF), (-1, NAN)],
    "trigamma": [(0, INF), (INF, 0), (-1, NAN)],
    "shape_nll": [],
    "shape_score": [(INF, 0)],
    "shape_information": [(INF, 0.5)],
    "ratio_log": [(0.5, 0), (2, 0), (1e10, 0)],  # b = 0
    "ratio_slope": [(0.5, 0), (2, 0), (1e10, 0)],
    "log_choose": [(0, 0), (1, 0), (1e6, 0)],  # k = 0
    "ndtr": [(INF, 1), (-INF, 0), (-1000, 0), (1000, 1)],
    "log_ndtr": [(INF, 0), (-INF, -INF)],
    "inverse_mills": [(INF, 0), (-INF, INF), (1000, 0)],
    "erfc": [(INF, 0), (-INF, 2), (1000, 0), (-1000, 2)],
    "atan": [(0, 0), (-0.0, -0.0), (INF, HALF_PI), (-INF, -HALF_PI), (1e-40, 1e-40)],
    "sin": [(0, 0)],
    "cos": [(0, 1), (-0.0, 1)],
}


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("name", NAMES)
def test_special_values(name, dtype, isa):
    x, want = np.array([*SPECIAL[name], (NAN, NAN)], dtype).T.copy()
    got = apply(name, x)
    np.testing.assert_array_equal(got, want)
    if name in ("expm1", "tanh", "log1p", "atan"):
        np.testing.assert_array_equal(np.signbit(got[x == 0]), np.signbit(x[x == 0]))


@pytest.mark.parametrize("dtype", REALS)
def test_underflow_is_gradual(dtype, isa):
    info = np.finfo(dtype)
    x = np.linspace(np.log(float(info.tiny)) + 1, np.log(float(info.smallest_subnormal)) - 1, 500).astype(dtype)
    y = apply("exp", x)
    with mp.workdps(40):
        off = [abs(mp.mpf(float(got)) - mp.exp(mp.mpf(float(v)))) for got, v in zip(y, x, strict=True)]
    assert max(off) <= float(info.smallest_subnormal)
    assert np.unique(y[(y > 0) & (y < info.tiny)]).size > 20


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("name", NAMES)
def test_a_value_does_not_depend_on_its_place(name, dtype, isa):
    arguments = [a[:37] for a in expected(name, dtype)[0]]
    together = apply(name, *arguments)
    alone = np.concatenate([apply(name, *(a[i : i + 1].copy() for a in arguments)) for i in range(37)])
    np.testing.assert_array_equal(together, alone)

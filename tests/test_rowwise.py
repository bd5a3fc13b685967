"""The softmax head through its C entry: every instruction set, both reals, both layouts (few and many classes)."""

import math

import numpy as np
from pyscratch._lib import ffi, lib
import pytest

from pyscratch import Categorical

FAMILY = lib.ps_family(b"categorical/softmax")
REALS = {np.float32: lib.PS_F32, np.float64: lib.PS_F64}
CLASSES = (1, 2, 3, 7, 8, 9, 16, 31, 32, 33, 64, 65, 100, 1000)
GUARD = 64  # bytes before and behind every output, which a call must not touch
OK, BAD_CALL, BAD_TARGET = lib.PS_OK, lib.PS_BAD_CALL, lib.PS_BAD_TARGET


@pytest.fixture(params=ffi.string(lib.ps_isas()).decode().split())
def isa(request):
    """Run a test under each instruction set of this machine."""
    assert lib.ps_use_isa(request.param.encode()) == OK
    yield request.param
    assert lib.ps_use_isa(b"") == OK


@pytest.fixture(params=REALS, ids=["f32", "f64"])
def real(request):
    """Run a test for float32 and float64."""
    return request.param


def pointer(a):
    """The address of an array, or NULL."""
    return ffi.NULL if a is None else ffi.cast("void *", a.ctypes.data)


class Guarded:
    """An output array between guard bytes."""

    def __init__(self, shape, dtype):
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self.bytes = np.full(size + 2 * GUARD, 0xA5, np.uint8)
        self.array = self.bytes[GUARD : GUARD + size].view(dtype).reshape(shape)

    def intact(self):
        """Whether nothing was written outside."""
        return (self.bytes[:GUARD] == 0xA5).all() and (self.bytes[-GUARD:] == 0xA5).all()


def head(z, y, want=("nll", "grad"), weights=None, class_weights=None, smoothing=0.0, scale=1.0, bad=False, read=True,
         **more):  # fmt: skip
    """Call the head; return its outputs by name, with ``total``, or (status, bad row) when ``bad``."""
    options = ffi.new("ps_options *", {"dispersion": 1.0, "smoothing": smoothing})
    keep = None if class_weights is None else ffi.new("double[]", list(class_weights))
    options.class_weights = ffi.NULL if keep is None else keep
    rows, width = z.shape
    y = None if y is None else np.ascontiguousarray(y, np.int64 if np.ndim(y) == 1 else z.dtype)
    weights = None if weights is None else np.asarray(weights, z.dtype)
    out = {name: Guarded((rows,) if name == "nll" else z.shape, z.dtype) for name in want if name != "total"}
    place = {name: pointer(g.array) for name, g in out.items()} | {name: pointer(a) for name, a in more.items()}
    total, bad_row = np.zeros(2), ffi.new("size_t *", 12345)
    call = ffi.new("ps_call *", {
        "family": FAMILY, "real": REALS[z.dtype.type], "options": options, "rows": rows, "outputs": 1, "width": width,
        "target_kind": lib.PS_ROWS if y is not None and y.ndim == 2 else lib.PS_LABELS, "y": pointer(y),
        "z": pointer(z if read else None), "flags": lib.PS_BASE, "weights": pointer(weights), "scale": scale,
        "bad_row": bad_row, "total": ffi.NULL if y is None else ffi.cast("double *", total.ctypes.data), **place})
    status = lib.ps_head_call(call)
    assert all(g.intact() for g in out.values())
    if bad:
        return status, bad_row[0]
    assert status == OK
    return {name: g.array for name, g in out.items()} | {"total": total}


def expected(z, y, weights=None, class_weights=None, smoothing=0.0, scale=1.0):
    """The textbook formulas in extended precision, in forms that keep their digits there."""
    z = z.astype(np.longdouble)
    rows, width = z.shape
    class_weights = np.ones(width) if class_weights is None else np.asarray(class_weights)
    target = np.asarray(y, np.longdouble) if np.ndim(y) == 2 else np.arange(width) == np.asarray(y)[:, None]
    q = class_weights * ((1 - np.longdouble(smoothing)) * target + np.longdouble(smoothing) / width)
    mass = q.sum(1, keepdims=True)
    top = z.argmax(1)[:, None]
    below = z - np.take_along_axis(z, top, 1)
    e = np.exp(below)
    others = e.copy()
    np.put_along_axis(others, top, 0, 1)
    rest = others.sum(1, keepdims=True)
    p = e / (1 + rest)
    complement = np.where(np.arange(width) == top, rest / (1 + rest), 1 - p)
    w = np.ones((rows, 1)) if weights is None else np.asarray(weights)[:, None]
    with np.errstate(invalid="ignore"):
        surprise = np.where(q > 0, q * (np.log1p(rest) - below), 0)
    return {"nll": (w * surprise).sum(1), "grad": scale * w * ((mass - q) * p - q * complement), "params": p,
            "curvature": w * mass * p * complement, "largest": scale * w * np.maximum(mass * p, q)}


def ulps(value, exact, largest=None, factor=1.0):
    """Distances in units of the last place of the exact result (or of a formula's largest term).

    A sum of K exponentials of which each may be subnormal has an error of up to K/2 of the smallest subnormals, and the
    row's factor (its weights) multiplies what was rounded there.
    """
    value, exact = np.asarray(value), np.asarray(exact)
    tiny = np.finfo(value.dtype).smallest_subnormal * max(1, np.shape(exact)[-1] / 8) * max(1, factor)
    unit = np.abs(exact if largest is None else np.maximum(np.abs(exact), largest)) * np.finfo(value.dtype).eps
    return (np.abs(value - exact) / np.maximum(unit, tiny)).astype(float)


def worst(value, exact):
    """The largest of these distances from the exact result."""
    return float(np.max(ulps(value, exact), initial=0))


def logits(rng, rows, width, dtype, spread=3.0):
    """Random logits of which some rows are extreme or confident."""
    z = rng.normal(0, spread, (rows, width))
    z[rng.random((rows, width)) < 0.1] *= 30
    z[rng.random(rows) < 0.3, rng.integers(width)] += 40
    return z.astype(dtype)


@pytest.mark.parametrize("width", CLASSES)
def test_labels(isa, real, width):
    """Value, gradient and probabilities within 4 ULP, also of extreme logits; p (1 - p) within 6."""
    rng = np.random.default_rng(width)
    lanes = 16 if real is np.float32 else 8
    for rows in (0, 1, 3, 4, 5, lanes - 1, lanes, lanes + 1, 200):
        z = logits(rng, rows, width, real)
        y = np.where(rng.random(rows) < 0.5, rng.integers(0, width, rows), z.argmax(1) if rows else 0)
        got, exact = head(z, y, ("nll", "grad", "params", "curvature", "fisher")), expected(z, y)
        for name, bound in (("nll", 4), ("grad", 4), ("params", 4), ("curvature", 6)):
            assert worst(got[name], exact[name]) <= bound, (name, rows)
        assert np.array_equal(got["fisher"], got["curvature"])
        np.testing.assert_allclose(got["total"], [exact["nll"].sum(), rows], rtol=4 * np.finfo(real).eps)


def test_rows_with_a_largest_logit_near_or_far_from_zero(isa, real):
    """Long rows near 0 have a shorter way; also of ties, of classes far below and masked, and of a row alone."""
    rng = np.random.default_rng(0)
    tops = np.array([-1000, -17, -16, -15.9, -1, 0, 1, 15.9, 16, 17, 1000, 0, 0])
    for width in (129, 200, 1000):
        below = rng.exponential(30, (len(tops), width)) * (rng.random((len(tops), width)) < 0.9)  # a tenth are ties
        below[:5, 1:] += 60  # one class has all but next to nothing
        z, y = (tops[:, None] - below).astype(real), rng.integers(0, width, len(tops))
        z[-1], z[-2, :100] = np.where(np.arange(width) == 7, 3, -np.inf), -np.inf
        y[-2:] = 7, 128
        finite = np.isfinite(z).all(1)
        got, exact = head(z, y, ("nll", "grad", "params")), expected(z[finite], y[finite])
        for name in ("nll", "grad", "params"):
            assert worst(got[name][finite], exact[name]) <= 4, (name, width)
        assert got["params"][-1, 7] == 1 and got["params"][-1].sum() == 1 and not got["params"][-2, :100].any()
        for row in range(len(tops)):
            alone = head(z[row : row + 1], y[row : row + 1])
            assert np.array_equal(alone["nll"], got["nll"][row : row + 1])
            assert np.array_equal(alone["grad"], got["grad"][row : row + 1])


@pytest.mark.parametrize("width", CLASSES)
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "rows"])
def test_smoothing_and_weights(isa, real, width, soft):
    """Rows of probabilities, smoothing, class weights and row weights in every combination: the stated bounds hold."""
    rng = np.random.default_rng(width + 7)
    z = logits(rng, 37, width, real)
    y = rng.dirichlet(np.full(width, 0.3), 37).astype(real) if soft else rng.integers(0, width, 37)
    class_weights, weights = rng.uniform(0.5, 2, width), rng.uniform(0.5, 2, 37).astype(real)
    for smoothing in (0.0, 0.1):
        for options in ({}, {"class_weights": class_weights}, {"weights": weights, "class_weights": class_weights}):
            options = options | {"smoothing": smoothing, "scale": 0.3}
            got, exact = head(z, y, ("nll", "grad", "curvature"), **options), expected(z, y, **options)
            factor = class_weights.max() * weights.max()
            for name, (of_result, of_term) in ((name, Categorical.ulps[name]) for name in ("nll", "grad", "curvature")):
                term = exact["largest"] if name == "grad" else exact[name]
                near = ulps(got[name], exact[name], factor=factor) <= of_result
                assert (near | (ulps(got[name], exact[name], term, factor) <= of_term)).all(), name


def test_known_values(isa, real):
    """Vectors in 50-digit arithmetic, and what masked classes and infinities mean."""
    inf, nan = math.inf, math.nan
    got = head(np.array([[1000, 0, -1000], [0, 0, 0]], real), [2, 1])
    np.testing.assert_allclose(got["nll"], [2000, math.log(3)], rtol=2 * np.finfo(real).eps)
    np.testing.assert_allclose(got["grad"], [[1, 0, -1], [1 / 3, -2 / 3, 1 / 3]], rtol=2 * np.finfo(real).eps)
    masked = head(np.array([[0, -inf, 0], [0, -inf, 0], [-inf, -inf, 5]], real), [0, 1, 2])
    np.testing.assert_allclose(masked["nll"], [math.log(2), inf, 0], rtol=2 * np.finfo(real).eps)
    assert np.array_equal(masked["grad"], [[-0.5, 0, 0.5], [0.5, -1, 0.5], [0, 0, 0]])
    undefined = head(np.array([[-inf, -inf], [inf, 0], [nan, 0], [0, nan], [inf, -inf]], real), [0, 1, 1, 0, 0])
    assert np.isnan(undefined["nll"]).all() and np.isnan(undefined["grad"]).all()
    big = np.finfo(real).max
    huge = head(np.array([[big, -big], [-big, -big], [big, big]], real), [0, 1, 0])
    np.testing.assert_allclose(huge["nll"], [0, math.log(2), math.log(2)], rtol=2 * np.finfo(real).eps)


@pytest.mark.parametrize("width", [2, 5, 8, 40, 130])
def test_confident_class(isa, real, width):
    """Where p of the label rounds to 1, value and gradient keep their digits; p - 1 and log-sum-exp - z are 0 there."""
    z = np.zeros((1, width), real)
    z[0, 1] = 60
    got, rest = head(z, [1]), (width - 1) * math.exp(-60)
    np.testing.assert_allclose(got["nll"], rest, rtol=4 * np.finfo(real).eps)
    np.testing.assert_allclose(got["grad"][0, 1], -rest, rtol=4 * np.finfo(real).eps)


@pytest.mark.parametrize("width", [3, 4, 10, 16, 33, 100])
def test_masked_classes_under_smoothing_and_soft_rows(isa, real, width):
    """A masked class leaves value and gradient finite; with target mass on it the value is infinite."""
    z = np.linspace(-1, 1, width).astype(real)[None].repeat(2, 0)
    z[:, 1] = -np.inf
    y = np.zeros((2, width), real)
    y[0, 0], y[1, :2] = 1, 0.5
    got = head(z, y)
    assert np.isfinite(got["nll"][0]) and got["nll"][1] == np.inf and np.isfinite(got["grad"]).all()
    assert got["grad"][0, 1] == 0 and got["grad"][1, 1] == -0.5
    weights = np.ones(width)
    weights[1] = 0
    assert np.isfinite(head(z, [0, 2], smoothing=0.1, class_weights=weights)["nll"]).all()
    assert (head(z, [0, 2], smoothing=0.1)["nll"] == np.inf).all()


@pytest.mark.parametrize("width", [2, 3, 4, 10, 33, 100])
def test_bad_targets(isa, real, width):
    """A label outside 0 ... K - 1 or a row that is no distribution is found before use; the first one is reported."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, width)).astype(real)
    for wrong in (-1, width, 2**40, -(2**62)):
        y = rng.integers(0, width, 50)
        y[[17, 31]] = wrong
        assert head(z, y, bad=True) == (BAD_TARGET, 17)
        weights = np.ones(50)
        weights[17] = 0
        assert head(z, y, weights=weights, bad=True) == (BAD_TARGET, 31)
        weights[31] = 0
        assert np.isfinite(head(z, y, weights=weights)["nll"]).all()
    for column, wrong in ((0, np.nan), (1, -0.25), (width - 1, np.inf), (0, 0.5)):
        y = np.full((50, width), 1 / width, real)
        y[[17, 31], column] = y[0, 0] + 0.5 if wrong == 0.5 else wrong
        assert head(z, y, bad=True) == (BAD_TARGET, 17)
    y = np.full((50, width), 1 / width, real)
    assert head(z, y, bad=True)[0] == OK


def test_bad_calls(isa, real):
    """What the head does not have is refused: offsets, a mean beside the probabilities, other kinds of target."""
    z, y, spare = np.zeros((3, 4), real), [0, 1, 2], np.zeros(3, real)
    assert head(z, y, bad=True, offset=spare)[0] == BAD_CALL
    assert head(z, y, bad=True, mean=spare)[0] == BAD_CALL
    assert head(z, y, bad=True, variance=spare)[0] == BAD_CALL


@pytest.mark.parametrize("width", [2, 3, 4, 10, 33, 100])
@pytest.mark.parametrize("options", [{}, {"smoothing": 0.1}, {"smoothing": 0.1, "class_weights": True}], ids=str)
def test_same_bits(isa, real, width, options):
    """A row's result does not depend on its place in the batch, on what else is asked for, or on writing in place."""
    rng = np.random.default_rng(3)
    z, y = logits(rng, 41, width, real), rng.integers(0, width, 41)
    options = options | ({"class_weights": rng.uniform(1, 2, width)} if "class_weights" in options else {})
    names = ("nll", "grad", "params", "curvature", "fisher")
    whole = head(z, y, names, **options)
    for i in (0, 13, 40):
        row = head(z[i : i + 1].copy(), y[i : i + 1], names, **options)
        assert all(np.array_equal(row[name][0], whole[name][i]) for name in names)
    for name in names:
        assert np.array_equal(head(z, y, (name,), **options)[name], whole[name])
    assert np.array_equal(head(z, None, ("params",), **options)["params"], whole["params"])
    in_place = z.copy()
    head(in_place, y, (), grad=in_place, **options)
    assert np.array_equal(in_place, whole["grad"])


@pytest.mark.parametrize("width", [2, 3, 8, 40])
def test_rows_of_weight_zero_are_not_read(isa, real, width):
    """Their logits and targets may be anything; their nll and gradient are 0."""
    rng = np.random.default_rng(5)
    z, weights = rng.normal(size=(20, width)).astype(real), np.ones(20)
    weights[[3, 19]] = 0
    z[[3, 19]] = np.nan
    for y in (rng.integers(0, width, 20), rng.dirichlet(np.ones(width), 20)):
        y[[3, 19]] = -5
        got = head(z, y, weights=weights)
        assert (got["nll"][[3, 19]] == 0).all() and (got["grad"][[3, 19]] == 0).all()
        assert np.isfinite(got["grad"]).all() and got["total"][1] == 18
    nothing = head(z, np.zeros(20, int), weights=np.zeros(20))
    assert (nothing["total"] == 0).all() and (nothing["grad"] == 0).all()


@pytest.mark.parametrize("width", [3, 10, 100])
def test_fisher_is_the_expected_curvature(isa, real, width):
    """With class weights the curvature depends on the label; the information is its mean under the model."""
    rng = np.random.default_rng(6)
    z, class_weights = rng.normal(size=(4, width)).astype(real), rng.uniform(0.5, 2, width)
    options = {"class_weights": class_weights, "smoothing": 0.2}
    got = head(z, np.zeros(4, int), ("params", "fisher"), **options)
    curvature = [expected(z, np.full(4, k), **options)["curvature"] for k in range(width)]
    mean = sum(got["params"][:, [k]].astype(float) * curvature[k] for k in range(width))
    np.testing.assert_allclose(got["fisher"], mean.astype(float), rtol=20 * np.finfo(real).eps)


def test_two_classes_are_bernoulli(isa, real):
    """Logits (0, z) give Bernoulli's probability, value and gradient to the last digits."""
    z = np.linspace(-60, 60, 241)
    got = head(np.stack([0 * z, z], 1).astype(real), np.ones(241, int), ("nll", "grad", "params"))
    p = 1 / (1 + np.exp(-z.astype(real).astype(np.longdouble)))
    assert worst(got["params"][:, 1], p) <= 4
    assert worst(got["nll"], np.log1p(np.exp(-z.astype(real).astype(np.longdouble)))) <= 4


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "rows"])
def test_torch(real, soft):
    """PyTorch's cross entropy with class weights and smoothing, value and gradient."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    z, weights = rng.normal(size=(30, 12)).astype(real), rng.uniform(0.5, 2, 12).astype(real)
    y = rng.dirichlet(np.ones(12), 30).astype(real) if soft else rng.integers(0, 12, 30)
    leaf = torch.tensor(z, requires_grad=True)
    theirs = torch.nn.functional.cross_entropy(leaf, torch.tensor(y), torch.tensor(weights), reduction="none",
                                               label_smoothing=0.1)
    theirs.sum().backward()
    got = head(z, y, class_weights=weights.astype(float), smoothing=0.1)
    np.testing.assert_allclose(got["nll"], theirs.detach().numpy(), rtol=100 * np.finfo(real).eps)
    np.testing.assert_allclose(got["grad"], leaf.grad.numpy(), atol=20 * np.finfo(real).eps)


def test_check_of_targets_without_logits(isa, real):
    """With z NULL the head checks y and adds nothing: what a bound loss does once."""
    z = np.zeros((20, 3), real)
    assert head(z, np.full(20, 2), (), read=False, bad=True)[0] == OK
    assert head(z, np.full(20, 2), (), read=False)["total"].tolist() == [0, 20]
    assert head(z, np.r_[np.zeros(19), 3], (), read=False, bad=True) == (BAD_TARGET, 19)
    assert head(z, np.full((20, 3), 0.5, real), (), read=False, bad=True) == (BAD_TARGET, 0)

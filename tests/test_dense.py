"""Dense, activations and optimizer steps: error bounds, bits that depend on nothing but the row, memory left alone."""

import ctypes
import itertools
import mmap
import sys

import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _native

if not _native.available:
    pytest.skip("the C kernels are not built", allow_module_level=True)

IDENTITY, TANH, RELU = (_native.ACTIVATIONS[name] for name in ("identity", "tanh", "relu"))
SIZES = [0, 1, 2, 3, 7, 9, 16, 17, 33, 100, 257]
GUARD = 32
MARK = 77.0
SHAPES = [(5, 3), (1, 40), (40, 1), (40, 2), (3, 100), (16, 16), (64, 64), (100, 10), (37, 130), (600, 33), (257, 257)]


class Guarded:
    """An array of ``shape`` with marked elements on both sides, ``offset`` elements away from an aligned address."""

    def __init__(self, shape, dtype, offset=0):
        size = int(np.prod(shape))
        raw = np.zeros((size + 2 * GUARD + 64) * 8, np.uint8)
        start = -raw.ctypes.data % 64 + offset * np.dtype(dtype).itemsize
        self.all = raw[start : start + (size + 2 * GUARD) * np.dtype(dtype).itemsize].view(dtype)
        self.all[...] = MARK
        self.array = self.all[GUARD : GUARD + size].reshape(shape)

    def filled(self, values):
        """The array, holding ``values``."""
        self.array[...] = values
        return self.array

    def untouched(self):
        """Whether the marks still stand."""
        return bool((self.all[:GUARD] == MARK).all() and (self.all[-GUARD:] == MARK).all())


def forward(x, W, b, activation=IDENTITY, offset=0):
    """What the kernels compute, after a look at the marks around the output and the workspace."""
    y = Guarded((x.shape[0], W.shape[1]), x.dtype, offset)
    workspace = Guarded(_native.dense_workspace(x.dtype, *x.shape, W.shape[1]), np.uint8)
    _native.dense_forward(activation, x, W, b, y.array, workspace.array)
    assert y.untouched() and workspace.untouched()
    return y.array


def backward(x, W, y, grad, activation=IDENTITY, wanted=(True, True, True), offset=0):
    """(dx, dW, db), None for what is not wanted."""
    shapes = [x.shape, W.shape, W.shape[1:]]
    outputs = [Guarded(shape, x.dtype, offset) if want else None for shape, want in zip(shapes, wanted, strict=True)]
    workspace = Guarded(_native.dense_workspace(x.dtype, *x.shape, W.shape[1]), np.uint8)
    arrays = [None if output is None else output.array for output in outputs]
    _native.dense_backward(activation, x, W, y, grad, *arrays, workspace.array)
    assert workspace.untouched() and all(output is None or output.untouched() for output in outputs)
    return arrays


def problem(rows, n_in, n_out, dtype, rng):
    """Random (x, W, b, grad)."""
    shapes = [(rows, n_in), (n_in, n_out), (n_out,), (rows, n_out)]
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def assert_close(got, exact, magnitude, roundings, dtype):
    """``|got - exact| <= gamma magnitude``, where each of the sum's terms was rounded ``roundings`` times.

    gamma = n u / (1 - n u) with u = eps / 2 (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). The sum that
    it is compared with is one of the same length in float64: for float64 it may be as far off itself.
    """
    u = np.finfo(dtype).eps / 2
    gamma = roundings * u / (1 - roundings * u)
    bound = (2 if dtype == np.float64 else 1.001) * gamma * magnitude
    assert got.dtype == dtype and got.shape == exact.shape
    assert (np.abs(got - exact) <= bound).all()


def test_results_stay_within_their_bounds(isa, dtype):
    """Every product of sizes: y, dx, dW and db, and the memory around them."""
    rng = np.random.default_rng(1)
    for rows, n_in, n_out in itertools.product(SIZES, repeat=3):
        x, W, b, grad = problem(rows, n_in, n_out, dtype, rng)
        x64, W64, b64, g64 = (a.astype(np.float64) for a in (x, W, b, grad))
        y = forward(x, W, b)
        assert_close(y, x64 @ W64 + b64, abs(x64) @ abs(W64) + abs(b64), n_in + 2, dtype)
        dx, dW, db = backward(x, W, y, grad)
        assert_close(dx, g64 @ W64.T, abs(g64) @ abs(W64.T), n_out + 1, dtype)
        assert_close(dW, x64.T @ g64, abs(x64.T) @ abs(g64), rows + 1, dtype)
        assert_close(db, g64.sum(axis=0), abs(g64).sum(axis=0), rows, dtype)


@pytest.mark.parametrize("rows", [1500, 20_000])
def test_many_rows_are_summed_in_blocks(isa, dtype, rows):
    """DW and db over many row blocks."""
    x, W, b, grad = problem(rows, 9, 5, dtype, np.random.default_rng(2))
    dW, db = backward(x, W, None, grad, wanted=(False, True, True))[1:]
    x64, g64 = x.astype(np.float64), grad.astype(np.float64)
    assert_close(dW, x64.T @ g64, abs(x64.T) @ abs(g64), 256 + rows // 256 + 2, dtype)
    assert_close(db, g64.sum(axis=0), abs(g64).sum(axis=0), 256 + rows // 256 + 2, dtype)


def test_blocks_in_every_direction(isa, dtype):
    """Several blocks of rows, of columns and of depth, with copies of both sides: bounds, and rows by themselves."""
    rng = np.random.default_rng(14)
    x, W, b, grad = problem(301, 601, 533, dtype, rng)
    x64, W64, b64, g64 = (a.astype(np.float64) for a in (x, W, b, grad))
    y, (dx, dW, _) = forward(x, W, b), backward(x, W, None, grad)
    assert_close(y, x64 @ W64 + b64, abs(x64) @ abs(W64) + abs(b64), 603, dtype)
    assert_close(dx, g64 @ W64.T, abs(g64) @ abs(W64.T), 534, dtype)
    assert_close(dW, x64.T @ g64, abs(x64.T) @ abs(g64), 302, dtype)
    for pick in ([200], [7, 300, 48], rng.permutation(301)[:120]):
        np.testing.assert_array_equal(forward(x[pick], W, b), y[pick])
        np.testing.assert_array_equal(backward(x[pick], W, None, grad[pick], wanted=(True, False, False))[0], dx[pick])


@pytest.mark.parametrize("activation", [TANH, RELU])
def test_a_fused_activation_is_the_separate_one(isa, dtype, activation):
    """Bit for bit, forward and backward."""
    rng = np.random.default_rng(3)
    for rows, (n_in, n_out) in itertools.product([1, 4, 70], SHAPES):
        x, W, b, grad = problem(rows, n_in, n_out, dtype, rng)
        plain, fused, again, through = forward(x, W, b), forward(x, W, b, activation), np.empty_like(grad), grad.copy()
        _native.activation_forward(activation, plain, again)
        np.testing.assert_array_equal(fused, again)
        _native.activation_backward(activation, fused, grad, through)
        for got, want in zip(backward(x, W, fused, grad, activation), backward(x, W, None, through), strict=True):
            np.testing.assert_array_equal(got, want)


def test_a_row_does_not_depend_on_its_batch(isa, dtype):
    """Whatever batch a row comes in, and wherever it stands there, its y and dx have the same bits."""
    rng = np.random.default_rng(4)
    for n_in, n_out in SHAPES:
        x, W, b, grad = problem(300, n_in, n_out, dtype, rng)
        y = forward(x, W, b, TANH)
        dx = backward(x, W, y, grad, TANH, (True, False, False))[0]
        for rows in [1, 2, 3, 4, 5, 6, 7, 8, 13, 48, 97]:
            pick = rng.choice(300, rows, replace=False)
            alone = forward(x[pick], W, b, TANH)
            np.testing.assert_array_equal(alone, y[pick])
            part = backward(x[pick], W, alone, grad[pick], TANH, (True, False, False))[0]
            np.testing.assert_array_equal(part, dx[pick])


def test_a_column_does_not_depend_on_the_columns_beside_it(isa, dtype):
    """A network with one more output computes the others as before."""
    rng = np.random.default_rng(5)
    x, W, b, grad = problem(50, 70, 90, dtype, rng)
    y = forward(x, W, b)
    for columns in [1, 2, 3, 5, 8, 9, 16, 31, 64]:
        part = forward(x, np.ascontiguousarray(W[:, :columns]), b[:columns].copy())
        np.testing.assert_array_equal(part, y[:, :columns])


def bits(x, W, b, grad, activation=TANH, offset=0):
    """All results, as bytes."""
    y = forward(x, W, b, activation, offset)
    return [a.tobytes() for a in (y, *backward(x, W, y, grad, activation, offset=offset))]


@pytest.mark.parametrize(
    "sizes", [(1024, 96, 200), (3000, 9, 64), (30_000, 20, 3), (40, 300, 700), (70_000, 3, 1), (301, 601, 533)]
)
def test_threads_and_repeats_do_not_change_bits(isa, dtype, sizes):
    """One thread, a few, more than there are processors."""
    case = problem(*sizes, dtype, np.random.default_rng(6))
    before = ps.threads()
    try:
        ps.set_threads(1)
        alone = bits(*case)
        for threads in [2, 3, 4, 7, 16, 64, 1, 2]:
            ps.set_threads(threads)
            assert bits(*case) == alone
    finally:
        ps.set_threads(before)


def test_alignment_does_not_change_bits(isa, dtype):
    """Arrays may begin at any element."""
    rng = np.random.default_rng(7)
    for rows, (n_in, n_out) in itertools.product([1, 30], SHAPES):
        case = problem(rows, n_in, n_out, dtype, rng)
        want = bits(*case)
        for offset in [1, 3, 7]:
            assert bits(*(Guarded(a.shape, dtype, offset).filled(a) for a in case), offset=offset) == want


def test_each_gradient_alone_is_the_same(isa, dtype):
    """What is not wanted is not computed; the rest keeps its bits."""
    rng = np.random.default_rng(8)
    for activation, (n_in, n_out) in itertools.product([IDENTITY, TANH, RELU], SHAPES):
        x, W, b, grad = problem(40, n_in, n_out, dtype, rng)
        y = forward(x, W, b, activation)
        together = backward(x, W, y, grad, activation)
        for which in range(3):
            wanted = [i == which for i in range(3)]
            got = backward(x, W, y, grad, activation, wanted)[which]
            np.testing.assert_array_equal(got, together[which])
            assert forward(x, W, None).shape == y.shape


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_where_it_belongs(isa, dtype, bad):
    """A row of x reaches its own row of y only, a row of grad its own row of dx; relu lets NaN pass."""
    rng = np.random.default_rng(9)
    for n_in, n_out in SHAPES:
        x, W, b, grad = problem(20, n_in, n_out, dtype, rng)
        y, dx = forward(x, W, b), backward(x, W, None, grad)[0]
        x[7, n_in // 2] = grad[3, n_out // 2] = bad
        spoilt, back = forward(x, W, b), backward(x, W, None, grad)[0]
        assert not np.isfinite(spoilt[7]).any() and not np.isfinite(back[3]).any()
        np.testing.assert_array_equal(np.delete(spoilt, 7, 0), np.delete(y, 7, 0))
        np.testing.assert_array_equal(np.delete(back, 3, 0), np.delete(dx, 3, 0))
        for activation in (TANH, RELU):
            fused = forward(x, W, b, activation)
            np.testing.assert_array_equal(np.isnan(fused), np.isnan(spoilt))


def test_activations(isa, dtype):
    """Values and derivatives, at every length around a vector, in place as well."""
    x = np.array([-np.inf, -30, -1, -0.0, 0.0, 1e-30, 0.5, 2, 30, np.inf, np.nan] * 3, dtype)
    for count in range(x.size + 1):
        for activation, exact in [(IDENTITY, x), (TANH, np.tanh(x.astype(np.float64))), (RELU, np.where(x <= 0, 0, x))]:
            y = Guarded(count, dtype)
            _native.activation_forward(activation, x[:count].copy(), y.array)
            np.testing.assert_allclose(y.array, exact[:count], rtol=2 * np.finfo(dtype).eps, atol=0)
            grad = Guarded(count, dtype)
            grad.filled(2)
            _native.activation_backward(activation, y.array, grad.array, grad.array)
            if activation == TANH:
                np.testing.assert_array_equal(grad.array, 2 * ((1 - y.array) * (1 + y.array)))
            else:
                np.testing.assert_array_equal(grad.array, np.where((y.array <= 0) & (activation == RELU), 0, 2))
            assert y.untouched() and grad.untouched()


def test_the_gradient_is_the_derivative(isa):
    """Central differences of sum(grad * tanh(x W + b)), float64."""
    rng = np.random.default_rng(10)
    x, W, b, grad = problem(6, 11, 5, np.float64, rng)
    gradients = backward(x, W, forward(x, W, b, TANH), grad, TANH)
    for array, gradient in zip((x, W, b), gradients, strict=True):
        for index in np.ndindex(array.shape):
            kept, step, sides = array[index], 1e-5, []
            for side in (kept + step, kept - step):
                array[index] = side
                sides.append((grad * forward(x, W, b, TANH)).sum())
            array[index] = kept
            assert gradient[index] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-6, abs=1e-8)


class Fence:
    """Arrays that end, or begin, where memory that must not be touched begins, or ends."""

    def __init__(self, libc, size):
        page = mmap.PAGESIZE
        self.libc, self.room = libc, -(-size // page) * page
        self.map = mmap.mmap(-1, self.room + 2 * page)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        for at in (self.base, self.base + page + self.room):
            assert libc.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(page), 0) == 0

    def place(self, values, at_end):
        """A copy of ``values`` against one of the fences."""
        start = mmap.PAGESIZE + (self.room - values.nbytes if at_end else 0)
        copy = np.frombuffer(self.map, values.dtype, values.size, start).reshape(values.shape)
        copy[...] = values
        return copy


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_nothing_is_read_or_written_outside_the_arrays(isa, dtype):
    """Every array lies against a page that ends the process when touched."""
    libc = ctypes.CDLL(None, use_errno=True)
    fences = [Fence(libc, 1 << 19) for _ in range(8)]
    rng = np.random.default_rng(11)
    shapes = [(1, 1, 1), (5, 7, 3), (9, 1, 2), (33, 17, 9), (13, 13, 130), (70, 90, 1), (3, 65, 31), (130, 129, 127)]
    for (rows, n_in, n_out), at_end in itertools.product(shapes, [True, False]):
        x, W, b, grad = problem(rows, n_in, n_out, dtype, rng)
        y, want = forward(x, W, b, TANH), None
        want = backward(x, W, y, grad, TANH)
        arrays = [x, W, b, grad, np.zeros_like(y), np.zeros_like(x), np.zeros_like(W), np.zeros_like(b)]
        fx, fW, fb, fg, fy, dx, dW, db = (fence.place(a, at_end) for fence, a in zip(fences, arrays, strict=True))
        workspace = np.empty(_native.dense_workspace(x.dtype, rows, n_in, n_out), np.uint8)
        _native.dense_forward(TANH, fx, fW, fb, fy, workspace)
        _native.dense_backward(TANH, fx, fW, fy, fg, dx, dW, db, workspace)
        for got, expected in zip((fy, dx, dW, db), (y, *want), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_a_workspace_outlives_a_change_of_instruction_set(dtype):
    """Its size is the same for all, and enough for fewer rows."""
    before = ps.isa()
    try:
        sizes = set()
        for name in ps.isas():
            ps.use_isa(name)
            sizes.add(tuple(_native.dense_workspace(np.dtype(dtype), rows, 33, 17) for rows in (0, 1, 100, 5000)))
        assert len(sizes) == 1
        assert list(sizes)[0] == tuple(sorted(list(sizes)[0]))
    finally:
        ps.use_isa(before)


# ---- optimizer steps ----


@pytest.mark.parametrize("momentum", [None, 0.0, 0.9])
def test_sgd_has_the_bits_of_numpy(isa, dtype, momentum):
    """Velocity = momentum velocity + grad; value -= rate velocity."""
    rng = np.random.default_rng(12)
    for count in range(40):
        value, grad, velocity = (rng.normal(size=count).astype(dtype) for _ in range(3))
        outputs = Guarded(count, dtype), Guarded(count, dtype)
        mine, speed = outputs[0].filled(value), outputs[1].filled(velocity)
        move = grad if momentum is None else dtype(momentum) * velocity + grad
        _native.sgd(mine, grad, None if momentum is None else speed, 0.1, momentum or 0.0)
        np.testing.assert_array_equal(mine, value - dtype(0.1) * move)
        if momentum is not None:
            np.testing.assert_array_equal(speed, move)
        assert all(output.untouched() for output in outputs)


def test_adam_has_the_bits_of_numpy(isa, dtype):
    """The formula of csrc/optimizer.h, step after step."""
    rng = np.random.default_rng(13)
    rate, beta1, beta2, epsilon = 1e-3, 0.9, 0.999, 1e-8
    for count in range(40):
        value = rng.normal(size=count).astype(dtype)
        outputs = [Guarded(count, dtype) for _ in range(3)]
        mine, mm, vv = outputs[0].filled(value), outputs[1].filled(0), outputs[2].filled(0)
        m = v = np.zeros(count, dtype)
        for step in range(1, 5):
            grad = rng.normal(size=count).astype(dtype)
            correction1, correction2 = 1 - beta1**step, 1 - beta2**step
            m = dtype(beta1) * m + dtype(1 - beta1) * grad
            v = dtype(beta2) * v + (dtype(1 - beta2) * grad) * grad
            root = np.sqrt(v) * dtype(1 / correction2**0.5) + dtype(epsilon)
            value = value - dtype(rate / correction1) * m / root
            _native.adam(mine, grad, mm, vv, rate, beta1, beta2, epsilon, correction1, correction2)
            for got, want in zip((mine, mm, vv), (value, m, v), strict=True):
                np.testing.assert_array_equal(got, want)
        assert all(output.untouched() for output in outputs)

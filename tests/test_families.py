"""What is true of one family: its theorems, its hard inputs, the meaning of its options."""

from cases import EXAMPLES, beyond, draw, seeded, twins, widths
import numpy as np
import pytest

from pyscratch import _native, losses, reference

MODULES = pytest.mark.parametrize("module", [losses, reference], ids=["native", "reference"])


# ---- the theorem: with the canonical link the gradient is the residual ----


@pytest.mark.parametrize("name", ["Gaussian", "Bernoulli", "Categorical", "Poisson"])
def test_canonical_gradient_is_the_residual(name, dtype, isa):
    for loss in twins((name, {})):
        z, y = draw(loss, 200, widths(loss)[-1], seeded(name), dtype)
        mean = loss.mean(z)
        target = np.eye(z.shape[1])[y] if y.dtype.kind == "i" else y
        residual = mean.astype(float) - target
        grad = loss.grad(z, y, reduction="sum")
        assert np.allclose(grad, residual, rtol=0, atol=4 * np.finfo(dtype).eps * max(1, np.abs(target).max()))
        assert np.array_equal(loss.curvature(z, y), loss.fisher(z))


def test_gradient_of_a_fixed_scale_is_the_residual_over_its_variance(dtype, isa):
    z, y = draw(losses.Gaussian(), 50, 2, seeded("gaussian"), dtype)
    assert np.allclose(losses.Gaussian(3.0).grad(z, y), (z - y) / 9 / 50, rtol=1e-6)
    assert np.allclose(losses.Gaussian(3.0).fisher(z), 1 / 9, rtol=1e-6)


# ---- Bernoulli and Categorical ----


def test_two_classes_are_a_bernoulli(dtype, isa):
    rng = seeded("two classes")
    z = np.concatenate([rng.normal(0, 3, 200), rng.uniform(-80, 80, 100)]).astype(dtype)
    y = rng.integers(0, 2, 300)
    rows = np.stack([np.zeros_like(z), z], axis=1)
    nll, grad = losses.Bernoulli().nll_and_grad(z, y, reduction="none")
    for targets in (y, np.eye(2)[y]):
        classes, gradient = losses.Categorical().nll_and_grad(rows, targets, reduction="none")
        assert np.allclose(classes, nll, rtol=4 * np.finfo(dtype).eps, atol=0)
        assert np.allclose(gradient[:, 1], grad, rtol=6 * np.finfo(dtype).eps, atol=0)
        assert np.allclose(gradient[:, 0], -grad, rtol=6 * np.finfo(dtype).eps, atol=0)


def test_confident_rows_keep_their_digits(dtype, isa):
    z = np.array([16.5, 17.5, 20, 40, 80, 90, 100], dtype)  # 1 - sigmoid(z) is exp(-z) to within exp(-2 z)
    small = np.exp(-z.astype(np.longdouble)) / (1 + np.exp(-z.astype(np.longdouble)))
    grad = losses.Bernoulli().grad(z, np.ones(7), reduction="sum")
    assert np.allclose(grad, -small, rtol=8 * np.finfo(dtype).eps, atol=2 * np.finfo(dtype).smallest_subnormal)
    assert np.allclose(
        losses.Bernoulli().nll(z, np.ones(7), reduction="none"), np.log1p(small / (1 - small)), rtol=1e-6
    )
    rows = np.stack([z, np.zeros_like(z)], axis=1)
    assert np.allclose(losses.Categorical().grad(rows, np.zeros(7, int), reduction="sum")[:, 0], grad, rtol=1e-6)


@MODULES
def test_soft_targets_blend(module, dtype):
    z = np.linspace(-3, 3, 21).astype(dtype)
    loss = module.Bernoulli()
    for y in (0.25, 0.5):
        blend = y * loss.nll(z, np.ones(21), reduction="none") + (1 - y) * loss.nll(z, np.zeros(21), reduction="none")
        assert np.allclose(loss.nll(z, np.full(21, y), reduction="none"), blend, rtol=1e-6)


@MODULES
def test_rows_of_probabilities(module, dtype):
    rng = seeded("rows")
    for classes in (2, 3, 40):
        z = rng.normal(0, 2, (30, classes)).astype(dtype)
        q = rng.dirichlet(np.ones(classes), 30).astype(dtype)
        loss = module.Categorical()
        labels = [loss.nll(z, np.full(30, k), reduction="none") for k in range(classes)]
        nll, grad = loss.nll_and_grad(z, q, reduction="none")
        assert np.allclose(nll, sum(q[:, k] * labels[k] for k in range(classes)), rtol=1e-5)
        assert np.allclose(grad, loss.mean(z) * q.sum(1, keepdims=True) - q, atol=1e-6)
        y = rng.integers(0, classes, 30)
        one_hot = np.eye(classes, dtype=dtype)[y]
        assert loss.nll(z, one_hot) == pytest.approx(loss.nll(z, y), rel=1e-6)


@MODULES
def test_masked_classes(module, dtype):
    z = np.array([[0.5, -np.inf, 1.0], [-np.inf, 0.0, -np.inf]], dtype)
    nll, grad = module.Categorical().nll_and_grad(z, [0, 1], reduction="none")
    assert np.allclose(nll, [np.log1p(np.exp(0.5)), 0], rtol=1e-6)
    assert not grad[z == -np.inf].any() and np.isfinite(grad).all()
    assert module.Categorical().nll(z, [1, 1], reduction="none")[0] == np.inf
    assert np.isnan(module.Categorical().nll(np.full((1, 3), -np.inf, dtype), [0]))


@MODULES
def test_smoothing_and_class_weights(module, dtype):
    """q_k = w_k ((1 - e) [k = y] + e / K); the mean divides by the sum of w_y."""
    rng = seeded("smoothing")
    z, y, rows = rng.normal(0, 2, (40, 5)).astype(dtype), rng.integers(0, 5, 40), rng.exponential(size=40).astype(dtype)
    w, e = (1.0, 0.5, 2.0, 0.0, 3.0), 0.2
    log_p = np.log(reference.Categorical().mean(z.astype(float)))
    q = np.array(w) * ((1 - e) * np.eye(5)[y] + e / 5)
    each = -(q * log_p).sum(1)
    loss = module.Categorical(class_weights=w, smoothing=e)
    weight = rows @ np.array(w)[y]
    total = loss.nll(z, y, weights=rows, reduction="total")
    assert total.sum == pytest.approx(rows @ each, rel=1e-5) and total.weight == pytest.approx(weight, rel=1e-6)
    value, grad = loss.nll_and_grad(z, y, weights=rows)
    assert value == pytest.approx(rows @ each / weight, rel=1e-5)
    want = rows[:, None] * (q.sum(1, keepdims=True) * np.exp(log_p) - q) / weight
    assert np.allclose(grad, want, rtol=1e-4, atol=1e-7)
    assert loss.plain == module.Categorical() and loss.plain.nll(z, y) == module.Categorical().nll(z, y)
    assert np.array_equal(loss.mean(z), module.Categorical().mean(z))
    assert np.array_equal(loss.variance(z), module.Categorical().variance(z))


@MODULES
def test_class_weights_of_nothing(module):
    loss = module.Categorical(class_weights=(0, 1, 1))
    z = np.zeros((3, 3))
    with pytest.warns(RuntimeWarning, match="no rows"):
        value, grad = loss.nll_and_grad(z, [0, 0, 0])
    assert np.isnan(value) and not grad.any()


# ---- Poisson ----


@MODULES
def test_a_rate_of_zero(module, dtype):
    z = np.array([-np.inf, -np.inf, -1000, 1000], dtype)
    nll, grad = module.Poisson().nll_and_grad(z, [0, 2, 0, 3], reduction="none")
    assert nll[0] == 0 and nll[1] == np.inf and nll[2] == 0 and nll[3] == np.inf
    assert grad[0] == 0 and grad[1] == -2 and grad[2] == 0 and grad[3] == np.inf


@MODULES
def test_offset_is_log_exposure(module):
    rng = seeded("exposure")
    exposure = rng.exponential(size=400) + 0.1
    y = rng.poisson(2.5 * exposure)
    start = module.Poisson().start(y, offset=np.log(exposure))
    assert start[0] == pytest.approx(np.log(y.sum() / exposure.sum()), rel=1e-10)


# ---- Gaussians ----


@MODULES
def test_with_scale_is_the_most_likely_one(module):
    rng = seeded("scale")
    z, y, w = rng.normal(size=(300, 2)), rng.normal(0, 3, (300, 2)), rng.integers(0, 3, 300)
    y[w == 0] = np.nan
    fitted = module.Gaussian().with_scale(z, y, w)
    assert type(fitted) is module.Gaussian and fitted.link == "identity"
    best = fitted.nll(z, y, weights=w)
    assert all(module.Gaussian(fitted.scale * f).nll(z, y, weights=w) > best for f in (0.99, 1.01))
    assert best == pytest.approx(2 * (np.log(2 * np.pi * fitted.scale**2) + 1) / 2, rel=1e-12)
    assert module.Poisson().with_scale(np.zeros(3), [1, 2, 3]) == module.Poisson()


@MODULES
def test_a_collapsed_scale_is_exact(module, dtype):
    """At y = mean the nll is log scale + log(2 pi) / 2, and log scale is z itself far below 0."""
    z = np.array([[0.5, -300.0], [0.5, 300.0], [0.5, -40.0], [0.5, -740.0]], dtype)
    nll, grad = module.HeteroscedasticGaussian().nll_and_grad(z, np.full(4, 0.5), reduction="none")
    half = 0.5 * np.log(2 * np.pi)
    assert np.allclose(nll, [-300 + half, np.log(300) + half, -40 + half, -740 + half], rtol=4 * np.finfo(dtype).eps)
    assert np.allclose(grad[:, 0], 0) and np.allclose(grad[:, 1], [1, 1 / 300, 1, 1], rtol=1e-6)


@MODULES
def test_min_scale_is_added(module, dtype):
    z = np.array([[0.0, -50.0], [0.0, 0.3]], dtype)
    p = module.HeteroscedasticGaussian(min_scale=0.5).link(z)
    assert np.allclose(p.scale, 0.5 + np.log1p(np.exp([-50, 0.3])), rtol=1e-6)
    fixed = module.Gaussian(0.5).nll(z[:1, :1], [1.25])
    assert module.HeteroscedasticGaussian(min_scale=0.5).nll(z[:1], [1.25]) == pytest.approx(fixed, rel=1e-6)


# ---- Beta, Student's t, Laplace, lognormal, Weibull ----


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("precision", [1e2, 1e4, 1e6, 1e8])
def test_a_precise_beta_keeps_its_digits(precision, dtype, isa):
    """What is left where log Γ(a) + log Γ(b) − log Γ(n) and the logarithms of y cancel is right to a few ULP of 1."""
    mpmath = pytest.importorskip("mpmath")
    z = np.array([[t, np.log(precision)] for t in (-3.0, -0.5, 0.0, 1.25, 4.0)], dtype)
    exact = mpmath.mp.clone()
    exact.dps = 40
    for sign in (-2.0, 0.0, 0.5):  # standard deviations from the mean
        mean = 1 / (1 + np.exp(-z[:, 0].astype(float)))
        y = (mean + sign * np.sqrt(mean * (1 - mean) / precision)).astype(dtype)
        got = losses.Beta(scale_link="exp").nll(z, y, reduction="none")
        for (t, log_n), each, nll in zip(z.astype(float), y.astype(float), got, strict=True):
            m, n, x = 1 / (1 + exact.exp(-t)), exact.exp(log_n), exact.mpf(each)
            a, b = m * n, (1 - m) * n
            want = exact.loggamma(a) + exact.loggamma(b) - exact.loggamma(n)
            want -= (a - 1) * exact.log(x) + (b - 1) * exact.log(1 - x)
            # y as it was rounded may be far from the mean, in standard deviations: that is no error
            u = float(abs(x - m) / exact.sqrt(m * (1 - m) / n)) + np.sqrt(precision) * np.finfo(dtype).eps
            assert abs(float(nll - want)) <= 40 * np.finfo(dtype).eps * (12 + u**2 + np.sqrt(precision) * u)


@MODULES
def test_a_beta_of_zeros_and_ones_says_how_many_and_what_to_do(module, dtype):
    z = np.zeros((5, 2), dtype)
    with pytest.raises(ValueError, match=r"y\[1\] = 0.*both excluded; y holds 2 of 0 and 1 of 1: squeeze"):
        module.Beta().nll(z, np.array([0.5, 0, 0.2, 0, 1]))
    with pytest.raises(ValueError, match=r"squeeze all n rows to \(y \(n − 1\) \+ 1/2\) / n"):
        module.Beta().targets([0.5, 1.0], 2, dtype)
    with pytest.raises(ValueError, match=r"y\[0\] = 1.5: Beta needs numbers between 0 and 1, both excluded$"):
        module.Beta().nll(z[:1], [1.5])


@MODULES
def test_a_beta_rounds_to_the_nearest_number_inside(module):
    z, y = np.zeros((2, 2), np.float32), np.array([1 - 1e-12, 1e-300])
    inside = module.Beta().targets(y, 2, np.float32)
    assert np.array_equal(inside, np.nextafter(np.float32([1, 0]), np.float32(0.5)))
    assert module.Beta().nll(z, y) == module.Beta().nll(z, inside)


@MODULES
def test_a_student_with_many_degrees_of_freedom_is_a_gaussian(module, dtype):
    """And the distance to it, (u⁴ − 2 u² − 1) / (4 df), keeps its digits."""
    z = np.array([[0.2, -0.4]] * 3, dtype)
    y = np.array([0.9, 0.2, -2.0], dtype)
    gaussian = module.HeteroscedasticGaussian(scale_link="exp")
    u = (y.astype(float) - z[:, 0]) / np.exp(z[:, 1].astype(float))
    for df in (1e6, 1e9, 1e20):
        student = module.StudentT(df, scale_link="exp")
        rel = 8 * np.finfo(dtype).eps + 20 / df
        assert np.allclose(student.nll(z, y, reduction="none"), gaussian.nll(z, y, reduction="none"), rtol=rel)
        assert np.allclose(student.grad(z, y), gaussian.grad(z, y), rtol=rel, atol=rel)
        free = module.StudentT(scale_link="exp").grad(np.column_stack([z, np.full(3, np.log(df))]), y, reduction="sum")
        limit = (u**4 - 2 * u**2 - 1) / (4 * np.exp(dtype(np.log(df)).astype(float)))
        rounding = 1e-5 if dtype == np.float32 else 1e-12
        assert np.allclose(free[:, 2], limit, rtol=100 / df + rounding, atol=0)


@MODULES
def test_moments_that_do_not_exist_are_nan(module, dtype):
    z = np.array([[0.5, 0.0]], dtype)
    for df, mean, variance in ((0.5, False, False), (1.0, False, False), (1.5, True, False), (2.0, True, False)):
        student = module.StudentT(df)
        assert np.isnan(student.mean(z)[0]) != mean and np.isnan(student.variance(z)[0]) != variance
    student = module.StudentT(2.5, scale_link="exp")
    assert student.mean(z)[0] == 0.5 and np.isclose(student.variance(z)[0], 5)
    d = module.StudentT(0.5).distribution(z)
    assert np.isnan(d.mean[0]) and np.isnan(d.std[0]) and d.log_prob([0.3]).shape == (1,)


@MODULES
def test_with_scale_finds_the_degrees_of_freedom(module):
    rng = seeded("degrees")
    z = np.column_stack([rng.normal(size=400), np.full(400, 0.3)])
    y = z[:, 0] + np.log1p(np.exp(0.3)) * rng.standard_t(3.0, 400)
    fitted = module.StudentT(30.0).with_scale(z, y)
    assert type(fitted) is module.StudentT and 2 < fitted.df < 5
    best = fitted.nll(z, y)
    assert all(module.StudentT(fitted.df * f).nll(z, y) > best for f in (0.97, 1.03))
    assert module.StudentT().with_scale(np.zeros((3, 3)), [1, 2, 3]) == module.StudentT()


@MODULES
def test_the_location_of_a_laplace_is_the_median(module):
    y, weights = np.array([5.0, 1.0, 2.0, 100.0, 3.0]), np.array([1.0, 1.0, 2.0, 1.0, 1.0])
    start = module.Laplace(scale_link="exp").start(y, weights=weights)
    assert start[0] == 2.0 and np.isclose(np.exp(start[1]), (3 + 1 + 98 + 1) / 6)
    moved = module.Laplace().start(y, offset=np.array([[1.0], [0], [0], [0], [0]]))
    assert moved[0] == 3.0


@MODULES
def test_a_lognormal_is_the_gaussian_of_the_logarithm(module, dtype):
    rng = seeded("lognormal")
    z, y = rng.normal(size=(50, 2)).astype(dtype), rng.exponential(size=50).astype(dtype)
    gaussian, log_y = module.HeteroscedasticGaussian(), np.log(y.astype(float))
    nll, grad = module.LogNormal().nll_and_grad(z, y, reduction="none")
    want, want_grad = gaussian.nll_and_grad(z.astype(float), log_y, reduction="none")
    assert np.allclose(nll, want + log_y, rtol=1e-5, atol=1e-5) and np.allclose(grad, want_grad, rtol=1e-4, atol=1e-4)
    location, scale = module.LogNormal().link(z)
    assert np.allclose(module.LogNormal().mean(z), np.exp(location + scale**2 / 2), rtol=1e-5)


@MODULES
def test_a_weibull_of_shape_one_is_an_exponential(module, dtype):
    z, y = np.array([[0.3, 0.0], [-1.0, 0.0]], dtype), np.array([1.7, 0.2], dtype)
    scale = np.exp(z[:, 0])
    loss = module.Weibull(scale_link="exp")
    assert np.allclose(loss.nll(z, y, reduction="none"), y / scale + z[:, 0], rtol=1e-6)
    assert np.allclose(loss.mean(z), scale, rtol=1e-6) and np.allclose(loss.variance(z), scale**2, rtol=1e-5)
    steep = module.Weibull(scale_link="exp").variance(np.array([[0.0, 12.0]], dtype))  # to π² / 6 shape^−2
    assert np.allclose(steep, np.pi**2 / 6 * np.exp(-24.0), rtol=1e-4)


# ---- the best constant ----


def assert_no_neighbour_is_better(loss, z, y, weights=None, offset=None):
    """Of the constants next to these along each logit."""
    best = loss.nll(z, y, weights=weights, offset=offset)
    for k in range(z.shape[1]):
        for step in (1e-6, 1e-3, 0.1):
            for sign in (1, -1):
                moved = z.copy()
                moved[:, k] += sign * step
                assert loss.nll(moved, y, weights=weights, offset=offset) >= best - 1e-13 * abs(best), (loss, k, step)


def test_start_is_the_best_constant(pair):
    for loss in pair:
        if not loss._start_is_best:
            continue
        for width in widths(loss)[::2]:
            rng = seeded(loss.name, width)
            y = draw(loss, 150, width, rng)[1]
            if loss.target == _native.LABELS:
                y = np.concatenate([y, np.arange(width)])  # every class occurs
            weights = rng.exponential(size=len(y))
            start = loss.start(y, weights=weights, width=width)
            assert start.shape == (width,) and start.dtype == np.float64
            z = np.tile(start, (len(y), 1))
            plain = loss.plain
            grad = plain.grad(z, y, weights=weights).sum(0)
            if loss.kinked:
                assert_no_neighbour_is_better(plain, z, y, weights)
                continue
            grad[beyond(loss, start, grad, weights)] = 0
            assert np.abs(grad).max() < 1e-9 * max(1, np.abs(y).max()), (loss, width, grad)


def test_start_next_to_an_offset(pair):
    for loss in pair:
        if not loss._start_is_best:
            continue
        for width in widths(loss)[::2]:
            rng = seeded(loss.name, width)
            y = draw(loss, 150, width, rng, spread=0.5)[1]
            if loss.target == _native.LABELS:
                y = np.concatenate([y, np.arange(width)])
            columns = width if loss.target == _native.LABELS else loss.outputs(width)
            offset = rng.normal(0, 0.5, (len(y), columns))
            start = loss.start(y, offset=offset, width=width)
            if loss.kinked:
                assert_no_neighbour_is_better(loss.plain, np.tile(start, (len(y), 1)), y, offset=offset)
                continue
            if np.isfinite(loss.domain).any():  # the best constant may lie on its edge
                assert np.isfinite(loss.nll(np.tile(start, (len(y), 1)), y, offset=offset))
                continue
            grad = loss.plain.grad(np.tile(start, (len(y), 1)), y, offset=offset).sum(0)
            grad[beyond(loss, start, grad, np.ones(len(y)))] = 0
            assert np.abs(grad).max() < 1e-7 * max(1, np.abs(y).max()), (loss, width, grad)


@MODULES
def test_start_is_finite_where_the_best_constant_is_not(module):
    assert np.isfinite(module.Poisson().start(np.zeros(10))).all()
    assert np.isfinite(module.Bernoulli().start(np.ones(10))).all()
    assert np.isfinite(module.Categorical().start([0, 0, 0], width=3)).all()
    assert np.isfinite(module.HeteroscedasticGaussian().start(np.full(10, 7.0))).all()


# ---- what training prepares once ----


def test_targets_are_ready(pair, dtype):
    for loss in pair:
        width = widths(loss)[-1]
        z, y = draw(loss, 20, width, seeded(loss.name), dtype)
        ready = loss.targets(y.tolist(), width, dtype)
        assert ready.flags.c_contiguous and loss.nll(z[3:9], ready[3:9]) == loss.nll(z[3:9], y[3:9])
        assert loss._ready(z, ready)[1] is ready


def test_every_example_differs_from_the_default_in_its_options():
    for name, options in EXAMPLES:
        loss = twins((name, options))[0]
        assert all(loss.options[key] == value for key, value in options.items())

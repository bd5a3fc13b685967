"""Calibration and scores of fitted heads: against scikit-learn, statsmodels, closed forms and simulation."""

from cases import draw, draw_logits, seeded, widths
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import diagnostics

stats = pytest.importorskip("scipy.stats")


def drawn(loss, word, rows=2000, width=None, spread=0.7):
    """Distributions and targets that follow them."""
    rng = seeded(word, repr(loss))
    z, y = draw(loss, rows, width or widths(loss)[0], rng, spread=spread)
    return loss.distribution(z), y


# ---- PIT ----


def test_pit_is_uniform_where_the_assumption_is_true(pair):
    loss = pair[0]
    if not loss.distribution_class.ordered:
        with pytest.raises(NotImplementedError, match="no order"):
            diagnostics.pit(*drawn(loss, "pit", 5))
        return
    for width in widths(loss)[:2]:
        d, y = drawn(loss, "pit", width=width)
        u = diagnostics.pit(d, y, rng=0)
        assert u.shape == d.mean.shape and np.all((u >= 0) & (u <= 1))
        assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
        assert np.array_equal(u, diagnostics.pit(d, y, rng=0))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (ps.Gaussian(scale=0.5), ps.Gaussian(scale=1.0)),
        (ps.Gaussian(scale=2.0), ps.Gaussian(scale=1.0)),
        (ps.Poisson(), None),
    ],
)
def test_pit_is_not_uniform_where_it_is_false(wrong, right):
    rng = np.random.default_rng(0)
    z = rng.normal(0.5, 0.5, 2000)
    if right is None:  # counts that vary more than their mean
        y = rng.poisson(np.exp(z) * rng.gamma(1.0, 1.0, 2000))
    else:
        y = right.distribution(z).sample(rng)
    assert stats.kstest(diagnostics.pit(wrong.distribution(z), y, rng=0), "uniform").pvalue < 1e-6


def test_pit_of_counts_lies_between_the_steps():
    d = ps.Poisson().distribution(np.log([2.0, 3.0, 0.5]))
    y = np.array([0, 4, 1])
    u = diagnostics.pit(d, y, rng=1)
    assert np.all((u >= d.cdf(y - 1)) & (u <= d.cdf(y)))


# ---- coverage and sharpness ----


def test_intervals_hold_what_they_say():
    d, y = drawn(ps.HeteroscedasticGaussian(), "coverage", 20_000)
    levels = np.array([0.5, 0.9, 0.99])
    shares = diagnostics.coverage(d, y, levels)
    assert np.all(np.abs(shares - levels) < 4 * np.sqrt(levels * (1 - levels) / len(y)))
    assert diagnostics.coverage(d, y, 0.9) == shares[1]
    width = diagnostics.sharpness(d, 0.9)
    np.testing.assert_allclose(width, np.mean(2 * stats.norm.ppf(0.95) * d.std), rtol=1e-12)
    counts, y = drawn(ps.Poisson(), "coverage", 20_000)
    assert diagnostics.coverage(counts, y, 0.9) > 0.9


def test_a_head_that_is_too_sure_covers_too_little():
    d, y = drawn(ps.Gaussian(), "sure")
    sure = ps.Gaussian(scale=0.5).distribution(d.z)
    assert diagnostics.coverage(sure, y, 0.9) < 0.7
    assert diagnostics.sharpness(sure) < diagnostics.sharpness(d)
    assert diagnostics.crps(sure, y) > diagnostics.crps(d, y)


# ---- CRPS ----


def by_integration(d, y):
    """∫ (cdf(x) − 1(y <= x))² dx for one row, by brute force."""
    y_like = d.sample(0, 50)
    if np.all(d._below(np.ones(1)) < d._cdf(np.ones(1))) and np.array_equal(y_like, np.floor(y_like)):
        k = np.arange(0, d.quantile(1 - 1e-13)[0] + y + 2)
        cdf = np.array([d.cdf(x)[0] for x in k])
        return np.sum((cdf - (k >= y)) ** 2)
    points = np.unique(np.concatenate([d.quantile(1 / (1 + np.exp(-np.linspace(-36, 30, 100))))[:, 0], [y]]))
    nodes, shares = np.polynomial.legendre.leggauss(12)
    total = 0.0
    for low, high in zip(points[:-1], points[1:], strict=True):
        x = (low + high) / 2 + (high - low) / 2 * nodes
        f = np.array([d.cdf(v)[0] if high <= y else d.sf(v)[0] for v in x])
        total += (high - low) / 2 * (shares @ f**2)
    return total


def test_crps_is_the_integral(pair):
    loss = pair[0]
    if not loss.distribution_class.ordered:
        return
    d, y = drawn(loss, "crps", 2)
    each = diagnostics.crps(d, y, reduction="none")
    for i in range(2):
        ordered, value = d[[i]]._observed(loss.targets(y[[i]], widths(loss)[0]))
        if np.isfinite(each[i]):
            np.testing.assert_allclose(each[i], by_integration(ordered, value[0]), rtol=1e-6)


def test_crps_is_the_distance_to_samples(pair):
    """E|Y − y| − E|Y − Y'| / 2, from draws."""
    loss = pair[0]
    if not loss.distribution_class.ordered or loss.target:
        return
    d, y = drawn(loss, "crps samples", 5)
    if not np.all(np.isfinite(d.variance)):
        return
    a, b = (d.sample(seeded("crps", k), 20_000).reshape(20_000, 5) for k in "ab")
    each = np.abs(a - np.reshape(y, 5)) - 0.5 * np.abs(a - b)
    far = np.abs(each.mean(0) - diagnostics.crps(d, y, reduction="none")) / np.maximum(each.std(0), 1e-12)
    assert np.all(far < 5 / np.sqrt(20_000)), far


def test_the_truth_has_the_best_crps():
    rng = np.random.default_rng(0)
    z = rng.normal(1, 0.5, 5000)
    y = ps.Poisson().distribution(z).sample(rng)
    best = diagnostics.crps(ps.Poisson().distribution(z), y)
    assert all(best < diagnostics.crps(ps.Poisson().distribution(z + shift), y) for shift in (-0.4, 0.4))


def test_poisson_crps_has_its_closed_form():
    """(y − λ)(2F(y) − 1) + 2λf(y) − λ exp(−2λ)(I0(2λ) + I1(2λ)), Wei & Held (2014)."""
    special = pytest.importorskip("scipy.special")
    rate = np.array([1e-3, 0.4, 3.0, 50.0, 1e4])
    for factor in (0.7, 1.3):
        y = np.floor(rate * factor)
        model = stats.poisson(rate)
        expected = (y - rate) * (2 * model.cdf(y) - 1) + 2 * rate * model.pmf(y)
        expected -= rate * (special.i0e(2 * rate) + special.i1e(2 * rate))
        got = diagnostics.crps(ps.Poisson().distribution(np.log(rate)), y, reduction="none")
        np.testing.assert_allclose(got, expected, rtol=1e-10)


# ---- weights ----


def test_weights_repeat_rows_and_zero_is_not_read():
    d, y = drawn(ps.Poisson(), "weights", 50)
    times = seeded("times").integers(0, 3, 50)
    rows = np.repeat(np.arange(50), times)
    y = y.astype(float)
    missing = np.where(times == 0, np.nan, y)
    for function in (diagnostics.crps, diagnostics.coverage, diagnostics.gain, diagnostics.deviance, diagnostics.d2):
        np.testing.assert_allclose(
            function(d, missing, weights=times), function(d[rows], y[rows]), rtol=1e-9, err_msg=function.__name__
        )
    np.testing.assert_allclose(diagnostics.sharpness(d, weights=times), diagnostics.sharpness(d[rows]), rtol=1e-12)
    each = diagnostics.crps(d, missing, weights=times, reduction="none")
    assert each.shape == (50,) and np.all(each[times == 0] == 0)
    assert np.isnan(diagnostics.gain(d, y, weights=np.zeros(50)))


# ---- deviance, D², gain ----


def test_deviances_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    z, w = rng.normal(0.5, 0.5, 300), rng.uniform(0.5, 2, 300)
    y = rng.poisson(np.exp(z))
    d = ps.Poisson().distribution(z)
    np.testing.assert_allclose(
        diagnostics.deviance(d, y, w), metrics.mean_poisson_deviance(y, np.exp(z), sample_weight=w), rtol=1e-11
    )
    np.testing.assert_allclose(
        diagnostics.d2(d, y, w), metrics.d2_tweedie_score(y, np.exp(z), sample_weight=w, power=1), rtol=1e-10
    )
    y = rng.normal(z)
    d = ps.Gaussian(scale=3.0).distribution(z)
    np.testing.assert_allclose(
        diagnostics.deviance(d, y, w), metrics.mean_squared_error(y, z, sample_weight=w), rtol=1e-11
    )
    np.testing.assert_allclose(diagnostics.d2(d, y, w), metrics.r2_score(y, z, sample_weight=w), rtol=1e-10)
    y = rng.random(300) < 0.4
    d = ps.Bernoulli().distribution(z)
    np.testing.assert_allclose(
        diagnostics.d2(d, y, w), metrics.d2_log_loss_score(y, d.mean, sample_weight=w), rtol=1e-10
    )


def test_d2_and_gain_of_a_regression_with_exposure_are_those_of_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(2)
    x, exposure = rng.normal(size=400), rng.uniform(0.5, 5, 400)
    y = rng.poisson(exposure * np.exp(0.3 + 0.5 * x))
    fitted = api.GLM(y, api.add_constant(x), family=api.families.Poisson(), exposure=exposure).fit()
    z = api.add_constant(x) @ fitted.params
    d = ps.Poisson().distribution(z, offset=np.log(exposure))
    np.testing.assert_allclose(diagnostics.d2(d, y), 1 - fitted.deviance / fitted.null_deviance, rtol=1e-8)
    np.testing.assert_allclose(diagnostics.gain(d, y), (fitted.llf - fitted.llnull) / 400, rtol=1e-8)
    np.testing.assert_allclose(diagnostics.deviance(d, y), fitted.deviance / 400, rtol=1e-9)


def test_a_constant_head_gains_nothing(pair):
    loss = pair[0]
    z, y = draw(loss.plain, 200, widths(loss)[-1], seeded("constant"), spread=0.5)
    best = loss.plain.best_constant(y, width=z.shape[1])
    d = loss.distribution(np.tile(best, (200, 1)))
    np.testing.assert_allclose(diagnostics.gain(d, y), 0, atol=1e-12)
    assert diagnostics.gain(loss.distribution(z), y, null=best) == diagnostics.gain(loss.distribution(z), y)
    with pytest.raises(ValueError, match="null must hold"):
        diagnostics.gain(d, y, null=np.zeros(z.shape[1] + 1))


def test_the_truth_gains(pair):
    """What the drawn logits know is worth nats; ``gain`` is the mean of what each row gains."""
    loss = pair[0].plain
    d, y = drawn(loss, "gain", 400, widths(loss)[-1], spread=1.0)
    if d.z.shape[1] == 1 and not d.ordered:
        return  # one class
    z0 = loss.best_constant(y, width=d.z.shape[1])
    each = d.log_prob(y) - loss.distribution(np.tile(z0, (400, 1))).log_prob(y)
    np.testing.assert_allclose(diagnostics.gain(d, y), each.mean(), rtol=1e-9, atol=1e-12)
    assert diagnostics.gain(d, y) > 0


def test_gain_is_in_nats_per_row():
    """A Gaussian that explains a share R² of the variance gains −log(1 − R²) / 2."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=100_000)
    y = x + rng.normal(size=100_000)
    d = ps.HeteroscedasticGaussian(scale_link="softplus").distribution(
        np.stack([x, np.full(100_000, np.log(np.expm1(1.0)))], 1)
    )
    np.testing.assert_allclose(diagnostics.gain(d, y), 0.5 * np.log(2), atol=0.01)


def test_families_of_more_parameters_have_no_deviance():
    d, y = drawn(ps.HeteroscedasticGaussian(), "deviance", 10)
    for function in (diagnostics.deviance, diagnostics.d2):
        with pytest.raises(ValueError, match="defined for families of one parameter"):
            function(d, y)
    assert "d2" not in diagnostics.summary(d, y)


def test_a_perfect_fit_has_no_deviance(pair):
    loss = pair[0]
    if len(loss.parameters) > 1 or loss.target:
        return
    z = draw_logits(loss, 30, 1, seeded("perfect"), spread=0.5)
    y = loss.mean(z)
    if loss._supported(y, 1).all():
        np.testing.assert_allclose(diagnostics.deviance(loss.distribution(z), y), 0, atol=1e-13)


def test_a_summary_says_what_the_functions_say():
    d, y = drawn(ps.Poisson(), "summary", 100)
    found = diagnostics.summary(d, y)
    assert found["gain"] == diagnostics.gain(d, y) and found["d2"] == diagnostics.d2(d, y)
    assert found["crps"] == diagnostics.crps(d, y) and found["coverage 0.9"] == diagnostics.coverage(d, y, 0.9)
    classes, labels = drawn(ps.Categorical(), "summary", 100, 3)
    assert list(diagnostics.summary(classes, labels)) == ["gain"]


def test_a_network_is_diagnosed_with_its_offset():
    rng = np.random.default_rng(4)
    X, exposure = rng.normal(size=(500, 2)), rng.uniform(0.5, 4, 500)
    y = rng.poisson(exposure * np.exp(0.5 * X[:, 0]))
    net = ps.Network([ps.Dense(2, 1)], ps.Poisson(), rng=0)
    net.fit(X, y, offset=np.log(exposure), epochs=30)
    d = net.distribution(X, offset=np.log(exposure))
    null = ps.Poisson().start(y, offset=np.log(exposure))
    constant = -ps.Poisson().nll(np.full(500, null[0]), y, offset=np.log(exposure))
    score = net.score(X, y, offset=np.log(exposure))
    np.testing.assert_allclose(diagnostics.gain(d, y), score - constant, rtol=1e-9)
    assert diagnostics.gain(d, y) > 0.02


# ---- errors ----


def test_errors_are_those_of_the_loss():
    d = ps.Poisson().distribution(np.zeros(3))
    with pytest.raises(ValueError, match=r"y\[1\] = -1"):
        diagnostics.crps(d, [0, -1, 2])
    with pytest.raises(ValueError, match="y has shape"):
        diagnostics.pit(d, [0, 1])
    with pytest.raises(ValueError, match="weights must be finite and >= 0"):
        diagnostics.gain(d, [0, 1, 2], weights=[1.0, -1.0, 1.0])
    with pytest.raises(ValueError, match="reduction must be one of 'mean', 'none'"):
        diagnostics.crps(d, [0, 1, 2], reduction="sum")


def test_what_is_no_distribution_is_refused_by_name():
    loss, ensemble = ps.Poisson(), ps.Ensemble([ps.Dense(1, 1)], ps.Poisson(), members=2, rng=0)
    mixture = ensemble.distribution(np.zeros((2, 1)))
    for wrong in (loss, mixture, np.zeros(2)):
        for function in (diagnostics.pit, diagnostics.gain, diagnostics.crps, diagnostics.deviance):
            with pytest.raises(TypeError, match="distribution must be"):
                function(wrong, [1, 2])
        with pytest.raises(TypeError, match="distribution must be"):
            diagnostics.sharpness(wrong)

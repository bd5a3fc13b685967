"""ZeroInflated and Hurdle: what is true of a wrapper whatever it is put around."""

from cases import EXAMPLES, draw, name_of, seeded, twins, widths
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import losses, reference
from pyscratch.diagnostics import crps

MODULES = pytest.mark.parametrize("module", [losses, reference], ids=["native", "reference"])
GATED = [example for example in EXAMPLES if example[0] in ("ZeroInflated", "Hurdle")]
each_gated = pytest.mark.parametrize("example", GATED, ids=name_of)
COUNTS = np.arange(400.0)


def masses(loss, z):
    """Probabilities of the counts 0 ... 399 at one row of logits."""
    return np.exp(-loss.nll(np.tile(z, (400, 1)), COUNTS, reduction="none"))


def usual(loss, rows=6):
    """Rows of logits at which nearly all mass is on those counts."""
    z = draw(loss, rows, loss.width(), seeded(repr(loss), "usual"), spread=0.7)[0]
    if len(loss.parameters) == 3:
        z[:, 1] = np.abs(z[:, 1]) + 0.5
    return z


@each_gated
def test_the_masses_sum_to_one_and_have_the_stated_moments(example):
    for loss in twins(example):
        for z in usual(loss):
            p = masses(loss, z)
            np.testing.assert_allclose(p.sum(), 1, rtol=1e-9)
            np.testing.assert_allclose(loss.mean(z[None])[0], p @ COUNTS, rtol=1e-8)
            np.testing.assert_allclose(loss.variance(z[None])[0], p @ (COUNTS - p @ COUNTS) ** 2, rtol=1e-7)


@each_gated
def test_the_information_is_the_mean_of_score_times_score_and_of_the_curvature(example):
    for loss in twins(example):
        for z in usual(loss):
            p, rows = masses(loss, z)[:, None, None], np.tile(z, (400, 1))
            score = loss.grad(rows, COUNTS, reduction="sum")
            fisher = loss.fisher(z[None], block=True)[0]
            unit = np.sqrt(np.outer(np.diag(fisher), np.diag(fisher)))
            assert np.all(np.abs((p * score[:, :, None] * score[:, None, :]).sum(0) - fisher) <= 3e-4 * unit)
            assert np.all(np.abs((p * loss.curvature(rows, COUNTS, block=True)).sum(0) - fisher) <= 3e-4 * unit)
            assert np.linalg.eigvalsh(fisher / unit).min() > 0


@each_gated
def test_the_whole_curvature_is_the_derivative_of_the_gradient(example):
    for loss in twins(example):
        z, y = draw(loss, 40, loss.width(), seeded(repr(loss), "whole"))
        whole, h = loss.curvature(z, y, block=True), 1e-5
        assert np.array_equal(np.diagonal(whole, axis1=1, axis2=2), loss.curvature(z, y))
        for k in range(z.shape[1]):
            step = h * (np.arange(z.shape[1]) == k)
            up, down = (loss.grad(z + s, y, reduction="sum") for s in (step, -step))
            np.testing.assert_allclose(whole[:, k], (up - down) / (2 * h), rtol=1e-5, atol=1e-6 * (1 + np.abs(y).max()))


@each_gated
def test_far_to_one_side_the_gate_leaves_the_family(example):
    """Of ZeroInflated; the logarithm of a Hurdle's zero is that of its own probability."""
    for loss in twins(example):
        z, y = draw(loss, 50, loss.width(), seeded(repr(loss), "far"))
        z[:, -1], y = -800.0, y.ravel()
        nll, grad = loss.nll_and_grad(z, y, reduction="none")
        inside, inside_grad = loss.family.nll_and_grad(z[:, :-1], y, reduction="none")
        seen = y > 0
        if example[0] == "ZeroInflated":
            np.testing.assert_allclose(nll, inside, rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(grad[:, :-1], inside_grad, rtol=1e-12, atol=1e-14)
        else:
            none = loss.family.nll(z[:, :-1], 0 * y, reduction="none")
            np.testing.assert_allclose(nll[seen], (inside + np.log(-np.expm1(-none)))[seen], rtol=1e-9, atol=1e-12)
            assert np.all(nll[~seen] == 800) and not grad[~seen, :-1].any()
        assert not grad[seen, -1].any()


@MODULES
def test_a_hurdle_is_a_bernoulli_and_a_truncated_count(module):
    rng = seeded("apart")
    z, y = rng.normal(size=(60, 2)), rng.poisson(1.0, 60)
    nll, grad = module.Hurdle(module.Poisson()).nll_and_grad(z, y, reduction="none")
    gate, gate_grad = module.Bernoulli().nll_and_grad(z[:, 1], y == 0, reduction="none")
    mean = np.exp(z[:, 0])
    counts = np.where(y > 0, module.Poisson().nll(z[:, 0], y, reduction="none") + np.log(-np.expm1(-mean)), 0)
    np.testing.assert_allclose(nll, gate + counts, rtol=1e-13)
    np.testing.assert_allclose(grad[:, 1], gate_grad, rtol=1e-13)
    np.testing.assert_allclose(grad[:, 0], np.where(y > 0, mean / -np.expm1(-mean) - y, 0), rtol=1e-12)


@MODULES
def test_a_truncated_count_of_a_rate_of_zero_is_one(module, dtype):
    """As the mean goes to 0 the count that is not 0 becomes 1: its nll vanishes, that of others grows with log mean."""
    loss = module.Hurdle(module.Poisson())
    z = np.array([[-700.0, 0.0], [-30.0, 0.0], [-700.0, 0.0]], dtype)
    nll, grad = loss.nll_and_grad(z, [1, 1, 3], reduction="none")
    np.testing.assert_allclose(nll, [np.log(2), np.log(2), np.log(2) + 1400 + np.log(6)], rtol=1e-6)
    np.testing.assert_allclose(grad[:, 0], [0, np.exp(-30) / 2, -2], rtol=1e-6, atol=np.finfo(dtype).eps)
    np.testing.assert_allclose(loss.mean(z), 0.5, rtol=1e-6)
    np.testing.assert_allclose(loss.variance(z), 0.25, rtol=1e-6)
    assert np.all(loss.fisher(z)[:, 0] >= 0) and np.all(np.isfinite(loss.curvature(z, [1, 1, 3])))


@MODULES
def test_probabilities_of_nearly_one_keep_their_digits(module, dtype):
    """P(0) -> 1, by the gate, by the family and by both."""
    loss, eps = module.ZeroInflated(module.Poisson()), np.finfo(dtype).eps
    z = np.array([[0.0, 40.0], [-40.0, 0.0], [-20.0, 20.0]], dtype)
    some = -np.expm1(-np.exp([0.0, -40.0, -20.0])) / (1 + np.exp([40.0, 0.0, 20.0]))  # 1 - P(0), far below 1
    nll, grad = loss.nll_and_grad(z, np.zeros(3), reduction="none")
    np.testing.assert_allclose(nll, some, rtol=8 * eps)
    np.testing.assert_allclose(grad[:, 1], -some / (1 + np.exp([-40.0, 0.0, -20.0])), rtol=8 * eps)


@MODULES
def test_a_family_of_either_side_is_taken_and_nothing_else(module):
    for side in (losses, reference):
        loss = module.ZeroInflated(side.NegativeBinomial(1.5, link="softplus"))
        assert loss.family == module.NegativeBinomial(1.5, link="softplus")
        assert type(loss.family) is module.families["NegativeBinomial"]
    assert module.Hurdle(module.Poisson()) != module.ZeroInflated(module.Poisson())

    class Poisson(losses.Poisson):
        """One of a user's own."""

    for wrong in (module.Gaussian(), module.Hurdle(module.Poisson()), module.Poisson, "poisson", Poisson()):
        with pytest.raises(TypeError, match=r"Hurdle takes a family of counts of ours, such as Poisson\(\) or Neg"):
            module.Hurdle(wrong)


@MODULES
def test_the_parameters_are_the_familys_and_one_more(module):
    z = np.array([[0.3, 0.7, -1.0]])
    for cls, name in ((module.ZeroInflated, "structural_zero"), (module.Hurdle, "zero")):
        loss = cls(module.NegativeBinomial())
        p, inside = loss.link(z), module.NegativeBinomial().link(z[:, :2])
        assert p._fields == ("family_mean", "concentration", name) == loss.parameters
        assert p[0] == inside.mean and p[1] == inside.concentration and np.allclose(p[2], 1 / (1 + np.e))
        assert loss.width(2) == 6 and cls(module.Poisson()).width() == 2
        with pytest.raises(ValueError, match=f"3 logits per output .family_mean . concentration . {name}."):
            loss.outputs(4)


@MODULES
def test_errors_speak_of_the_wrapper_and_the_familys_link(module):
    with pytest.raises(ValueError, match=r"y\[1\] = -1.0: ZeroInflated needs counts 0, 1, 2"):
        module.ZeroInflated(module.Poisson()).nll(np.zeros((2, 2)), [0, -1])
    with pytest.raises(ValueError, match="integer=False"):
        module.Hurdle(module.Poisson()).nll(np.zeros((2, 2)), [0, 0.5])
    assert np.isfinite(module.Hurdle(module.Poisson(integer=False)).nll(np.zeros((2, 2)), [0, 0.5]))
    with pytest.raises(ValueError, match=r"logits\[0\] = .*: the 'sqrt' link needs a first logit > 0"):
        module.Hurdle(module.Poisson(link="sqrt")).nll(np.array([[-1.0, 3.0]]), [2])


@MODULES
def test_an_exposure_multiplies_the_familys_mean(module):
    z, y, exposure = np.array([[0.2, -0.5], [0.1, 0.4]]), [0, 3], np.array([2.0, 0.5])
    loss = module.ZeroInflated(module.Poisson())
    assert loss.nll(z, y, exposure=exposure) == loss.nll(z, y, offset=np.log(exposure))
    with pytest.raises(ValueError, match="exposure multiplies the mean"):
        module.ZeroInflated(module.Poisson(link="softplus")).nll(z, y, exposure=exposure)


@MODULES
@pytest.mark.parametrize("name", ["ZeroInflated", "Hurdle"])
def test_with_scale_finds_the_concentration(module, name):
    rng = seeded("with scale", name)
    truth = module.families[name](module.NegativeBinomial(0.7))
    z = np.stack([rng.normal(1, 0.5, 3000), np.full(3000, -1.0)], 1)
    y = truth.distribution(z).sample(rng)
    fitted = module.families[name](module.NegativeBinomial(5.0)).with_scale(z, y)
    assert type(fitted) is type(truth) and abs(np.log(fitted.family.concentration / 0.7)) < 0.2
    for factor in (0.99, 1.01):
        other = module.families[name](module.NegativeBinomial(fitted.family.concentration * factor))
        assert other.nll(z, y) > fitted.nll(z, y)
    free = module.families[name](module.Poisson())
    assert free.with_scale(z, y) is free


# ---- distributions ----


@each_gated
def test_the_crps_is_the_sum_over_all_counts(example):
    pytest.importorskip("scipy")
    loss = twins(example)[0]
    z = usual(loss)
    d = loss.distribution(z)
    for y in (0.0, 1.0, 4.0, 60.0):
        cdf = np.array([d.cdf(float(k)) for k in range(400)])
        want = ((cdf - (np.arange(400)[:, None] >= y)) ** 2).sum(0)
        np.testing.assert_allclose(crps(d, np.full(len(z), y), reduction="none"), want, rtol=1e-7, atol=1e-9)


def test_the_crps_of_rare_counts_behind_a_hurdle():
    """Where the family is nearly always 0: what is left is Bernoulli."""
    d = ps.Hurdle(ps.Poisson()).distribution(np.array([[-8.0, 0.3], [-13.0, 0.3], [-30.0, 0.3], [-800.0, 0.3]]))
    zero = 1 / (1 + np.exp(-0.3))
    for y, want in ((0.0, (1 - zero) ** 2), (1.0, zero**2), (3.0, zero**2 + 2)):
        found = crps(d, np.full(4, y), reduction="none")
        np.testing.assert_allclose(found, want, rtol=1e-3)
        np.testing.assert_allclose(found[2:], want, rtol=1e-12)


@each_gated
def test_the_mode_is_the_largest_mass(example):
    loss = twins(example)[0]
    z = np.concatenate([usual(loss), usual(loss) - [*[0] * (loss.width() - 1), 3.0]])
    d = loss.distribution(z)
    best = np.array([masses(loss, row).max() for row in z])
    np.testing.assert_allclose(np.exp(d.log_prob(d.mode)), best, rtol=1e-9)


# ---- the best constant ----


@MODULES
def test_the_best_constant_of_a_zero_inflated_poisson(module):
    """It reproduces the share of zeros and the mean; Lambert (1992), section 2."""
    rng = seeded("constant")
    y = np.where(rng.random(500) < 0.4, 0, rng.poisson(2.5, 500))
    loss = module.ZeroInflated(module.Poisson())
    z = loss.start(y)
    assert np.exp(-loss.nll(z[None], [0])) == pytest.approx((y == 0).mean(), rel=1e-10)
    assert loss.mean(z[None])[0] == pytest.approx(y.mean(), rel=1e-10)


@MODULES
@pytest.mark.parametrize("name", ["ZeroInflated", "Hurdle"])
def test_a_start_is_finite_whatever_the_counts(module, name):
    for family in (module.Poisson(), module.Poisson(link="identity"), module.NegativeBinomial()):
        loss = module.families[name](family)
        for y in (np.zeros(9), np.ones(9), np.full(9, 7.0), np.arange(9), [0, 0, 0, 1], [0, 1000]):
            z = loss.start(y)
            assert np.all(np.isfinite(z)) and np.all(np.abs(z[-1]) < 5)
            assert np.isfinite(loss.nll(np.tile(z, (len(y), 1)), y))


# ---- training and files ----


@MODULES
def test_a_network_learns_when_zeros_are_structural(module, tmp_path):
    api = ps if module is losses else reference
    rng = seeded("network")
    X = rng.normal(size=(1500, 2))
    y = np.where(rng.random(1500) < 1 / (1 + np.exp(-2 * X[:, 1])), 0, rng.poisson(np.exp(1 + 0.5 * X[:, 0])))
    net = api.Network([api.Dense(2, 2)], loss=api.ZeroInflated(api.Poisson()), rng=0)
    net.fit(X, y, epochs=40, batch_size=50, optimizer=api.Adam(0.02))
    np.testing.assert_allclose(net.layers[0].W, [[0.5, 0], [0, 2]], atol=0.25)
    plain = api.Network([api.Dense(2, 1)], loss=api.Poisson(), rng=0)
    plain.fit(X, y, epochs=40, batch_size=50, optimizer=api.Adam(0.02))
    assert net.score(X, y) > plain.score(X, y) + 0.3
    net.save(tmp_path / "m.npz")
    other = api.Network.load(tmp_path / "m.npz")
    assert other.loss == net.loss and type(other.loss.family) is module.families["Poisson"]
    assert np.array_equal(other.predict(X), net.predict(X))
    across = (reference if api is ps else ps).Network.load(tmp_path / "m.npz")
    assert across.loss == (reference if api is ps else losses).ZeroInflated(net.loss.family)
    np.testing.assert_allclose(across.predict(X), net.predict(X), rtol=1e-12)


def test_several_outputs_have_their_blocks():
    loss = ps.Hurdle(ps.NegativeBinomial())
    width = widths(loss)[1]
    z, y = draw(loss, 30, width, seeded("blocks"))
    parts = [loss.nll(z[:, i::2], y[:, i], reduction="none") for i in range(2)]
    np.testing.assert_allclose(loss.nll(z, y, reduction="none"), parts[0] + parts[1], rtol=1e-13)
    whole = loss.fisher(z, block=True)
    assert not whole[:, 0::2, 1::2].any() and np.array_equal(whole[:, ::2, ::2], loss.fisher(z[:, ::2], block=True))

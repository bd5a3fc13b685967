"""Options that are the same for every family: exposure, class weights, smoothing, labels to ignore."""

from cases import EXAMPLES, draw, name_of, seeded, twins, widths
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import losses, reference

MODULES = pytest.mark.parametrize("module", [losses, reference], ids=["native", "reference"])


# ---- exposure ----


@pytest.mark.parametrize("example", [e for e in EXAMPLES if twins(e)[0].takes_exposure], ids=name_of)
def test_an_exposure_is_an_offset_of_its_logarithm(example):
    for loss in twins(example):
        width = widths(loss)[0]
        z, y = draw(loss, 40, width, seeded(loss.name))
        exposure = seeded("exposure").exponential(size=40) + 0.1
        if loss.link != "log":
            with pytest.raises(ValueError, match="exposure multiplies the mean of a count"):
                loss.nll(z, y, exposure=exposure)
            continue
        log = np.log(exposure)
        for method in ("nll", "grad", "curvature"):
            ask = getattr(loss, method)
            assert np.array_equal(ask(z, y, exposure=exposure), ask(z, y, offset=log)), method
        for method in ("mean", "variance", "fisher"):
            ask = getattr(loss, method)
            assert np.array_equal(ask(z, exposure=exposure), ask(z, offset=log)), method
        both = loss.nll(z, y, exposure=exposure, offset=np.full(40, 0.5))
        assert both == loss.nll(z, y, offset=log + 0.5)
        assert loss.bind(z, y, exposure=exposure).nll() == pytest.approx(loss.nll(z, y, offset=log), rel=1e-12)
        assert np.array_equal(loss.start(y, exposure=exposure), loss.start(y, offset=log))
        assert np.array_equal(loss.distribution(z, exposure=exposure).mean, loss.mean(z, offset=log))
        assert loss.nll(z, y, exposure=2.0) == loss.nll(z, y, offset=np.log(2.0))


def test_a_family_without_exposure_says_so():
    for loss in (ps.Gaussian(), ps.Gamma(), ps.Bernoulli(), ps.Poisson(link="softplus")):
        with pytest.raises(ValueError, match="use offset or weights"):
            loss.nll(np.full(3, 0.5), [1, 1, 1], exposure=[1.0, 2.0, 3.0])


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_bad_exposure_is_named(bad):
    with pytest.raises(ValueError, match=r"exposure\[1\] = .*must be finite and > 0"):
        ps.Poisson().nll(np.zeros(3), [1, 2, 3], exposure=[1.0, bad, 1.0])
    net = ps.Network([ps.Dense(1, 1)], ps.Poisson(), rng=0)
    with pytest.raises(ValueError, match=r"exposure\[2\]"):
        net.fit(np.ones((3, 1)), [1, 2, 3], exposure=[1.0, 1.0, bad])


def test_networks_take_an_exposure():
    rng = seeded("network")
    X, exposure = rng.normal(size=(300, 2)), rng.exponential(size=300) + 0.2
    y = rng.poisson(np.exp(0.3 * X[:, 0]) * exposure)
    nets = [ps.Network([ps.Dense(2, 1)], ps.Poisson(), rng=0) for _ in range(2)]
    held = {"X": X[:50], "y": y[:50]}
    nets[0].fit(X, y, exposure=exposure, epochs=3, validation=held | {"exposure": exposure[:50]})
    nets[1].fit(X, y, offset=np.log(exposure), epochs=3, validation=held | {"offset": np.log(exposure[:50])})
    assert np.array_equal(nets[0].values, nets[1].values) and nets[0].history.nll == nets[1].history.nll
    assert np.array_equal(nets[0].predict(X, exposure=exposure), nets[1].predict(X, offset=np.log(exposure)))
    assert nets[0].score(X, y, exposure=exposure) == nets[1].score(X, y, offset=np.log(exposure))
    assert np.array_equal(nets[0].distribution(X, exposure=2.0).mean, nets[0].predict(X, exposure=2.0))
    nets[0].fit_exact(X, y, exposure=exposure)
    assert nets[0].layers[0].W[0, 0] == pytest.approx(0.3, abs=0.2)
    with pytest.raises(ValueError, match="use offset or weights"):
        ps.Network([ps.Dense(2, 1)], ps.Gaussian(), rng=0).predict(X, exposure=exposure)


# ---- class weights ----


@MODULES
def test_balanced_class_weights(module):
    y = np.array([0, 0, 0, 1, 1, 2])
    loss = module.Categorical(class_weights="balanced")
    assert loss.balanced(y).class_weights == pytest.approx((6 / 9, 6 / 6, 6 / 3))
    assert loss.balanced(y, weights=[1, 1, 0, 1, 1, 1]).class_weights == pytest.approx((5 / 6, 5 / 6, 5 / 3))
    assert loss.balanced(y, width=4).class_weights == pytest.approx((6 / 12, 6 / 8, 6 / 4, 0))
    assert module.Categorical().balanced(y) == module.Categorical()
    with pytest.raises(ValueError, match="needs the targets of all rows"):
        loss.nll(np.zeros((6, 3)), y)
    with pytest.raises(ValueError, match="class_weights must be one of 'balanced'"):
        module.Categorical(class_weights="equal")


def test_balanced_weights_are_those_of_each_fit():
    rng = seeded("balanced")
    X = rng.normal(size=(200, 3))
    y = (X[:, 0] + rng.normal(size=200) > 1).astype(int)
    nets = [ps.Network([ps.Dense(3, 2)], loss, rng=0) for loss in (
        ps.Categorical(class_weights="balanced"), ps.Categorical(class_weights="balanced").balanced(y))]  # fmt: skip
    for net in nets:
        net.fit(X, y, epochs=3)
    assert np.array_equal(nets[0].values, nets[1].values)
    assert nets[0].loss == ps.Categorical(class_weights="balanced")
    assert nets[0].score(X, y) == nets[1].score(X, y)


# ---- smoothing ----


@MODULES
def test_smoothing_of_a_bernoulli_moves_the_target(module, dtype):
    z, y = np.linspace(-4, 4, 37).astype(dtype), np.arange(37) % 2
    for link in ("logit", "probit"):
        smooth, plain = module.Bernoulli(link, smoothing=0.2), module.Bernoulli(link)
        moved = (0.8 * y + 0.1).astype(dtype)
        for method in ("nll", "grad", "curvature"):
            got, want = (getattr(a, method)(z, b) for a, b in ((smooth, y), (plain, moved)))
            np.testing.assert_allclose(got, want, rtol=32 * np.finfo(dtype).eps)
        assert smooth.plain == plain and np.array_equal(smooth.mean(z), plain.mean(z))
        with pytest.raises(ValueError, match=r"y\[1\] = 1.0"):  # though 0.8 y + 0.1 lies below 1
            smooth.nll(z[:2], [0.0, 1.05])
    with pytest.raises(ValueError, match="smoothing must be below 1"):
        module.Bernoulli(smoothing=1.0)


# ---- labels to ignore ----


@MODULES
@pytest.mark.parametrize("options", [{}, {"smoothing": 0.1}, {"class_weights": (1.0, 2.0, 0.5)}])
def test_ignored_labels_are_rows_of_weight_zero(module, options):
    rng = seeded("ignore")
    z, y = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    marked = np.where(rng.random(50) < 0.3, -100, y)
    weights = rng.exponential(size=50)
    loss, plain = module.Categorical(ignore_index=-100, **options), module.Categorical(**options)
    for given in (None, weights):
        kept = (marked >= 0) * (1.0 if given is None else given)
        for reduction in ("mean", "sum", "none", "total"):
            got = loss.nll_and_grad(z, marked, weights=given, reduction=reduction)
            want = plain.nll_and_grad(z, marked, weights=kept, reduction=reduction)
            assert np.array_equal(got[0], want[0]) and np.array_equal(got[1], want[1])
        assert np.array_equal(loss.curvature(z, marked, weights=given), plain.curvature(z, marked, weights=kept))
        assert loss.bind(z, marked, weights=given).nll() == plain.bind(z, marked, weights=kept).nll()
        assert np.array_equal(loss.start(marked, weights=given, width=3), plain.start(marked, weights=kept, width=3))
    with pytest.warns(RuntimeWarning, match="no rows"):
        value, grad = loss.nll_and_grad(z, np.full(50, -100))
    assert np.isnan(value) and not grad.any()
    with pytest.raises(ValueError, match=r"y\[0\] = -1"):
        loss.nll(z, np.full(50, -1))


def test_a_fit_leaves_ignored_rows_out():
    rng = seeded("ignored fit")
    X, y = rng.normal(size=(120, 2)), rng.integers(0, 3, 120)
    marked = np.where(np.arange(120) % 4 == 0, 255, y)
    nets = [ps.Network([ps.Dense(2, 3)], ps.Categorical(ignore_index=index), rng=0) for index in (255, None)]
    nets[0].fit(X, marked, epochs=3, batch_size=16)
    nets[1].fit(X, y, weights=marked != 255, epochs=3, batch_size=16)
    assert np.array_equal(nets[0].values, nets[1].values)
    assert nets[0].score(X, marked) == nets[1].score(X, y, weights=marked != 255)

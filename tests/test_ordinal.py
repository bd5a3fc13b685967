"""Ordered classes: the head, the layer that holds its cutpoints, and both in a network."""

from networks import MODULES, module_id
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import reference

each_module = pytest.mark.parametrize("module", MODULES, ids=module_id)


def graded(rows=3000, seed=0):
    """Features, and grades 0 ... 3 of a latent number with logistic noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3))
    latent = X @ [1.0, -0.5, 0.25] + rng.logistic(size=rows)
    return X, np.digitize(latent, [-1.0, 0.0, 1.5])


@each_module
def test_two_classes_are_a_bernoulli(module):
    z = np.random.default_rng(0).normal(0, 3, 50)
    y = np.arange(50) % 2
    for name in ("nll", "grad"):
        mine, its = (getattr(loss, name) for loss in (module.Ordinal(), module.Bernoulli()))
        options = {"reduction": "none" if name == "nll" else "sum"}
        sign = 1 if name == "nll" else -1
        np.testing.assert_allclose(mine(-z, y, **options), sign * its(z, y, **options), rtol=1e-14)
    np.testing.assert_allclose(module.Ordinal().mean(-z), module.Bernoulli().mean(z), rtol=1e-14)


@each_module
def test_probabilities_are_differences_of_the_link(module):
    z = np.sort(np.random.default_rng(1).normal(0, 2, (40, 5)), axis=1)
    below = module.Ordinal().link(z)
    d = module.Ordinal().distribution(z)
    np.testing.assert_allclose(d.probabilities, np.diff(below, axis=1, prepend=0, append=1), rtol=1e-11)
    np.testing.assert_allclose(d.probabilities.sum(1), 1, rtol=1e-14)
    np.testing.assert_allclose(d.mean, d.probabilities @ np.arange(6), rtol=1e-13)
    np.testing.assert_allclose(d.variance, d.probabilities @ np.arange(6) ** 2 - d.mean**2, rtol=1e-12)
    assert np.array_equal(d.mode, np.argmax(d.probabilities, 1))


@each_module
def test_far_classes_keep_their_digits(module):
    """P(y = 1) between cutpoints at 40 and 41 is e^-40 (1 - e^-1): the difference of the link's values is 0."""
    nll = module.Ordinal().nll(np.array([[40.0, 41.0], [-41.0, -40.0]]), [1, 1], reduction="none")
    np.testing.assert_allclose(nll, 40 - np.log1p(-np.exp(-1.0)), rtol=1e-15)


@each_module
def test_a_class_of_no_width_is_impossible_and_harmless(module):
    loss, z = module.Ordinal(), np.array([[-1.0, 0.5, 0.5]])
    assert loss.nll(z, [2]) == np.inf and loss.distribution(z).probabilities[0, 2] == 0
    value, grad = loss.nll_and_grad(z, [1])
    assert np.isfinite(value) and np.isfinite(grad).all() and grad[0, 2] == 0


@each_module
def test_a_row_that_decreases_is_named_unless_it_weighs_nothing(module):
    loss, z = module.Ordinal(), np.array([[0.0, 1.0], [2.0, 1.0], [0.0, np.nan]])
    for ask in (lambda: loss.nll(z, [0, 1, 2]), lambda: loss.mean(z), lambda: loss.grad(z, [0, 1, 2])):
        with pytest.raises(ValueError, match=r"logits\[1, 1\] = 1.0 after 2.0: .*OrderedThresholds\(3\)"):
            ask()
    nll = loss.nll(z, [0, 7, 2], weights=[1.0, 0.0, 1.0], reduction="none")
    assert np.isfinite(nll[0]) and nll[1] == 0 and np.isnan(nll[2])
    with pytest.raises(ValueError, match=r"y\[1\] = 7.0: Ordinal needs labels from 0 to 2"):
        loss.nll(z, [0, 7, 2], weights=[1.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="K − 1 logits"):
        loss.outputs(0)


@each_module
def test_an_offset_moves_the_latent_number(module):
    loss, rng = module.Ordinal(), np.random.default_rng(2)
    z, y, offset = np.sort(rng.normal(size=(20, 3)), axis=1), rng.integers(0, 4, 20), rng.normal(size=20)
    moved = z - offset[:, None]
    assert loss.nll(z, y, offset=offset) == loss.nll(moved, y)
    assert np.array_equal(loss.grad(z, y, offset=offset), loss.grad(moved, y))
    for name in ("mean", "variance", "fisher"):
        assert np.array_equal(getattr(loss, name)(z, offset=offset), getattr(loss, name)(moved))
    whole = loss.fisher(z, offset=offset, block=True), loss.curvature(z, y, offset=offset, block=True)
    for mine, other in zip(whole, (loss.fisher(moved, block=True), loss.curvature(moved, y, block=True)), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


@each_module
def test_information_is_the_expected_curvature(module):
    loss, rng = module.Ordinal(), np.random.default_rng(3)
    z, w = np.sort(rng.normal(0, 2, (20, 4)), axis=1), rng.exponential(size=20)
    p = loss.distribution(z).probabilities
    expected = sum(p[:, k, None, None] * loss.curvature(z, np.full(20, k), weights=w, block=True) for k in range(5))
    np.testing.assert_allclose(loss.fisher(z, weights=w, block=True), expected, rtol=1e-9, atol=1e-12)


# ---- the layer ----


def layer(module, classes, dtype=np.float64):
    net = module.Network([module.Dense(2, 1), module.OrderedThresholds(classes)], module.Ordinal(), rng=0, dtype=dtype)
    rng = np.random.default_rng(4)
    net.layers[1].first, net.layers[1].gaps = rng.normal(size=1), rng.normal(size=classes - 2)
    return net.layers[1]


@each_module
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_gradients_of_the_thresholds_are_finite_differences(module, classes):
    cuts, rng, step = layer(module, classes), np.random.default_rng(5), 1e-6
    x, g = rng.normal(size=(7, 1)), rng.normal(size=(7, classes - 1))
    cuts.forward(x)
    dx = cuts.backward(g)
    np.testing.assert_allclose(dx, -g.sum(1, keepdims=True), rtol=1e-14)
    for value, gradient in zip((cuts.first, cuts.gaps), (cuts.dfirst.copy(), cuts.dgaps.copy()), strict=True):
        for i in range(len(value)):
            kept, found = value[i], []
            for sign in (1, -1):
                value[i] = kept + sign * step
                found.append((cuts.forward(x) * g).sum())
            value[i] = kept
            assert gradient[i] == pytest.approx((found[0] - found[1]) / (2 * step), rel=1e-7, abs=1e-7)


@each_module
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cutpoints_never_decrease(module, dtype):
    cuts = layer(module, 6, dtype)
    cuts.gaps = [-800.0, 800.0, -40.0, 0.0]
    for x in (0.0, 1e6, -1e30):
        assert np.all(np.diff(cuts.forward(np.full((1, 1), x, dtype))) >= 0)
    cuts.start_at(np.array([-3.0, -1.0, -0.999, 2.0, 50.0]))
    bound = 1e-6 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(cuts.cutpoints, [-3.0, -1.0, -0.999, 2.0, 50.0], rtol=bound)


def test_thresholds_say_what_they_need():
    for wrong in (1, 0, -2):
        with pytest.raises(ValueError, match="classes must be at least"):
            ps.OrderedThresholds(wrong)
    with pytest.raises(ValueError, match=r"OrderedThresholds\(4\), takes 1 features, but .* gives 2"):
        ps.Network([ps.Dense(3, 2), ps.OrderedThresholds(4)], ps.Ordinal())
    with pytest.raises(RuntimeError, match="no parameters yet"):
        ps.OrderedThresholds(3).forward(np.zeros((1, 1)))


# ---- networks ----


@each_module
def test_a_fit_finds_the_latent_line_and_its_cutpoints(module):
    X, y = graded()
    net = module.Network([module.Dense(3, 1), module.OrderedThresholds(4)], module.Ordinal(), rng=0)
    net.fit(X, y, epochs=30, batch_size=100, optimizer=module.Adam(1e-2))
    assert np.all(np.abs(net.layers[0].W[:, 0] - [1.0, -0.5, 0.25]) < 0.15)
    assert np.all(np.abs(net.layers[1].cutpoints - net.layers[0].b - [-1.0, 0.0, 1.5]) < 0.15)
    classes = net.predict_class(X)
    assert classes.dtype.kind == "i" and np.array_equal(classes, net.distribution(X).mode)
    assert (classes == y).mean() > np.bincount(y).max() / len(y) + 0.05
    assert net.score(X, y) > -1.25


@each_module
def test_an_ensemble_votes_by_probability(module):
    X, y = graded(300)
    ensemble = (ps.Ensemble if module is not reference else reference.Ensemble)(
        [module.Dense(3, 1), module.OrderedThresholds(4)], module.Ordinal(), members=3, rng=0
    )
    ensemble.fit(X, y, epochs=2)
    p = np.mean([net.distribution(X).probabilities for net in ensemble.networks], axis=0)
    assert np.array_equal(ensemble.predict_class(X), np.argmax(p, axis=1))


def test_the_fit_is_that_of_statsmodels():
    model = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    pytest.importorskip("scipy.optimize")
    X, y = graded(800, 1)
    theirs = model.OrderedModel(y, X, distr="logit").fit(method="bfgs", disp=False, gtol=1e-9, maxiter=500)
    net = ps.Network([ps.Dense(3, 1), ps.OrderedThresholds(4)], ps.Ordinal(), rng=0)
    net.fit(X, y, epochs=300, optimizer=ps.LBFGS())
    np.testing.assert_allclose(net.layers[0].W[:, 0], theirs.params[:3], atol=1e-4)
    assert len(y) * net.score(X, y) == pytest.approx(theirs.llf, rel=1e-8)

"""Ensembles: members are their own single runs, predictions are those of the mixture."""

import signal
import threading

from networks import MODULES, features, module_id, targets
import numpy as np
import pytest

import pyscratch as ps

each_module = pytest.mark.parametrize("module", MODULES, ids=module_id)
POISSON, GAUSSIAN = ("Poisson", {}), ("Gaussian", {})
SETTINGS = {"epochs": 4, "batch_size": 16}


def stack(module, width=1):
    return [module.Dense(5, 8), module.Tanh(), module.Dense(8, width)]


def trained(module, loss, y, width=1, members=3):
    ensemble = module.Ensemble(stack(module, width), loss, members, rng=4)
    ensemble.fit(features(80), y, **SETTINGS)
    return ensemble


@each_module
def test_each_member_is_its_own_single_run(module):
    X = features(80)
    y = targets(POISSON, X)
    ensemble = module.Ensemble(stack(module), module.Poisson(), 4, rng=3)
    histories = ensemble.fit(X, y, validation=0.2, **SETTINGS)
    for child, net, history in zip(np.random.default_rng(3).spawn(4), ensemble.networks, histories, strict=True):
        alone = module.Network(stack(module), module.Poisson(), rng=child)
        single = alone.fit(X, y, validation=0.2, **SETTINGS)
        assert np.array_equal(alone.values, net.values)
        assert (single.nll, single.validation_nll) == (history.nll, history.validation_nll)
    assert not np.array_equal(ensemble.networks[0].values, ensemble.networks[1].values)


@each_module
def test_the_prediction_is_the_mixture(module):
    X = features(80)
    y = targets(GAUSSIAN, X)
    ensemble = trained(module, module.HeteroscedasticGaussian(), y, 2)
    members, mixture = [net.distribution(X) for net in ensemble.networks], ensemble.distribution(X)
    means = np.array([member.mean for member in members])
    np.testing.assert_allclose(ensemble.predict(X), means.mean(0))
    second = np.mean([member.variance + member.mean**2 for member in members], axis=0)
    np.testing.assert_allclose(mixture.variance, second - means.mean(0) ** 2)
    np.testing.assert_allclose(mixture.log_prob(y), np.log(np.mean([np.exp(m.log_prob(y)) for m in members], axis=0)))
    np.testing.assert_allclose(ensemble.score(X, y), mixture.log_prob(y).mean())
    assert ensemble.score(X, y) >= np.mean([net.score(X, y) for net in ensemble.networks])
    for q in (0.01, 0.5, 0.9):
        np.testing.assert_allclose(mixture.cdf(mixture.quantile(q)), q, atol=1e-12)
    low, high = mixture.interval(0.8)
    np.testing.assert_allclose(mixture.cdf(high) - mixture.cdf(low), 0.8, atol=1e-12)
    np.testing.assert_allclose(mixture.sf(y), 1 - mixture.cdf(y), atol=1e-12)


def test_quantiles_of_counts():
    pytest.importorskip("scipy")
    X = features(80)
    mixture = trained(ps, ps.Poisson(), targets(POISSON, X)).distribution(X)
    for q in (0.05, 0.5, 0.99):
        y = mixture.quantile(q)
        assert np.all(y == np.rint(y)) and np.all(mixture.cdf(y) >= q) and np.all(mixture.cdf(y - 1) < q)


def test_samples_have_the_mean_and_variance():
    X = np.repeat(features(1), 200_000, axis=0)
    mixture = trained(ps, ps.HeteroscedasticGaussian(), targets(GAUSSIAN, features(80)), 2).distribution(X)
    drawn = mixture.sample(0)
    assert drawn.shape == (200_000,)
    assert abs(drawn.mean() - mixture.mean[0]) < 5 * mixture.std[0] / np.sqrt(len(drawn))
    np.testing.assert_allclose(drawn.var(), mixture.variance[0], rtol=0.03)


def test_classes_and_weights():
    X, rng = features(80), np.random.default_rng(0)
    y = rng.integers(0, 3, 80)
    ensemble = trained(ps, ps.Categorical(), y, 3)
    mean = ensemble.predict(X)
    np.testing.assert_allclose(mean.sum(1), 1)
    assert np.array_equal(ensemble.predict_class(X), mean.argmax(1))
    weights = np.repeat([0.0, 2.0], 40)
    np.testing.assert_allclose(ensemble.score(X, y, weights=weights), ensemble.score(X[40:], y[40:]))
    with pytest.raises(TypeError, match="has no classes"):
        trained(ps, ps.Gaussian(), features(80)[:, 0]).predict_class(X)


def test_an_error_of_a_member_is_raised():
    with pytest.raises(ValueError, match="y must be|y has|rows"):
        ps.Ensemble(stack(ps), ps.Gaussian(), 2, rng=0).fit(features(80), np.zeros(79))
    with pytest.raises(ValueError, match="members"):
        ps.Ensemble(stack(ps), ps.Gaussian(), 0)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals here")
def test_control_c_ends_all_members():
    X = features(80)
    ensemble = ps.Ensemble(stack(ps), ps.Gaussian(), 3, rng=0)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.get_ident()
    timer = threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            ensemble.fit(X, X[:, 0], epochs=10**8)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, handler)
    assert all(np.isfinite(net.values).all() for net in ensemble.networks)
    ensemble.fit(X, X[:, 0], epochs=1)

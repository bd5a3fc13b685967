"""L-BFGS is one more optimizer of `fit`: history, early stopping, callbacks, errors and interrupts are those of fit."""

import math
import sys

from networks import MODULES, Gain, Shift, features, make_network, module_id, targets
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _native, reference

pytest.importorskip("scipy")
MAIN = ps if _native.available else reference
POISSON = ("Poisson", {})
each_module = pytest.mark.parametrize("module", MODULES, ids=module_id)


def data(rows=300):
    X = features(rows)
    return X, targets(POISSON, X)


def linear(module=MAIN, **settings):
    return make_network(module, POISSON, hidden=(), **settings)


@each_module
def test_a_convex_problem_ends_where_the_gradient_is_zero(module):
    X, y = data(3000)  # several blocks of rows
    weights = np.random.default_rng(0).integers(0, 3, 3000).astype(float)
    offset = 0.1 * X[:, 0]
    net = linear(module)
    history = net.fit(X, y, weights=weights, offset=offset, epochs=200, optimizer=module.LBFGS(tolerance=1e-7))
    assert history.stopped == "converged" and 2 < len(history) < 50 and net.steps == len(history)
    net.backward(net.loss.grad(net.forward(X, offset=offset), y, weights=weights))
    assert 0 < np.abs(net.gradients).max() <= 1e-7
    assert history.nll[-1] == pytest.approx(-net.score(X, y, weights=weights, offset=offset), rel=1e-13)
    assert all(math.isnan(rate) for rate in history.learning_rate) and history.nll == sorted(history.nll, reverse=True)


@pytest.mark.skipif(not _native.available, reason="the C kernels are not built")
def test_it_finds_what_fisher_scoring_finds():
    X, y = data()
    one, other = linear(ps), linear(ps)
    one.fit(X, y, epochs=200, optimizer=ps.LBFGS(tolerance=1e-8))
    other.fit_exact(X, y)
    np.testing.assert_allclose(one.values, other.values, rtol=1e-6, atol=1e-7)


@each_module
def test_the_penalty_is_that_of_the_docstring(module):
    X, y = data()
    net = linear(module)
    history = net.fit(X, y, epochs=200, optimizer=module.LBFGS(tolerance=1e-7, weight_decay=0.3))
    net.backward(net.loss.grad(net.forward(X), y))
    np.testing.assert_allclose(net.layers[0].dW, -0.3 * net.layers[0].W, atol=1e-7)
    np.testing.assert_allclose(net.layers[0].db, 0, atol=1e-7)
    assert history.nll[-1] == pytest.approx(-net.score(X, y), rel=1e-13)


def test_native_and_reference_go_the_same_way():
    found = []
    X, y = data(200)
    for module in MODULES:
        net = make_network(module, POISSON)
        found.append((net.fit(X, y, epochs=12, optimizer=module.LBFGS()).nll, net.values))
    for nll, values in found[1:]:
        np.testing.assert_allclose(nll, found[0][0], rtol=1e-8)
        np.testing.assert_allclose(values, found[0][1], rtol=1e-5, atol=1e-7)


@each_module
def test_epochs_callbacks_validation_and_patience(module):
    X, y = data(120)
    net, seen = make_network(module, POISSON), []
    history = net.fit(X, y, epochs=5, optimizer=module.LBFGS(), callbacks=lambda net, told: seen.append(len(told)))
    assert seen == [1, 2, 3, 4, 5] and history.stopped == "epochs" and net.steps == 5
    values = net.values.copy()
    history = net.fit(X, y, epochs=9, callbacks=lambda net, told: len(told) == 2)  # goes on, by the same optimizer
    assert history.stopped == "callback" and len(history) == 2 and not np.array_equal(values, net.values)
    assert net.fit(X, y, epochs=0).nll == []
    net = make_network(module, POISSON, hidden=(30,))
    kept = []
    history = net.fit(
        X[:40], y[:40], epochs=300, optimizer=module.LBFGS(), validation=(X[40:], y[40:]), patience=4,
        callbacks=lambda net, history: kept.append(net.values.copy()),
    )  # fmt: skip
    assert history.stopped == "patience" and len(history) == history.best_epoch + 4
    assert np.array_equal(net.values, kept[history.best_epoch - 1])
    assert -net.score(X[40:], y[40:]) == pytest.approx(min(history.validation_nll), rel=1e-12)


def test_single_precision_and_layers_of_a_user():
    X, y = data()
    exact, single = linear(), linear(dtype=np.float32)
    exact.fit(X, y, epochs=200, optimizer=MAIN.LBFGS())
    history = single.fit(X, y, epochs=200, optimizer=MAIN.LBFGS())
    assert history.stopped in ("converged", "line search")
    np.testing.assert_allclose(single.values, exact.values, rtol=1e-3, atol=1e-3)
    mixed = MAIN.Network([Gain(5), Shift(5), MAIN.Dense(5, 1)], MAIN.Poisson(), rng=0)
    assert mixed.fit(X, y, epochs=300, optimizer=MAIN.LBFGS()).nll[-1] == pytest.approx(
        -exact.score(X, y), rel=1e-9
    )  # the same model, written with more parameters
    assert np.array_equal(mixed.layers[1].t, mixed.values[5:10])


def test_steps_that_are_much_too_long_are_taken_back():
    """From a rate of exp(-40) the first directions overflow: the search comes back instead of ending there."""
    X, y = data()
    net, other = linear(), linear()
    net.layers[0].b[...] = -40.0
    history = net.fit(X, y, epochs=300, optimizer=MAIN.LBFGS(tolerance=1e-8), start=False)
    other.fit(X, y, epochs=300, optimizer=MAIN.LBFGS(tolerance=1e-8))
    assert np.isfinite(history.nll).all() and history.nll[-1] == pytest.approx(-other.score(X, y), rel=1e-10)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_leaves_the_weights_of_the_last_step(error):
    """Raised in the middle of a line search, where the network holds a point that is only tried."""
    X, y = data()
    kept, tried = [], []

    class Fails(Shift):
        def forward(self, x):
            if len(kept) == 3:
                tried.append(self.t.copy())
                raise error
            return super().forward(x)

    net = MAIN.Network([Fails(5), MAIN.Dense(5, 8), MAIN.Tanh(), MAIN.Dense(8, 1)], MAIN.Poisson(), rng=0)
    with pytest.raises(error):
        net.fit(X, y, optimizer=MAIN.LBFGS(), callbacks=lambda net, told: kept.append(net.values.copy()))
    assert np.array_equal(net.values, kept[-1]) and net.history.stopped == "error" and net.steps == 3
    assert np.array_equal(net.layers[0].t, net.values[:5]) and not np.array_equal(net.layers[0].t, tried[0])


def test_a_fit_can_be_stopped_from_another_thread():
    X, y = data()
    net = linear()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=100, optimizer=MAIN.LBFGS(), callbacks=lambda net, history: net.stop())
    assert net.steps == 1


def test_a_start_that_is_not_finite_is_an_error():
    X, y = data()
    net = linear()
    net.layers[0].b[...] = 1e4
    before = net.values.copy()
    with pytest.raises(FloatingPointError, match="not finite in epoch 1, batch 1.*Standardise X, or look"):
        net.fit(X, y, epochs=100, optimizer=MAIN.LBFGS(), start=False)
    assert np.array_equal(net.values, before)


def test_what_it_refuses(monkeypatch):
    X, y = data()
    net = MAIN.Network([MAIN.Dropout(0.5), MAIN.Dense(5, 1)], MAIN.Poisson(), rng=0)
    before = net.values.copy()
    with pytest.raises(ValueError, match="Dropout draws"):
        net.fit(X, y, optimizer=MAIN.LBFGS())
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r"LBFGS needs scipy: pip install 'pyscratch\[lbfgs\]'"):
        net.fit(X, y, optimizer=MAIN.LBFGS())
    assert np.array_equal(net.values, before) and net.optimizer is None
    for name, bad in (("memory", 0), ("tolerance", 0.0), ("weight_decay", -1.0)):
        with pytest.raises(ValueError, match=f"{name} must be"):
            MAIN.LBFGS(**{name: bad})


def test_it_is_saved(tmp_path):
    X, y = data()
    net = linear()
    net.fit(X, y, epochs=3, optimizer=MAIN.LBFGS(memory=4, tolerance=1e-7))
    net.save(tmp_path / "net.npz")
    other = MAIN.Network.load(tmp_path / "net.npz")
    assert other.optimizer == net.optimizer
    for each in (net, other):
        each.fit(X, y, epochs=3)
    assert np.array_equal(net.values, other.values)

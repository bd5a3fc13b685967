"""The library and the reference train the same path: same initial weights, same batches, same history."""

from networks import BOTH, HEAD_IDS, HEADS, features, make_network, targets
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _plan, reference

pytestmark = pytest.mark.skipif(not BOTH, reason="the C kernels are not built")

ROWS, BATCH, STEPS, EPOCHS = 400, 8, 50, 50
PLAIN = [(name, options) for name, options in HEADS if not options]  # with options: in the shorter tests below
CALMER = {"LogNormal": 0.1}  # its likelihood is unbounded: at the usual rate rounding errors grow exponentially
OPTIMIZERS = {"SGD": {"learning_rate": 1e-3, "momentum": 0.9}, "Adam": {"learning_rate": 3e-3}}


def histories(head, activation, optimizer, epochs, dtype=np.float64, **options):
    X = features(ROWS)
    y = targets(head, X)
    nets, found = [], []
    for module in (ps, reference):
        nets.append(make_network(module, head, activation=activation, dtype=dtype))
        rate = OPTIMIZERS[optimizer]["learning_rate"] * CALMER.get(head[0], 1)
        settings = getattr(module, optimizer)(**{**OPTIMIZERS[optimizer], "learning_rate": rate})
        found.append(nets[-1].fit(X, y, epochs=epochs, batch_size=BATCH, optimizer=settings, **options))
    return nets, found


CORE = ("Bernoulli", "Categorical", "Gaussian", "HeteroscedasticGaussian", "Poisson")  # with every body and optimizer
RUNS = [
    pytest.param(head, activation, bound, optimizer, id=f"{head[0]}-{activation}-{optimizer}")
    for head in PLAIN
    for activation, bound in (("Tanh", 1e-10), ("ReLU", 1e-8))
    for optimizer in OPTIMIZERS
    if head[0] in CORE or (activation, optimizer) in (("Tanh", "Adam"), ("ReLU", "SGD"))
]


@pytest.mark.parametrize("head,activation,bound,optimizer", RUNS)
def test_histories_agree_over_50_epochs_of_50_steps(head, activation, bound, optimizer):
    assert ROWS // BATCH == STEPS
    (one, other), (first, second) = histories(head, activation, optimizer, EPOCHS)
    assert len(first) == EPOCHS and first.nll[-1] != first.nll[0]
    np.testing.assert_allclose(first.nll, second.nll, rtol=bound)
    np.testing.assert_allclose(one.values, other.values, rtol=100 * bound, atol=100 * bound)
    assert one.rng.bit_generator.state == other.rng.bit_generator.state


@pytest.mark.parametrize("head", HEADS, ids=HEAD_IDS)
def test_histories_agree_with_weights_offset_validation_and_early_stopping(head):
    rng = np.random.default_rng(5)
    weights = rng.integers(0, 4, ROWS) / 2.0
    columns = 3 if head[0] == "Categorical" else 1
    offset = 0.1 * rng.normal(size=(ROWS, columns))
    options = {"weights": weights, "offset": offset, "validation": 0.25, "patience": 2, "min_delta": 1e-3}
    (one, other), (first, second) = histories(head, "Tanh", "Adam", 12, **options)
    np.testing.assert_allclose(first.nll, second.nll, rtol=1e-10)
    np.testing.assert_allclose(first.validation_nll, second.validation_nll, rtol=1e-10)
    assert (first.best_epoch, first.stopped) == (second.best_epoch, second.stopped)
    np.testing.assert_allclose(one.values, other.values, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("head", HEADS, ids=HEAD_IDS)
def test_single_precision_follows_the_same_path(head):
    _, (first, second) = histories(head, "Tanh", "Adam", 3, np.float32)
    np.testing.assert_allclose(first.nll, second.nll, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("head", HEADS, ids=HEAD_IDS)
def test_bound_buffers_and_single_layers_give_the_same_bits(head, dtype, monkeypatch):
    """A network that goes through the layers' methods (as with a layer of the user's own) takes the same steps."""
    X = features(90)
    y, weights = targets(head, X), np.random.default_rng(1).random(90)
    values = []
    for native in (True, False):
        if not native:
            monkeypatch.setattr(_plan, "is_native", lambda layer: False)
        net = make_network(ps, head, hidden=(7, 6), activation="ReLU", dtype=dtype)
        history = net.fit(X, y, weights=weights, epochs=3, batch_size=32, optimizer=ps.Adam(1e-2), validation=0.3)
        values.append((net.values, net.predict(X), history))
    assert np.array_equal(values[0][0], values[1][0])
    assert np.array_equal(values[0][1], values[1][1], equal_nan=True)
    np.testing.assert_allclose(values[0][2].nll, values[1][2].nll, rtol=1e-6 if dtype == np.float32 else 1e-14)
    assert values[0][2].validation_nll == values[1][2].validation_nll

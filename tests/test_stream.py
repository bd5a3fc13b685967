"""Data that comes batch by batch: the steps of the same batches in arrays, bit for bit; errors name the batch."""

import weakref

from networks import MODULES, Gain, features, make_loss, make_network, module_id, targets
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _native, reference

MAIN = ps if _native.available else reference
POISSON = ("Poisson", {})
PLAIN = ["Gaussian", "Bernoulli", "Categorical", "Poisson", "HeteroscedasticGaussian"]
each_module = pytest.mark.parametrize("module", MODULES, ids=module_id)


def data(rows=90, head=POISSON):
    X = features(rows)
    return X, targets(head, X)


def batches_of(X, y, size=16, **more):
    """A generator function."""

    def batches():
        for first in range(0, len(X), size):
            part = slice(first, first + size)
            yield {"X": X[part], "y": y[part], **{name: array[part] for name, array in more.items()}}

    return batches


@each_module
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PLAIN)
def test_the_steps_are_those_of_arrays(module, name, dtype):
    head = name, {}
    X, y = data(head=head)
    one, other = (make_network(module, head, dtype=dtype) for _ in range(2))
    for net in (one, other):
        net.start_from(y)
    first = one.fit(X, y, epochs=3, batch_size=16, shuffle=False, validation=(X[:20], y[:20]))
    second = other.fit(batches_of(X, y), epochs=3, validation=(X[:20], y[:20]))
    assert np.array_equal(one.values, other.values) and one.steps == other.steps
    assert first.validation_nll == second.validation_nll
    np.testing.assert_allclose(first.nll, second.nll, rtol=1e-12)


@each_module
def test_batches_of_any_size_with_weights_and_offset(module):
    """The step is that of Σ w g over the rows of the batch that count."""
    X, y = data(50)
    rng = np.random.default_rng(0)
    weights, offset = rng.integers(0, 3, 50).astype(float), rng.normal(size=50)
    weights[30:33] = 0
    cuts = [(0, 7), (7, 30), (30, 33), (33, 34), (34, 50)]  # (30, 33): no row counts
    given = [{"X": X[a:b], "y": y[a:b], "weights": weights[a:b], "offset": offset[a:b]} for a, b in cuts]
    net, other = make_network(module, POISSON), make_network(module, POISSON)
    history = net.fit(given, epochs=2, optimizer=module.SGD(0.01), start=False)
    total = ps.Total()
    for _ in range(2):
        total = ps.Total()
        for a, b in cuts:
            kept = a + np.flatnonzero(weights[a:b])
            if len(kept):
                part, g = other.loss.nll_and_grad(
                    other.forward(X[kept]), y[kept], weights=weights[kept], offset=offset[kept], reduction="total"
                )
                other.backward(g / len(kept))
                other.values -= 0.01 * other.gradients
                total += part
    np.testing.assert_allclose(net.values, other.values, rtol=1e-10)
    assert history.nll[-1] == pytest.approx(total.mean, rel=1e-12)


def test_what_batches_may_be():
    X, y = data(48)
    expected = None

    class Loader:
        def __len__(self):
            return 3

        def __iter__(self):
            return ((X[k : k + 16], y[k : k + 16]) for k in (0, 16, 32))

    listed = list(Loader())
    for given in (Loader(), listed, tuple(listed), lambda: iter(listed), lambda: Loader(), batches_of(X, y)):
        net = make_network(MAIN, POISSON)
        net.fit(given, epochs=2)
        expected = net.values if expected is None else expected
        assert np.array_equal(net.values, expected)
    net = make_network(MAIN, POISSON)
    net.fit(iter(Loader()), epochs=1)
    net.fit(iter(Loader()), epochs=1)
    assert np.array_equal(net.values, expected)


def test_schedules_count_batches_where_their_number_is_known():
    X, y = data(64)
    listed = list(batches_of(X, y)())
    rate = MAIN.Cosine(1e-2, epochs=3, warmup=1)
    known, unknown, arrays = (make_network(MAIN, POISSON) for _ in range(3))
    for net in (known, unknown, arrays):
        net.start_from(y)
    first = known.fit(listed, epochs=3, optimizer=MAIN.SGD(rate))
    arrays.fit(X, y, epochs=3, batch_size=16, shuffle=False, optimizer=MAIN.SGD(rate))
    assert np.array_equal(known.values, arrays.values) and first.learning_rate[0] == pytest.approx(1e-2 / 4)
    second = unknown.fit(batches_of(X, y), epochs=3, optimizer=MAIN.SGD(rate))
    np.testing.assert_allclose(second.learning_rate, [1e-2, 5e-3, 0], atol=1e-17)


def test_one_batch_is_in_memory_at_a_time():
    """From a file that is read in parts; layers of a user; early stopping, as with arrays."""
    X, y = data(60)
    made = []

    def batches():
        for first in range(0, 60, 10):
            part = X[first : first + 10].copy()
            made.append(weakref.ref(part))
            yield part, y[first : first + 10]
            assert sum(array() is not None for array in made) <= 2  # also the one that `part` names

    net = MAIN.Network([Gain(5), MAIN.Dense(5, 4), MAIN.Tanh(), MAIN.Dense(4, 1)], MAIN.Poisson(), rng=0)
    history = net.fit(batches, epochs=200, optimizer=MAIN.Adam(0.1), validation=data(30), patience=3)
    assert history.stopped == "patience" and history.nll[1] < history.nll[0]


@pytest.mark.skipif(not _native.available, reason="the C kernels are not built")
def test_ensembles_ask_for_the_batches_themselves():
    X, y = data(48)
    ensemble = ps.Ensemble([ps.Dense(5, 4), ps.Tanh(), ps.Dense(4, 1)], ps.Poisson(), members=3, rng=0)
    ensemble.fit(batches_of(X, y), epochs=2)
    single = ps.Network(
        [ps.Dense(5, 4), ps.Tanh(), ps.Dense(4, 1)], ps.Poisson(), rng=np.random.default_rng(0).spawn(3)[1]
    )
    single.fit(batches_of(X, y), epochs=2)
    assert np.array_equal(ensemble.networks[1].values, single.values)


# ---- what goes wrong ----


@each_module
def test_an_error_names_the_batch_and_keeps_the_last_step(module):
    X, y = data(48)
    bad = [[X[:16], y[:16]], [X[16:32], y[16:32]], [X[32:], np.where(np.arange(16) == 4, -1.0, y[32:])]]
    net, other = make_network(module, POISSON), make_network(module, POISSON)
    with pytest.raises(ValueError, match=r"^batch 3: y\[4\] = -1.0: Poisson needs counts"):
        net.fit(bad, epochs=2)
    other.fit(bad[:2], epochs=1)
    assert np.array_equal(net.values, other.values) and net.steps == 2 and net.history.stopped == "error"

    def fails():
        yield X[:16], y[:16]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        net.fit(fails, epochs=2)
    assert net.steps == 3
    far = [(X[:16], y[:16]), (1e200 * X[16:32], y[16:32])]
    net = make_network(module, POISSON, hidden=())
    before = net.values.copy()
    with pytest.raises(FloatingPointError, match="the loss is not finite in epoch 1, batch 2"):
        net.fit(far, epochs=1)
    assert np.array_equal(net.values, before)


@pytest.mark.parametrize(
    "given,more,error,words",
    [
        (lambda: iter([]), {}, ValueError, "no rows to fit: no batch came"),
        (features(9), {}, TypeError, "y is missing"),
        (3.0, {}, TypeError, "y is missing"),
        (iter([data(9)]), {"epochs": 2}, ValueError, "an iterator is used up after one epoch"),
        ([data(9)], {"weights": np.ones(9)}, TypeError, "weights and offset belong into the batches"),
        ([data(9)], {"validation": 0.2}, ValueError, "a share of batches cannot be drawn"),
        ([data(9)], {"optimizer": MAIN.LBFGS()}, ValueError, "LBFGS needs all rows"),
        ([data(9)[0]], {}, TypeError, r"batch 1 must be \(X, y\)"),
        ([{"X": 1, "z": 2}], {}, ValueError, "batch 1 must have the keys X and y"),
    ],
)
def test_what_is_refused(given, more, error, words):
    if "LBFGS" in words:
        pytest.importorskip("scipy.optimize")
    net = make_network(MAIN, POISSON)
    before = net.values.copy()
    with pytest.raises(error, match=words):
        net.fit(given, **{"epochs": 1, **more})
    assert np.array_equal(net.values, before)


def test_control_c_ends_at_the_last_finished_batch():
    X, y = data(64)

    def interrupted():
        yield X[:16], y[:16]
        yield X[16:32], y[16:32]
        raise KeyboardInterrupt

    net, other = make_network(MAIN, POISSON), make_network(MAIN, POISSON)
    with pytest.raises(KeyboardInterrupt):
        net.fit(interrupted)
    other.fit([(X[:16], y[:16]), (X[16:32], y[16:32])], epochs=1)
    assert np.array_equal(net.values, other.values) and net.steps == 2


def test_columns_of_a_head_with_two_outputs():
    loss = make_loss(MAIN, ("Gaussian", {}))
    X = features(40)
    net = MAIN.Network([MAIN.Dense(5, 2)], loss, rng=0)
    history = net.fit([(X, X[:, :2])], epochs=20, optimizer=MAIN.SGD(0.5))
    assert history.nll[-1] < history.nll[0]
    with pytest.raises(ValueError, match="batch 1: .*needs 1 logits per row"):
        net.fit([(X, X[:, :1])], epochs=1)

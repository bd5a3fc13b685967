"""Epochs in C take the steps of the Python path, bit for bit, and stop where it stops."""

import resource
import signal
import sys
import threading
import time
import tracemalloc

from networks import HEAD_IDS, HEADS, Gain, features, make_loss, make_network, make_width, targets
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _data, _native, _plan, reference

pytestmark = pytest.mark.skipif(not _native.available, reason="the C kernels are not built")

OPTIMIZERS = [ps.SGD(1e-2), ps.SGD(1e-3, momentum=0.9), ps.Adam(1e-2)]
SETTINGS = {
    "nesterov": lambda m: m.SGD(1e-2, momentum=0.9, nesterov=True),
    "decay": lambda m: m.SGD(1e-2, momentum=0.5, weight_decay=0.3),
    "clip": lambda m: m.SGD(1e-1, clip_norm=0.05),
    "AdamW": lambda m: m.AdamW(1e-2, weight_decay=0.1, clip_norm=0.5),
    "cosine": lambda m: m.Adam(m.Cosine(1e-2, epochs=3, warmup=0.7, floor=1e-3)),
    "warmup": lambda m: m.SGD(m.Warmup(1e-2, 2), momentum=0.9),
    "plateau": lambda m: m.Adam(m.Plateau(3e-2, patience=1, min_delta=0.1)),
}
each_setting = pytest.mark.parametrize("setting", SETTINGS)
REALS = [np.float32, np.float64]
each_head = pytest.mark.parametrize("head", HEADS, ids=HEAD_IDS)
each_real = pytest.mark.parametrize("dtype", REALS, ids=["float32", "float64"])
POISSON = ("Poisson", {})


def plan(kind, net, optimizer, rows, batch_size=16):
    net._take(optimizer)
    return kind(net, rows, batch_size, optimizer, list(net._slots.values()))


def both(head, optimizer, X, y, dtype=np.float64, seconds=0.05, **data):
    """(network, plan) through Python, and the same through C."""
    made = []
    for kind in (_plan.Plan, _plan.EpochPlan):
        net = make_network(ps, head, hidden=(9, 6), dtype=dtype)
        made.append((net, plan(kind, net, optimizer, _data.rows(net, X, y, **data))))
        made[-1][1].SECONDS = seconds
    return made


def same_after(made, epochs=3):
    rng = np.random.default_rng(7)
    (one, first), (other, second) = made
    for _ in range(epochs):
        order = rng.permutation(first.used)
        assert first.epoch(order) == second.epoch(order)
        assert np.array_equal(one.values, other.values) and one.steps == other.steps
    for name in one._slots:
        assert np.array_equal(one._slots[name], other._slots[name])
    assert np.isfinite(one.values).all()


@each_real
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["SGD", "momentum", "Adam"])
@each_head
def test_every_head_takes_the_same_steps(head, optimizer, dtype):
    X = features(70)
    same_after(both(head, optimizer, X, targets(head, X), dtype))


@each_real
@each_head
def test_with_weights_and_offset(head, dtype):
    X, rng = features(70), np.random.default_rng(3)
    weights = rng.integers(0, 4, 70) / 2.0
    loss = make_loss(ps, head)
    columns = make_width(loss) if loss.target == _native.LABELS else loss.outputs(make_width(loss))
    offset = 0.1 * rng.normal(size=(70, columns))
    y = targets(head, X)
    y = np.where((weights > 0).reshape(-1, *[1] * (y.ndim - 1)), y, y[:1])
    same_after(both(head, ps.Adam(1e-2), X, y, dtype, weights=weights, offset=offset))


@each_real
def test_rows_of_probabilities_as_targets(dtype):
    X = features(50)
    y = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    same_after(both(("Categorical", {}), ps.SGD(0.1), X, y, dtype))


@pytest.mark.parametrize("seconds", [0.0, 1e-5, 10.0])
def test_the_time_of_a_call_changes_nothing(seconds):
    X = features(333)
    same_after(both(POISSON, ps.Adam(1e-2), X, targets(POISSON, X), seconds=seconds))


@pytest.mark.parametrize("batch_size", [1, 7, 70, 1000])
@pytest.mark.parametrize("activation", ["Tanh", "ReLU", "Sigmoid", "GELU", "SiLU"])
def test_bodies_of_other_shapes(activation, batch_size):
    act = getattr(ps, activation)
    bodies = [
        [ps.Dense(5, 1)],
        [act(), ps.Dense(5, 1)],
        [ps.Dense(5, 8), act(), act(), ps.Dense(8, 1), ps.Tanh()],
        [ps.Dense(5, 3), ps.Dense(3, 40), act(), ps.Dense(40, 1)],
        [ps.LayerNorm(5), ps.Dense(5, 11), ps.LayerNorm(11), act(), ps.Dense(11, 1)],
        [ps.Dropout(0.2), ps.Dense(5, 11), act(), ps.Dropout(), ps.Dense(11, 6), ps.Dropout(0.1), ps.Dense(6, 1)],
    ]
    X = features(70)
    y = targets(POISSON, X)
    for body in bodies:
        made = []
        for kind in (_plan.Plan, _plan.EpochPlan):
            net = ps.Network(body, ps.Poisson(), rng=0)
            made.append((net, plan(kind, net, ps.SGD(1e-3), _data.rows(net, X, y), batch_size)))
        same_after(made)


def test_fit_in_order_and_fit_in_python_are_the_same(monkeypatch):
    """Also without shuffling, with a share held out, and when a second fit goes on."""
    X = features(150)
    y, found = targets(POISSON, X), []
    for kind in (_plan.EpochPlan, _plan.Plan):
        monkeypatch.setattr(_plan, "EpochPlan", kind)
        net = make_network(ps, POISSON)
        first = net.fit(X, y, epochs=3, batch_size=32, shuffle=False)
        second = net.fit(X, y, epochs=4, batch_size=32, validation=0.3, patience=2)
        found.append((net.values, net.steps, first.nll, second.nll, second.validation_nll))
    assert np.array_equal(found[0][0], found[1][0]) and found[0][1:] == found[1][1:]


def test_what_goes_through_c():
    class Slower(ps.SGD):
        def bind(self, value, gradient, slots):
            step = super().bind(value, gradient, slots)
            return lambda count, rate: step(count, rate / 2)

    class Other(ps.Poisson):
        def nll_and_grad(self, *args, **kwargs):
            return super().nll_and_grad(*args, **kwargs)

    class Mine(ps.Tanh):
        def forward(self, x):
            return super().forward(x)

    X = features(20)
    y = targets(POISSON, X)

    def kind(layer=None, loss=None, optimizer=None):
        optimizer = optimizer or ps.SGD(1e-2)
        net = ps.Network([ps.Dense(5, 4), layer or ps.Tanh(), ps.Dense(4, 1)], loss or ps.Poisson(), rng=0)
        made = _plan.prepare(net, _data.rows(net, X, y), 8, optimizer, [np.zeros_like(net.values)])
        net.fit(X, y, epochs=1, optimizer=optimizer)
        return type(made)

    assert kind() is kind(optimizer=ps.Adam()) is _plan.EpochPlan
    assert kind(layer=Mine()) is kind(loss=Other()) is kind(optimizer=Slower(1e-2)) is _plan.Plan


# ---- settings of optimizers ----


@each_real
@each_setting
def test_every_setting_takes_the_same_steps(setting, dtype):
    X = features(70)
    same_after(both(POISSON, SETTINGS[setting](ps), X, targets(POISSON, X), dtype))


@each_setting
def test_every_setting_follows_the_reference(setting):
    X = features(150)
    y, found = targets(POISSON, X), []
    for module in (ps, reference):
        net = make_network(module, POISSON)
        history = net.fit(X, y, epochs=5, batch_size=32, optimizer=SETTINGS[setting](module), validation=0.2)
        found.append((history.nll, history.validation_nll, history.learning_rate, net.values))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("module", [ps, reference])
def test_steps_by_the_book(module):
    """One step of each setting on a layer whose gradient is known."""
    X, y = np.array([[1.0, 2.0]]), np.array([0.0])

    def after(optimizer, steps=1):
        net = module.Network([module.Dense(2, 1)], module.Gaussian(), rng=0)
        net.values[...] = [1.0, 1.0, 1.0]
        net.fit(X, y, epochs=steps, optimizer=optimizer, start=False)
        return net.values

    gradient = np.array([4.0, 8.0, 4.0])  # the mean is 4 too large
    np.testing.assert_allclose(after(module.SGD(0.01)), 1 - 0.01 * gradient)
    np.testing.assert_allclose(after(module.SGD(0.01, weight_decay=0.5)), [0.995, 0.995, 1.0] - 0.01 * gradient)
    norm = np.sqrt(96.0)
    np.testing.assert_allclose(after(module.SGD(0.01, clip_norm=2.0)), 1 - 0.02 * gradient / norm)
    np.testing.assert_allclose(after(module.SGD(0.01, clip_norm=20.0)), 1 - 0.01 * gradient)
    np.testing.assert_allclose(after(module.SGD(0.01, momentum=0.5, nesterov=True)), 1 - 0.015 * gradient)
    moved = after(module.AdamW(0.01, weight_decay=0.5))
    np.testing.assert_allclose(moved, [0.985, 0.985, 0.99], rtol=1e-7)


def test_schedules():
    done = np.array([0.5, 1.0, 2.0, 3.5, 5.0, 9.0])
    np.testing.assert_allclose(ps.Warmup(0.4, 2).rates(done, []), [0.1, 0.2, 0.4, 0.4, 0.4, 0.4])
    np.testing.assert_allclose(ps.Warmup(0.4, 0).rates(done, []), 0.4)
    half = 0.1 + 0.4 * 0.5 * (1 + np.cos(np.pi / 2))
    np.testing.assert_allclose(ps.Cosine(0.5, 5, 2, 0.1).rates(done, []), [0.125, 0.25, 0.5, half, 0.1, 0.1])
    plateau = ps.Plateau(1.0, factor=0.1, patience=2, floor=0.05)
    for nll, rate in (([], 1), ([3, 2, 1], 1), ([1, 1], 1), ([1, 2, 1], 0.1), ([1, 2, 3, 4, 5], 0.05), ([1, 2, 0], 1)):
        np.testing.assert_allclose(plateau.rates(done, nll), rate)
    history = make_network(ps).fit(features(40), features(40)[:, 0], epochs=4, optimizer=ps.SGD(ps.Warmup(0.01, 4)))
    np.testing.assert_allclose(history.learning_rate, [0.0025, 0.005, 0.0075, 0.01])


@pytest.mark.parametrize("schedule", [ps.Cosine(1e-2, 4), ps.Plateau(1e-2), ps.Warmup(1e-2)])
def test_a_schedule_is_saved(schedule, tmp_path):
    net = make_network(ps)
    X = features(40)
    net.fit(X, X[:, 0], epochs=2, optimizer=ps.AdamW(schedule, clip_norm=1.0))
    net.save(tmp_path / "net.npz")
    other = ps.Network.load(tmp_path / "net.npz")
    assert other.optimizer == net.optimizer
    for each in (net, other):
        each.fit(X, X[:, 0], epochs=2)
    assert np.array_equal(net.values, other.values)


@pytest.mark.parametrize("held_out", [False, True])
def test_a_plateau_goes_on_from_fit_to_fit(held_out, tmp_path):
    """Four epochs, then four of the network that was saved and loaded, are eight: bit for bit, rates included."""
    X = features(80)
    y = np.random.default_rng(5).normal(size=80)
    settings = {"batch_size": 16, "validation": (X[60:], y[60:]) if held_out else None}
    plateau = ps.Plateau(0.3, patience=1, min_delta=0.02)
    one, other = make_network(ps), make_network(ps)
    whole = one.fit(X, y, epochs=8, optimizer=ps.Adam(plateau), **settings)
    first = other.fit(X, y, epochs=4, optimizer=ps.Adam(plateau), **settings)
    other.save(tmp_path / "net.npz")
    other = ps.Network.load(tmp_path / "net.npz")
    second = other.fit(X, y, epochs=4, **settings)
    assert first.learning_rate + second.learning_rate == whole.learning_rate and first.nll + second.nll == whole.nll
    assert np.array_equal(one.values, other.values)
    assert second.learning_rate[0] < 0.3  # it had fallen, or this shows nothing
    begun = other.fit(X, y, epochs=1, optimizer=ps.Adam(ps.Plateau(0.1)), **settings)
    assert begun.learning_rate == [0.1]  # another schedule begins anew


@pytest.mark.parametrize(
    "make,words",
    [
        (lambda: ps.SGD(nesterov=True), "nesterov needs momentum"),
        (lambda: ps.SGD(weight_decay=-1.0), "weight_decay must be finite and >= 0"),
        (lambda: ps.Adam(clip_norm=0.0), "clip_norm must be finite and > 0"),
        (lambda: ps.Cosine(1e-3, 1.0, warmup=2.0), "epochs must be finite and > 2"),
        (lambda: ps.Plateau(1e-3, factor=1.0), "factor must be in"),
        (lambda: ps.Warmup(0.0), "peak must be finite and > 0"),
        (lambda: ps.LayerNorm(3, 0.0), "epsilon must be finite and > 0"),
    ],
)
def test_settings_are_checked(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# ---- what goes wrong ----


@pytest.mark.parametrize("batch", [0, 2, 4])
def test_a_loss_that_is_not_finite_changes_nothing(batch):
    X = 0.1 * features(70)
    X[batch * 16, 0] = 1e4  # finite, but the rate it predicts is not
    y, kept = np.ones(70), []
    for kind in (_plan.Plan, _plan.EpochPlan):
        net = ps.Network([ps.Dense(5, 1)], ps.Poisson(), rng=0)
        net.layers[0].W[...] = 1.0
        made = plan(kind, net, ps.SGD(1e-3, momentum=0.5), _data.rows(net, X, y))
        with pytest.raises(_plan.Diverged) as caught:
            made.epoch(made.used)
        assert (caught.value.batch, caught.value.what, net.steps) == (batch + 1, "the loss is", batch)
        kept.append((net.values.tobytes(), net._slots["velocity"].tobytes()))
    assert kept[0] == kept[1]


def test_a_batch_that_the_head_refuses_is_an_error_on_both_paths():
    X = features(40)
    kept = []
    for kind in (_plan.Plan, _plan.EpochPlan):
        net = ps.Network([ps.Dense(5, 1)], ps.Poisson(), rng=0)
        rows = _data.rows(net, X, np.full(40, 3.0))
        made = plan(kind, net, ps.SGD(1e-9), rows)
        rows.y[20] = -5.0  # after the checks, as another thread might
        with pytest.raises(ValueError, match=r"^y\[20\] = -5.0: Poisson needs counts"):
            made.epoch(made.used)
        kept.append((net.steps, net.values.tobytes()))
    assert kept[0] == kept[1] and kept[0][0] == 1


def test_a_row_that_is_not_there_is_refused():
    X = features(40)
    _, (net, made) = both(POISSON, ps.SGD(1e-2), X, targets(POISSON, X))
    before = net.values.copy()
    for row in (40, -1, 2**40):
        with pytest.raises((ValueError, IndexError)):
            made.epoch(np.array([row]))
    assert np.array_equal(net.values, before)


def test_an_arena_grows_with_another_instruction_set():
    X = features(70)
    (one, first), (other, second) = both(POISSON, ps.Adam(1e-2), X, targets(POISSON, X))
    active = _native.isa()
    try:
        for isa in _native.isas():
            _native.use_isa(isa)
            assert first.epoch(first.used) == second.epoch(second.used)
            assert np.array_equal(one.values, other.values)
    finally:
        _native.use_isa(active)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals here")
def test_control_c_stops_within_an_epoch_at_a_finished_batch():
    """One epoch that takes minutes: the weights are those after `steps` batches of the Python path."""
    X = features(500)
    y = targets(POISSON, X)
    (one, first), (other, second) = both(POISSON, ps.Adam(1e-4), X, y)
    order = np.tile(second.used, 20_000)
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        signal.pthread_kill(main, signal.SIGINT)

    main, timer = threading.get_ident(), threading.Timer(0.1, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        second.epoch(order)
    timer.join()
    assert 0 < other.steps < len(order) // 16
    for batch in range(other.steps):
        first.step(order[batch * 16 : (batch + 1) * 16])
    assert np.array_equal(one.values, other.values) and one.steps == other.steps


def test_memory_does_not_grow():
    X = features(64)
    net = make_network(ps, POISSON)
    made = plan(_plan.EpochPlan, net, ps.Adam(1e-4), _data.rows(net, X, targets(POISSON, X)))
    made.epoch(made.used)
    tracemalloc.start()
    for _ in range(10):
        made.epoch(made.used)
    before, resident = tracemalloc.get_traced_memory()[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(10_000):
        made.epoch(made.used)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 1000
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident  # what C takes too; in kB but on macOS
    assert more * (1 if sys.platform == "darwin" else 1024) < 2**20


@pytest.mark.parametrize("patience", [None, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["SGD", "momentum", "Adam"])
def test_the_memory_of_a_fit_is_what_it_must_hold(optimizer, patience, monkeypatch):
    """Beside the network: slots, the last good weights, the best ones; a batch in an arena; 24 bytes for each row."""
    arenas = []

    def begin(plan, *arguments, begin=_native.TrainingPlan.begin):
        begin(plan, *arguments)
        arenas.append(plan._plan.arena_bytes)

    monkeypatch.setattr(_native.TrainingPlan, "begin", begin)
    widths, batch = [40, 300, 200, 1], 64
    X = 0.01 * features(600, 40)
    y = targets(POISSON, X)
    for _ in range(2):  # the first imports what NumPy imports late
        layers = [ps.Dense(n_in, n_out) for n_in, n_out in zip(widths, widths[1:], strict=False)]
        net = ps.Network(layers, ps.Poisson(), rng=0)
        tracemalloc.start()
        net.fit(
            X, y, epochs=3, batch_size=batch, optimizer=optimizer, validation=(X[:99], y[:99]), patience=patience
        )  # fmt: skip
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    copies = len(optimizer.slots) + 1 + (patience is not None)
    assert peak < copies * net.values.nbytes + net.values.size + 24 * len(X) + 32_000  # + size: which are finite
    activations = 8 * batch * (sum(widths) + 1 + 2 * max(widths[1:]))
    panels = max(_native.dense_workspace(net.dtype, batch, *layer.W.shape) for layer in net.layers)
    assert 0 < max(arenas) < activations + panels + 64 * 20


# ---- prediction ----


@each_real
@each_head
def test_a_predictor_predicts(head, dtype):
    X, net = features(11).astype(dtype), make_network(ps, head, dtype=dtype)
    for rows in (1, 11):
        call = net.predictor(rows)
        assert np.array_equal(call(X[:rows]), net.predict(X[:rows]), equal_nan=True)
        assert np.array_equal(call.logits, net.forward(X[:rows])) and call.mean.dtype == dtype
        call.x[...] = X[-rows:]
        assert np.array_equal(call(), net.predict(X[-rows:]), equal_nan=True)
    assert np.array_equal(net.predictor()(X[3]), net.predict(X[3:4]), equal_nan=True)


def test_a_predictor_follows_the_weights():
    X = features(40)
    net = make_network(ps, POISSON)
    call, before = net.predictor(40), net.predict(X)
    net.fit(X, targets(POISSON, X), epochs=2)
    assert np.array_equal(call(X), net.predict(X)) and not np.array_equal(call.mean, before)


def test_a_predictor_of_layers_and_losses_in_python():
    class Mine(ps.Poisson):
        def mean(self, z, *, offset=None, out=None):
            return 2 * super().mean(z, offset=offset)

    X = features(3)
    for layer, loss in ((Gain(5, 1.5), ps.Poisson()), (ps.Tanh(), Mine())):
        net = ps.Network([layer, ps.Dense(5, 1)], loss, rng=0)
        assert np.array_equal(net.predictor(3)(X), net.predict(X))


def test_a_predictor_takes_the_shape_it_was_made_for():
    net = make_network(ps, POISSON)
    for rows, x in ((1, np.zeros((2, 5))), (2, np.zeros(5)), (2, np.zeros((1, 5))), (1, np.zeros((1, 4))), (1, 0.0)):
        with pytest.raises(ValueError, match="x must have the shape"):
            net.predictor(rows)(x)
    with pytest.raises(ValueError, match="rows must be a whole number"):
        net.predictor(0)


@each_real
def test_predictions_do_not_depend_on_the_rows_beside_them(dtype):
    X, net = features(2500).astype(dtype), make_network(ps, POISSON, hidden=(20, 9), dtype=dtype)
    together, call = net.predict(X), net.predictor()
    for row in (0, 7, 1023, 1024, 2499):
        assert call(X[row])[0] == together[row]

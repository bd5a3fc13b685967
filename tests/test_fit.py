import io
import os
import signal
import subprocess
import sys
import threading
import time

from cases import beyond
from networks import BOTH, HEAD_IDS, HEADS, MODULES, Shift, features, make_network, make_width, module_id, targets
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _data, _plan, reference

each_module = pytest.mark.parametrize("module", MODULES, ids=module_id)
POISSON = ("Poisson", {})
MAIN = ps if BOTH else reference


def data(rows=60, head=POISSON):
    X = features(rows)
    return X, targets(head, X)


# ---- batches ----


@each_module
def test_fit_is_the_loop_one_would_write(module):
    """Shuffled batches, the last one smaller, momentum: step by step through forward, loss and backward."""
    X, y = data(50)
    weights = np.random.default_rng(3).random(50) + 0.5
    net, other = make_network(module, POISSON), make_network(module, POISSON)
    history = net.fit(X, y, weights=weights, epochs=3, batch_size=16, optimizer=module.SGD(0.05, 0.9), start=False)
    velocity, nll = 0, []
    for _ in range(3):
        order, total = other.rng.permutation(50), ps.Total()
        for first in range(0, 50, 16):
            rows = order[first : first + 16]
            part, g = other.loss.nll_and_grad(other.forward(X[rows]), y[rows], weights=weights[rows], reduction="total")
            other.backward(g / (len(rows) * weights.mean()))
            velocity = 0.9 * velocity + other.gradients
            other.values -= 0.05 * velocity
            total += part
        nll.append(total.mean)
    np.testing.assert_allclose(history.nll, nll, rtol=1e-12)
    np.testing.assert_allclose(net.values, other.values, rtol=1e-10)


@each_module
def test_batch_gradients_add_up_to_the_full_one(module):
    """Whatever the weights: the batches' gradients, averaged, are the gradient of the weighted mean."""
    X, y = data(64)
    weights = np.random.default_rng(3).integers(0, 5, 64).astype(float)
    net = make_network(module, POISSON)
    kept = np.flatnonzero(weights)
    net.backward(net.loss.grad(net.forward(X[kept]), y[kept], weights=weights[kept]))
    full, rows = net.gradients.copy(), _data.rows(net, X, y, weights)
    plan = _plan.Plan(net, rows, 1, module.SGD(1e-300), [])
    mean = 0
    for row in rows.used:
        plan.step(np.array([row]))
        mean = mean + net.gradients / len(rows.used)
    np.testing.assert_allclose(mean, full, rtol=1e-10, atol=1e-12)


@each_module
def test_rows_of_weight_zero_do_not_change_the_path(module):
    X, y = data(60)
    weights = (np.arange(60) % 3 > 0).astype(float)
    kept = weights > 0
    one, other = make_network(module, POISSON), make_network(module, POISSON)
    first = one.fit(X, y, weights=weights, epochs=3, batch_size=16, validation=0.25)
    second = other.fit(X[kept], y[kept], weights=weights[kept], epochs=3, batch_size=16, validation=0.25)
    assert first.nll == second.nll and first.validation_nll == second.validation_nll
    assert np.array_equal(one.values, other.values)


@each_module
def test_shuffle_draws_from_the_network(module):
    X, y = data()
    nets = [make_network(module, POISSON) for _ in range(3)]
    for net, shuffle in zip(nets, (True, True, False), strict=True):
        state = net.rng.bit_generator.state
        net.fit(X, y, epochs=2, batch_size=8, shuffle=shuffle)
        assert (net.rng.bit_generator.state == state) is not shuffle
    assert np.array_equal(nets[0].values, nets[1].values) and not np.array_equal(nets[0].values, nets[2].values)


@each_module
def test_a_batch_may_be_larger_than_the_data(module):
    X, y = data(20)
    one, other = make_network(module, POISSON), make_network(module, POISSON)
    one.fit(X, y, epochs=2, batch_size=20, shuffle=False)
    other.fit(X, y, epochs=2, batch_size=10**9, shuffle=False)
    assert np.array_equal(one.values, other.values)


@each_module
@pytest.mark.parametrize("head", HEADS, ids=HEAD_IDS)
def test_the_history_holds_the_nll_with_constants(module, head):
    """With a learning rate that moves nothing, the epoch's nll is the nll of the data."""
    X = features(40)
    y, weights = targets(head, X), np.random.default_rng(0).random(40)
    net = make_network(module, head)
    expected = net.loss.nll(net.forward(X), y, weights=weights)
    history = net.fit(
        X,
        y,
        weights=weights,
        epochs=1,
        batch_size=7,
        optimizer=module.SGD(1e-300),
        start=False,
        validation=(X, y, weights),
    )
    assert history.nll[0] == pytest.approx(expected, rel=1e-13)
    assert history.validation_nll[0] == pytest.approx(-net.score(X, y, weights=weights), rel=1e-13)
    assert history.learning_rate == [1e-300] and len(history.seconds) == 1 and history.seconds[0] > 0


@each_module
def test_inputs_are_not_changed_and_not_copied_when_ready(module):
    X, y = data()
    X.flags.writeable = y.flags.writeable = False
    net = make_network(module, POISSON)
    net.fit(X, y, epochs=1)
    assert _data.rows(net, X, y).X is X


@each_module
def test_other_layouts_and_containers_take_the_same_path(module):
    X, y = data(30)
    expected = make_network(module, POISSON)
    expected.fit(X, y, epochs=1)
    for other, target in (
        (np.asfortranarray(X), y.astype(np.uint8)),
        (X[::-1].copy()[::-1], y.astype(">f4")),
        (X.tolist(), y.tolist()),
        (X, y[:, None]),
    ):
        net = make_network(module, POISSON)
        net.fit(other, target, epochs=1)
        assert np.array_equal(net.values, expected.values)


def test_a_memory_map_is_read_in_place(tmp_path):
    X, y = data(200)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    one, other = make_network(MAIN, POISSON), make_network(MAIN, POISSON)
    one.fit(X, y, epochs=2)
    other.fit(mapped, y, epochs=2)
    assert np.array_equal(one.values, other.values)
    assert np.shares_memory(_data.rows(other, mapped, y).X, mapped)


# ---- start ----


@each_module
@pytest.mark.parametrize("head", HEADS, ids=HEAD_IDS)
def test_start_from_sets_the_best_constant(module, head):
    X = features(50)
    y, weights = targets(head, X), np.random.default_rng(0).random(50)
    net = make_network(module, head)
    net.start_from(y, weights=weights)
    bias = net.layers[-1].cutpoints if net.loss.increasing else net.layers[-1].b
    z = np.tile(bias, (50, 1))
    gradient = net.loss.plain.grad(z, y, weights=weights).sum(axis=0)
    if net.loss._start_is_best and not net.loss.kinked:
        gradient[beyond(net.loss, bias, gradient, weights)] = 0
        np.testing.assert_allclose(gradient, 0, atol=1e-8)
    np.testing.assert_allclose(bias, net.loss.start(y, weights=weights, width=make_width(net.loss)), rtol=1e-14)


@each_module
def test_the_first_fit_starts_from_the_best_constant_and_only_the_first(module):
    X, y = data()
    net = make_network(module, POISSON)
    net.fit(X, y, epochs=0)
    assert net.layers[-1].b[0] == pytest.approx(np.log(y.mean()))
    net.layers[-1].b[0] = 7
    net.fit(X, y, epochs=0)
    assert net.layers[-1].b[0] == 7
    other = make_network(module, POISSON)
    other.fit(X, y, epochs=0, start=False)
    assert other.layers[-1].b[0] == 0
    explicit = make_network(module, POISSON)
    explicit.start_from(100 * y)
    explicit.fit(X, y, epochs=0)
    assert explicit.layers[-1].b[0] == pytest.approx(np.log(100 * y.mean()))


@each_module
def test_start_uses_weights_offset_and_training_rows_only(module):
    X, y = data()
    offset, weights = np.linspace(0, 2, 60), np.arange(60.0)
    net = make_network(module, POISSON)
    net.fit(X, y, weights=weights, offset=offset, epochs=0)
    assert net.layers[-1].b[0] == pytest.approx(np.log(weights @ y / (weights @ np.exp(offset))))
    net = make_network(module, POISSON)
    held = np.sort(make_network(module, POISSON).rng.permutation(60)[:20])
    net.fit(X, y, epochs=0, validation=1 / 3)
    assert net.layers[-1].b[0] == pytest.approx(np.log(np.delete(y, held).mean()))


@each_module
def test_start_stays_finite_where_the_best_constant_is_not(module):
    offset = np.linspace(-1, 1, 60)
    net = make_network(module, POISSON)
    net.start_from(np.zeros(60), offset=offset)
    assert abs(net.layers[-1].b[0] - module.Poisson().start(np.zeros(60))[0]) <= 2
    net = make_network(module, ("Categorical", {}))
    net.start_from(np.zeros(60, int), offset=np.zeros((60, 3)))
    assert np.array_equal(net.layers[-1].b, module.Categorical().start(np.zeros(60, int), width=3))


@each_module
def test_start_from_needs_a_bias(module):
    net = module.Network([module.Dense(5, 1), module.Tanh()], module.Gaussian())
    with pytest.raises(TypeError, match=r"start_from needs a Dense as the last layer.* got Tanh\(\)"):
        net.start_from(np.ones(3))
    net.fit(features(8), np.ones(8), epochs=1)


# ---- validation and early stopping ----


@each_module
def test_validation_in_all_its_forms(module):
    X, y = data(60)
    Xv, yv = features(20, seed=9), np.arange(20)
    weights, offset = np.linspace(0, 1, 20), np.linspace(-1, 1, 20)
    forms = [(Xv, yv), [Xv, yv, weights], {"X": Xv, "y": yv, "weights": weights, "offset": offset}]
    for form, extra in zip(forms, ({}, {"weights": weights}, {"weights": weights, "offset": offset}), strict=True):
        net = make_network(module, POISSON)
        history = net.fit(X, y, epochs=2, validation=form)
        assert history.validation_nll[-1] == -net.score(Xv, yv, **extra)
        assert history.best_epoch == 1 + int(np.argmin(history.validation_nll))


@each_module
def test_a_share_is_drawn_before_the_first_epoch(module):
    X, y = data(60)
    net, other = make_network(module, POISSON), make_network(module, POISSON)
    net.fit(X, y, epochs=2, batch_size=8, validation=0.25)
    order = other.rng.permutation(60)
    held, kept = np.sort(order[:15]), np.sort(order[15:])
    history = other.fit(X[kept], y[kept], epochs=2, batch_size=8, validation=(X[held], y[held]))
    assert np.array_equal(net.values, other.values) and net.history.validation_nll == history.validation_nll


@each_module
@pytest.mark.parametrize(
    "validation,error,message",
    [
        (0.0, ValueError, r"validation=0.0 as a share must be in \(0, 1\)"),
        (1.0, ValueError, r"as a share must be in"),
        (0.001, ValueError, "leave rows on both sides"),
        (-0.5, ValueError, "as a share"),
        (np.nan, ValueError, "as a share"),
        ((features(3),), TypeError, r"validation must be \(X, y\)"),
        ("0.2", TypeError, r"validation must be \(X, y\)"),
        ({"X": features(3)}, ValueError, "validation must have the keys X and y"),
        ({"X": features(3), "y": [1, 2, 3], "w": 1}, ValueError, "validation must have the keys X and y"),
        ((features(3), [1, -2, 3]), ValueError, r"validation: y\[1\] = -2"),
        ((features(3) * np.nan, [1, 2, 3]), ValueError, r"validation: X\[0, 0\] = nan"),
        ((features(3), [1, 2, 3], [0, 0, 0]), ValueError, "validation: there are no rows of positive weight"),
    ],
)
def test_validation_is_checked(module, validation, error, message):
    net = make_network(module, POISSON)
    before = net.values.copy()
    with pytest.raises(error, match=message):
        net.fit(*data(), validation=validation)
    assert np.array_equal(net.values, before)


@each_module
@pytest.mark.parametrize("patience", [1, 3])
def test_patience_restores_the_best_weights(module, patience):
    X, y = data(40)
    noise = np.random.default_rng(0).poisson(1.0, 40)
    net = make_network(module, POISSON, hidden=(32,))
    seen = []
    history = net.fit(
        X,
        y,
        epochs=400,
        batch_size=8,
        optimizer=module.Adam(0.03),
        validation=(X, noise),
        patience=patience,
        callbacks=lambda net, history: seen.append(net.values.copy()),
    )
    assert history.stopped == "patience" and len(history) < 400
    assert history.best_epoch == 1 + int(np.argmin(history.validation_nll)) == len(history) - patience
    assert np.array_equal(net.values, seen[history.best_epoch - 1]) and not np.array_equal(net.values, seen[-1])
    assert -net.score(X, noise) == min(history.validation_nll)


@each_module
def test_patience_restores_also_when_the_epochs_run_out(module):
    X, y = data(40)
    noise = np.random.default_rng(0).poisson(1.0, 40)
    net = make_network(module, POISSON, hidden=(32,))
    history = net.fit(X, y, epochs=25, batch_size=8, optimizer=module.Adam(0.03), validation=(X, noise), patience=100)
    assert history.stopped == "epochs" and history.best_epoch < 25
    assert -net.score(X, noise) == min(history.validation_nll)


@each_module
def test_without_patience_the_last_weights_stay(module):
    X, y = data(40)
    noise = np.random.default_rng(0).poisson(1.0, 40)
    net = make_network(module, POISSON, hidden=(32,))
    history = net.fit(X, y, epochs=25, batch_size=8, optimizer=module.Adam(0.03), validation=(X, noise))
    assert history.best_epoch < 25 and -net.score(X, noise) == history.validation_nll[-1] > min(history.validation_nll)


@each_module
def test_min_delta_asks_for_more_than_a_little(module):
    X, y = data(40)
    net = make_network(module, POISSON)
    history = net.fit(X, y, epochs=50, optimizer=module.SGD(1e-6), validation=(X, y), patience=4, min_delta=0.1)
    assert history.validation_nll[-1] < history.validation_nll[0]
    assert len(history) == 5 and history.best_epoch == 1


@each_module
def test_class_weights_and_smoothing_act_on_training_only(module):
    X, y = data(40, ("Categorical", {}))
    net = make_network(module, ("Categorical", {"class_weights": (1, 0.5, 3), "smoothing": 0.1}))
    history = net.fit(X, y, epochs=1, optimizer=module.SGD(1e-300), validation=(X, y))
    z = net.forward(X)
    assert history.nll[0] == pytest.approx(net.loss.nll(z, y), rel=1e-12)
    assert history.validation_nll[0] == pytest.approx(net.loss.plain.nll(z, y), rel=1e-12)
    assert history.nll[0] != pytest.approx(history.validation_nll[0], rel=1e-3)


@each_module
def test_classes_that_all_weigh_nothing(module):
    X, y = features(10), np.zeros(10, int)
    net = make_network(module, ("Categorical", {"class_weights": (0, 1, 1)}))
    before = net.values.copy()
    with pytest.raises(ValueError, match="class_weights are 0 for every class in y"):
        net.fit(X, y)
    assert np.array_equal(net.values, before) and net.optimizer is None


# ---- a second fit ----


@each_module
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_two_fits_are_one(module, optimizer):
    X, y = data()
    settings = getattr(module, optimizer)(0.01, 0.9)
    one, other = make_network(module, POISSON), make_network(module, POISSON)
    whole = one.fit(X, y, epochs=5, batch_size=16, optimizer=settings)
    parts = other.fit(X, y, epochs=2, batch_size=16, optimizer=settings).nll
    parts = parts + other.fit(X, y, epochs=3, batch_size=16).nll
    assert parts == whole.nll and np.array_equal(one.values, other.values)
    assert other.optimizer == settings


@each_module
def test_the_optimizer_state_continues_with_its_kind(module):
    X, y = data(32)
    net = make_network(module, POISSON)
    net.fit(X, y, epochs=2, batch_size=16)
    assert net.optimizer == module.Adam(1e-3) and net.steps == 4
    net.fit(X, y, epochs=1, batch_size=16, optimizer=module.Adam(1e-4))
    assert net.steps == 6 and net.history.learning_rate == [1e-4]
    net.fit(X, y, epochs=1, batch_size=16, optimizer=module.SGD(1e-3, 0.9))
    assert net.steps == 2
    net.fit(X, y, epochs=1, batch_size=16, optimizer=module.SGD(1e-3))
    assert net.steps == 2


def test_an_optimizer_of_a_user():
    class Sign(ps.Optimizer):
        slots = ("last",)

        def __init__(self, learning_rate):
            self.learning_rate = learning_rate

        def update(self, value, gradient, slots, step, rate):
            slots[0][...] = gradient
            value -= rate / step * np.sign(gradient)

    X, y = data(32)
    net = make_network(MAIN, POISSON)
    expected = net.values.copy()
    net.backward(net.loss.grad(net.forward(X), y))
    expected -= 0.01 * np.sign(net.gradients)
    net.fit(X, y, epochs=1, optimizer=Sign(0.01), start=False)
    np.testing.assert_allclose(net.values, expected, rtol=1e-14)


@each_module
@pytest.mark.parametrize(
    "make,error,message",
    [
        (lambda m: m.SGD(0), ValueError, "learning_rate must be finite and > 0, got 0"),
        (lambda m: m.SGD(0.1, 1.0), ValueError, r"momentum must be in \[0, 1\), got 1.0"),
        (lambda m: m.Adam(np.inf), ValueError, "learning_rate must be finite"),
        (lambda m: m.Adam(epsilon=-1), ValueError, "epsilon must be finite"),
        (lambda m: m.Adam("fast"), TypeError, "learning_rate must be a number, got 'fast'"),
    ],
)
def test_optimizer_settings_are_checked(module, make, error, message):
    with pytest.raises(error, match=message):
        make(module)


# ---- options ----


@each_module
@pytest.mark.parametrize(
    "options,error,message",
    [
        ({"epochs": -1}, ValueError, "epochs must be a whole number, at least 0, got -1"),
        ({"epochs": 1.5}, TypeError, "epochs must be a whole number, got 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size must be a whole number, at least 1"),
        ({"patience": 0, "validation": 0.5}, ValueError, "patience must be a whole number, at least 1"),
        ({"patience": 3}, ValueError, "patience needs validation="),
        ({"min_delta": -1}, ValueError, "min_delta must be finite and >= 0"),
        ({"min_delta": "0"}, ValueError, "min_delta must be finite and >= 0"),
        ({"optimizer": "adam"}, TypeError, "optimizer must be an Optimizer such as Adam"),
        ({"optimizer": ps.Adam}, TypeError, "optimizer must be an Optimizer such as Adam"),
        ({"callbacks": [3]}, TypeError, r"callbacks\[0\] = 3 cannot be called"),
        ({"weights": np.zeros(60)}, ValueError, "there are no rows to fit"),
    ],
)
def test_options_are_checked(module, options, error, message):
    net = make_network(module, POISSON)
    before = net.values.copy()
    with pytest.raises(error, match=message):
        net.fit(*data(), **options)
    assert np.array_equal(net.values, before) and net.history is None


def test_no_rows():
    with pytest.raises(ValueError, match="there are no rows to fit"):
        make_network(MAIN).fit(np.empty((0, 5)), np.empty(0))


# ---- callbacks and progress ----


@each_module
def test_callbacks_see_each_epoch_and_may_end_the_fit(module):
    X, y = data()
    net, seen = make_network(module, POISSON), []

    def watch(given, history):
        assert given is net and history is net.history
        seen.append((len(history), history.nll[-1], given.score(X, y)))
        return len(history) == 3

    history = net.fit(X, y, epochs=10, callbacks=[watch, lambda net, history: None])
    assert [epoch for epoch, _, _ in seen] == [1, 2, 3] and history.stopped == "callback"
    assert [nll for _, nll, _ in seen] == history.nll and seen[-1][2] == net.score(X, y)
    assert repr(history) == f"History(3 epochs, nll={history.nll[-1]:.6g}, stopped='callback')"


@each_module
def test_an_exception_in_a_callback_passes_through(module):
    X, y = data()
    net = make_network(module, POISSON)

    def fail(net, history):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        net.fit(X, y, callbacks=fail)
    assert len(net.history) == 1 and net.history.stopped == "error"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    "stream,progress,shown",
    [
        (Terminal, None, True),
        (Terminal, False, False),
        (io.StringIO, None, False),
        (io.StringIO, True, True),
    ],
)
def test_one_line_of_progress_on_a_terminal_only(monkeypatch, stream, progress, shown):
    text = stream()
    monkeypatch.setattr(sys, "stderr", text)
    history = make_network(MAIN, POISSON).fit(*data(), epochs=7, validation=0.5, progress=progress)
    written = text.getvalue()
    assert bool(written) is shown
    if shown:
        assert written.count("\n") == 1 and written.endswith("\n")
        last = written.rstrip().rpartition("\r")[2]
        assert last.startswith(f"epoch 7/7  nll {history.nll[-1]:.5g}  validation {history.validation_nll[-1]:.5g}")
        assert f"(best: epoch {history.best_epoch})" in last


# ---- what goes wrong ----


class Breaks(ps.Layer):
    """Lets everything pass until the batch of the given number, then returns what is not finite."""

    n_in = n_out = 5

    def __init__(self, batch, bad=np.nan):
        self.batch, self.bad, self.count = batch, bad, 0

    def forward(self, x):
        self.count += 1
        return x * self.bad if self.count == self.batch else x

    def backward(self, g):
        return g


@each_module
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("batch", [1, 3, 4, 11])
def test_a_loss_that_is_not_finite_stops_the_fit(module, batch, bad):
    X, y = data(64)
    X = np.abs(X)
    net = module.Network([Breaks(batch, bad), module.Dense(5, 1)], module.Gaussian(), rng=0)
    net.layers[1].W[...] = np.abs(net.layers[1].W)
    other = module.Network([module.Dense(5, 1)], module.Gaussian(), rng=0)
    other.layers[0].W[...] = net.layers[1].W
    epoch, place = divmod(batch - 1, 4)
    with pytest.raises(FloatingPointError) as caught:
        net.fit(X, y, epochs=5, batch_size=16, optimizer=module.Adam(1e-2))
    assert f"the loss is not finite in epoch {epoch + 1}, batch {place + 1}" in str(caught.value)
    assert len(net.history) == epoch and net.history.stopped == "error"
    other.fit(X, y, epochs=epoch, batch_size=16, optimizer=module.Adam(1e-2))
    assert np.array_equal(net.values, other.values) and net.steps == 0
    net.fit(X, y, epochs=1)
    assert np.isfinite(net.values).all()


@each_module
@pytest.mark.filterwarnings("ignore:overflow")
def test_weights_that_cease_to_be_finite_are_not_kept(module):
    """The last step of an epoch overflows: its losses were finite, its weights are not."""
    X, y = data(16)
    net = make_network(module)
    net.fit(X, 1000 * X[:, 0], epochs=1)
    before = net.values.copy()
    with pytest.raises(FloatingPointError, match="the weights are not finite in epoch 1, batch 1"):
        net.fit(X, 1000 * X[:, 0], epochs=3, optimizer=module.SGD(1e308))
    assert np.array_equal(net.values, before)


@each_module
def test_too_large_a_step_is_an_error_that_says_so(module):
    X, y = data(64)
    net = make_network(module, POISSON, activation="ReLU")
    with pytest.raises(
        FloatingPointError,
        match=r"in epoch \d+, batch \d+; the weights are those of .* lower learning rate "
        r"than 1000",
    ):
        net.fit(X, y, epochs=50, batch_size=8, optimizer=module.SGD(1000.0))
    assert np.isfinite(net.values).all() and np.isfinite(net.predict(X * 0)).all()


@each_module
def test_interrupt_leaves_the_weights_of_the_last_finished_batch(module):
    class Interrupts(Breaks):
        def backward(self, g):
            if self.count == self.batch:
                raise KeyboardInterrupt
            return g

    X, y = data(64)
    net = module.Network([Interrupts(7, 1.0), Shift(5), module.Dense(5, 1)], module.Poisson(), rng=0)
    other = module.Network([Shift(5), module.Dense(5, 1)], module.Poisson(), rng=0)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=5, batch_size=16, validation=(X, y), patience=1)
    steps = []

    class Counts(Shift):
        def forward(self, x):
            steps.append(other.values.copy())
            return super().forward(x)

    other = module.Network([Counts(5), module.Dense(5, 1)], module.Poisson(), rng=0)
    other.fit(X, y, epochs=2, batch_size=16)
    assert np.array_equal(net.values, steps[5]) and np.array_equal(net.layers[1].t, net.values[:5])
    assert len(net.history) == 1


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals here")
@each_module
def test_control_c_ends_a_fit_within_a_moment(module):
    X, y = data(4000)
    net = make_network(module, POISSON, hidden=(64, 64))
    main = threading.get_ident()
    killer = threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT))
    killer.start()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=10**7, batch_size=64)
    killer.join()
    assert np.isfinite(net.values).all() and net.steps > 0
    net.fit(X, y, epochs=1)


def test_an_interrupted_program_says_keyboard_interrupt():
    code = (
        "import numpy as np\nimport pyscratch as ps\nfrom pyscratch import _native, reference as r\n"
        "m = ps if _native.available else r\n"
        "net = m.Network([m.Dense(2, 1)], m.Gaussian(), rng=0)\nprint('ready', flush=True)\n"
        "net.fit(np.zeros((100, 2)), np.zeros(100), epochs=10**8)\n"
    )
    root = os.path.dirname(os.path.dirname(ps.__file__))
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors and process.returncode != 0


@each_module
def test_memory_does_not_grow_with_epochs(module):
    import tracemalloc

    X, y = data(40)
    net = make_network(module, POISSON)
    net.fit(X, y, epochs=20)
    tracemalloc.start()
    net.fit(X, y, epochs=10)
    first = tracemalloc.get_traced_memory()[0]
    net.fit(X, y, epochs=200)
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    assert grown < 190 * 400  # the history's own numbers

import copy
import pickle
import subprocess
import sys

from cases import with_offset
from networks import BOTH, HEAD_IDS, HEADS, MODULES, Gain, Shift, features, make_loss, make_network, module_id, targets
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import reference

each_module = pytest.mark.parametrize("module", MODULES, ids=module_id)
each_head = pytest.mark.parametrize("head", HEADS, ids=HEAD_IDS)
needs_c = pytest.mark.skipif(not BOTH, reason="the C kernels are not built")


# ---- gradients through whole networks ----


@each_module
@each_head
@pytest.mark.parametrize("activation", ["Tanh", "ReLU"])
def test_gradient_of_a_whole_network(module, head, activation):
    net = make_network(module, head, hidden=(6, 4), activation=activation)
    X = features(12)
    y = targets(head, X)

    def value():
        return net.loss.nll(net.forward(X), y)

    _, grad = net.loss.nll_and_grad(net.forward(X), y)
    dx = net.backward(grad)
    assert dx.shape == X.shape
    h, found = 1e-6, net.gradients.copy()
    assert np.abs(found).min() >= 0 and np.abs(found).max() > 1e-3
    for i in range(net.values.size):
        keep = net.values[i]
        net.values[i] = keep + h
        up = value()
        net.values[i] = keep - h
        slope = (up - value()) / (2 * h)
        net.values[i] = keep
        assert found[i] == pytest.approx(slope, rel=1e-5, abs=1e-7), i


@each_module
@each_head
def test_the_step_of_fit_is_the_gradient_of_the_mean(module, head):
    """One full batch of plain SGD moves the weights by learning rate times the gradient of the weighted mean nll."""
    X = features(20)
    y, weights = targets(head, X), np.random.default_rng(0).random(20) + 0.1
    net = make_network(module, head)
    before = net.values.copy()
    net.backward(net.loss.grad(net.forward(X), y, weights=weights))
    expected = before - 0.25 * net.gradients
    net.fit(X, y, weights=weights, epochs=1, batch_size=20, optimizer=module.SGD(0.25), start=False)
    np.testing.assert_allclose(net.values, expected, rtol=1e-12, atol=1e-14)


# ---- construction ----


@each_module
def test_widths_are_checked_at_construction(module):
    with pytest.raises(
        ValueError,
        match=r"layers\[2\], Dense\(32, 1\), takes 32 features, but layers\[0\], "
        r"Dense\(9, 64\), gives 64",
    ):
        module.Network([module.Dense(9, 64), module.Tanh(), module.Dense(32, 1)], module.Gaussian())
    with pytest.raises(
        ValueError,
        match=r"the last layer, Dense\(9, 3\), gives 3 logits per row: "
        r"HeteroscedasticGaussian\(.*\) takes 2 logits per output",
    ):
        module.Network([module.Dense(9, 3)], module.HeteroscedasticGaussian())
    assert module.Network([module.Dense(9, 4)], module.HeteroscedasticGaussian()).outputs == 2


@each_module
def test_columns_of_y_say_which_layer_to_write(module):
    net = module.Network([module.Dense(5, 8), module.Tanh(), module.Dense(8, 2)], module.HeteroscedasticGaussian())
    with pytest.raises(
        ValueError,
        match=r"with 3 outputs, the columns of y, needs 6 logits per row: end the network in "
        r"Dense\(8, 6\) instead of Dense\(8, 2\)",
    ):
        net.fit(features(4), np.zeros((4, 3)))


@pytest.mark.parametrize(
    "layers,loss,error,message",
    [
        ([], ps.Gaussian(), ValueError, "at least one layer"),
        ([ps.Dense(1, 1), ps.Tanh], ps.Gaussian(), TypeError, r"layers\[1\] is the class Tanh: write Tanh\(...\)"),
        (
            [len],
            ps.Gaussian(),
            TypeError,
            r"layers\[0\] = .* is no layer: it does not have forward, backward, parameters",
        ),
        ([ps.Dense(1, 1)], ps.Gaussian, TypeError, r"loss is the class Gaussian: write Gaussian\(\)"),
        ([ps.Dense(1, 1)], "mse", TypeError, r"loss must be a Loss such as Poisson\(\)"),
    ],
)
def test_what_is_no_network(layers, loss, error, message):
    with pytest.raises(error, match=message):
        ps.Network(layers, loss)


@pytest.mark.parametrize("dtype", [np.float16, np.int64, complex])
def test_a_dtype_of_neither_real_is_refused(dtype):
    with pytest.raises(TypeError, match="dtype must be numpy.float64 or numpy.float32"):
        ps.Network([ps.Dense(1, 1)], ps.Gaussian(), dtype=dtype)


@each_module
def test_two_networks_on_one_body_share_nothing(module):
    body = [module.Dense(5, 4), module.Tanh(), module.Dense(4, 1)]
    one, other = (module.Network(body, loss, rng=0) for loss in (module.Poisson(), module.Gaussian()))
    assert np.array_equal(one.values, other.values) and not np.shares_memory(one.values, other.values)
    one.layers[0].W += 1
    assert not np.array_equal(one.values, other.values)


@needs_c
def test_both_sides_draw_the_same_weights():
    one, other = make_network(ps), make_network(reference)
    assert np.array_equal(one.values, other.values) and one.values.any()
    single = make_network(ps, dtype=np.float32)
    assert single.values.dtype == np.float32 and np.array_equal(single.values, one.values.astype(np.float32))
    assert not np.array_equal(make_network(ps, rng=1).values, one.values)


def test_a_generator_is_used_as_it_is():
    rng = np.random.default_rng(0)
    net = make_network(ps, rng=rng)
    assert net.rng is rng and np.array_equal(net.values, make_network(ps).values)


# ---- what a network says ----


@each_module
@each_head
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rows", [0, 1, 7, 1100])
def test_predict_is_the_mean_of_forward(module, head, dtype, rows):
    net = make_network(module, head, dtype=dtype)
    X = features(rows)
    z = net.forward(X)
    assert z.dtype == dtype and z.shape == (rows, net.width)
    prediction = net.predict(X)
    assert prediction.dtype == dtype and np.array_equal(prediction, net.loss.mean(z), equal_nan=True)
    assert prediction.shape == ((rows, 3) if head[0] == "Categorical" else (rows,))


@each_module
def test_a_row_does_not_depend_on_its_batch(module):
    """In C to the bit; NumPy's product is another one for one row."""
    net, X = make_network(module, hidden=(33, 17)), features(100)
    single = np.array([net.predict(x[None])[0] for x in X])
    if module is ps:
        assert np.array_equal(net.predict(X), single)
    np.testing.assert_allclose(net.predict(X), single, rtol=1e-12)


@each_module
@each_head
def test_offset_is_added_to_the_logits(module, head):
    net, X = make_network(module, head), features(9)
    offset = np.random.default_rng(0).normal(size=(9, 3 if head[0] == "Categorical" else 1))
    z = with_offset(net.loss, net.forward(X), offset)
    assert np.array_equal(net.forward(X, offset=offset), z)
    np.testing.assert_allclose(net.predict(X, offset=offset), net.loss.mean(z), rtol=1e-14)
    y = targets(head, X)
    assert net.score(X, y, offset=offset) == pytest.approx(-net.loss.plain.nll(z, y), rel=1e-13)
    np.testing.assert_allclose(net.distribution(X, offset=offset).mean, net.loss.mean(z), rtol=1e-14)
    if offset.shape[1] == 1:
        assert np.array_equal(net.predict(X, offset=offset[:, 0]), net.predict(X, offset=offset), equal_nan=True)


@each_module
@each_head
def test_score_is_the_mean_log_likelihood(module, head):
    net, X = make_network(module, head), features(30)
    y = targets(head, X)
    weights = np.random.default_rng(0).integers(0, 3, 30).astype(float)
    log_likelihood = net.distribution(X).log_prob(y)
    if log_likelihood.ndim == 2:
        log_likelihood = log_likelihood.sum(axis=1)
    assert net.score(X, y) == pytest.approx(log_likelihood.mean(), rel=1e-12)
    assert net.score(X, y, weights=weights) == pytest.approx(np.average(log_likelihood, weights=weights), rel=1e-12)


@each_module
def test_score_leaves_class_weights_and_smoothing_to_training(module):
    X = features(30)
    y = targets(("Categorical", {}), X)
    plain = make_network(module, ("Categorical", {}))
    other = make_network(module, ("Categorical", {"class_weights": (1, 5, 2), "smoothing": 0.2}))
    assert other.score(X, y) == plain.score(X, y)


@each_module
def test_predict_class(module):
    X = features(40)
    net = make_network(module, ("Categorical", {}))
    labels = net.predict_class(X)
    assert labels.dtype == np.int64 and np.array_equal(labels, net.predict(X).argmax(axis=1))
    net = make_network(module, ("Bernoulli", {}))
    assert np.array_equal(net.predict_class(X), (net.predict(X) > 0.5) * 1) and net.predict_class(X).dtype == np.int64
    with pytest.raises(TypeError, match="has no classes"):
        make_network(module).predict_class(X)


@each_module
def test_several_outputs(module):
    X, y = features(50), np.random.default_rng(0).normal(size=(50, 3))
    for loss, width in ((module.Gaussian(), 3), (module.HeteroscedasticGaussian(), 6)):
        net = module.Network([module.Dense(5, width)], loss, rng=0)
        net.fit(X, y, epochs=2)
        assert net.predict(X).shape == (50, 3) and np.isfinite(net.score(X, y))
        assert net.distribution(X).std.shape == (50, 3)


# ---- arguments ----


@each_module
@pytest.mark.parametrize("method", ["fit", "score", "predict", "forward", "distribution"])
@pytest.mark.parametrize(
    "bad,error,message",
    [
        (np.nan, ValueError, r"X\[3, 2\] = nan: features must be finite"),
        (np.inf, ValueError, r"X\[3, 2\] = inf: features must be finite"),
        ("columns", ValueError, r"X must have the shape \(n, 5\), got \(6, 4\)"),
        ("flat", ValueError, r"X must have the shape \(n, 5\), got \(5,\): X\[:, None\] for one feature, X\[None, :\]"),
        ("text", TypeError, "X must hold real numbers"),
    ],
)
def test_features_are_checked(module, method, bad, error, message):
    net, X = make_network(module), features(6)
    if isinstance(bad, float):
        X[3, 2] = X[4, 1] = bad
    else:
        X = {"columns": X[:, :4], "flat": X[0], "text": X.astype(str)}[bad]
    arguments = (X, np.zeros(len(X))) if method in ("fit", "score") else (X,)
    before = net.values.copy()
    with pytest.raises(error, match=message):
        getattr(net, method)(*arguments)
    assert np.array_equal(net.values, before)


@each_module
def test_a_feature_that_float32_cannot_hold(module):
    X = features(3)
    X[1, 4] = 1e300
    with pytest.raises(ValueError, match=r"X\[1, 4\] = 1e\+300: features must be finite in float32"):
        make_network(module, dtype=np.float32).predict(X)
    make_network(module).predict(X)


@each_module
@pytest.mark.parametrize("method", ["fit", "score"])
def test_a_row_of_weight_zero_is_not_read(module, method):
    X, weights = features(12), np.ones(12)
    y = targets(("Poisson", {}), X).astype(float)
    weights[[2, 7]] = 0
    clean = make_network(module, ("Poisson", {}))
    kept = weights > 0
    expected = getattr(clean, method)(X[kept], y[kept], weights=weights[kept])
    X[2], y[7], y[2] = np.nan, np.nan, -1
    net = make_network(module, ("Poisson", {}))
    found = getattr(net, method)(X, y, weights=weights)
    if method == "fit":
        assert found.nll == expected.nll and np.array_equal(net.values, clean.values)
    else:
        assert found == pytest.approx(expected, rel=1e-14)
    with pytest.raises(ValueError, match=r"X\[2, 0\] = nan"):
        net.predict(X)
    X[9, 3] = np.inf
    with pytest.raises(ValueError, match=r"X\[9, 3\] = inf"):
        getattr(net, method)(X, y, weights=weights)


@each_module
@pytest.mark.parametrize("method", ["fit", "score"])
@pytest.mark.parametrize(
    "y,extra,error,message",
    [
        (np.zeros(5), {}, ValueError, r"y has shape \(5,\)"),
        (np.array([0, 1, 2, -1, 3, -2.0]), {}, ValueError, r"y\[3\] = -1.0: Poisson needs"),
        (np.array([0, 1, 2.5, 1, 3, 2]), {}, ValueError, r"y\[2\] = 2.5: Poisson needs"),
        (np.array([0, 1, np.nan, 1, 3, 2]), {}, ValueError, r"y\[2\] = nan"),
        (np.array(list("abcdef")), {}, TypeError, "y must hold real numbers"),
        (
            np.zeros(6),
            {"weights": [1, 1, 1, 1, -1, 1]},
            ValueError,
            r"weights\[4\] = -1.0: weights must be finite and >= 0",
        ),
        (np.zeros(6), {"weights": [1, np.nan, 1, 1, 1, 1]}, ValueError, r"weights\[1\] = nan"),
        (np.zeros(6), {"weights": np.ones(5)}, ValueError, "weights have shape"),
        (np.zeros(6), {"offset": [0, 0, np.inf, 0, 0, 0]}, ValueError, r"offset\[2\] = inf: an offset must be finite"),
        (np.zeros(6), {"offset": np.zeros((6, 2))}, ValueError, "offset has shape"),
    ],
)
def test_targets_weights_and_offset_are_checked(module, method, y, extra, error, message):
    net = make_network(module, ("Poisson", {}))
    before = net.values.copy()
    with pytest.raises(error, match=message):
        getattr(net, method)(features(6), y, **extra)
    assert np.array_equal(net.values, before) and net.history is None


# ---- layers and losses of a user's own ----


@each_module
def test_layers_of_a_user_train(module):
    X, y = features(64), targets(("Poisson", {}), features(64))
    stack = [module.Dense(5, 6), Shift(6), module.Tanh(), Gain(6), module.Dense(6, 1)]
    net = module.Network(stack, module.Poisson(), rng=0)
    start = net.values.copy()
    history = net.fit(X, y, epochs=30, batch_size=16, validation=0.25, patience=30, optimizer=module.Adam(1e-2))
    assert history.nll[-1] < history.nll[0]
    shift = net.layers[1]
    assert shift is not stack[1] and not np.array_equal(shift.t, stack[1].t)
    assert net.values.shape == (5 * 6 + 6 + 6 + 6 + 7,) and (net.values != start).all()
    net.gather()
    assert np.array_equal(net.values[36:42], shift.t)
    assert np.isfinite(net.score(X, y))


class Sum:
    """A last layer that does not say how wide it is."""

    def forward(self, x):
        self.width = x.shape[1]
        return x.sum(axis=1, keepdims=True)

    def backward(self, g):
        return np.repeat(g, self.width, axis=1)

    def parameters(self):
        return []


@each_module
def test_a_last_layer_that_does_not_say_its_width(module):
    X, y = features(30), features(30)[:, 0]
    X[3] = np.nan
    weights = (np.arange(30) != 3).astype(float)
    net = module.Network([module.Dense(5, 4), Sum()], module.Gaussian(), rng=0)
    assert net.width is None
    net.fit(X, y, weights=weights, epochs=2)
    assert net.width == 1 and net.predict(X[4:]).shape == (26,)
    with pytest.raises(TypeError, match="start_from needs a Dense as the last layer"):
        module.Network([module.Dense(5, 4), Sum()], module.Gaussian()).start_from(y)
    with pytest.raises(ValueError, match="gives 1 logits per row: HeteroscedasticGaussian"):
        module.Network([module.Dense(5, 4), Sum()], module.HeteroscedasticGaussian()).predict(features(3))


@each_module
def test_assigning_values_copies(module):
    net = make_network(module)
    net.values = np.arange(float(net.values.size))
    assert net.layers[0].W[0, 1] == 1 and np.shares_memory(net.layers[0].W, net.values)
    with pytest.raises(AttributeError):
        net.loss = module.Poisson()


@each_module
def test_a_layer_of_a_user_takes_the_gradient_step(module):
    X, y = features(16), features(16)[:, 0]
    net = module.Network([module.Dense(5, 2), Shift(2), Gain(2), module.Dense(2, 1)], module.Gaussian(), rng=0)

    def value():
        return net.loss.nll(net.forward(X), y)

    net.backward(net.loss.grad(net.forward(X), y))
    found = net.gradients.copy()
    for i in range(net.values.size):
        keep, ends = net.values[i], []
        for h in (1e-6, -1e-6):
            net.values[i] = keep + h
            net.scatter()
            ends.append(value())
        net.values[i] = keep
        assert found[i] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


class Huber:
    """A loss of a user: three small methods."""

    def link(self, z):
        return z[:, 0]

    def nll(self, z, y):
        r = np.abs(z[:, 0] - y)
        return np.where(r < 1, r**2 / 2, r - 0.5)

    def grad(self, z, y):
        return np.clip(z[:, 0] - y, -1, 1)[:, None]


@each_module
def test_a_loss_of_a_user_trains(module):
    X = features(200)
    y = X @ np.arange(5.0) + np.random.default_rng(0).standard_t(1.5, 200)
    y[3] = np.nan
    weights = np.ones(200)
    weights[3] = 0
    net = module.Network([module.Dense(5, 1)], Huber(), rng=0)
    with pytest.raises(ValueError, match=r"y\[3\] = nan: targets must be finite"):
        net.fit(X, y)
    history = net.fit(X, y, weights=weights, epochs=60, batch_size=32, optimizer=module.Adam(0.1), validation=0.2)
    assert np.abs(net.layers[0].W[:, 0] - np.arange(5)).max() < 0.3
    kept = weights > 0
    assert net.predict(X).shape == (200,)
    assert net.score(X, y, weights=weights) == pytest.approx(-Huber().nll(net.forward(X), y)[kept].mean())
    assert net.predict(X, offset=np.ones(200)) == pytest.approx(net.predict(X) + 1)
    assert history.best_epoch is not None
    with pytest.raises(TypeError, match="does not say distribution"):
        net.distribution(X)


@each_module
def test_a_loss_of_a_user_is_told_which_shapes(module):
    class Mean(Huber):
        def nll(self, z, y):
            return super().nll(z, y).mean()

    with pytest.raises(ValueError, match=r"Mean must return nll of shape \(4,\) and grad of shape \(4, 1\)"):
        module.Network([module.Dense(5, 1)], Mean()).fit(features(4), np.zeros(4))


@each_module
def test_a_changed_family_is_asked_through_its_methods(module):
    """A subclass that changes a public method of a family is not passed by."""

    class Doubled(module.Gaussian if module is ps else reference.Gaussian):
        def nll_and_grad(self, z, y, **options):
            total, grad = super().nll_and_grad(z, y, **options)
            return ps.Total(2 * total.sum, total.weight), 2 * grad

    X, y = features(32), features(32)[:, 0]
    one = module.Network([module.Dense(5, 1)], module.Gaussian(), rng=0)
    two = module.Network([module.Dense(5, 1)], Doubled(), rng=0)
    first = one.fit(X, y, epochs=2, optimizer=module.SGD(0.2), shuffle=False)
    second = two.fit(X, y, epochs=2, optimizer=module.SGD(0.1), shuffle=False)
    np.testing.assert_allclose(two.values, one.values, rtol=1e-13)
    np.testing.assert_allclose(second.nll, 2 * np.array(first.nll), rtol=1e-13)


# ---- copies ----


@each_module
@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
def test_a_copy_goes_on_by_itself(module, way):
    X, y = features(40), targets(("Poisson", {}), features(40))
    net = module.Network(
        [module.Dense(5, 4), Shift(4), module.Tanh(), Gain(4), module.Dense(4, 1)], module.Poisson(), rng=0
    )
    net.fit(X, y, epochs=2)
    net.predict(X)
    other = pickle.loads(pickle.dumps(net)) if way == "pickle" else copy.deepcopy(net)
    assert np.array_equal(other.predict(X), net.predict(X))
    assert not np.shares_memory(other.values, net.values)
    assert np.shares_memory(other.layers[0].W, other.values) and np.shares_memory(other.layers[4].dW, other.gradients)
    before = net.values.copy()
    first = other.fit(X, y, epochs=2).nll
    assert np.array_equal(net.values, before)
    assert net.fit(X, y, epochs=2).nll == first and np.array_equal(net.values, other.values)


def test_threads_may_predict_with_one_network():
    from concurrent.futures import ThreadPoolExecutor

    net, X = make_network(ps if BOTH else reference, hidden=(16,)), features(400)
    parts = [X[i : i + 50] for i in range(0, 400, 50)]
    expected = [net.predict(part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            assert all(map(np.array_equal, pool.map(net.predict, parts), expected))


def test_the_reference_needs_no_extension():
    code = """
import sys
sys.modules["pyscratch._lib"] = None
import numpy as np
from pyscratch import _native, reference as ps
assert not _native.available
net = ps.Network([ps.Dense(2, 3), ps.Tanh(), ps.Dense(3, 1)], ps.Poisson(), rng=0)
X = np.random.default_rng(0).normal(size=(50, 2))
history = net.fit(X, np.ones(50), epochs=3, validation=0.2)
net.save(sys.argv[1])
assert len(history) == 3 and np.array_equal(ps.Network.load(sys.argv[1]).predict(X), net.predict(X))
try:
    net.predict(X * np.nan)
except ValueError as error:
    assert "X[0, 0] = nan" in str(error)
else:
    raise AssertionError
"""
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = os.path.dirname(os.path.dirname(ps.__file__))
        done = subprocess.run(
            [sys.executable, "-c", code, os.path.join(folder, "m.npz")], cwd=root, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr


def test_repr():
    net = make_network(ps, ("Poisson", {}))
    assert repr(net).startswith("Network([Dense(5, 7), Tanh(), Dense(7, 1)], Poisson(")


def test_loss_make():
    assert type(make_loss(reference, ("Poisson", {}))) is reference.Poisson

import copy
import pickle

from networks import BOTH, MODULES, Gain, module_id
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _plan, reference

needs_c = pytest.mark.skipif(not BOTH, reason="the C kernels are not built")
each_module = pytest.mark.parametrize("module", MODULES, ids=module_id)
REALS = [np.float64, np.float32]
ACTIVATIONS = ["Tanh", "ReLU", "Sigmoid", "GELU", "SiLU"]


def drawn(layer, dtype=np.float64, rng=0):
    """The layer as a network holds it."""
    return network_of([layer], dtype, rng).layers[0]


def network_of(stack, dtype=np.float64, rng=0):
    module = reference if type(stack[0]).__module__.endswith("reference") else ps
    return module.Network(stack, module.Gaussian(), rng=rng, dtype=dtype)


def differences(function, x, h=1e-6):
    """Central differences of a scalar function of an array."""
    slope = np.empty_like(x)
    for i in np.ndindex(x.shape):
        keep = x[i]
        x[i] = keep + h
        up = function()
        x[i] = keep - h
        slope[i] = (up - function()) / (2 * h)
        x[i] = keep
    return slope


@each_module
@pytest.mark.parametrize("kind", ["Dense", "LayerNorm", *ACTIVATIONS])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_backward_is_the_derivative_of_forward(module, kind, rows):
    sizes = {"Dense": (3, 4), "LayerNorm": (3,)}.get(kind, ())
    layer = drawn(getattr(module, kind)(*sizes))
    rng = np.random.default_rng(0)
    for value, _ in layer.parameters():
        value[...] += 0.1 * rng.normal(size=value.shape)
    x = rng.normal(size=(rows, 3))
    x[np.abs(x) < 1e-3] = 0.5  # away from the kink of ReLU
    g = rng.normal(size=layer.forward(x).shape)

    def value():
        return float((layer.forward(x) * g).sum())

    expected = [differences(value, array) for array in (x, *(value for value, _ in layer.parameters()))]
    layer.forward(x)
    found = [layer.backward(g), *(gradient for _, gradient in layer.parameters())]
    assert len(found) == (3 if sizes else 1)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-7)


@needs_c
@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("rows,n_in,n_out", [(0, 3, 2), (1, 1, 1), (2, 3, 17), (33, 9, 1), (64, 31, 33), (130, 16, 8)])
def test_dense_equals_the_reference(dtype, rows, n_in, n_out):
    rng = np.random.default_rng(rows)
    x, g = rng.normal(size=(rows, n_in)).astype(dtype), rng.normal(size=(rows, n_out)).astype(dtype)
    results = []
    for module in (ps, reference):
        layer = drawn(module.Dense(n_in, n_out), dtype)
        results.append((layer.forward(x), layer.backward(g), layer.dW.copy(), layer.db.copy()))
    eps = np.finfo(dtype).eps
    for one, other, terms in zip(*results, (n_in, n_out, rows, rows), strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=8 * eps * max(terms, 1))


@needs_c
@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_equal_the_reference(dtype, kind):
    x = np.concatenate([np.linspace(-30, 30, 1001), [0.0, -0.0, 1e-30, np.inf, -np.inf]]).astype(dtype)[None]
    one, other = getattr(ps, kind)(), getattr(reference, kind)()
    eps = np.finfo(dtype).eps
    # the reference hands x / sqrt(2), rounded, to erfc: that costs it x² / 2 ulp of what is nearly 0
    more = {"GELU": x.astype(float) ** 2}.get(kind, 0)
    found, expected = one.forward(x), other.forward(x)
    with np.errstate(invalid="ignore"):
        bound = (4 + more) * eps * np.abs(expected) + 1000 * np.finfo(dtype).tiny * (kind in ("GELU", "SiLU"))
        assert np.all((found == expected) | (np.abs(found - expected) <= bound))
    g = np.ones_like(x)
    np.testing.assert_allclose(
        one.backward(g), other.backward(g), rtol=8 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps
    )


@each_module
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_pass_nan(module, kind):
    layer = getattr(module, kind)()
    assert np.isnan(layer.forward(np.array([[np.nan, 1.0]]))).tolist() == [[True, False]]


@needs_c
@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("rows", [1, 2, 5, 31, 64, 100])
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_fused_buffers_give_the_bits_of_single_layers(dtype, rows, kind):
    act = getattr(ps, kind)
    stack = [act(), ps.Dense(5, 9), act(), ps.LayerNorm(9), ps.Dense(9, 8), ps.Dense(8, 3), act(), ps.Tanh()]
    net = network_of(stack, dtype)
    rng = np.random.default_rng(3)
    x, g = rng.normal(size=(rows, 5)).astype(dtype), rng.normal(size=(rows, 3)).astype(dtype)
    z = net.forward(x)
    net.backward(g)
    expected = net.gradients.copy()
    net.gradients[...] = np.nan
    body = _plan.Body(net.layers, 5, 100, dtype)
    body.x[:rows] = x
    assert np.array_equal(body.forward(rows), z)
    body.backward(rows, g)
    assert np.array_equal(net.gradients, expected)


@each_module
def test_weights_are_drawn_uniformly_and_both_reals_start_alike(module):
    double, single = drawn(module.Dense(100, 300)), drawn(module.Dense(100, 300), np.float32)
    assert np.abs(double.W).max() <= 0.1 and abs(double.W.std() - 0.1 / np.sqrt(3)) < 1e-3
    assert not double.b.any()
    assert np.array_equal(single.W, double.W.astype(np.float32))
    assert single.W.dtype == np.float32


@each_module
def test_assigning_a_parameter_copies_into_the_network(module):
    net = network_of([module.Dense(2, 3)])
    layer = net.layers[0]
    layer.W = np.ones((2, 3))
    layer.b[1] = 5
    assert net.values.tolist() == [1, 1, 1, 1, 1, 1, 0, 5, 0]
    with pytest.raises(ValueError, match=r"W of Dense\(2, 3\) has the shape \(2, 3\), got \(3, 2\)"):
        layer.W = np.ones((3, 2))


@each_module
def test_a_layer_is_a_description_until_a_network_draws_it(module):
    layer = module.Dense(2, 3)
    with pytest.raises(RuntimeError, match="a layer is a description until a Network draws it"):
        layer.forward(np.ones((1, 2)))
    net = network_of([layer])
    assert not hasattr(layer, "W") and net.layers[0] is not layer
    with pytest.raises(RuntimeError, match="backward needs a forward before it"):
        net.layers[0].backward(np.ones((1, 3)))


@each_module
@pytest.mark.parametrize(
    "x,error,message",
    [
        (np.ones((2, 3)), ValueError, r"x of Dense\(2, 3\) must have the shape \(rows, 2\), got \(2, 3\)"),
        (np.ones(2), ValueError, r"must have the shape \(rows, 2\), got \(2,\)"),
        (np.array([["a", "b"]]), TypeError, "must hold real numbers"),
        (np.ones((1, 2), complex), TypeError, "must hold real numbers"),
    ],
)
def test_dense_refuses(module, x, error, message):
    with pytest.raises(error, match=message):
        drawn(module.Dense(2, 3)).forward(x)


@each_module
def test_backward_refuses_another_shape(module):
    layer = drawn(module.Dense(2, 3))
    layer.forward(np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"g of Dense\(2, 3\) must have the shape \(4, 3\), got \(3, 4\)"):
        layer.backward(np.ones((3, 4)))


@pytest.mark.parametrize(
    "sizes,error,message",
    [
        ((0, 1), ValueError, "n_in must be at least 1, got 0"),
        ((1, -2), ValueError, "n_out must be at least 1"),
        ((1.5, 1), TypeError, "n_in must be a whole number, got 1.5"),
        (("3", 1), TypeError, "n_in must be a whole number"),
    ],
)
def test_sizes_are_checked(sizes, error, message):
    with pytest.raises(error, match=message):
        ps.Dense(*sizes)


@each_module
def test_any_layout_and_real_dtype_comes_in(module):
    layer = drawn(module.Dense(3, 2))
    x = np.arange(12.0).reshape(4, 3)
    expected = layer.forward(x)
    frozen = x.copy()
    frozen.flags.writeable = False
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x.astype(np.int8), x.astype(">f8"), frozen):
        assert np.array_equal(layer.forward(other), expected)


def test_a_layer_copies_and_pickles_by_itself():
    layer = drawn(ps.Dense(2, 3))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert np.array_equal(other.W, layer.W) and not np.shares_memory(other.W, layer.W)
        other.W[0, 0] += 1
        assert other.W[0, 0] != layer.W[0, 0]


def test_the_description_and_its_repr():
    assert repr(ps.Dense(9, 64)) == "Dense(9, 64)" and repr(ps.Tanh()) == "Tanh()"
    assert ps.Dense(9, 64).options == {"n_in": 9, "n_out": 64}
    net = network_of([Gain(2, start=3.0)])
    assert net.values.tolist() == [3.0, 3.0]
    assert not hasattr(net.layers[0]._description(), "s") and net.layers[0].s.tolist() == [3.0, 3.0]


def test_a_layer_that_says_nothing_is_told_what_is_missing():
    class Mute(ps.Layer):
        pass

    with pytest.raises(NotImplementedError, match="Mute does not say forward"):
        Mute().forward(np.ones((1, 1)))
    with pytest.raises(NotImplementedError, match="Mute does not say backward"):
        Mute().backward(np.ones((1, 1)))

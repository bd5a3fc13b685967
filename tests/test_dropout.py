"""Dropout: the generator's published vectors, one mask everywhere, training only."""

from networks import MODULES, features, module_id, targets
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _native, reference
from pyscratch.reference._layers import philox

needs_c = pytest.mark.skipif(not _native.available, reason="the C kernels are not built")
each_module = pytest.mark.parametrize("module", MODULES, ids=module_id)
POISSON = ("Poisson", {})


def masked(module, x, rate=0.3, seed=5, place=2, step=7):
    layer = module.Dropout(rate, seed)
    layer.training(step, place)
    return layer.forward(x), layer.backward(np.ones_like(x))


def network(module, dtype=np.float64, rng=0):
    body = [module.Dense(5, 12), module.Tanh(), module.Dropout(0.4), module.Dense(12, 1)]
    return module.Network(body, module.Poisson(), rng=rng, dtype=dtype)


def test_vectors_of_random123():
    """Known answers of philox4x32-10 from the authors' Random123, file kat_vectors."""
    ones = 2**32 - 1
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    for counter, seed, expected in (
        ([0] * 4, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ones] * 4, 2**64 - 1, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (pi, 0xA4093822 + (0x299F31D0 << 32), [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ):
        assert [int(word) for word in philox(counter, seed)] == expected


@needs_c
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1 - 1e-12])
@pytest.mark.parametrize("width", [1, 4, 7, 30])
def test_one_mask_everywhere(width, rate):
    x = 1 + np.random.default_rng(0).random((9, width))
    masks = []
    for seed, place, step in ((0, 0, 0), (2**64 - 1, 3, 2**33 + 5)):
        for dtype in (np.float32, np.float64):
            for module in (ps, reference):
                y, dx = masked(module, x.astype(dtype), rate, seed, place, step)
                assert y.dtype == dtype and np.array_equal(y != 0, dx != 0)
                np.testing.assert_allclose(y[y != 0], (x / (1 - rate))[y != 0], rtol=1e-6)
                masks.append((seed, y != 0))
    assert all(np.array_equal(mask, masks[4 * (seed > 0)][1]) for seed, mask in masks)


@each_module
def test_the_share_of_dropped_elements(module):
    x = np.ones((1000, 100))
    y, _ = masked(module, x, 0.3)
    share = np.mean(y == 0)
    assert abs(share - 0.3) < 5 * np.sqrt(0.21 / x.size)
    others = [masked(module, x, 0.3, *other)[0] for other in ((6, 2, 7), (5, 3, 7), (5, 2, 8))]
    for other in others:  # independent of another seed, place and step
        assert abs(np.mean((y == 0) & (other == 0)) - 0.09) < 5 * np.sqrt(0.09 * 0.91 / x.size)


@each_module
def test_a_prediction_lets_everything_pass(module):
    X = features(40)
    net, plain = network(module), None
    net.fit(X, targets(POISSON, X), epochs=2, batch_size=16)
    plain = module.Network([module.Dense(5, 12), module.Tanh(), module.Dense(12, 1)], module.Poisson())
    plain.values[...] = net.values
    assert np.array_equal(net.predict(X), plain.predict(X)) and np.array_equal(net.forward(X), plain.forward(X))
    assert np.array_equal(net.predictor(40)(X), plain.predict(X))


@needs_c
def test_training_follows_the_reference():
    X = features(90)
    y = targets(POISSON, X)
    one, other = network(ps), network(reference)
    first, second = (net.fit(X, y, epochs=5, batch_size=16, optimizer=m.Adam(1e-2))
                     for net, m in ((one, ps), (other, reference)))  # fmt: skip
    np.testing.assert_allclose(first.nll, second.nll, rtol=1e-10)
    assert one.layers[2].seed == other.layers[2].seed is not None


@each_module
def test_gradients_are_those_of_the_masked_network(module):
    X, net = features(6), network(module)
    y, h = targets(POISSON, X), 1e-6
    net.layers[2].training(3, 2)
    net.backward(net.loss.grad(net.forward(X), y))
    found = net.gradients.copy()
    for i in range(0, net.values.size, 7):
        keep, ends = net.values[i], []
        for end in (keep + h, keep - h):
            net.values[i] = end
            ends.append(net.loss.nll(net.forward(X), y))
        net.values[i] = keep
        np.testing.assert_allclose(found[i], (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-8)


@each_module
def test_a_loaded_network_goes_on_with_the_same_masks(module, tmp_path):
    X = features(40)
    y, net = targets(POISSON, X), network(module)
    net.fit(X, y, epochs=2, batch_size=16)
    net.save(tmp_path / "net.npz")
    other = module.Network.load(tmp_path / "net.npz")
    for each in (net, other):
        each.fit(X, y, epochs=2, batch_size=16)
    assert np.array_equal(net.values, other.values)


@each_module
def test_settings(module):
    for rate in (1.0, -0.1, np.nan):
        with pytest.raises(ValueError, match="rate must be in"):
            module.Dropout(rate)
    with pytest.raises(ValueError, match="seed must be in"):
        module.Dropout(0.5, -1)
    given = module.Dropout(0.5)
    assert given.seed is None and network(module).layers[2].seed != network(module, rng=1).layers[2].seed

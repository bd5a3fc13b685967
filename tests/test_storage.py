import hashlib
import io
import json
import os
import pickle
import stat
import zipfile

from networks import BOTH, HEAD_IDS, HEADS, MODULES, Gain, Shift, features, make_network, module_id, targets
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _storage, reference

each_module = pytest.mark.parametrize("module", MODULES, ids=module_id)
MAIN = ps if BOTH else reference


def trained(module, head=("Poisson", {}), optimizer=None, **options):
    X = features(40)
    y = targets(head, X)
    net = make_network(module, head, **options)
    net.fit(X, y, epochs=2, batch_size=16, optimizer=optimizer)
    return net, X, y


@each_module
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("head", HEADS, ids=HEAD_IDS)
def test_a_loaded_network_is_the_same_and_trains_on_bit_for_bit(module, head, dtype, tmp_path):
    net, X, y = trained(module, head, dtype=dtype)
    net.save(tmp_path / "m.npz")
    other = module.Network.load(tmp_path / "m.npz")
    assert type(other) is module.Network and other.dtype == dtype
    assert other.loss == net.loss and repr(other) == repr(net) and other.optimizer == net.optimizer
    assert np.array_equal(other.predict(X), net.predict(X), equal_nan=True)
    first = net.fit(X, y, epochs=2, batch_size=16, validation=0.25)
    second = other.fit(X, y, epochs=2, batch_size=16, validation=0.25)
    assert first.nll == second.nll and first.validation_nll == second.validation_nll
    assert np.array_equal(net.values, other.values)


@each_module
@pytest.mark.parametrize("optimizer", [("SGD", (0.1,)), ("SGD", (0.1, 0.9)), ("Adam", (1e-3, 0.8, 0.99, 1e-7))])
def test_optimizers_come_back_with_their_state(module, optimizer, tmp_path):
    name, settings = optimizer
    net, _, _ = trained(module, optimizer=getattr(module, name)(*settings))
    net.save(tmp_path / "m.npz")
    other = module.Network.load(tmp_path / "m.npz")
    assert other.optimizer == net.optimizer and other.steps == net.steps == 6
    assert list(other._slots) == list(net._slots)
    assert all(map(np.array_equal, other._slots.values(), net._slots.values()))


@each_module
def test_a_network_that_was_never_trained(module, tmp_path):
    net = make_network(module)
    net.save(tmp_path / "m.npz")
    other = module.Network.load(tmp_path / "m.npz")
    assert np.array_equal(other.values, net.values) and other.optimizer is None
    X, y = features(20), features(20)[:, 0]
    assert net.fit(X, y, epochs=1).nll == other.fit(X, y, epochs=1).nll


@pytest.mark.skipif(not BOTH, reason="the C kernels are not built")
def test_library_and_reference_read_each_others_files(tmp_path):
    net, X, _ = trained(ps)
    net.save(tmp_path / "m.npz")
    other = reference.Network.load(tmp_path / "m.npz")
    assert type(other.layers[0]) is reference.Dense and type(other.optimizer) is reference.Adam
    np.testing.assert_allclose(other.predict(X), net.predict(X), rtol=1e-12)
    other.save(tmp_path / "n.npz")
    assert np.array_equal(ps.Network.load(tmp_path / "n.npz").predict(X), net.predict(X))


@pytest.mark.parametrize(
    "bits", [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]
)
def test_every_generator_of_numpy_continues(bits, tmp_path):
    net = make_network(MAIN, rng=np.random.Generator(bits(5)))
    net.rng.integers(0, 10, 3, dtype=np.uint32)  # leaves half of a draw behind
    net.save(tmp_path / "m.npz")
    other = MAIN.Network.load(tmp_path / "m.npz")
    assert type(other.rng.bit_generator) is bits
    assert (
        other.rng.integers(0, 100, 7, dtype=np.uint32).tolist() == net.rng.integers(0, 100, 7, dtype=np.uint32).tolist()
    )
    assert other.rng.random() == net.rng.random()


# ---- damage ----


def test_every_flipped_bit_is_found(tmp_path):
    net, _, _ = trained(MAIN, hidden=())
    path = tmp_path / "m.npz"
    net.save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    places = set(rng.integers(0, 8 * len(content), 400).tolist()) | set(
        range(8 * (len(content) - 80), 8 * len(content))
    )
    places |= {8 * i + int(rng.integers(8)) for i in range(0, len(content), 7)}
    for place in places:
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            MAIN.Network.load(path)


def test_truncated_lengthened_and_foreign_files(tmp_path):
    net, _, _ = trained(MAIN)
    path = tmp_path / "m.npz"
    net.save(path)
    content = path.read_bytes()
    for other in (
        content[:-1],
        content[: len(content) // 2],
        content[1:],
        content + b"\0",
        b"",
        content + content[-71:],
        b"sha256:" + b"0" * 64,
    ):
        path.write_bytes(other)
        with pytest.raises(ValueError, match="damaged"):
            MAIN.Network.load(path)
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="not a pyscratch network"):
        MAIN.Network.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        MAIN.Network.load(tmp_path / "none.npz")


def rewritten(path, change):
    """The file with another description and a checksum that agrees."""
    told, arrays = _storage.read(path)
    change(told, arrays)
    told.pop("format"), told.pop("version")
    _storage.write(path, told, arrays)


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    net, _, _ = trained(MAIN)
    monkeypatch.setattr(_storage, "VERSION", 2)
    net.save(tmp_path / "m.npz")
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"written by a newer pyscratch \(format 2, this one reads up to 1\): upgrade"):
        MAIN.Network.load(tmp_path / "m.npz")


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch):
    """A pickle inside, and names of things that are not layers, with a checksum that agrees."""
    monkeypatch.chdir(tmp_path)
    net, _, _ = trained(MAIN)
    net.save("m.npz")
    buffer = io.BytesIO(open("m.npz", "rb").read())
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = io.BytesIO()
    np.lib.format.write_array(header, np.array([Bomb()], object), allow_pickle=True)
    members["values.npy"] = header.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.comment = b"sha256:" + b"0" * 64
    content = out.getvalue()[:-64]
    with open("bomb.npz", "wb") as file:
        file.write(content + hashlib.sha256(content).hexdigest().encode())
    with pytest.raises(ValueError, match="allow_pickle=False"):
        MAIN.Network.load("bomb.npz")
    with open("pickle.npz", "wb") as file:
        pickle.dump(Bomb(), file)
    with pytest.raises(ValueError, match="not a pyscratch network"):
        MAIN.Network.load("pickle.npz")
    for name in ("Popen", "Network", "History", "Total"):
        net.save("m.npz")
        rewritten(
            "m.npz",
            lambda told, arrays, name=name: told["layers"].__setitem__(
                0, {"class": name, "options": {"args": "touch exploded"}}
            ),
        )
        with pytest.raises((ValueError, TypeError)):
            MAIN.Network.load("m.npz")
    assert not os.path.exists("exploded")


def test_parameters_must_fit_the_layers(tmp_path):
    net, _, _ = trained(MAIN)
    net.save(tmp_path / "m.npz")
    rewritten(tmp_path / "m.npz", lambda told, arrays: arrays.__setitem__("values", arrays["values"][1:]))
    with pytest.raises(ValueError, match="holds 49 parameters, its layers have 50"):
        MAIN.Network.load(tmp_path / "m.npz")


# ---- writing ----


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    net, _, _ = trained(MAIN)
    path = tmp_path / "m.npz"
    net.save(path)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    net.values[...] = 0
    with pytest.raises(OSError, match="disk full"):
        net.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.npz"]


def test_the_file_is_an_ordinary_archive_under_the_given_name(tmp_path):
    net, _, _ = trained(MAIN)
    net.save(str(tmp_path / "model"))
    assert os.listdir(tmp_path) == ["model"]
    with np.load(tmp_path / "model") as archive:
        assert np.array_equal(archive["values"], net.values)
        told = json.loads(archive["description"].tobytes())
    assert told["format"] == "pyscratch network" and told["version"] == 1
    assert told["layers"][0] == {"class": "Dense", "options": {"n_in": 5, "n_out": 7}}
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(os.stat(tmp_path / "model").st_mode) == 0o666 & ~mask


def test_the_same_network_gives_the_same_file(tmp_path):
    net, _, _ = trained(MAIN)
    net.save(tmp_path / "a")
    net.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ---- what a user wrote ----


@each_module
def test_layers_of_a_user_come_back(module, tmp_path):
    X, y = features(30), features(30)[:, 0]
    net = module.Network(
        [module.Dense(5, 4), Shift(4), Gain(4, start=2.0), module.Dense(4, 1)], module.Gaussian(), rng=0
    )
    net.fit(X, y, epochs=2)
    net.save(tmp_path / "m.npz")
    with pytest.raises(
        ValueError,
        match=r"of the class 'Shift', which is not one of ours: hand it over, "
        r"load\(path, layers=\{'Shift': Shift\}\)",
    ):
        module.Network.load(tmp_path / "m.npz")
    other = module.Network.load(tmp_path / "m.npz", layers={"Shift": Shift, "Gain": Gain})
    assert np.array_equal(other.predict(X), net.predict(X)) and np.array_equal(other.layers[1].t, net.layers[1].t)
    assert other.layers[2].start == 2.0
    assert net.fit(X, y, epochs=2).nll == other.fit(X, y, epochs=2).nll


class Scaled:
    """A loss of a user's own, with an option."""

    def __init__(self, scale):
        self.scale = scale

    def link(self, z):
        return z[:, 0]

    def nll(self, z, y):
        return self.scale * (z[:, 0] - y) ** 2

    def grad(self, z, y):
        return 2 * self.scale * (z - y[:, None])


@each_module
def test_losses_and_optimizers_of_a_user_come_back(module, tmp_path):
    class Sign(ps.Optimizer):
        def __init__(self, learning_rate):
            self.learning_rate = learning_rate

        def update(self, value, gradient, slots, step, rate):
            value -= rate * np.sign(gradient)

    X, y = features(30), features(30)[:, 0]
    net = module.Network([module.Dense(5, 1)], Scaled(0.5), rng=0)
    net.fit(X, y, epochs=2, optimizer=Sign(0.01))
    net.save(tmp_path / "m.npz")
    with pytest.raises(ValueError, match=r"losses=\{'Scaled': Scaled\}"):
        module.Network.load(tmp_path / "m.npz")
    other = module.Network.load(tmp_path / "m.npz", losses={"Scaled": Scaled}, optimizers={"Sign": Sign})
    assert other.loss.scale == 0.5 and other.optimizer.learning_rate == 0.01
    assert net.fit(X, y, epochs=2).nll == other.fit(X, y, epochs=2).nll


def test_a_class_that_cannot_be_described_says_what_it_lacks(tmp_path):
    class Hidden(Shift):
        def __init__(self, features, secret):
            super().__init__(features)

    net = MAIN.Network([Hidden(5, 1), MAIN.Dense(5, 1)], MAIN.Gaussian())
    with pytest.raises(TypeError, match="Hidden takes 'secret' but has no attribute of that name"):
        net.save(tmp_path / "m.npz")
    assert os.listdir(tmp_path) == []

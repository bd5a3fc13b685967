"""What the tests of layers, networks and training share: every head with data drawn from its own distribution."""

from cases import width_of_three
import numpy as np

import pyscratch as ps
from pyscratch import _native, losses, reference

MODULES = [reference] + ([ps] if _native.available else [])
BOTH = len(MODULES) == 2


def module_id(module):
    return module.__name__.rpartition(".")[2]


def heads():
    """(class name, options) of every family and example that both sides have."""
    built = _native.families() if _native.available else ()
    for name, cls in losses.families.items():
        for options in cls.examples:
            if not built or cls(**options).name in built:
                yield name, dict(options)


HEADS = list(heads())
HEAD_IDS = [name + "-".join(["", *map(str, options.values())]) for name, options in HEADS]


def make_loss(module, head):
    name, options = head
    families = reference.families if module is reference else losses.families
    return families[name](**options)


make_width = width_of_three


def domain_side(loss):
    """On which side of 0 the first logit must lie, for a link that is not defined everywhere; 0 where it may be any."""
    return 1 if np.isfinite(loss.domain[0]) else -1 if np.isfinite(loss.domain[1]) else 0


def features(rows, n_in=5, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, n_in))


def targets(head, X, seed=2):
    """Targets of the family itself, at logits that depend on X."""
    loss = make_loss(reference, head)
    rng = np.random.default_rng(seed)
    z = 0.5 * X @ rng.normal(size=(X.shape[1], make_width(loss)))
    if loss.typical:
        z += loss.typical[: len(loss.parameters)]
    if loss.increasing:
        z = loss._arranged(z)
    if side := domain_side(loss):
        first = z[:, : loss.outputs(z.shape[1])]
        first[...] = side * (np.abs(first) + 0.5)
    if loss.typical:
        z += loss.typical[: len(loss.parameters)]
    return loss.distribution(z).sample(rng)


def make_network(module, head=("Gaussian", {}), hidden=(7,), activation="Tanh", n_in=5, rng=0, dtype=np.float64):
    loss = make_loss(module, head)
    stack, width = [], n_in
    for size in hidden:
        stack += [module.Dense(width, size), getattr(module, activation)()]
        width = size
    last = [module.Dense(width, make_width(loss))]
    if loss.increasing:
        last = [module.Dense(width, 1), module.OrderedThresholds(make_width(loss) + 1)]
    net = module.Network([*stack, *last], loss, rng=rng, dtype=dtype)
    if side := domain_side(loss):
        outputs = loss.outputs(make_width(loss))
        net.layers[-1].W[:, :outputs] *= 0.1
        net.layers[-1].b[:outputs] = 2.0 * side
    return net


class Gain(ps.Layer):
    """A layer whose parameter the network holds: y = s x."""

    def __init__(self, features, start=1.0):
        self.n_in = self.n_out = self.features = features
        self.start = start

    def shapes(self):
        return {"s": (self.features,)}

    def draw(self, rng):
        return {"s": np.full(self.features, self.start)}

    def forward(self, x):
        self.x = x
        return x * self.s

    def backward(self, g):
        self.ds = (g * self.x).sum(axis=0)
        return g * self.s


class Shift:
    """A layer that derives from nothing and holds its own array: y = x + t. Its gradient is a new array every time."""

    def __init__(self, features):
        self.features = features
        self.t = np.linspace(-0.1, 0.1, features)
        self.gradient = np.zeros(features)

    def forward(self, x):
        return x + self.t

    def backward(self, g):
        self.gradient = g.sum(axis=0)
        return g

    def parameters(self):
        return [(self.t, self.gradient)]

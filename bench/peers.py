"""The peers: NumPy by hand, scikit-learn, PyTorch and JAX on the heads that they are asked for, and on Dense.

Importing this module enters them in the registry of `contenders`; one that is not installed is skipped. All compute the
terms of the nll that depend on the logits and their gradient, from logits as a network leaves them: a function of y
alone is worked out before the clock starts, for everybody alike. What PyTorch and JAX differentiate is one formula.
"""

from dataclasses import dataclass, field
import functools
import math
import os

import numpy as np

from bench import contenders
from bench.contenders import LABEL_SIZES, REALS, contender, head_case
from pyscratch import losses

KIND = "head against peers"
ROWS = (1_000, 100_000, 4_000_000)
COMPILED_FROM = 100_000  # logits: calling a compiled graph of torch costs as much as the work on fewer
COMPONENTS = 5
LOG_2_PI = math.log(2 * math.pi)


def nothing(*y):
    """Return the terms in y alone of a family that has none."""
    return 0.0


def itself(y):
    """Return what the formulas need of y."""
    return (y,)


@dataclass(frozen=True)
class Formula:
    """A family in the words of a library ``m``: nll per row without the terms in y alone, and those terms' sum."""

    nll: object  # (m, z, *prepared(y)); z is (rows,) for one logit per row
    numpy: object = None  # (z, *prepared(y), grad): value and gradient by hand
    constant: object = nothing  # (y) in float64
    prepared: object = itself
    sklearn: str = ""
    options: dict = field(default_factory=dict)

    def case(self, kind, name, size, real):
        """Return the case, with what every peer's answer is checked against."""
        case = head_case(kind, name, size, real, **self.options)
        y = case.inputs["y"].reshape(-1)
        constant = self.constant(y.astype(float) if y.dtype.kind == "f" else y)
        arrays = [np.ascontiguousarray(array, array.dtype) for array in self.prepared(y)]
        case.inputs.update(formula=self, arrays=arrays)
        case.without_constants = (case.exact[0] - constant, case.exact[1])
        return case


# ---- formulas ----


def heteroscedastic(m, z, y):
    """Location and the softplus of a scale."""
    scale = m.softplus(z[:, 1])
    return 0.5 * ((y - z[:, 0]) / scale) ** 2 + m.log(scale)


def beta(m, z, log_y, log_rest):
    """Mean by the logistic function, precision by softplus."""
    mean, precision = m.sigmoid(z[:, 0]), m.softplus(z[:, 1])
    a, b = mean * precision, m.sigmoid(-z[:, 0]) * precision
    return m.lgamma(a) + m.lgamma(b) - m.lgamma(precision) - a * log_y - b * log_rest


def negative_binomial(m, z, y):
    """Mean by exp, concentration by softplus."""
    r = m.softplus(z[:, 1])
    return m.lgamma(r) - m.lgamma(y + r) + (y + r) * m.log1p(m.exp(z[:, 0]) / r) - y * (z[:, 0] - m.log(r))


def mixture(m, z, y):
    """Weights by softmax, locations, scales by softplus: a third of the logits each."""
    k = COMPONENTS
    scale = m.softplus(z[:, 2 * k :])
    u = (y[:, None] - z[:, k : 2 * k]) / scale
    return -m.logsumexp(m.log_softmax(z[:, :k]) - 0.5 * u * u - m.log(scale))


# ---- by hand in NumPy ----


def numpy_bernoulli(z, y, grad):
    """Stable on both sides of zero."""
    t = np.exp(-np.abs(z))
    value = float((np.log1p(t) + np.maximum(z, 0) - y * z).sum())
    np.divide(np.where(z >= 0, 1, t), 1 + t, out=grad)
    return value, np.subtract(grad, y, out=grad)


def numpy_gaussian(z, y, grad):
    """Half the squared distance is the gradient's norm."""
    np.subtract(z, y, out=grad)
    return 0.5 * float(grad @ grad), grad


def numpy_poisson(z, y, grad):
    """The exponential is half of both."""
    np.exp(z, out=grad)
    value = float((grad - y * z).sum())  # two sums would cancel: too few digits are left of 4 million rows
    return value, np.subtract(grad, y, out=grad)


def numpy_gamma(z, y, grad):
    """Likewise."""
    np.multiply(np.exp(np.negative(z, out=grad), out=grad), y, out=grad)
    value = float(z.sum() + grad.sum())
    return value, np.subtract(1, grad, out=grad)


def numpy_softplus(z):
    """Return softplus and its derivative."""
    t = np.exp(-np.abs(z))
    return np.maximum(z, 0) + np.log1p(t), np.where(z >= 0, 1, t) / (1 + t)


def numpy_heteroscedastic(z, y, grad):
    """Location and scale."""
    scale, slope = numpy_softplus(z[:, 1])
    u = (y - z[:, 0]) / scale
    grad[:, 0] = -u / scale
    grad[:, 1] = (1 - u * u) / scale * slope
    return 0.5 * float(u @ u) + float(np.log(scale).sum()), grad


def numpy_categorical(z, y, grad):
    """Softmax in place."""
    rows, top = np.arange(len(z)), z.max(axis=1, keepdims=True)
    np.exp(np.subtract(z, top, out=grad), out=grad)
    total = grad.sum(axis=1, keepdims=True)
    value = float(np.log(total).sum() + top.sum() - z[rows, y].sum(dtype=float))
    grad /= total
    grad[rows, y] -= 1
    return value, grad


def numpy_beta(z, log_y, log_rest, grad):
    """With the gamma functions of SciPy."""
    from scipy.special import expit, gammaln, psi

    mean, rest = expit(z[:, 0]), expit(-z[:, 0])
    precision, slope = numpy_softplus(z[:, 1])
    a, b = mean * precision, rest * precision
    by_a, by_b, by_sum = psi(a) - log_y, psi(b) - log_rest, psi(precision)
    grad[:, 0] = precision * mean * rest * (by_a - by_b)
    grad[:, 1] = slope * (mean * by_a + rest * by_b - by_sum)
    return float((gammaln(a) + gammaln(b) - gammaln(precision) - a * log_y - b * log_rest).sum()), grad


def numpy_negative_binomial(z, y, grad):
    """Likewise."""
    from scipy.special import gammaln, psi

    mean, (r, slope) = np.exp(z[:, 0]), numpy_softplus(z[:, 1])
    ratio = np.log1p(mean / r)
    grad[:, 0] = r * (mean - y) / (r + mean)
    grad[:, 1] = slope * (psi(r) - psi(y + r) + ratio + (y - mean) / (r + mean))
    return float((gammaln(r) - gammaln(y + r) + (y + r) * ratio - y * (z[:, 0] - np.log(r))).sum()), grad


def numpy_mixture(z, y, grad):
    """Responsibilities minus weights, and so on."""
    k = COMPONENTS
    a, (scale, slope) = z[:, :k], numpy_softplus(z[:, 2 * k :])
    u = (y[:, None] - z[:, k : 2 * k]) / scale
    a = a - a.max(axis=1, keepdims=True)
    weights = np.exp(a)
    sums = weights.sum(axis=1, keepdims=True)
    parts = a - np.log(sums) - 0.5 * u * u - np.log(scale)
    top = parts.max(axis=1, keepdims=True)
    shares = np.exp(parts - top)
    total = shares.sum(axis=1, keepdims=True)
    shares /= total
    grad[:, :k] = weights / sums - shares
    grad[:, k : 2 * k] = -shares * u / scale
    grad[:, 2 * k :] = shares * (1 - u * u) / scale * slope
    return -float((np.log(total) + top).sum()), grad


def log_factorials(y):
    """Return the sum of log y!."""
    from scipy.special import gammaln

    return float(gammaln(y + 1).sum())


def half_log_2_pi(y):
    """Return log(2 pi) / 2 for every row."""
    return len(y) * LOG_2_PI / 2


FORMULAS = {  # by family; one that the registry does not have is left out
    "Bernoulli": Formula(lambda m, z, y: m.softplus(z) - y * z, numpy_bernoulli, sklearn="HalfBinomialLoss"),
    "Gaussian": Formula(lambda m, z, y: 0.5 * (z - y) ** 2, numpy_gaussian, half_log_2_pi, sklearn="HalfSquaredError"),
    "Poisson": Formula(lambda m, z, y: m.exp(z) - y * z, numpy_poisson, log_factorials, sklearn="HalfPoissonLoss"),
    "Gamma": Formula(
        lambda m, z, y: z + y * m.exp(-z), numpy_gamma, sklearn="HalfGammaLoss", options={"shape": 1.0}
    ),
    "HeteroscedasticGaussian": Formula(heteroscedastic, numpy_heteroscedastic, half_log_2_pi),
    "Categorical": Formula(lambda m, z, y: m.cross_entropy(z, y), numpy_categorical, sklearn="HalfMultinomialLoss"),
    "Beta": Formula(
        beta, numpy_beta, lambda y: float((np.log(y) + np.log1p(-y)).sum()), lambda y: (np.log(y), np.log1p(-y))
    ),
    "NegativeBinomial": Formula(negative_binomial, numpy_negative_binomial, log_factorials),
    "GaussianMixture": Formula(mixture, numpy_mixture, half_log_2_pi, options={"components": COMPONENTS}),
}  # fmt: skip


def peer_cases(quick=False):
    """Yield (kind, name, size, real) of each case that peers take part in."""
    for name in FORMULAS:
        if name in losses.families:
            sizes = LABEL_SIZES[1:] if name == "Categorical" else [(rows,) for rows in ROWS]
            for size in sizes[: 1 if quick else None]:
                for real in REALS:
                    yield KIND, name, size, real


def peer_case(kind, name, size, real):
    """Return one of these cases."""
    return FORMULAS[name].case(kind, name, size, real)


contenders.MAKERS.insert(1, (peer_cases, peer_case))
contender(KIND, "bound")(contenders.native_head)


def logits(case):
    """Return the logits as the formulas take them."""
    z = case.inputs["z"]
    return z.reshape(-1) if z.shape[1] == 1 else z


@contender(KIND, "numpy", against="bound", constants=False)
def by_numpy(case):
    """Return NumPy by hand, into a gradient that is kept."""
    formula, z, grad = case.inputs["formula"], logits(case), np.empty_like(case.inputs["z"])
    arguments = (z, *case.inputs["arrays"], grad.reshape(z.shape))

    def call():
        value, _ = formula.numpy(*arguments)
        return value, grad

    return call


@contender(KIND, "sklearn", against="bound", constants=False)
def by_sklearn(case):
    """Return the compiled losses of scikit-learn's linear models and boosting."""
    from sklearn._loss import loss as compiled

    name, z = case.inputs["formula"].sklearn, case.inputs["z"]
    if not name:
        return None
    loss = getattr(compiled, name)(**({"n_classes": z.shape[1]} if name == "HalfMultinomialLoss" else {}))
    y, grad, each = case.inputs["y"].reshape(-1).astype(z.dtype), np.empty_like(z), np.empty(len(z), z.dtype)
    z = logits(case)
    out = grad.reshape(z.shape)

    def call():
        loss.loss_gradient(y, z, loss_out=each, gradient_out=out, n_threads=1)
        return each.sum(), grad

    return call


@functools.cache
def torch_library():
    """Import torch, on one thread, and return it with its words for the formulas."""
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    import torch

    torch.set_num_threads(1)

    class Words:
        softplus, sigmoid = torch.nn.functional.softplus, torch.sigmoid
        exp, log, log1p, lgamma = torch.exp, torch.log, torch.log1p, torch.lgamma
        logsumexp, log_softmax = functools.partial(torch.logsumexp, dim=1), functools.partial(torch.log_softmax, dim=1)
        cross_entropy = functools.partial(torch.nn.functional.cross_entropy, reduction="none")

    return torch, Words


@contender(KIND, "torch", against="bound", constants=False)
def by_torch(case):
    """Return PyTorch as it is written by hand: the loss, then autograd."""
    torch, words = torch_library()
    nll, shape = case.inputs["formula"].nll, case.inputs["z"].shape
    z = torch.from_numpy(logits(case).copy()).requires_grad_()
    arrays = [torch.from_numpy(array) for array in case.inputs["arrays"]]

    def call():
        value = nll(words, z, *arrays).sum()
        (grad,) = torch.autograd.grad(value, z)
        return value.detach(), grad.view(shape)

    return call


@contender(KIND, "torch compiled", against="bound", constants=False)
def by_torch_compiled(case):
    """Return value and gradient as one compiled graph, for sizes that repay its call."""
    if case.inputs["z"].size < COMPILED_FROM:
        return None
    torch, words = torch_library()
    nll, shape = case.inputs["formula"].nll, case.inputs["z"].shape
    torch.compiler.reset()
    both = torch.compile(torch.func.grad_and_value(lambda z, *y: nll(words, z, *y).sum()), dynamic=False)
    arguments = [torch.from_numpy(array) for array in (logits(case), *case.inputs["arrays"])]

    def call():
        grad, value = both(*arguments)
        return value, grad.view(shape)

    return call


@functools.cache
def jax_library():
    """Import JAX with both reals and return it with its words for the formulas."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)

    class Words:
        softplus, sigmoid, exp, log, log1p = jax.nn.softplus, jax.nn.sigmoid, jnp.exp, jnp.log, jnp.log1p
        lgamma = jax.scipy.special.gammaln
        logsumexp = functools.partial(jax.nn.logsumexp, axis=1)
        log_softmax = functools.partial(jax.nn.log_softmax, axis=1)

        @staticmethod
        def cross_entropy(z, y):
            return jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]

    return jax, Words


@contender(KIND, "jax", against="bound", constants=False)
def by_jax(case):
    """Return value and gradient as one compiled function."""
    jax, words = jax_library()
    nll, shape = case.inputs["formula"].nll, case.inputs["z"].shape
    both = jax.jit(jax.value_and_grad(lambda z, *y: nll(words, z, *y).sum()))
    arguments = [jax.device_put(array) for array in (logits(case), *case.inputs["arrays"])]

    def call():
        value, grad = jax.block_until_ready(both(*arguments))
        return value, np.asarray(grad).reshape(shape)  # no copy: on a CPU NumPy sees the array where it lies

    return call


# ---- Dense ----


for _kind in contenders.DENSE_KINDS:

    @contender(_kind, "torch", against="bound")
    def torch_dense(case, kind=_kind):
        """Return PyTorch's matrix products into fixed buffers, without autograd."""
        torch, _ = torch_library()
        x, W, b, g = (torch.from_numpy(case.inputs[name]) for name in "xWbg")
        y, dx, dW, db = (torch.empty_like(array) for array in (g, x, W, b))

        def alone():
            with torch.no_grad():
                return (torch.addmm(b, x, W, out=y),)

        def both():
            with torch.no_grad():
                torch.addmm(b, x, W, out=y)
                torch.mm(g, W.t(), out=dx)
                torch.mm(x.t(), g, out=dW)
                return y, dx, dW, torch.sum(g, 0, out=db)

        return alone if kind == "dense forward" else both

    @contender(_kind, "jax", against="bound")
    def jax_dense(case, kind=_kind):
        """Return the products as one compiled function."""
        jax, _ = jax_library()
        arguments = [jax.device_put(case.inputs[name]) for name in "xWbg"]

        def alone(x, W, b, g):
            return (x @ W + b,)

        def both(x, W, b, g):
            return x @ W + b, g @ W.T, x.T @ g, g.sum(axis=0)

        compiled = jax.jit(alone if kind == "dense forward" else both)
        return lambda: jax.block_until_ready(compiled(*arguments))

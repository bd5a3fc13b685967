"""Exact fits of one Dense layer equal statsmodels' maximum likelihood, coefficients and standard errors."""

import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _native, glm

pytestmark = pytest.mark.skipif(not _native.available, reason="the C kernels are not built")
RNG = np.random.default_rng(8)
X = RNG.normal(size=(400, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 0.0]
ETA = X @ [0.3, 0.05, -2.0] - 0.2
OFFSET, WEIGHTS = 0.3 * RNG.normal(size=400), RNG.integers(1, 4, 400).astype(float)
TARGETS = {
    "Poisson": RNG.poisson(np.exp(ETA) * RNG.gamma(2, 0.5, 400)).astype(float),
    "Bernoulli": (RNG.random(400) < 1 / (1 + np.exp(-ETA))).astype(float),
    "Gaussian": ETA + 3 * RNG.normal(size=400),
}


def network(head, dtype=np.float64):
    return ps.Network([ps.Dense(3, 1)], getattr(ps, head)(), rng=0, dtype=dtype)


def peer(head, weights=None, offset=None):
    sm = pytest.importorskip("statsmodels.api")
    family = {"Poisson": sm.families.Poisson, "Bernoulli": sm.families.Binomial, "Gaussian": sm.families.Gaussian}
    A = np.column_stack([X, np.ones(400)])
    return sm.GLM(TARGETS[head], A, family=family[head](), freq_weights=weights, offset=offset)


@pytest.mark.parametrize("given", [{}, {"offset": OFFSET}, {"weights": WEIGHTS}], ids=["plain", "offset", "weights"])
@pytest.mark.parametrize("head", TARGETS)
def test_statsmodels_finds_the_same(head, given):
    net = network(head)
    assert glm.fit(net, X, TARGETS[head], **given) < 20
    found = peer(head, **given).fit(tol=1e-14, maxiter=200)
    coefficients, errors = np.append(net.layers[0].W, net.layers[0].b), found.bse
    assert np.max(np.abs(coefficients - found.params) / errors) < 1e-8
    covariance = glm.covariance(net, X, TARGETS[head], **given)
    np.testing.assert_allclose(covariance, found.cov_params(), rtol=1e-7, atol=1e-9 * errors.max() ** 2)
    observed = glm.covariance(net, X, TARGETS[head], kind="observed", **given)
    np.testing.assert_allclose(observed, covariance, rtol=1e-7, atol=1e-12)  # the link is canonical


@pytest.mark.parametrize("head", TARGETS)
def test_robust_errors(head):
    net = network(head)
    glm.fit(net, X, TARGETS[head])
    found = peer(head).fit(tol=1e-14, maxiter=200, cov_type="HC0")
    robust = net.covariance(X, TARGETS[head], kind="robust")
    np.testing.assert_allclose(np.sqrt(np.diag(robust)), found.bse, rtol=1e-7)


REAL = {  # data sets of statsmodels: head, family, and the head at a scale
    "randhie": ("Poisson", {}, "Poisson", lambda scale: ps.Poisson()),
    "star98": ("Binomial", {}, "Binomial", lambda scale: ps.Binomial()),
    "scotland": ("Gamma", {"shape": 1.0}, "Gamma", lambda scale: ps.Gamma(shape=1 / scale)),
    "longley": ("Gaussian", {}, "Gaussian", lambda scale: ps.Gaussian(scale=np.sqrt(scale))),
}


@pytest.mark.parametrize("given", [(), ("offset",), ("weights",)], ids=["plain", "offset", "weights"])
@pytest.mark.parametrize("name", REAL)
def test_statsmodels_finds_the_same_on_real_data(name, given):
    """Coefficients in parts of their errors, log-likelihood at its scale, three covariances, dispersion."""
    sm = pytest.importorskip("statsmodels.api")
    head, options, family, scaled = REAL[name]
    data = getattr(sm.datasets, name).load_pandas()
    X, y = data.exog.to_numpy(float), data.endog.to_numpy(float)
    more = {"offset": np.linspace(0, 0.1, len(X)), "weights": 1.0 + np.arange(len(X)) % 3}
    more = {key: more[key] for key in given}
    link = {"link": sm.families.links.Log()} if head == "Gamma" else {}
    model = sm.GLM(
        y, np.column_stack([X, np.ones(len(X))]), family=getattr(sm.families, family)(**link),
        offset=more.get("offset"), freq_weights=more.get("weights"),
    )  # fmt: skip
    found = model.fit(tol=1e-14, maxiter=300)
    net = ps.Network([ps.Dense(X.shape[1], 1)], getattr(ps, head)(**options), rng=0)
    glm.fit(net, X, y, **more)
    coefficients = np.append(net.layers[0].W, net.layers[0].b)
    assert np.max(np.abs(coefficients - found.params) / found.bse) < 1e-8
    z = net.forward(X, offset=more.get("offset"))
    nll = scaled(found.scale).nll(z, y, weights=more.get("weights"), reduction="sum")
    if head == "Binomial":  # statsmodels' family wants proportions and trials there
        expected = found.llf
    else:
        expected = model.family.loglike(y, found.mu, freq_weights=model.freq_weights, scale=found.scale)
    assert -nll == pytest.approx(expected, rel=1e-8)
    assert glm.dispersion(net, X, y, **more) == pytest.approx(found.scale, rel=1e-8)
    robust = model.fit(tol=1e-14, maxiter=300, cov_type="HC0").bse
    observed = np.sqrt(np.diag(np.linalg.inv(-model.hessian(found.params, observed=True, scale=found.scale))))
    for kind, errors in (("fisher", found.bse), ("observed", observed), ("robust", robust)):
        ours = np.sqrt(np.diag(net.covariance(X, y, kind=kind, **more)))
        np.testing.assert_allclose(ours, errors, rtol=1e-6)  # of longley the condition number is 1e10


def test_weights_are_frequencies():
    y, count = TARGETS["Poisson"], WEIGHTS.astype(int)
    one, other = network("Poisson"), network("Poisson")
    glm.fit(one, X, y, weights=WEIGHTS)
    again = np.repeat(np.arange(400), count)
    glm.fit(other, X[again], y[again])
    np.testing.assert_allclose(one.values, other.values, rtol=1e-10)
    for kind in ("fisher", "observed", "robust"):
        first = glm.covariance(one, X, y, weights=WEIGHTS, kind=kind)
        np.testing.assert_allclose(first, glm.covariance(other, X[again], y[again], kind=kind), rtol=1e-8, atol=1e-14)


def test_what_has_no_maximum_is_told():
    y = (X[:, 0] > 0).astype(float)
    with pytest.raises(RuntimeError, match="no maximum of the likelihood"):
        glm.fit(network("Bernoulli"), X, y, steps=15)
    twice = np.column_stack([X[:, :2], X[:, 0] + X[:, 1]])
    with pytest.raises(ValueError, match="linear combinations"):
        glm.fit(network("Gaussian"), twice, TARGETS["Gaussian"])
    deep = ps.Network([ps.Dense(3, 2), ps.Dense(2, 1)], ps.Gaussian(), rng=0)
    with pytest.raises(TypeError, match="one Dense layer"):
        glm.fit(deep, X, TARGETS["Gaussian"])
    with pytest.raises(ValueError, match="kind must be"):
        glm.covariance(network("Gaussian"), X, TARGETS["Gaussian"], kind="hc1")


def test_single_precision_is_rounded_once():
    one, other = network("Poisson", np.float32), network("Poisson")
    for net in (one, other):
        net.fit_exact(X.astype(np.float32), TARGETS["Poisson"])
    np.testing.assert_allclose(one.values, other.values, rtol=2e-6)

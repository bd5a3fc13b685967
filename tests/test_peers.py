"""The first five minutes of a sceptic: the same numbers as the libraries that people know."""

import numpy as np
import pytest

from pyscratch import Bernoulli, Categorical, Gaussian, HeteroscedasticGaussian, Poisson

RNG = np.random.default_rng(5)
N, K = 60, 4
Z, Z2, ZK = RNG.normal(0, 1.5, N), RNG.normal(0, 1.5, (N, 2)), RNG.normal(0, 1.5, (N, K))
COUNTS, LABELS, REALS_, YES = RNG.poisson(3, N), RNG.integers(0, K, N), RNG.normal(0, 2, N), RNG.integers(0, 2, N)
WEIGHTS = RNG.exponential(size=N)


def softplus(z):
    return np.log1p(np.exp(z))


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def stats():
    return pytest.importorskip("scipy.stats")


@pytest.fixture(scope="module")
def metrics():
    return pytest.importorskip("sklearn.metrics")


class TestTorch:
    """torch.nn.functional, with its gradients by autograd."""

    def agree(self, torch, loss, z, y, function, **options):
        logits = torch.tensor(z, requires_grad=True)
        value = function(torch.nn.functional, logits, torch.tensor(y))
        value.backward()
        ours, grad = loss.nll_and_grad(z, y, **options)
        assert ours == pytest.approx(value.item(), rel=1e-12)
        assert np.allclose(grad, logits.grad.numpy(), rtol=1e-10, atol=1e-14)

    def test_bernoulli(self, torch):
        soft = RNG.uniform(size=N)
        self.agree(torch, Bernoulli(), Z, YES.astype(float), lambda F, z, y: F.binary_cross_entropy_with_logits(z, y))
        self.agree(torch, Bernoulli(), Z, soft, lambda F, z, y: F.binary_cross_entropy_with_logits(z, y))

    def test_poisson(self, torch):
        base = torch.lgamma(torch.tensor(COUNTS + 1.0, dtype=torch.float64)).mean()
        self.agree(
            torch, Poisson(), Z, COUNTS.astype(float), lambda F, z, y: F.poisson_nll_loss(z, y, full=False) + base
        )

    def test_gaussian(self, torch):
        constant = 0.5 * np.log(2 * np.pi)
        self.agree(torch, Gaussian(), Z, REALS_, lambda F, z, y: F.mse_loss(z, y) / 2 + constant)

    def test_heteroscedastic(self, torch):
        def value(F, z, y):
            return F.gaussian_nll_loss(z[:, 0], y, F.softplus(z[:, 1]) ** 2, full=True)

        self.agree(torch, HeteroscedasticGaussian(), Z2, REALS_, value)

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("weights", [None, (1.0, 0.5, 2.0, 0.25)])
    def test_categorical(self, torch, smoothing, weights):
        w = None if weights is None else torch.tensor(weights, dtype=torch.float64)
        rows = RNG.dirichlet(np.ones(K), N)
        loss = Categorical(class_weights=weights, smoothing=smoothing)
        for y in (LABELS, rows):
            self.agree(torch, loss, ZK, y, lambda F, z, y: F.cross_entropy(z, y, weight=w, label_smoothing=smoothing))


class TestScipy:
    """scipy.stats log-densities."""

    def test_log_densities(self, stats):
        p = 1 / (1 + np.exp(-Z))
        cases = [
            (Gaussian(1.7), Z, REALS_, stats.norm.logpdf(REALS_, Z, 1.7)),
            (HeteroscedasticGaussian(), Z2, REALS_, stats.norm.logpdf(REALS_, Z2[:, 0], softplus(Z2[:, 1]))),
            (Poisson(), Z, COUNTS, stats.poisson.logpmf(COUNTS, np.exp(Z))),
            (Bernoulli(), Z, YES, stats.bernoulli.logpmf(YES, p)),
        ]
        for loss, z, y, want in cases:
            assert np.allclose(loss.nll(z, y, reduction="none"), -want, rtol=1e-11, atol=1e-13), loss


class TestScikitLearn:
    """Weighted metrics of scikit-learn."""

    def test_log_loss(self, metrics):
        ours = Categorical().nll(ZK, LABELS, weights=WEIGHTS)
        theirs = metrics.log_loss(LABELS, Categorical().mean(ZK), sample_weight=WEIGHTS, labels=range(K))
        assert ours == pytest.approx(theirs, rel=1e-12)
        p = Bernoulli().mean(Z)
        assert Bernoulli().nll(Z, YES, weights=WEIGHTS) == pytest.approx(
            metrics.log_loss(YES, np.stack([1 - p, p], 1), sample_weight=WEIGHTS), rel=1e-10
        )

    def test_poisson_deviance(self, metrics):
        y = COUNTS + 1  # the saturated model has a finite logit
        ours = 2 * (Poisson().nll(Z, y, weights=WEIGHTS) - Poisson().nll(np.log(y), y, weights=WEIGHTS))
        assert ours == pytest.approx(metrics.mean_poisson_deviance(y, np.exp(Z), sample_weight=WEIGHTS), rel=1e-10)

    def test_squared_error(self, metrics):
        loss = Gaussian(1.3)
        constant = 0.5 * np.log(2 * np.pi * 1.3**2)
        mse = 2 * 1.3**2 * (loss.nll(Z, REALS_, weights=WEIGHTS) - constant)
        assert mse == pytest.approx(metrics.mean_squared_error(REALS_, Z, sample_weight=WEIGHTS), rel=1e-12)

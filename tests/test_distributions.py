"""The assumed distribution: moments against samples, cdf against quantile, tails, and scipy where it is installed."""

from cases import draw, draw_logits, seeded, widths
import numpy as np
import pytest

from pyscratch import _native, losses, reference

MODULES = pytest.mark.parametrize("module", [losses, reference], ids=["native", "reference"])
DRAWS = 20_000


def test_samples_have_the_moments(pair):
    """Also the test of the targets that other tests draw: within 5 standard errors of mean and variance."""
    loss, _ = pair
    rng = seeded(loss.name, "moments")
    width = loss.width(3) if loss.target == _native.LABELS else widths(loss)[-1]
    z = draw_logits(loss, 6, width, rng, spread=0.7)
    d = loss.distribution(z)
    sample = d.sample(rng, DRAWS)
    if loss.target == _native.LABELS:
        assert sample.shape == (DRAWS, 6) and sample.dtype.kind == "i"
        sample = sample[..., None] == np.arange(width)
    assert sample.shape == (DRAWS, *d.mean.shape)
    mean, variance = sample.mean(0), sample.var(0)
    assert np.all(np.abs(mean - d.mean) <= 5 * np.sqrt(d.variance / DRAWS))
    fourth = ((sample - mean) ** 4).mean(0)
    assert np.all(np.abs(variance - d.variance) <= 5 * np.sqrt((fourth - variance**2).clip(0) / DRAWS) + 1e-12)
    assert np.allclose(d.std**2, d.variance, rtol=1e-6)


def test_drawn_targets_lie_in_the_support(pair, dtype):
    for loss in pair:
        for width in widths(loss):
            z, y = draw(loss, 2000, width, seeded(loss.name), dtype)
            assert np.all(loss._supported(y, width))
            assert z.dtype == dtype and len(y) == 2000 and len(np.unique(y)) > 1 or width == 1


def test_samples_are_reproducible(pair):
    for loss in pair:
        d = loss.distribution(draw_logits(loss, 4, widths(loss)[-1], seeded(loss.name)))
        assert np.array_equal(d.sample(7), d.sample(np.random.default_rng(7)))
        assert d.sample(7, 3).shape == (3, *d.sample(7).shape)
        assert d.sample(7, (2, 3)).shape == (2, 3, *d.sample(7).shape)
        assert d.sample().shape == d.sample().shape


def test_log_prob_is_minus_nll(pair, dtype):
    for loss in pair:
        z, y = draw(loss, 30, widths(loss)[-1], seeded(loss.name), dtype)
        assert np.array_equal(loss.distribution(z).log_prob(y), -loss.plain.nll(z, y, reduction="none"))


def test_cdf_and_quantile_invert_each_other(pair, dtype):
    for loss in pair:
        if loss.target == _native.LABELS:
            continue
        d = loss.distribution(draw_logits(loss, 12, widths(loss)[-1], seeded(loss.name), dtype))
        levels = np.array([1e-9, 0.01, 0.3, 0.5, 0.77, 0.99, 1 - 1e-9])
        quantiles = d.quantile(levels)
        assert quantiles.shape == (7, *d.mean.shape)
        assert np.all(np.diff(quantiles, axis=0) >= 0)
        for q, y in zip(levels, quantiles, strict=True):
            assert np.array_equal(d.quantile(q), y)
            below = d.cdf(np.nextafter(y, -np.inf))
            assert np.all(d.cdf(y) >= q * (1 - 1e-9)) and np.all(below <= q * (1 + 1e-7))
            assert np.allclose(d.cdf(y) + d.sf(y), 1, rtol=4 * np.finfo(dtype).eps)
        low, high = d.interval(0.8)
        assert np.allclose(low, d.quantile(0.1)) and np.allclose(high, d.quantile(0.9))


def test_cdf_is_monotone(pair):
    for loss in pair:
        if loss.target == _native.LABELS:
            continue
        d = loss.distribution(draw_logits(loss, 5, loss.width(), seeded(loss.name)))
        grid = np.linspace(-5, 40, 300)
        cdf = np.array([d.cdf(y) for y in grid])
        assert np.all(np.diff(cdf, axis=0) >= 0) and np.all((cdf >= 0) & (cdf <= 1))


@MODULES
def test_poisson_tails(module):
    """Far tails keep their digits: P(Y > 40) at rate 1 is the sum of a few terms."""
    d = module.Poisson().distribution(np.zeros(1))
    log_factorials = np.cumsum(np.log(np.arange(1, 80)))
    tail = np.exp(-1 - log_factorials[40:]).sum()
    assert d.sf(40.0)[0] == pytest.approx(tail, rel=1e-12)
    assert d.cdf(-1)[0] == 0 and d.sf(-1)[0] == 1 and d.cdf(np.inf)[0] == 1
    assert d.quantile(0)[0] == 0 and d.quantile(1)[0] == np.inf


@MODULES
def test_bernoulli_steps(module):
    d = module.Bernoulli().distribution(np.array([-1.0, 0.0, 40.0]))
    assert np.array_equal(d.quantile(0.5), [0, 0, 1])
    assert d.cdf(0.5)[2] == pytest.approx(np.exp(-40), rel=1e-12)


@MODULES
def test_categorical_mode(module):
    d = module.Categorical().distribution(np.array([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]]))
    assert np.array_equal(d.mode, [1, 0])
    with pytest.raises(NotImplementedError, match="no order"):
        d.quantile(0.5)


@MODULES
def test_bad_arguments(module):
    d = module.Gaussian().distribution(np.zeros(3))
    for call, word in (
        (lambda: d.quantile(1.5), "q must"),
        (lambda: d.quantile([0.5, np.nan]), "q must"),
        (lambda: d.interval(-0.1), "coverage"),
        (lambda: d.cdf(np.zeros(2)), "nothing is broadcast"),
    ):
        with pytest.raises(ValueError, match=word):
            call()


def test_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    z = np.linspace(-2, 6, 9)
    y = np.array([0, 1, 2, 3, 5, 10, 40, 200, 500.0])
    d, theirs = losses.Poisson().distribution(z), stats.poisson(np.exp(z))
    for ours, want in ((d.cdf(y), theirs.cdf(y)), (d.sf(y), theirs.sf(y))):
        assert np.allclose(ours, want, rtol=1e-10, atol=0)
    for q in (1e-6, 0.1, 0.5, 0.9, 0.999):
        assert np.array_equal(d.quantile(q), theirs.ppf(q))
    z = np.stack([z, z[::-1] / 2], axis=1)
    d = losses.HeteroscedasticGaussian().distribution(z)
    theirs = stats.norm(z[:, 0], np.log1p(np.exp(z[:, 1])))
    y = theirs.mean() + np.linspace(-9, 9, 9) * theirs.std()
    for ours, want in ((d.cdf(y), theirs.cdf(y)), (d.sf(y), theirs.sf(y))):
        assert np.allclose(ours, want, rtol=1e-12, atol=0)
    for q in (1e-12, 0.1, 0.5, 0.9, 0.999):
        assert np.allclose(d.quantile(q), theirs.ppf(q), rtol=1e-12)

"""What a head promises: every family's distribution against its own likelihood, against samples, against scipy."""

import importlib

from cases import EXAMPLES, draw, draw_logits, name_of, seeded, twins, widths
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _native, distributions, losses, reference
from pyscratch.distributions import Distribution

scipy_stats = pytest.importorskip("scipy.stats")
ROWS = 40
LEVELS = np.array([1e-9, 0.01, 0.3, 0.5, 0.77, 0.99, 1 - 1e-9])


def ordered(example):
    """Whether the family has a cdf."""
    return twins(example)[0].distribution_class.ordered


ORDERED = [example for example in EXAMPLES if ordered(example)]
ordered_families = pytest.mark.parametrize("example", ORDERED, ids=name_of)


def described(loss, word, rows=ROWS, width=None, spread=0.8):
    """Distributions at random logits."""
    z = draw_logits(loss, rows, width or widths(loss)[0], seeded(word, repr(loss)), spread=spread)
    return loss.distribution(z)


def test_everything_is_served_in_the_shape_of_the_mean(pair):
    for loss, rows in zip(pair, (7, 3), strict=True):
        for width in widths(loss)[:: 2 if loss is pair[0] else 3]:
            d = described(loss, "shapes", rows, width)
            mean = d.mean
            assert len(d) == rows and repr(loss.plain) in repr(d)
            for name in ("variance", "std"):
                assert getattr(d, name).shape == mean.shape, name
            assert d.log_prob(d.sample(0)).shape == (rows,)
            assert d.sample(0, 5).shape == (5, *d.sample(0).shape) and d.sample(0, (2, 3)).shape[:2] == (2, 3)
            assert np.array_equal(d.sample(1), d.sample(np.random.default_rng(1)))
            if not d.ordered:
                assert d.mode.shape == d.entropy.shape == (rows,)
                continue
            assert d.mode.shape == d.entropy.shape == mean.shape
            assert d.cdf(0.5).shape == d.sf(np.full(mean.shape, 0.5)).shape == mean.shape
            assert d.quantile(0.5).shape == mean.shape and d.quantile([0.1, 0.5]).shape == (2, *mean.shape)
            assert d.quantile(np.full((2, 3), 0.5)).shape == (2, 3, *mean.shape)
            low, high = d.interval(0.8)
            assert np.array_equal(low, d.quantile((1 - 0.8) / 2)) and np.all(low <= high)


def test_both_sides_promise_the_same(pair):
    for width in widths(pair[0])[::2]:
        mine, its = (described(loss, "twins", 9, width) for loss in (pair[0], pair[1]))
        its.z = mine.z
        names = ("mean", "variance", "mode", "entropy")
        for name in names:
            np.testing.assert_allclose(getattr(mine, name), getattr(its, name), rtol=1e-9, atol=1e-12, err_msg=name)
        assert np.allclose(mine.sample(3), its.sample(3), rtol=1e-9)
        if mine.ordered:
            np.testing.assert_allclose(mine.quantile(LEVELS), its.quantile(LEVELS), rtol=1e-8, atol=1e-10)


def test_moments_are_those_of_samples(pair):
    """Also the test of the targets that other tests draw: within 5 standard errors of mean and variance."""
    loss, draws = pair[0], 20_000
    d = described(loss, "moments", 6, loss.width(3) if loss.target == _native.LABELS else widths(loss)[-1])
    y = d.sample(seeded("samples"), draws)
    if loss.target == _native.LABELS:
        assert y.shape == (draws, 6) and y.dtype.kind == "i"
        y = y[..., None] == np.arange(d.mean.shape[1])
    elif loss.target == _native.PAIRS:  # successes of one trial
        y = y[..., : d.mean.shape[1]] if d.mean.ndim == 2 else y[..., 0]
    assert y.shape == (draws, *d.mean.shape)
    mean, variance = y.mean(0), y.var(0)
    exists = np.isfinite(d.variance)
    assert np.all((np.abs(mean - d.mean) <= 5 * np.sqrt(d.variance / draws)) | ~exists)
    fourth = ((y - mean) ** 4).mean(0)
    settled = exists & (fourth < 100 * variance**2)  # the variance of a heavier tail hides from samples
    error = np.sqrt((fourth - variance**2).clip(0) / draws)
    error = 5 * error + 10 * d.variance / draws  # and the square of the error of the mean
    assert np.all((np.abs(variance - d.variance) <= error) | ~settled)
    np.testing.assert_allclose(d.std**2, d.variance, rtol=1e-6)


def test_drawn_targets_lie_in_the_support(pair, dtype):
    for loss in pair:
        for width in widths(loss):
            z, y = draw(loss, 2000, width, seeded(loss.name), dtype)
            assert np.all(loss._supported(y, width))
            assert z.dtype == dtype and len(y) == 2000 and len(np.unique(y)) > 1 or width == 1


@ordered_families
def test_cdf_sf_and_quantile_agree(example, dtype):
    for loss, rows in zip(twins(example), (12, 3), strict=True):
        z = draw_logits(loss, rows, widths(loss)[-1 if rows == 12 else 0], seeded("inverse", repr(loss)), dtype, 0.8)
        d = loss.distribution(z)
        for level, q in zip(LEVELS, d.quantile(LEVELS), strict=True):
            assert np.array_equal(d.quantile(level), q)
            assert np.all(d.cdf(q) >= level * (1 - 1e-9))
            assert np.all(d.cdf(np.nextafter(q, -np.inf)) <= level * (1 + 1e-7))
            np.testing.assert_allclose(d.cdf(q) + d.sf(q), 1, rtol=1e-13)
        assert np.all(np.diff(d.quantile(LEVELS), axis=0) >= 0)
        assert np.all(d.cdf(-np.inf) == 0) and np.all(d.cdf(np.inf) == 1)
        assert np.all(d.sf(-np.inf) == 1) and np.all(d.sf(np.inf) == 0)
        assert np.all(np.isnan(d.cdf(np.nan))) and np.all(np.isnan(d.sf(np.nan)))


@ordered_families
def test_the_cdf_is_monotone(example):
    d = described(twins(example)[0], "monotone", 5)
    cdf = np.array([d.cdf(y) for y in np.linspace(-5, 40, 200)])
    assert np.all(np.diff(cdf, axis=0) >= 0) and np.all((cdf >= 0) & (cdf <= 1))


@ordered_families
def test_the_cdf_is_the_integral_of_the_likelihood(example):
    """What the C kernels call the density is the slope of the cdf, or its step at a count."""
    loss = twins(example)[0]
    d = described(loss, "slope")
    y = d.quantile(0.7)
    step = d.cdf(y) - d._below(y)
    if np.all(step > 0):
        np.testing.assert_allclose(np.exp(log_prob(d, y)), step, rtol=1e-8)
        return
    kept = step == 0
    h = 1e-5 * np.maximum(d.quantile(0.75) - d.quantile(0.65), 1e-12)
    slope = (d.cdf(y + h) - d.cdf(y - h)) / (2 * h)
    np.testing.assert_allclose(np.exp(log_prob(d, y))[kept], slope[kept], rtol=1e-6)


def log_prob(d, y):
    """Log density of y, as targets of the family."""
    return d.log_prob(np.stack([y, 1 - y], 1) if d.loss.target == 3 else y)


def test_entropy_is_the_nll_to_be_expected(pair):
    d = described(pair[0], "entropy", 6)
    entropy = d.entropy if d.entropy.ndim == 1 else d.entropy.sum(1)
    y = d.sample(seeded("entropy samples"), 4000)
    nll = -np.array([d.log_prob(part) for part in y])
    far = np.abs(nll.mean(0) - entropy) / np.maximum(nll.std(0) / np.sqrt(len(nll)), 1e-9)
    assert np.all((far < 5) | np.isnan(entropy)), far


def test_no_y_is_more_likely_than_the_mode(pair):
    d = described(pair[0], "mode")
    mode = d.mode
    known = np.isfinite(mode)
    if d.loss.target == 3:
        return
    y = mode if d.ordered else mode.astype(int)
    inside = known & d.loss._supported(np.where(known, y, d.mean if d.ordered else 0), d.z.shape[-1])
    best = d[inside].log_prob(y[inside])
    others = d[inside].sample(seeded("others"), 200)
    assert np.all(best >= np.max([d[inside].log_prob(other) for other in others], axis=0) - 1e-9)


@pytest.mark.parametrize("example", [e for e in ORDERED if twins(e)[0].scipy], ids=name_of)
def test_scipy_says_the_same(example):
    """The density by our kernels is that of the scipy distribution which the class names, and so is the rest."""
    loss = twins(example)[0]
    d = described(loss, "scipy")
    try:
        arguments = loss._scipy(*d._arguments)
    except NotImplementedError:
        pytest.skip("scipy has no such distribution")
    theirs = getattr(scipy_stats, loss.scipy)(**arguments)
    y = d.quantile(0.4)
    inside = np.asarray(loss._supported(y, d.z.shape[-1])) if loss.target == 0 else np.full(y.shape, True)
    rtol = max(1e-9, 1e-14 * (loss.options.get("concentration") or 0))  # nbinom sees r / (r + mean), not the mean
    log = theirs.logpmf if hasattr(theirs.dist, "pmf") else theirs.logpdf
    np.testing.assert_allclose(log_prob(d[inside], y[inside]), log(y)[inside], rtol=1e-9, atol=1e-9)
    for level in LEVELS:
        q = theirs.ppf(level)
        # a quantile may be off by one count where a cdf hits the level exactly
        np.testing.assert_allclose(d.quantile(level), q, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(d.cdf(q), theirs.cdf(q), rtol=rtol)
        np.testing.assert_allclose(d.sf(q), theirs.sf(q), rtol=rtol)
    np.testing.assert_allclose(d.mean, theirs.mean(), rtol=rtol)
    variance = theirs.var()
    same = np.isfinite(variance)
    np.testing.assert_allclose(d.variance[same], variance[same], rtol=1e-8)


def test_rows_can_be_taken(pair):
    for width in widths(pair[0]):
        d = described(pair[0], "rows", 6, width)
        y = d.sample(0)
        for rows in (slice(1, 4), [4, 0], np.arange(6) % 2 == 0):
            part = d[rows]
            assert type(part) is type(d) and np.array_equal(part.mean, d.mean[rows])
            np.testing.assert_allclose(part.log_prob(y[rows]), d.log_prob(y)[rows], rtol=1e-14)
            if d.ordered:
                np.testing.assert_allclose(part.quantile(0.3), d.quantile(0.3)[rows], rtol=1e-12)
        assert len(d[3]) == 1


def test_an_offset_moves_and_is_remembered():
    z, offset = np.array([0.2, -0.5]), np.array([1.0, 2.0])
    d = ps.Poisson().distribution(z, offset=offset)
    assert np.array_equal(d.mean, np.exp(z + offset)) and np.array_equal(d.offset, offset)
    assert np.array_equal(d[[1]].offset, offset[[1]]) and ps.Poisson().distribution(z).offset is None
    net = ps.Network([ps.Dense(1, 1)], ps.Poisson(), rng=0)
    assert np.array_equal(np.ravel(net.distribution([[1.0], [2.0]], offset=offset).offset), offset)


@ordered_families
def test_errors_name_the_argument(example):
    d = described(twins(example)[0], "errors")
    with pytest.raises(ValueError, match=r"q must lie in \[0, 1\], not 1.5"):
        d.quantile(1.5)
    with pytest.raises(ValueError, match="q must lie"):
        d.quantile([0.5, np.nan])
    with pytest.raises(ValueError, match="coverage must lie"):
        d.interval(-0.1)
    with pytest.raises(ValueError, match="nothing is broadcast"):
        d.cdf(np.zeros(3))


def test_the_mode_of_classes_is_the_first_of_equals():
    for module in (losses, reference):
        d = module.Categorical().distribution(np.array([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]]))
        assert np.array_equal(d.mode, [1, 0])


def test_log_prob_is_minus_the_plain_nll(pair, dtype):
    for loss in pair:
        z, y = draw(loss, 30, widths(loss)[-1], seeded(loss.name), dtype)
        np.testing.assert_array_equal(loss.distribution(z).log_prob(y), -loss.plain.nll(z, y, reduction="none"))


def test_classes_have_no_order():
    d = ps.Categorical().distribution(np.zeros((2, 3)))
    for ask in (lambda: d.cdf(0), lambda: d.sf(0), lambda: d.quantile(0.5), lambda: d.interval()):
        with pytest.raises(NotImplementedError, match="Categorical has no order"):
            ask()


# ---- without scipy ----


@pytest.fixture
def without_scipy(monkeypatch):
    """As if scipy were not installed."""
    real = importlib.import_module

    def refuse(name, *rest):
        if name.startswith("scipy") or name == "pyscratch._forms":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(distributions.importlib, "import_module", refuse)


NEED_NOTHING = ("Gaussian", "HeteroscedasticGaussian", "Bernoulli", "Poisson")


@ordered_families
def test_scipy_is_asked_for_in_one_line_or_not_at_all(example, without_scipy):
    d = described(twins(example)[0], "without", 5)
    assert d.sample(0).shape and d.mean.shape and np.all(np.isfinite(d.log_prob(d.sample(0))))
    if example[0] in NEED_NOTHING:
        assert np.all(np.isfinite(d.quantile(0.5))) and np.all(np.isfinite(d.entropy)) and np.all(d.cdf(1) <= 1)
        return
    try:
        d.quantile(0.5)
    except ImportError as error:
        assert str(error).endswith("needs scipy: pip install 'pyscratch[distributions]'") and example[0] in str(error)


def test_poisson_is_the_same_without_scipy(without_scipy, monkeypatch):
    rate = np.array([0.0, 1e-5, 0.3, 7.5, 200.0])
    d = ps.Poisson().distribution(np.log(np.maximum(rate, 1e-300)))
    y = np.floor(rate * 1.3) + 1
    cdf, sf, quantile = d.cdf(y), d.sf(y), d.quantile(LEVELS)
    monkeypatch.undo()
    np.testing.assert_allclose(cdf, d.cdf(y), rtol=1e-12)
    np.testing.assert_allclose(sf, d.sf(y), rtol=1e-12)
    assert np.array_equal(quantile, d.quantile(LEVELS))
    np.testing.assert_allclose(sf, scipy_stats.poisson(rate).sf(y), rtol=1e-12)


# ---- edges ----


def test_tails_keep_their_digits():
    d = ps.Gaussian(scale=2.0).distribution(np.array([1.0]))
    np.testing.assert_allclose(d.sf(61.0), scipy_stats.norm.sf(30), rtol=1e-13)
    np.testing.assert_allclose(d.cdf(-59.0), scipy_stats.norm.sf(30), rtol=1e-13)
    d = ps.Poisson().distribution(np.log([3.0]))
    np.testing.assert_allclose(d.sf(60), scipy_stats.poisson(3).sf(60), rtol=1e-12)
    d = ps.Bernoulli().distribution(np.array([-1.0, 0.0, 40.0]))
    np.testing.assert_allclose(d.cdf(0)[2], np.exp(-40), rtol=1e-14)
    assert np.array_equal(d.quantile(0.5), [0, 0, 1])


def test_poisson_agrees_with_scipy_everywhere():
    rate = np.exp(np.linspace(-2, 6, 9))
    y = np.array([0, 1, 2, 3, 5, 10, 40, 200, 500.0])
    d, theirs = ps.Poisson().distribution(np.log(rate)), scipy_stats.poisson(rate)
    np.testing.assert_allclose(d.cdf(y), theirs.cdf(y), rtol=1e-10)
    np.testing.assert_allclose(d.sf(y), theirs.sf(y), rtol=1e-10)
    for q in (1e-12, 1e-6, 0.1, 0.5, 0.9, 0.999):
        assert np.array_equal(d.quantile(q), theirs.ppf(q))
    assert d.cdf(-1)[0] == 0 and d.sf(-1)[0] == 1


def test_poisson_at_the_edges_of_its_rates():
    d = ps.Poisson().distribution(np.array([-np.inf, 0.0, 800.0, np.nan]))
    median = d.quantile(0.5)
    assert median[0] == 0 and median[1] == 1 and median[2] == np.inf and np.isnan(median[3])
    assert np.array_equal(d.quantile(1.0)[:3], [0, np.inf, np.inf])
    assert d.entropy[0] == 0 and np.isnan(d.entropy[2:]).all()
    large = ps.Poisson().distribution(np.log([1e6]))
    np.testing.assert_allclose(large.entropy, 0.5 * np.log(2 * np.pi * np.e * 1e6), rtol=1e-7)


def test_what_a_family_must_say_is_missed_by_name():
    class Bare(losses.Gaussian):
        """A family that names no distribution."""

        distribution_class = Distribution
        _scipy = losses.Loss._scipy

    with pytest.raises(NotImplementedError, match="Bare does not say which distribution of scipy it is"):
        Bare().distribution(np.zeros(2)).cdf(0.0)

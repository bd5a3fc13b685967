"""The scores of the demonstration, against mpmath and scipy; its protocol, on data with a known answer."""

from pathlib import Path
import sys

import numpy as np
import pytest

mpmath = pytest.importorskip("mpmath")
stats = pytest.importorskip("scipy.stats")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import protocol, scoring  # noqa: E402

CASES = [(0, 0.3, 0.7), (3, -2.0, 0.5), (1, 1.0, 1e-2), (40, 2.5, 1.5), (0, 30.0, 0.9), (7, 7.2, 400.0), (2, 2.5, 1e-3)]


def exact_mass(y, mean, scale):
    with mpmath.workdps(400):
        low, high = [(mpmath.mpf(y) + half - mpmath.mpf(mean)) / mpmath.mpf(scale) for half in (-0.5, 0.5)]
        if low + high > 0:
            low, high = -high, -low
        return float(-mpmath.log(mpmath.ncdf(high) - mpmath.ncdf(low)))


@pytest.mark.parametrize("y, mean, scale", CASES)
def test_gaussian_mass_in_both_tails(y, mean, scale):
    assert scoring.gaussian_mass_nll(y, mean, scale) == pytest.approx(exact_mass(y, mean, scale), rel=1e-11, abs=1e-300)


def test_gaussian_masses_of_all_counts_add_to_one():
    everything = np.arange(-60, 61)
    assert np.exp(-scoring.gaussian_mass_nll(everything, 1.3, 4.0)).sum() == pytest.approx(1, rel=1e-13)


def test_density_is_per_unit_of_y():
    rng = np.random.default_rng(0)
    y, z, m, s, scale = rng.normal(50, 9, 30), rng.normal(size=30), 50.0, 9.0, 0.6
    own_units = scoring.gaussian_density_nll(y, m + s * z, s * scale)
    np.testing.assert_allclose(own_units, -stats.norm.logpdf(y, m + s * z, s * scale), rtol=1e-13)
    standardised = scoring.gaussian_density_nll((y - m) / s, z, scale)
    np.testing.assert_allclose(own_units, standardised + np.log(s), rtol=1e-13)  # log s is added, never left out


def test_gaussian_on_classes_is_normalised_over_the_admissible_values():
    rng = np.random.default_rng(1)
    mean, scale = rng.normal(0.5, 1, 20), 0.35
    at = stats.norm.pdf(np.array([[0.0], [1.0]]), mean, scale)
    np.testing.assert_allclose(scoring.gaussian_as_bernoulli(mean, scale), at[1] / at.sum(0), rtol=1e-12)
    means = rng.normal(0.2, 0.4, (20, 4))
    density = np.exp(stats.norm.logpdf(np.eye(4)[None], means[:, None], scale).sum(2))
    expected = density / density.sum(1, keepdims=True)
    np.testing.assert_allclose(scoring.gaussian_as_categorical(means, scale), expected, rtol=1e-12)


def test_probability_scores():
    p, labels = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([1, 0])
    np.testing.assert_allclose(scoring.probability_nll(p, labels), -np.log([0.8, 0.5]))
    assert scoring.brier(p, labels) == pytest.approx((0.04 + 0.04 + 0.25 + 0.25) / 2)
    assert scoring.outside(np.array([-0.1, 0.0, 0.5, 1.0, 1.1]), 0, 1) == pytest.approx(0.4)
    assert scoring.outside(np.array([[0.5, 0.5], [1.2, -0.2]]), 0, 1) == 0.5


def test_errors_of_a_difference():
    difference = np.random.default_rng(2).normal(0.1, 1, 400)
    mean, error = scoring.paired_rows(difference)
    assert (mean, error) == pytest.approx((difference.mean(), stats.sem(difference)))
    assert scoring.paired_rows(difference, np.arange(400)) == pytest.approx((mean, error))
    repeated = np.repeat(difference, 5)  # five copies of each person: no new information
    groups = np.repeat(np.arange(400), 5)
    assert scoring.paired_rows(repeated, groups) == pytest.approx((mean, error))
    splits = np.array([0.1, 0.3, 0.2, 0.4])
    assert scoring.paired_splits(splits, 0.25)[1] == pytest.approx(splits.std(ddof=1) * np.sqrt(0.25 + 0.25))


@pytest.mark.parametrize("difference, word", [(-0.3, "win"), (0.3, "loss"), (-0.2, "even"), (0.1, "even")])
def test_verdict_needs_two_standard_errors(difference, word):
    assert scoring.verdict(difference, 0.1) == word


def test_verdict_of_a_broken_run_is_no_win():
    assert scoring.verdict(float("nan"), 0.1) == "even"


def test_splits_are_disjoint_complete_and_seeded():
    rows = 1003
    first, again, other = (protocol.split(rows, seed) for seed in (0, 0, 1))
    together = np.concatenate(first)
    assert sorted(together) == list(range(rows))
    assert [len(part) for part in first] == pytest.approx([0.6 * rows, 0.2 * rows, 0.2 * rows], abs=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[2], other[2])


def test_a_group_stays_on_one_side():
    groups = np.random.default_rng(3).integers(0, 200, 1000)
    parts = [set(groups[part]) for part in protocol.split(1000, 0, groups)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert set.union(*parts) == set(groups)


def test_standardisation_comes_from_training_rows_only():
    rng = np.random.default_rng(4)
    X = rng.normal(3, 2, (500, 3))
    X[:, 2] = 7.0  # a constant column
    train = np.arange(300)
    scaled = protocol.standardised(X, train)
    np.testing.assert_allclose(scaled[train][:, :2].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled[train][:, :2].std(0), 1, rtol=1e-12)
    assert np.all(scaled[:, 2] == 0)
    changed = X.copy()
    changed[300:] = 1e6
    np.testing.assert_array_equal(protocol.standardised(changed, train)[train], scaled[train])

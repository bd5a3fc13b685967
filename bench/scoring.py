"""Scores in comparable units: what a wrong head says about the data, in the units of the right one.

A density (per dollar) and a mass (per count) are different things, and their negative logarithms must never stand side
by side. So where y is a count, the Gaussian is asked for its mass on [y - 1/2, y + 1/2]; where y is a class, for its
densities at the admissible values, normalised to one; where y is a measurement, both heads are densities of y in its
own units. Everything here is a pure function of arrays.
"""

import numpy as np
from scipy import special

HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


# ---- nll per row ----


def gaussian_density_nll(y, mean, scale):
    """-log N(y; mean, scale²), per row, in the units of y.

    A head that was trained on (y - m) / s has here the mean m + s z and the scale s σ: the log s that the change of
    units costs is in the scale.
    """
    return 0.5 * ((y - mean) / scale) ** 2 + np.log(scale) + HALF_LOG_2PI


def gaussian_mass_nll(y, mean, scale):
    """-log[Φ((y + 1/2 - mean) / scale) - Φ((y - 1/2 - mean) / scale)], per row: a Gaussian's mass on the count y.

    Both limits are reflected into the lower tail, where the difference of two small numbers is taken in logarithms.
    """
    y, mean, scale = np.broadcast_arrays(y, mean, scale)
    low, high = (y - 0.5 - mean) / scale, (y + 0.5 - mean) / scale
    mirrored = low + high > 0
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    log_low, log_high = special.log_ndtr(low), special.log_ndtr(high)
    return -(log_high + np.log(-np.expm1(log_low - log_high)))


def probability_nll(probabilities, labels):
    """-log of the probability of each row's label; probabilities (n, K)."""
    return -np.log(probabilities[np.arange(len(labels)), labels])


# ---- what a Gaussian on classes says about the classes ----


def gaussian_as_bernoulli(mean, scale):
    """P(y = 1) from the densities of N(mean, scale²) at 0 and 1, normalised to one: sigmoid((mean - 1/2) / scale²)."""
    return special.expit((mean - 0.5) / scale**2)


def gaussian_as_categorical(means, scale):
    """P(class k) from the densities of N(means, scale² I) at the one-hot rows, normalised: softmax(means / scale²)."""
    return special.softmax(means / scale**2, axis=1)


# ---- beside the likelihood ----


def brier(probabilities, labels):
    """Mean squared distance between the probabilities (n, K) and the one-hot rows of the labels: lower is better."""
    return np.mean(np.sum((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2, axis=1))


def outside(predictions, low=-np.inf, high=np.inf):
    """Share of rows with a prediction outside [low, high]."""
    wrong = (predictions < low) | (predictions > high)
    return np.mean(wrong if wrong.ndim == 1 else wrong.any(axis=1))


# ---- is the difference real? ----


def paired_rows(difference, groups=None):
    """Mean over the test rows of a difference in nll per row, and its standard error.

    With ``groups`` (a person observed several times) the error is that of whole groups, which are independent where
    their rows are not.
    """
    n, mean = len(difference), np.mean(difference)
    if groups is None:
        return mean, np.std(difference, ddof=1) / np.sqrt(n)
    _, member = np.unique(groups, return_inverse=True)
    sums = np.bincount(member, difference - mean)
    count = len(sums)
    return mean, np.sqrt(np.sum(sums**2) * count / (count - 1)) / n


def paired_splits(differences, test_share):
    """Mean over random splits of a difference in nll per row, and its standard error.

    The splits share rows, so their plain standard error is too small. ``test_share`` is test rows / training rows; the
    variance is s² (1 / splits + test_share), the correction of Nadeau & Bengio (2003), Inference for the Generalization
    Error, Machine Learning 52.
    """
    return np.mean(differences), np.std(differences, ddof=1) * np.sqrt(1 / len(differences) + test_share)


def verdict(difference, error):
    """"win", "loss" or "even" of the first head, given nll(first) - nll(second) and its error: beyond two errors."""
    if not abs(difference) > 2 * error:
        return "even"
    return "win" if difference < 0 else "loss"

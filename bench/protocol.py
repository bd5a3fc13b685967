"""How heads are compared, fixed before any run.

Rows are drawn into training (60 %), validation (20 %: early stopping, nothing else is chosen) and test (20 %, read
once). Features are standardised with the mean and deviation of the training rows; a Gaussian's fixed scale is its best
one on the training rows. A set of fewer than 2 000 rows is split 20 times.
"""

from dataclasses import dataclass, field
from statistics import NormalDist
import time

import numpy as np

from bench import scoring
from pyscratch.compare import gap

SMALL, SPLITS = 2000, 20
SHARES = (0.6, 0.2, 0.2)


def split(rows, seed, groups=None):
    """Return the row numbers of training, validation and test; all rows of a group go to the same part."""
    rng = np.random.default_rng(seed)
    members = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    place = rng.permutation(members.max() + 1)[members]
    cuts = np.round(np.cumsum(SHARES) * (members.max() + 1))
    return tuple(np.flatnonzero((place >= low) & (place < high)) for low, high in zip((0, *cuts), cuts, strict=False))


def standardised(X, train):
    """Return X with the training rows' mean 0 and deviation 1; a column that is constant there becomes 0."""
    center, spread = X[train].mean(0), X[train].std(0)
    return np.where(spread > 0, (X - center) / np.where(spread > 0, spread, 1), 0.0)


@dataclass(frozen=True)
class Task:
    """One row of the table: data, the two heads, and the network that both get."""

    name: str
    load: object
    kind: str  # of target: "count", "binary", "class" or "real"
    head: str
    other: str
    hidden: tuple
    activation: str = "Tanh"
    batch_size: int = 64
    rate: float = 1e-3
    epochs: int = 200
    patience: int = 10
    race: int = 20  # epochs of the timed comparison between C and NumPy
    note: str = ""
    options: dict = field(default_factory=dict)  # of the head

    def loss(self, ps, head):
        """Return a loss by its name, with the options if it is the task's head."""
        return getattr(ps, head)(**(self.options if head == self.head else {}))


def as_targets(kind, head, y, train):
    """Return what a head is trained on, and the units (m, s) it is in: y is m + s times the target.

    A Gaussian gets measurements and counts standardised and classes as one-hot rows; every other head gets y as it is.
    """
    if "Gaussian" not in head or kind == "binary":
        return y, (0.0, 1.0)
    if kind == "class":
        return np.eye(y.max() + 1)[y], (0.0, 1.0)
    m, s = y[train].mean(), y[train].std()
    return (y - m) / s, (m, s)


def build(ps, task, head, n_in, y, seed):
    """Return the task's network with this head at its end; ``ps`` is pyscratch or its reference."""
    loss = task.loss(ps, head)
    widths = (n_in, *task.hidden)
    layers = []
    for a, b in zip(widths, widths[1:], strict=False):
        layers += [ps.Dense(a, b), getattr(ps, task.activation)()]
    outputs = int(y.max()) + 1 if task.kind == "class" else 1
    return ps.Network([*layers, ps.Dense(widths[-1], loss.width(outputs))], loss=loss, rng=seed)


class Trained:
    """A head trained on one split: predictions and surprise in the units of y."""

    def __init__(self, ps, task, head, X, y, parts, seed):
        train, validation, _ = parts
        target, (self.m, self.s) = as_targets(task.kind, head, y, train)
        self.kind, self.head = task.kind, head
        self.net = build(ps, task, head, X.shape[1], y, seed)
        self.history = self.net.fit(
            X[train], target[train], epochs=task.epochs, batch_size=task.batch_size, optimizer=ps.Adam(task.rate),
            validation=(X[validation], target[validation]), patience=task.patience, progress=False,
        )  # fmt: skip
        self.scale = None  # a fixed one is profiled
        if head == "Gaussian":
            self.scale = self.s * self.net.loss.with_scale(self.net.forward(X[train]), target[train]).scale

    def mean(self, X):
        """Return the predicted mean of y, (n,) or (n, K)."""
        return self.m + self.s * self.net.predict(X)

    def probabilities(self, X):
        """Return the probability of each class, (n, K), of a head on classes or 0/1."""
        mean = self.mean(X)
        if self.head == "Gaussian":
            as_classes = scoring.gaussian_as_categorical if self.kind == "class" else scoring.gaussian_as_bernoulli
            mean = as_classes(mean, self.scale)
        return mean if self.kind == "class" else np.stack([1 - mean, mean], axis=1)

    def nll(self, X, y):
        """Return the nll per row, in units that the two heads of a task share."""
        if "Gaussian" not in self.head or self.head == "GaussianMixture":  # a density in units of s
            target = y if self.s == 1 else (y - self.m) / self.s
            return self.net.loss.nll(self.net.forward(X), target, reduction="none") + np.log(self.s)
        if self.kind in ("binary", "class"):
            return scoring.probability_nll(self.probabilities(X), y)
        score = scoring.gaussian_mass_nll if self.kind == "count" else scoring.gaussian_density_nll
        return score(y, self.mean(X), self.deviation(X))

    def deviation(self, X):
        """Return the standard deviation that the head states for each row of y."""
        return self.scale if self.scale is not None else self.s * self.net.distribution(X).std

    def band(self, X, coverage=0.9):
        """Return the limits between which the head expects this share of y: (low, high), each (n,)."""
        if self.scale is None:
            low, high = self.net.distribution(X).interval(coverage)
            return self.m + self.s * low, self.m + self.s * high
        half = NormalDist().inv_cdf((1 + coverage) / 2) * self.scale
        return self.mean(X) - half, self.mean(X) + half

    def band_scores(self, X, y):
        """Return the share of rows in the 90 % band, and the share where it reaches below 0."""
        low, high = self.band(X)
        return np.mean((low <= y) & (y <= high)), np.mean(low < 0)

    def impossible(self, X):
        """Return the share of rows for which the predicted mean is no possible mean of y."""
        high = {"binary": 1.0, "class": 1.0}.get(self.kind, np.inf)
        return scoring.outside(self.mean(X), 0.0, high)


@dataclass
class Result:
    """What one row of the table holds."""

    task: Task
    rows: int
    splits: int
    nll: float
    other_nll: float
    difference: float
    error: float
    impossible: float
    brier: tuple | None
    bands: tuple | None
    seconds: tuple = ()
    gap: float = float("nan")

    @property
    def verdict(self):
        """Return win, loss or even of the task's head against the other one."""
        return scoring.verdict(self.difference, self.error)


def compare_heads(ps, task, data, splits):
    """Train both heads on each split, score the test rows once, and return the Result without the race."""
    nlls, impossible, briers, bands = [], [], [], []
    for seed in range(splits):
        parts = split(len(data.y), seed, data.groups)
        X, test = standardised(data.X, parts[0]), parts[2]
        pair = [Trained(ps, task, head, X, data.y, parts, seed) for head in (task.head, task.other)]
        nlls.append([trained.nll(X[test], data.y[test]) for trained in pair])
        impossible.append(pair[1].impossible(X[test]))
        if task.kind in ("binary", "class"):
            briers.append([scoring.brier(trained.probabilities(X[test]), data.y[test]) for trained in pair])
        if task.kind == "real":
            bands.append(np.ravel([trained.band_scores(X[test], data.y[test]) for trained in pair]))
    if splits == 1:
        groups = None if data.groups is None else data.groups[test]
        difference, error = scoring.paired_rows(nlls[0][0] - nlls[0][1], groups)
    else:
        each = [np.mean(right - wrong) for right, wrong in nlls]
        difference, error = scoring.paired_splits(each, SHARES[2] / SHARES[0])
    means = np.mean([[np.mean(nll) for nll in pair] for pair in nlls], axis=0)
    beside = [tuple(np.mean(scores, axis=0).tolist()) if scores else None for scores in (briers, bands)]
    return Result(task, len(data.y), splits, *means, difference, error, float(np.mean(impossible)), *beside)


def race(contenders, task, data, repeats=3):
    """Train the task's head for the same fixed epochs on each side: (seconds of each, largest relative gap).

    Sides take turns and the medians are returned, so that a busy moment of the machine strikes neither alone. Data are
    prepared before the clock starts. The gap is |a - b| / max(1, |b|) over all predictions.
    """
    parts = split(len(data.y), 0, data.groups)
    X = standardised(data.X, parts[0])
    target, _ = as_targets(task.kind, task.head, data.y, parts[0])
    inputs, goals = np.ascontiguousarray(X[parts[0]]), np.ascontiguousarray(target[parts[0]])
    seconds, predictions = {ps: [] for ps in contenders}, {}
    for _ in range(repeats):
        for ps in contenders:
            net = build(ps, task, task.head, X.shape[1], data.y, seed=0)
            start = time.perf_counter()
            settings = {"epochs": task.race, "batch_size": task.batch_size, "optimizer": ps.Adam(task.rate)}
            net.fit(inputs, goals, progress=False, **settings)
            seconds[ps].append(time.perf_counter() - start)
            predictions[ps] = net.predict(X)
    first, second = (predictions[ps] for ps in contenders)
    return tuple(float(np.median(seconds[ps])) for ps in contenders), gap(first, second)

"""Deep ensembles: networks that differ in first weights and order of rows, and the mixture of what they say.

Lakshminarayanan, Pritzel and Blundell, Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles,
NeurIPS 2017.
"""

from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

from pyscratch import _native
from pyscratch._checks import whole
from pyscratch.network import Network, classes

__all__ = ["Ensemble", "Mixture"]


class Ensemble:
    """Members of one description, each with its own generator; they are trained in parallel threads.

    Every member takes the same steps, bit for bit, as it would take alone: member k is
    ``Network(layers, loss, rng=child, dtype=dtype)`` with the k-th ``child`` that ``rng.spawn(members)`` gives.

    Parameters
    ----------
    layers, loss, dtype
        As for `Network`.
    members : int
        At least 1; five are usual.
    rng : numpy.random.Generator, int or None
        Spawns the members' generators.

    Attributes
    ----------
    networks : tuple of Network
    """

    _network = Network

    def __init__(self, layers, loss, members=5, *, rng=None, dtype=np.float64):
        children = np.random.default_rng(rng).spawn(whole("members", members, 1))
        layers = list(layers)
        self.networks = tuple(self._network(layers, loss, rng=child, dtype=dtype) for child in children)

    def __repr__(self):
        return f"{type(self).__name__}({len(self)} x {self.networks[0]!r})"

    def __len__(self):
        return len(self.networks)

    @property
    def loss(self):
        """The loss that the members share."""
        return self.networks[0].loss

    def fit(self, X, y=None, **settings):
        """Trains every member on (X, y) with the settings of `Network.fit`; returns the list of their histories.

        As many members at a time as `threads` allows. ``callbacks`` are called from the members' threads as
        ``callback(net, history)``. An error of a member is raised when the others have ended; Ctrl-C ends all at the
        last finished batch. Batches in place of (X, y) come from a function that each member calls by itself.
        """
        settings.setdefault("progress", False)
        workers = min(len(self), max(_native.threads() if _native.available else 1, 1))
        with ThreadPoolExecutor(workers) as pool:
            runs = [pool.submit(net.fit, X, y, **settings) for net in self.networks]
            try:
                wait(runs)
            except BaseException:
                for run in runs:
                    run.cancel()
                while wait(runs, 0.02).not_done:  # one that is only beginning does not hear the first call
                    for net in self.networks:
                        net.stop()
                raise
        return [run.result() for run in runs]

    def predict(self, X, *, offset=None, exposure=None):
        """Mean of the mixture, in the shape of `Network.predict`."""
        return np.mean([net.predict(X, offset=offset, exposure=exposure) for net in self.networks], axis=0)

    def predict_class(self, X, *, offset=None, exposure=None):
        """The most probable class under the mixture; TypeError as in `Network.predict_class`."""
        if getattr(self.loss, "increasing", False):
            each = self.distribution(X, offset=offset, exposure=exposure).members
            return np.argmax(np.mean([member.probabilities for member in each], axis=0), axis=1)
        return classes(self.loss, self.predict(X, offset=offset, exposure=exposure))

    def distribution(self, X, *, offset=None, exposure=None):
        """The `Mixture` of the members' distributions, with equal weights."""
        return Mixture([net.distribution(X, offset=offset, exposure=exposure) for net in self.networks])

    def score(self, X, y, *, weights=None, offset=None, exposure=None):
        """Mean log-likelihood per row under the mixture, −Σwℓ/Σw: at least the mean of the members' scores.

        Rows of weight 0 do not count.
        """
        offset = self.networks[0]._exposed(exposure, offset)
        if weights is None:
            return float(np.mean(self.distribution(X, offset=offset).log_prob(y)))
        weights = np.asarray(weights, float)
        used = np.flatnonzero(weights)
        offset = offset if np.ndim(offset) == 0 else np.asarray(offset)[used]
        rows = self.distribution(np.asarray(X)[used], offset=offset).log_prob(np.asarray(y)[used])
        return float(np.sum(weights[used] * rows) / np.sum(weights[used]))


class Mixture:
    """Distributions with equal weights: what an ensemble says about each row's target.

    Mean, variance, cdf, sf and quantile have the shape of the members' mean and are those of each output by itself;
    ``log_prob`` (n,) is of the outputs of a row together.

    Attributes
    ----------
    members : list of Distribution
    """

    def __init__(self, members):
        self.members = list(members)

    def __len__(self):
        return len(self.members[0])

    def _mean_of(self, each):
        return np.mean([each(member) for member in self.members], axis=0)

    @property
    def mean(self):
        """Mean of the members' means."""
        return self._mean_of(lambda member: member.mean)

    @property
    def within(self):
        """Mean of the members' variances: the noise that they see in the data."""
        return self._mean_of(lambda member: member.variance)

    @property
    def between(self):
        """Variance of the members' means: how far they disagree."""
        return np.var([member.mean for member in self.members], axis=0)

    @property
    def variance(self):
        """``within + between``: the law of total variance."""
        return self.within + self.between

    @property
    def std(self):
        """Standard deviation."""
        return np.sqrt(self.variance)

    def log_prob(self, y):
        """Log density or log mass of each row's y, (n,): log of the mean of the members' densities."""
        each = np.array([member.log_prob(y) for member in self.members])
        return np.logaddexp.reduce(each, axis=0) - np.log(len(each))

    def cdf(self, y):
        """P(target <= y)."""
        return self._mean_of(lambda member: member.cdf(y))

    def sf(self, y):
        """P(target > y)."""
        return self._mean_of(lambda member: member.sf(y))

    def quantile(self, q):
        """The smallest y with cdf(y) >= q for one level q, by bisection between the members' quantiles."""
        each = np.array([member.quantile(q) for member in self.members], float)
        low, high = each.min(0), each.max(0)  # the mixture's lies between, and cdf(high) >= q
        whole = np.all(each == np.rint(each), axis=0)
        for _ in range(100):
            middle = np.where(whole, np.floor(low + (high - low) / 2), low + (high - low) / 2)
            enough = self.cdf(middle) >= q
            low, high = np.where(enough, low, np.where(whole, middle + 1, middle)), np.where(enough, middle, high)
            low = np.minimum(low, high)
            if np.all((low == high) | (np.nextafter(low, high) == high) & ~whole):
                break
        return high

    def interval(self, coverage=0.9):
        """(low, high) quantiles that leave (1 − coverage) / 2 on either side."""
        return self.quantile((1 - coverage) / 2), self.quantile((1 + coverage) / 2)

    def sample(self, rng=None):
        """One target per row: of a member that is drawn for each row."""
        rng = np.random.default_rng(rng)
        drawn = np.array([member.sample(rng) for member in self.members])
        return drawn[rng.integers(len(self.members), size=drawn.shape[1]), np.arange(drawn.shape[1])]

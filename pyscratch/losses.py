"""The families: one small class each, holding what is data. What they all do stands in `_loss`, formulas in C.

Choosing one is choosing the distribution of y: its support, how its spread goes with its mean, and what one observation
costs. To add a family: its formula in C with a row in ``families.h``, a class here, its twin in `reference`.
"""

import math
from statistics import NormalDist

import numpy as np

from pyscratch import _checks, _native, counts, distributions
from pyscratch._checks import choice, positive
from pyscratch._loss import Card, Loss

families = {}  # every family by its class name: tests, benches and the catalogue iterate it


def family(cls):
    """Enter a family in the registry."""
    families[cls.__name__] = cls
    return cls


def _inverse_softplus(x):
    return x + np.log(-np.expm1(-x))


def _probit(p):
    return np.asarray(np.frompyfunc(NormalDist().inv_cdf, 1, 1)(p), float)


_LOGITS = {  # the logit at which a link has a given value
    "identity": np.asarray,
    "log": np.log,
    "exp": np.log,
    "logit": lambda p: np.log(p) - np.log1p(-p),
    "probit": _probit,
    "cloglog": lambda p: np.log(-np.log1p(-p)),
    "loglog": lambda p: -np.log(-np.log(p)),
    "cauchit": lambda p: np.tan(np.pi * (p - 0.5)),
    "softplus": _inverse_softplus,
    "reciprocal_softplus": lambda x: _inverse_softplus(1 / x),
    "canonical": lambda x: -1 / x,
    "sqrt": np.sqrt,
    "squareplus": lambda x: x - 1 / x,
    "logvar": lambda x: 2 * np.log(x),
}


def logit_of(link, value):
    """The logit that ``link`` maps to ``value``."""
    return _LOGITS[link](value)


def weighted_mean(y, w):
    """Weighted mean of each column of ``y``."""
    return w @ y / w.sum()


@family
class Gaussian(Loss):
    """A real number, equally uncertain in every row: mean squared error is this assumption.

    scale: the standard deviation, a number > 0; `with_scale` finds the most likely one.
    link: "identity"; "log" or "softplus" for a mean > 0, "logit" for a mean between 0 and 1.
    """

    likelihood, links = "gaussian", ("identity", "log", "logit", "softplus")
    examples = ({}, {"scale": 2.5}, {"link": "log"}, {"link": "logit", "scale": 0.5}, {"link": "softplus"})
    support, remedy = "finite real numbers", ""
    ulps = {"nll": (4, 4), "grad": (4, 4), "variance": (2, 2)}
    link_ulps = {"logit": {"grad": (6, 6), "curvature": (8, 8), "fisher": (8, 8)}}
    scipy = "norm"
    distribution_class = distributions.Normal
    card = Card(
        target="a real number with the same spread everywhere",
        link="mean = z",
        nll="(y − mean)² / (2 scale²) + log(2π scale²) / 2",
        grad="(mean − y) / scale²: the residual",
        curvature="1 / scale², observed and Fisher",
        wrong="y is a count, a proportion or a price, or its spread changes with X",
        source="Bishop (2006), Pattern Recognition and Machine Learning, section 3.1.1",
    )

    def __init__(self, scale=1.0, link="identity"):
        self._freeze(scale=positive("scale", scale), link=choice("link", link, self.links))

    def _fields(self):
        return {"dispersion": self.scale**2}

    def _supported(self, y, width):
        return np.isfinite(y)

    def _scipy(self, mean):
        return {"loc": mean, "scale": self.scale}

    def _draw(self, rng, mean, size=None):
        return rng.normal(mean, self.scale, size)

    def _start(self, y, w, width):
        mean, spare = weighted_mean(y, w), 1e-3 / (w.sum() + 1)  # of a best constant that a link cannot reach
        if self.link.name in ("log", "softplus"):
            mean = np.maximum(mean, spare * np.maximum(np.abs(y).max(0), 1e-3))
        elif self.link.name == "logit":
            mean = np.clip(mean, spare, 1 - spare)
        return [logit_of(self.link.name, mean)]

    def with_scale(self, z, y, weights=None):
        """The same family with scale² = Σ w (y − mean)² / Σ w, over all outputs."""
        z, y, w = self._used_rows(z, y, weights)
        squares = ((y - _checks.columns(self.mean(z))) ** 2).mean(1)
        return type(self)(**{**self._options, "scale": math.sqrt(weighted_mean(squares, w))})


@family
class Bernoulli(Loss):
    """Yes or no: binary cross-entropy is this assumption. Soft targets in [0, 1] are allowed (a quasi-likelihood).

    link: "logit"; "probit", the normal cdf; "cloglog", 1 − exp(−exp(z)), for an event seen if it came at least once;
        "loglog", its mirror image; "cauchit", the Cauchy cdf, which forgives surprising labels most.
    """

    likelihood, links = "bernoulli", ("logit", "probit", "cloglog", "loglog", "cauchit")
    examples = ({}, {"link": "probit"}, {"link": "cloglog"}, {"link": "loglog"}, {"link": "cauchit"})
    support, remedy = "numbers from 0 to 1", "labels −1 and +1 become 0 and 1 by (y + 1) / 2"
    ulps = {"nll": (4, 4), "grad": (4, 4), "mean": (4, 4), "variance": (6, 6), "curvature": (6, 6), "fisher": (6, 6)}
    link_ulps = {  # probit: a derivative of the Mills ratio cancels; cloglog: exp(−x) is off by x ulp of x = exp(z)
        "probit": {"curvature": (48, 48)},
        "cloglog": dict.fromkeys(("nll", "grad", "mean", "params", "variance", "curvature", "fisher"), (1024, 1024)),
        "loglog": dict.fromkeys(("nll", "grad", "mean", "params", "variance", "curvature", "fisher"), (1024, 1024)),
        "cauchit": {"curvature": (8, 8)},
    }
    scipy = "bernoulli"
    distribution_class = distributions.Bernoulli
    card = Card(
        target="0 or 1; a proportion in between counts as that much of a yes",
        link="mean = 1 / (1 + exp(−z))",
        nll="−y log mean − (1 − y) log(1 − mean)",
        grad="mean − y: the residual",
        curvature="mean (1 − mean), observed and Fisher",
        wrong="y counts several trials (Binomial), is a measured fraction (Beta) or has more than two classes",
        source="McCullagh & Nelder (1989), Generalized Linear Models, section 4.4",
    )

    def __init__(self, link="logit"):
        self._freeze(link=choice("link", link, self.links))

    def _supported(self, y, width):
        return (y >= 0) & (y <= 1)

    def _scipy(self, mean):
        return {"p": mean}

    def _draw(self, rng, mean, size=None):
        return rng.binomial(1, mean, size)

    def _start(self, y, w, width):
        half = 0.5 / (w.sum() + 1)
        return [logit_of(self.link.name, np.clip(weighted_mean(y, w), half, 1 - half))]


@family
class Categorical(Loss):
    """One of K classes: softmax cross-entropy is this assumption.

    y: labels 0 ... K − 1 of any integer or bool dtype, (n,) or (n, 1); or rows of K probabilities, floating, (n, K).
    class_weights: K numbers >= 0, or None. The label's number multiplies its row's weight (also in the mean's Σ w);
        for rows of probabilities each class's term is multiplied and Σ w stays.
    smoothing: e in [0, 1): the target becomes (1 − e) of itself plus e / K on every class.
    """

    likelihood, links, parameters = "categorical", ("softmax",), ("probabilities",)
    target = _native.LABELS
    examples = (
        {},
        {"smoothing": 0.1},
        {"class_weights": (1.0, 0.5, 2.0)},
        {"class_weights": (3, 1, 0), "smoothing": 0.2},
    )
    support = "labels from 0 to K − 1, or rows of probabilities"
    ulps = {"nll": (5, 4), "grad": (8, 4), "mean": (6, 6), "variance": (6, 6), "curvature": (6, 6), "fisher": (6, 6)}
    scipy = "multinomial"
    distribution_class = distributions.Categorical
    _passes = {**Loss._passes, "mean": "params", "variance": None}
    card = Card(
        target="one of K unordered classes",
        link="probabilities = exp(z) / Σ exp(z)",
        nll="log Σ exp(z) − z[y]",
        grad="probabilities − (1 at y, 0 elsewhere): the residual",
        curvature="p (1 − p) on the diagonal, −p p' beside it, observed and Fisher",
        wrong="classes are ordered (Ordinal), or several can hold at once (Bernoulli with several outputs)",
        source="Bishop (2006), Pattern Recognition and Machine Learning, section 4.3.4",
    )

    def __init__(self, class_weights=None, smoothing=0.0):
        if class_weights is not None:
            class_weights = tuple(positive("class_weights", float(w), zero=True) for w in class_weights)
        smoothing = positive("smoothing", smoothing, zero=True)
        if smoothing >= 1:
            raise ValueError(f"smoothing must be below 1, not {smoothing}")
        self._freeze(class_weights=class_weights, smoothing=smoothing)
        vars(self)["_weighs_targets"] = class_weights is not None

    def _fields(self):
        return {"class_weights": self.class_weights, "smoothing": self.smoothing}

    @property
    def plain(self):
        """The likelihood by itself: no class weights, no smoothing."""
        return type(self)()

    def width(self, outputs=2):
        """How many logits a row needs for ``outputs`` classes: as many."""
        return outputs

    def outputs(self, width):
        """One class is drawn per row; ValueError if class_weights are for another number of classes."""
        if width < 1 or (self.class_weights is not None and len(self.class_weights) != width):
            wanted = len(self.class_weights) if self.class_weights is not None else "K >= 1"
            raise ValueError(f"{type(self).__name__} needs one logit per class, {wanted} per row, not {width}")
        return 1

    def _target(self, y, rows, outputs, width, dtype):
        if type(y) is np.ndarray and y.dtype is _LABEL and y.shape == (rows,) and y.flags.num & 0x0101 == 0x0101:
            return y, _native.LABELS
        a = _checks.real_array("y", y)
        if a.dtype.kind == "f" and a.ndim == 2 and a.shape[1] == width and a.size:
            return _checks.reals("y", a, rows, width, dtype, f"logits of {rows} rows and {width} columns"), _native.ROWS
        return _checks.labels("y", a, rows).reshape(rows), _native.LABELS

    def _offset(self, z, offset, rows, outputs):
        if offset is None:
            return z, None
        offset = _checks.offset(offset, rows, z.shape[1] if z.ndim == 2 else 1, z.dtype)
        return z + offset.reshape(z.shape), None

    def _weight(self, rows, y, weights):
        weight = super()._weight(rows, y, weights)
        if self.class_weights is None or y.dtype.kind != "i":
            return weight
        seen = np.arange(rows) if weights is None else np.flatnonzero(weights)
        self.check_support(y, weights, len(self.class_weights))
        each = np.array(self.class_weights)[y[seen]]
        return float(each.sum() if weights is None else weights[seen].astype(float) @ each)

    def curvature(self, z, y, *, weights=None, offset=None, out=None, block=False):
        """As of any loss; with ``block`` (n, K, K), p on the diagonal minus p p', times the mass of the target."""
        diagonal = super().curvature(z, y, weights=weights, offset=offset, out=None if block else out)
        return self._whole(diagonal, z, offset, out) if block else diagonal

    def fisher(self, z, *, weights=None, offset=None, out=None, block=False):
        """As of any loss; with ``block`` (n, K, K)."""
        diagonal = super().fisher(z, weights=weights, offset=offset, out=None if block else out)
        return self._whole(diagonal, z, offset, out) if block else diagonal

    def _whole(self, diagonal, z, offset, out):
        """The matrices to a diagonal mass · p (1 − p): each row of one sums to 0."""
        p = self._more("params", z, offset)
        mass = (diagonal.sum(1) / np.maximum(p * (1 - p), np.finfo(p.dtype).tiny).sum(1))[:, None, None]
        whole = -mass * p[:, :, None] * p[:, None, :]
        each = np.arange(p.shape[1])
        whole[:, each, each] = diagonal
        if out is not None:
            out[...] = whole
        return whole if out is None else out

    def _block_outputs(self, width):
        return 1

    def mean(self, z, *, offset=None, out=None):
        """Probabilities of the classes, (n, K): the mean of the one-hot target."""
        return self._more("params", z, offset, out=out)

    def variance(self, z, *, offset=None, out=None):
        """p (1 − p) of each class, (n, K): the variance of the one-hot target."""
        return self.plain._more("fisher", z, offset, out=out)

    def _split(self, z):
        return [z]

    def _supported(self, y, width):
        if y.dtype.kind == "i":
            return (y >= 0) & (y < width)
        tolerance = 1e-6 if y.dtype == _checks.F64 else 1e-3
        return (y >= 0).all(1) & (np.abs(y.sum(1, dtype=float) - 1) <= tolerance)

    def _support_of(self, width):
        """The support in words, for this number of classes."""
        return f"labels from 0 to {width - 1}, or rows of {width} probabilities >= 0 that sum to 1"

    def _draw(self, rng, probabilities, size=None):
        """Labels, one per row: the class whose Gumbel-perturbed log-probability is the largest."""
        p = np.asarray(probabilities, float)
        shape = p.shape[:-1] if size is None else size
        with np.errstate(divide="ignore"):
            return np.argmax(np.log(p) + rng.gumbel(size=(*shape, p.shape[-1])), -1)

    def _start(self, y, w, width):
        mass = np.bincount(y.ravel(), w, width) if y.dtype.kind == "i" else w @ y
        z = np.log(np.maximum(mass, 0.5))
        return [z - z.mean()]

    def start(self, y, *, weights=None, offset=None, width=None):
        """Logits (width,) of the best constant head: log class frequencies, centred; half an observation if absent."""
        a = _checks.real_array("y", y)
        if width is None:
            width = a.shape[1] if a.ndim == 2 and a.dtype.kind == "f" else int(a.max(initial=0)) + 1
        return super().start(y, weights=weights, offset=offset, width=width)


_LABEL = np.dtype(np.int64)


@family
class Poisson(Loss):
    """A count of events: its variance equals its mean.

    link: "log"; "softplus", with which effects add up where counts are large; "sqrt" (mean = z²) and "identity" for
        logits > 0 only.
    integer: True asks for whole counts; False admits fractions (a quasi-likelihood).
    """

    likelihood, links = "poisson", ("log", "softplus", "sqrt", "identity")
    domains = {"sqrt": (0.0, math.inf), "identity": (0.0, math.inf)}
    examples = ({}, {"integer": False}, {"link": "softplus"}, {"link": "sqrt"}, {"link": "identity"})
    ulps = {"nll": (4, 4), "grad": (4, 4), "mean": (4, 4), "variance": (4, 4), "curvature": (8, 8), "fisher": (4, 4)}
    scipy = "poisson"
    distribution_class = counts.Poisson
    card = Card(
        target="a count of events, 0, 1, 2, ...; offset = log(exposure) makes it a rate",
        link="mean = exp(z)",
        nll="mean − y z + log y!",
        grad="mean − y: the residual",
        curvature="mean, observed and Fisher",
        wrong="the counts vary more than their mean (NegativeBinomial) or have too many zeros (ZeroInflated)",
        source="McCullagh & Nelder (1989), Generalized Linear Models, section 6.2",
    )

    def __init__(self, link="log", integer=True):
        self._freeze(link=choice("link", link, self.links), integer=bool(integer))

    support = "counts 0, 1, 2, ..."
    remedy = "Poisson(integer=False) admits fractions"

    def _support_of(self, width):
        """Counts, or numbers >= 0 with integer=False."""
        return self.support if self.integer else "finite numbers >= 0"

    def _fields(self):
        return {"integer": int(self.integer)}

    def _supported(self, y, width):
        fine = np.isfinite(y) & (y >= 0)
        return fine & (y == np.floor(y)) if self.integer else fine

    def _scipy(self, mean):
        return {"mu": mean}

    def _draw(self, rng, mean, size=None):
        return rng.poisson(mean, size)

    def _start(self, y, w, width):
        return [logit_of(self.link.name, np.maximum(weighted_mean(y, w), 0.5 / (w.sum() + 1)))]


@family
class HeteroscedasticGaussian(Loss):
    """A real number whose uncertainty is predicted too: logits [mean of each output, scale of each output].

    scale_link: "softplus", "exp", "squareplus", (z + sqrt(z² + 4)) / 2, or "logvar", exp(z / 2), for a second logit that
        is the logarithm of the variance: the map from the second logit to the standard deviation.
    min_scale: added to every standard deviation, >= 0. Without it an exactly fitted y has an unbounded likelihood.
    """

    likelihood, links, parameters = "heteroscedastic_gaussian", ("identity",), ("mean", "scale")
    scale_links = ("softplus", "exp", "squareplus", "logvar")
    examples = (
        {},
        {"min_scale": 0.1},
        {"scale_link": "exp"},
        {"scale_link": "squareplus", "min_scale": 0.125},
        {"scale_link": "logvar"},
    )
    support = "finite real numbers"
    ulps = {
        "nll": (12, 4),
        "grad": (12, 8),  # u = (y − mean) / scale is within 3 ULP, and enters squared
        "mean": (0, 0),
        "variance": (12, 12),
        "curvature": (16, 8),
        "fisher": (16, 16),
    }
    scipy = "norm"
    distribution_class = distributions.Normal
    card = Card(
        target="a real number whose spread changes with X",
        link="mean = z1, scale = h(z2) + min_scale with h(z) = log(1 + exp(z)) for softplus",
        nll="u² / 2 + log scale + log(2π) / 2 with u = (y − mean) / scale",
        grad="−u / scale and (1 − u²) d log scale / dz2",
        curvature="Fisher: 1 / scale² and 2 (d log scale / dz2)²; the observed one may be negative",
        wrong="y is skewed or bounded, or there are too few rows to learn a spread",
        source="Nix & Weigend (1994), Estimating the mean and variance of the target probability distribution",
    )

    def __init__(self, scale_link="softplus", min_scale=0.0):
        self._freeze(
            scale_link=choice("scale_link", scale_link, self.scale_links),
            min_scale=positive("min_scale", min_scale, zero=True),
        )

    def _fields(self):
        return {"min_scale": self.min_scale}

    def _supported(self, y, width):
        return np.isfinite(y)

    def _scipy(self, mean, scale):
        return {"loc": mean, "scale": scale}

    def _draw(self, rng, mean, scale, size=None):
        return rng.normal(mean, scale, size)

    def _start(self, y, w, width):
        mean = weighted_mean(y, w)
        scale = np.sqrt(weighted_mean((y - mean) ** 2, w)) - self.min_scale
        floor = 1e-6 * np.maximum(np.abs(mean), 1.0)  # of targets that are all alike
        return [mean, logit_of(self.scale_link, np.maximum(scale, floor))]

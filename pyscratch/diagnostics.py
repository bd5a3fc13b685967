"""How well a fitted head describes the data: calibration, scores, and what it gains over the best constant head.

All functions take a `Distribution` (``net.distribution(X)`` or ``loss.distribution(z)``) and the targets of its rows:

>>> d = net.distribution(X)
>>> diagnostics.gain(d, y), diagnostics.coverage(d, y, 0.9), diagnostics.crps(d, y)

``weights`` are one number >= 0 per row; a row of weight 0 is not read. Numbers are means Σ w · value / Σ w over rows;
outputs of one row are added up in likelihoods, deviances and CRPS, and averaged in coverage and sharpness.
TypeError and ValueError as in ``loss.nll``; NotImplementedError for classes without an order where one is needed.
"""

import math

import numpy as np

from pyscratch import _native
from pyscratch._checks import F64, real_array
from pyscratch._checks import weights as checked_weights
from pyscratch.distributions import Distribution
from pyscratch.losses import logit_of


def _checked(distribution):
    """TypeError for anything but the distributions of one head."""
    if not isinstance(distribution, Distribution):
        raise TypeError(
            f"distribution must be what net.distribution(X) or loss.distribution(z) gives, got {distribution!r}; "
            "of an Ensemble pass its members one by one: ensemble.distribution(X).members"
        )
    return distribution


class _Rows:
    """The rows of positive weight: their distributions, targets as the kernels read them, and weights."""

    def __init__(self, distribution, y, weights):
        z, loss = _checked(distribution).z, distribution.loss
        self.width = z.shape[1] if z.ndim == 2 else 1
        w = np.ones(len(z)) if weights is None else checked_weights(weights, len(z), F64)
        loss._weigh(w)
        y = real_array("y", y)
        if y.shape[:1] != (len(z),):
            raise ValueError(f"y has shape {y.shape} where the distribution has {len(z)} rows")
        self.used = np.flatnonzero(w > 0)
        self.w = w[self.used]
        self.distribution = distribution if len(self.used) == len(z) else distribution[self.used]
        self.loss, self.z, self.offset = loss, self.distribution.z, self.distribution.offset
        self.y = loss.targets(y[self.used], self.width, F64)

    @property
    def ordered(self):
        """The distribution and y in the shape of its mean."""
        return self.distribution._observed(self.y)

    def mean(self, each):
        """Σ w · each / Σ w; NaN without rows."""
        return float(self.w @ each / self.w.sum()) if len(self.w) else math.nan

    def nll(self, z, offset=None):
        """Mean nll of the plain likelihood."""
        z = np.asarray(z, F64)
        return self.mean(self.loss.plain.nll(z, self.y, offset=offset, reduction="none")) if len(z) else math.nan

    def null(self, null):
        """Logits of the best constant head for each row, without the offset."""
        if null is None:
            null = self.loss.plain.best_constant(self.y, weights=self.w, offset=self.offset, width=self.width)
        null = np.asarray(null, F64)
        if null.shape != (self.width,):
            raise ValueError(f"null must hold the {self.width} logits of a constant head, not shape {null.shape}")
        return np.tile(null, (len(self.w), 1))


def _per_row(each):
    """The sum over outputs, (n,)."""
    return each if each.ndim == 1 else each.sum(1)


# ---- calibration ----


def pit(distribution, y, rng=None):
    """The probability integral transform, in the shape of the mean: uniform on (0, 1) where the assumption is true.

    It is cdf(y); where y has a probability of its own (counts) a uniform number between P(Y < y) and P(Y <= y), drawn
    from ``rng``. Its histogram is U-shaped where the head is too sure, a hump where it is too timid, slanted where it
    is biased. Czado, Gneiting & Held (2009), Predictive model assessment for count data.
    """
    rows = _Rows(distribution, y, None)
    distribution, y = rows.ordered
    below, at = distribution._below(y), distribution._cdf(y)
    return below + np.random.default_rng(rng).random(y.shape) * (at - below)


def coverage(distribution, y, levels=0.9, weights=None):
    """The share of targets inside the central interval of each level: a float, or an array for several levels.

    Well calibrated heads are close to the level. Intervals of counts hold at least their level, for they end at counts.
    """
    rows = _Rows(distribution, y, weights)
    distribution, y = rows.ordered
    shares = []
    for level in np.ravel(levels):
        low, high = distribution.interval(float(level))
        inside = (low <= y) & (y <= high)
        shares.append(rows.mean(np.mean(inside.reshape(len(y), -1), axis=1)))
    return shares[0] if np.ndim(levels) == 0 else np.array(shares)


def sharpness(distribution, level=0.9, weights=None):
    """The mean width of the central interval: of two calibrated heads the sharper one says more."""
    low, high = _checked(distribution).interval(level)
    w = np.ones(len(low)) if weights is None else checked_weights(weights, len(low), F64)
    distribution.loss._weigh(w)
    used = w > 0
    if not used.any():
        return math.nan
    return float(w[used] @ np.mean((high - low).reshape(len(low), -1), axis=1)[used] / w[used].sum())


# ---- scores ----


def crps(distribution, y, weights=None, reduction="mean"):
    """The continuous ranked probability score, ∫ (cdf(x) − 1(y <= x))² dx, in the units of y: lower is better.

    For a forecast without spread it is |mean − y|. Closed forms (Gaussian, mixture, Poisson, negative binomial, Gamma,
    Beta, Student's t, Laplace, lognormal, Weibull: see `_forms` and `counts`), else quadrature between quantiles.
    NaN where there is no mean.

    reduction: "mean", or "none" for one number per row (n,), 0 in rows of weight 0.
    """
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction must be one of 'mean', 'none'; got {reduction!r}")
    rows = _Rows(distribution, y, weights)
    ordered, y = rows.ordered
    with np.errstate(all="ignore"):
        each = _per_row(ordered._crps(y))
    if reduction == "mean":
        return rows.mean(each)
    out = np.zeros(len(distribution.z))
    out[rows.used] = rows.w * each
    return out


def gain(distribution, y, weights=None, null=None):
    """What the head knows beyond the best constant: mean log-likelihood minus that of a constant head, nats per row.

    The constant head has the same family, weights and offset. 0 is no better than a constant, ``exp(gain)`` the factor
    by which a row has become more likely.

    null: logits (width,) of another constant head, such as ``loss.start(y_train)``; the default is fitted to y itself.
    """
    rows = _Rows(distribution, y, weights)
    return rows.nll(rows.null(null), rows.offset) - rows.nll(rows.z) if len(rows.w) else math.nan


def deviance(distribution, y, weights=None):
    """The mean unit deviance, 2 · dispersion · (nll − nll of the mean that equals y); for one-parameter families.

    Squared error for the Gaussian, 2 (y log(y / mean) − y + mean) for Poisson: McCullagh & Nelder (1989), section 2.3.
    ValueError for families of more parameters, which have no such saturated model: use `gain` or `crps`.
    """
    rows = _Rows(distribution, y, weights)
    return 2 * _dispersion(rows.loss) * (rows.nll(rows.z) - rows.mean(_saturated(rows)))


def d2(distribution, y, weights=None, null=None):
    """The explained share of deviance, 1 − deviance / deviance of the best constant head; R² for the Gaussian.

    ``null`` as in `gain`; families as in `deviance`. NaN where y is constant.
    """
    rows = _Rows(distribution, y, weights)
    saturated = rows.mean(_saturated(rows))
    whole = rows.nll(rows.null(null), rows.offset) - saturated
    return 1 - (rows.nll(rows.z) - saturated) / whole if whole > 0 else math.nan


def _dispersion(loss):
    return loss._fields().get("dispersion", 1.0)


def _has_deviance(loss):
    return len(loss.parameters) == 1 and loss.target in (_native.REALS, _native.PAIRS)


def _saturated(rows):
    """nll per row of the mean that equals y, by the family's default link, whose logits reach every mean."""
    loss = rows.loss.plain
    if not _has_deviance(loss):
        raise ValueError(f"{loss!r} has no deviance: it is defined for families of one parameter; use gain or crps")
    link = loss.links[0]
    usual = type(loss)(**{**loss.options, "link": link}) if "link" in loss.options else loss
    y = rows.y.reshape(len(rows.y), -1)
    if loss.target == _native.PAIRS:
        yes, no = np.hsplit(y, 2)
        y = np.where(yes + no > 0, yes / np.maximum(yes + no, 1), 0.5)
    with np.errstate(divide="ignore"):
        z = logit_of(link, y)
    return usual.nll(np.clip(z, -1e3, 1e3) if link != "identity" else z, rows.y, reduction="none")


def summary(distribution, y, weights=None, null=None):
    """Everything at once as a dict of floats; what the family does not have is left out."""
    found = {"gain": gain(distribution, y, weights, null)}
    if _has_deviance(distribution.loss):
        found["deviance"] = deviance(distribution, y, weights)
        found["d2"] = d2(distribution, y, weights, null)
    if distribution.ordered:
        found["crps"] = crps(distribution, y, weights)
        for level in (0.5, 0.9):
            found[f"coverage {level}"] = coverage(distribution, y, level, weights)
            found[f"sharpness {level}"] = sharpness(distribution, level, weights)
    return found

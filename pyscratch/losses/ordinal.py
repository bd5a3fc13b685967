"""One of K ordered classes."""

import numpy as np

from pyscratch import _checks, _native, counts
from pyscratch._checks import F64
from pyscratch._loss import Card, Loss
from pyscratch.losses._family import family, logit_of


@family
class Ordinal(Loss):
    """One of K ordered classes: a latent number z with logistic noise, cut in K − 1 places.

    The K − 1 logits of a row are c_k − z, with P(y <= k) = sigmoid(c_k − z); along a row they never decrease. The layer
    `OrderedThresholds(K)` makes them of one number z, and holds the cutpoints c:

    >>> layers = [ps.Dense(9, 16), ps.Tanh(), ps.Dense(16, 1), ps.OrderedThresholds(5)]
    >>> net = ps.Network(layers, ps.Ordinal())

    y: labels 0 ... K − 1, (n,) or (n, 1), of any number type. ``mean`` and ``variance`` (n,) are those of the label as
    a number; `distribution` has the classes' ``probabilities`` (n, K). The link gives P(y <= k), (n, K − 1).
    offset: one number per row, added to z: it is subtracted from every logit.
    """

    likelihood, links, parameters = "ordinal", ("logit",), ("cumulative",)
    examples = ({},)
    of_classes = increasing = True
    support = "whole numbers from 0 to K − 1"
    ulps = {
        "nll": (8, 6),
        "grad": (8, 6),
        "params": (3, 3),
        "mean": (16, 16),
        "variance": (16, 16),
        "curvature": (16, 8),
        "fisher": (16, 8),
    }
    scipy = "none: cut logistic"
    distribution_class = counts.Ordinal
    card = Card(
        target="one of K ordered classes: grades, ratings, stages",
        link="P(y <= k) = s(t_k) with s(t) = 1 / (1 + exp(−t)), of logits t_k = c_k − z that never decrease",
        nll="−log(s(t_y) − s(t_(y−1))), with s = 0 below the first and 1 above the last",
        grad="at t_y −(1 − s(t_y)) − v, at t_(y−1) s(t_(y−1)) + v, with v = 1 / (exp(t_y − t_(y−1)) − 1); 0 elsewhere",
        curvature="s (1 − s) + v (1 + v) at either, −v (1 + v) between them; Fisher its expectation, tridiagonal",
        wrong="X moves the classes in other ways than up and down (Categorical), or the labels are amounts (a count)",
        source="McCullagh (1980), Regression models for ordinal data",
    )

    def __init__(self):
        self._freeze()

    def _fields(self):
        return {"integer": True}

    def width(self, outputs=2):
        """How many logits a row needs for ``outputs`` classes: one less."""
        return outputs - 1

    def outputs(self, width):
        """One label per row."""
        if width < 1:
            raise ValueError(f"{self!r} takes K − 1 logits per row for K >= 2 classes, not {width}")
        return 1

    def _arranged(self, z):
        return np.sort(z, axis=1) + 0.05 * np.arange(z.shape[1])

    def _valid_logits(self, width):
        return np.arange(width, dtype=float)

    def _y_columns(self, outputs):
        return 1

    def _shifted(self, z, offset):
        return z - offset

    def _block_outputs(self, width):
        return 1

    def _supported(self, y, width):
        return (y >= 0) & (y <= width) & (y == np.floor(y))

    def _support_of(self, width):
        """The support in words, for this number of classes."""
        return f"labels from 0 to {width}"

    def check_domain(self, z, weights, outputs):
        """ValueError for the first row of logits that decreases, unless its weight is 0."""
        wrong = (z[:, 1:] < z[:, :-1]).any(1)
        if weights is not None:
            wrong &= weights > 0
        if wrong.any():
            raise ValueError(self._explain(_native.BAD_LOGIT, int(np.argmax(wrong)), z, None, weights))

    def _explain(self, status, row, z, y, weights):
        if status != _native.BAD_LOGIT:
            return super()._explain(status, row, z, y, weights)
        k = int(np.argmax(z[row, 1:] < z[row, :-1])) + 1
        return (
            f"logits[{row}, {k}] = {z[row, k]} after {z[row, k - 1]}: the logits of Ordinal never decrease along a "
            f"row; end the network in Dense(..., 1), OrderedThresholds({z.shape[1] + 1})"
        )

    def curvature(self, z, y, *, weights=None, offset=None, exposure=None, out=None, block=False):
        """As of any loss; with ``block`` (n, K − 1, K − 1), of which only the target's two logits share an entry."""
        offset, into = self.exposed(exposure, offset), None if block else out
        diagonal = super().curvature(z, y, weights=weights, offset=offset, out=into)
        if not block:
            return diagonal
        z, y, *_ = self._ready(z, y)
        w = np.ones(len(z)) if weights is None else np.asarray(weights, F64)
        return self._whole(diagonal, z, (_checks.columns(y) == np.arange(1, _width(z))) * w[:, None], out)

    def fisher(self, z, *, weights=None, offset=None, exposure=None, out=None, block=False):
        """As of any loss; with ``block`` (n, K − 1, K − 1), tridiagonal."""
        offset, into = self.exposed(exposure, offset), None if block else out
        diagonal = super().fisher(z, weights=weights, offset=offset, out=into)
        if not block:
            return diagonal
        z = _checks.logits(z)
        w = np.ones(len(z)) if weights is None else np.asarray(weights, F64)
        p = self.distribution(z, offset=offset).probabilities[:, 1:-1]
        return self._whole(diagonal, z, p * w[:, None], out)

    def _whole(self, diagonal, z, share, out):
        """The matrices to a diagonal; beside it −share · v (1 + v), with v of the class between two logits."""
        whole = np.zeros((len(z), _width(z), _width(z)), diagonal.dtype) if out is None else out
        gap, each = np.diff(_checks.columns(z).astype(F64), axis=1), np.arange(_width(z))
        with np.errstate(all="ignore"):
            beside = np.where(share == 0, 0.0, -share / (4 * np.sinh(gap / 2) ** 2))
        whole[...] = 0
        whole[:, each, each] = _checks.columns(diagonal)
        whole[:, each[1:], each[:-1]] = whole[:, each[:-1], each[1:]] = beside
        return whole

    def _draw(self, rng, probabilities, size=None):
        below = np.cumsum(probabilities, -1)[..., :-1]
        u = rng.random(probabilities.shape[:-1] if size is None else size)
        return (u[..., None] >= below).sum(-1)

    def _start(self, y, w, width):
        each = np.maximum(np.bincount(y.astype(int).ravel(), w, width + 1), 0.5)
        below, above = np.cumsum(each)[:-1], np.cumsum(each[::-1])[::-1][1:]
        return [np.log(below) - np.log(above)]

    def start(self, y, *, weights=None, offset=None, exposure=None, width=None):
        """Logits (width,) of the best constant head, by the classes' frequencies; half an observation if absent."""
        a = _checks.real_array("y", y)
        if width is None:
            width = max(1, int(a.max(initial=0)))
        if offset is not None and np.ndim(offset) == 0:
            return super().start(y, weights=weights, width=width) + float(offset)
        return super().start(y, weights=weights, offset=offset, exposure=exposure, width=width)

    def _start_range(self, w, width):
        most = logit_of("logit", 1 - 0.25 / (w.sum() + 1)) + 30
        return np.full(width, -most), np.full(width, most)


def _width(z):
    return z.shape[1] if z.ndim == 2 else 1

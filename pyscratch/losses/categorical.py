"""One of K classes."""

from functools import cached_property
import operator

import numpy as np

from pyscratch import _checks, _native, distributions
from pyscratch._checks import choice, positive, share
from pyscratch._loss import Card, Loss
from pyscratch.losses._family import family


@family
class Categorical(Loss):
    """One of K classes: softmax cross-entropy is this assumption.

    y: labels 0 ... K − 1 of any integer or bool dtype, (n,) or (n, 1); or rows of K probabilities, floating, (n, K).
    class_weights: K numbers >= 0, or None. The label's number multiplies its row's weight (also in the mean's Σ w);
        for rows of probabilities each class's term is multiplied and Σ w stays. "balanced" is n / (K · n_k) of the rows
        that a network is fitted to, resolved by `fit`; elsewhere ``loss.balanced(y)`` gives the loss with its numbers.
    smoothing: e in [0, 1): the target becomes (1 − e) of itself plus e / K on every class.
    ignore_index: a label that marks rows to leave out, such as −100: they count as rows of weight 0. None: no label.
    """

    likelihood, links, parameters = "categorical", ("softmax",), ("probabilities",)
    target, of_classes = _native.LABELS, True
    examples = (
        {},
        {"smoothing": 0.1},
        {"class_weights": (1.0, 0.5, 2.0)},
        {"class_weights": (3, 1, 0), "smoothing": 0.2},
        {"ignore_index": -100},
    )
    support = "labels from 0 to K − 1, or rows of probabilities"
    ulps = {"nll": (5, 4), "grad": (8, 4), "mean": (6, 6), "variance": (6, 6), "curvature": (6, 6), "fisher": (6, 6)}
    scipy = "multinomial"
    distribution_class = distributions.Categorical
    _equal = {"variance": "fisher"}
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

    def __init__(self, class_weights=None, smoothing=0.0, ignore_index=None):
        if isinstance(class_weights, str):
            choice("class_weights", class_weights, ("balanced",))
        elif class_weights is not None:
            class_weights = tuple(positive("class_weights", float(w), zero=True) for w in class_weights)
        smoothing = share("smoothing", smoothing)
        if ignore_index is not None:
            ignore_index = operator.index(ignore_index)
        self._freeze(class_weights=class_weights, smoothing=smoothing, ignore_index=ignore_index)
        vars(self).update(_weighs_targets=class_weights is not None, _ignores=ignore_index is not None)

    def _fields(self):
        return {"class_weights": self._numbers, "smoothing": self.smoothing}

    @property
    def _numbers(self):
        if self.class_weights == "balanced":
            raise ValueError('class_weights="balanced" needs the targets of all rows: use loss.balanced(y), or fit')
        return self.class_weights

    def balanced(self, y, weights=None, width=None):
        """The same loss with its numbers for class_weights="balanced": n / (K · n_k), n_k the weight of class k in y.

        A class that does not occur gets 0. For a loss with other class weights, itself.
        """
        if self.class_weights != "balanced":
            return self
        y = np.asarray(y)
        mass = self.plain._mass(*self._labelled(y, weights), int(y.max(initial=0)) + 1 if width is None else width)
        numbers = np.divide(mass.sum(), len(mass) * mass, out=np.zeros(len(mass)), where=mass > 0)
        return type(self)(**{**self._options, "class_weights": tuple(numbers.tolist())})

    def _labelled(self, y, weights):
        """Targets and weights of the rows that count."""
        w = self._row_weights(np.ones(len(y)) if weights is None else weights, y, len(y), _checks.F64)
        return y[w > 0], w[w > 0]

    def _mass(self, y, w, width):
        """The weight of each class."""
        return np.bincount(y.ravel(), w, width) if y.dtype.kind in "iub" else w @ y

    def _row_weights(self, weights, y, rows, dtype):
        weights = super()._row_weights(weights, y, rows, dtype)
        if self.ignore_index is None or y is None or y.dtype.kind != "i":
            return weights
        kept = (y != self.ignore_index).ravel().astype(dtype)
        return kept if weights is None else np.where(kept > 0, weights, 0).astype(dtype)

    @cached_property
    def plain(self):
        """The likelihood by itself: no class weights, no smoothing."""
        marked = {"ignore_index": self.ignore_index}
        return self if self._options == {**marked, "class_weights": None, "smoothing": 0.0} else type(self)(**marked)

    def width(self, outputs=2):
        """How many logits a row needs for ``outputs`` classes: as many."""
        return outputs

    def outputs(self, width):
        """One class is drawn per row; ValueError if class_weights are for another number of classes."""
        given = isinstance(self.class_weights, tuple)
        if width < 1 or (given and len(self.class_weights) != width):
            wanted = len(self.class_weights) if given else "K >= 1"
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
        if self._numbers is None or y.dtype.kind != "i":
            return weight
        seen = np.arange(rows) if weights is None else np.flatnonzero(weights)
        self.check_support(y, weights, len(self.class_weights))
        each = np.array(self.class_weights)[y[seen]]
        return float(each.sum() if weights is None else weights[seen].astype(float) @ each)

    def curvature(self, z, y, *, weights=None, offset=None, exposure=None, out=None, block=False):
        """As of any loss; with ``block`` (n, K, K), p on the diagonal minus p p', times the mass of the target."""
        offset = self.exposed(exposure, offset)
        diagonal = super().curvature(z, y, weights=weights, offset=offset, out=None if block else out)
        return self._whole(diagonal, z, offset, out) if block else diagonal

    def fisher(self, z, *, weights=None, offset=None, exposure=None, out=None, block=False):
        """As of any loss; with ``block`` (n, K, K)."""
        offset = self.exposed(exposure, offset)
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

    def mean(self, z, *, offset=None, exposure=None, out=None):
        """Probabilities of the classes, (n, K): the mean of the one-hot target."""
        return self._more("params", z, self.exposed(exposure, offset), out=out)

    def variance(self, z, *, offset=None, exposure=None, out=None):
        """p (1 − p) of each class, (n, K): the variance of the one-hot target."""
        return self.plain._more("fisher", z, self.exposed(exposure, offset), out=out)

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
        z = np.log(np.maximum(self._mass(y, w, width), 0.5))
        return [z - z.mean()]

    def start(self, y, *, weights=None, offset=None, exposure=None, width=None):
        """Logits (width,) of the best constant head: log class frequencies, centred; half an observation if absent."""
        a = _checks.real_array("y", y)
        if width is None:
            width = a.shape[1] if a.ndim == 2 and a.dtype.kind == "f" else int(a.max(initial=0)) + 1
        return super().start(y, weights=weights, offset=offset, exposure=exposure, width=width)


_LABEL = np.dtype(np.int64)

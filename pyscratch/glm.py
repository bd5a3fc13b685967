"""Generalised linear models: a network of one Dense layer, fitted exactly, with the covariance of its coefficients.

McCullagh and Nelder, Generalized Linear Models (1989), chapters 2 and 9; White, Econometrica 50 (1982) for robust
standard errors.
"""

import numpy as np

from pyscratch import _data, _native
from pyscratch.layers import Dense

__all__ = ["covariance", "dispersion", "fit"]

_CLOSE = 1e-10  # a step is small when it moves no linear combination of coefficients by more than this many errors
_FREE_DISPERSION = ("gaussian", "gamma")  # likelihoods whose dispersion is estimated


class _Model:
    """A network of one Dense layer with one logit, and its rows in float64 with a column of ones for the bias."""

    def __init__(self, net, X, y, weights, offset):
        if len(net.layers) != 1 or not isinstance(net.layers[0], Dense) or net.width != 1:
            raise TypeError(
                f"an exact fit needs one Dense layer with one logit, such as Network([Dense({net.n_in or 'n_in'}, 1)], "
                f"{net.loss!r}), got {list(net.layers)!r}"
            )
        self.net, self.loss, self.dense = net, net.head.plain, net.layers[0]
        rows = _data.rows(net, X, y, weights, offset)
        y, weights, offset = rows.part(rows.used)
        x = rows.X[rows.used].astype(np.float64)
        self.A = np.column_stack([x, np.ones(len(x))])
        self.y = y if y.dtype.kind == "i" else y.astype(np.float64)
        self.given = {
            "weights": None if weights is None else weights.astype(np.float64),
            "offset": None if offset is None else offset.astype(np.float64),
        }
        pairs = self.loss.target == _native.PAIRS  # successes and failures: the Fisher information is that of one trial
        self.trials = self.y.sum(axis=1) if pairs else 1.0
        if len(x) < self.A.shape[1]:
            raise ValueError(f"{len(x)} rows cannot tell {self.A.shape[1]} coefficients apart")

    @property
    def coefficients(self):
        return np.append(self.dense.W[:, 0], self.dense.b).astype(np.float64)

    def logits(self, coefficients):
        return (self.A @ coefficients)[:, None]

    def nll(self, coefficients):
        return self.loss.nll(self.logits(coefficients), self.y, **self.given, reduction="sum")

    def scores(self, coefficients):
        """d nll / d logit of each row."""
        return self.loss.grad(self.logits(coefficients), self.y, **self.given, reduction="sum")[:, 0]

    def information(self, coefficients, kind):
        """Fisher information or observed curvature of each row, by its logit."""
        z = self.logits(coefficients)
        if kind == "observed":
            return self.loss.curvature(z, self.y, **self.given)[:, 0]
        return self.loss.fisher(z, **self.given)[:, 0] * self.trials

    def step(self, coefficients):
        """A step of Fisher scoring, by least squares on weighted rows: (step, its length in standard errors)."""
        root = np.sqrt(np.maximum(self.information(coefficients, "fisher"), np.finfo(np.float64).tiny))
        rows = root[:, None] * self.A
        size = np.maximum(np.abs(rows).max(0), np.finfo(np.float64).tiny)  # columns of any unit
        step, _, rank, _ = np.linalg.lstsq(rows / size, self.scores(coefficients) / root, rcond=None)
        if rank < self.A.shape[1]:
            raise ValueError("columns of X are linear combinations of others (or constant): leave them out")
        return step / size, float(np.linalg.norm(rows @ (step / size)))


def fit(net, X, y, *, weights=None, offset=None, steps=100):
    """Maximum likelihood by Fisher scoring (iteratively reweighted least squares) with halved steps.

    Sets W and b of the network's one Dense layer, computed in float64; returns how many steps it took. Weights act as
    frequencies. ValueError for collinear columns, RuntimeError when there is no maximum (separated classes) or it is
    not reached.
    """
    model = _Model(net, X, y, weights, offset)
    net._start(_data.rows(net, X, y, weights, offset))
    start = np.zeros(model.A.shape[1])
    start[-1] = net.layers[0].b[0]
    coefficients, value = start, model.nll(start)
    for count in range(1, steps + 1):
        step, length = model.step(coefficients)
        for _ in range(60):
            after = model.nll(coefficients - step)
            if after <= value + 1e-13 * abs(value) or length <= _CLOSE:
                break
            step, length = step / 2, length / 2
        coefficients, value = coefficients - step, after
        if length <= _CLOSE:
            model.dense.W[:, 0], model.dense.b[0] = coefficients[:-1], coefficients[-1]
            return count
    raise RuntimeError(
        f"no maximum of the likelihood in {steps} steps (the last one moved {length:.1g} standard errors): is a "
        f"combination of the columns of X enough to tell y without error?"
    )


def dispersion(net, X, y, *, weights=None, offset=None):
    """Pearson's estimate, Σ w (y − mean)² / V(mean) over rows minus coefficients, V at dispersion 1."""
    return _dispersion(_Model(net, X, y, weights, offset))


def _dispersion(model):
    z, offset, weights = model.logits(model.coefficients), model.given["offset"], model.given["weights"]
    if model.loss.likelihood not in _FREE_DISPERSION:
        return 1.0
    residual = model.y.reshape(len(z)) - model.loss.mean(z, offset=offset)
    weight = np.ones(len(z)) if weights is None else weights
    pearson = np.sum(weight * residual**2 / model.loss.variance(z, offset=offset))
    return float(pearson / (weight.sum() - model.A.shape[1]))


def _inverse(H):
    """The inverse of a matrix whose rows and columns may have any units."""
    size = np.sqrt(np.maximum(np.abs(np.diag(H)), np.finfo(np.float64).tiny))
    return np.linalg.inv(H / np.outer(size, size)) / np.outer(size, size)


def covariance(net, X, y, *, weights=None, offset=None, kind="fisher"):
    """Covariance of the coefficients (n_in + 1, n_in + 1) at the network's weights, the bias last.

    Parameters
    ----------
    kind : str
        "fisher": the inverse of the expected information; "observed": of the curvature at the data, the same for a
        canonical link; both times the estimated dispersion (Pearson's) for Gaussian and Gamma. "robust": White's
        sandwich without a correction for small samples. It is the honest one where the mean is right but the variance
        is not that of the family, as for counts that vary more than a Poisson does.

    TypeError for a network of more than one Dense layer or one logit, ValueError for the data as in `Network.fit`.
    """
    if kind not in ("fisher", "observed", "robust"):
        raise ValueError(f'kind must be "fisher", "observed" or "robust", got {kind!r}')
    model = _Model(net, X, y, weights, offset)
    at = model.coefficients
    information = model.information(at, "fisher" if kind == "fisher" else "observed")
    inverse = _inverse(model.A.T @ (information[:, None] * model.A))
    if kind != "robust":
        return inverse * _dispersion(model)
    scores = model.scores(at)
    if model.given["weights"] is not None:  # a row of weight w stands for w rows
        scores = scores / np.sqrt(model.given["weights"])
    half = (scores[:, None] * model.A) @ inverse
    return half.T @ half

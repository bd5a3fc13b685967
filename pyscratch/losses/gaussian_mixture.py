"""A real number, or several, that may be either here or there."""

import operator

import numpy as np

from pyscratch import mixtures
from pyscratch._checks import choice, positive
from pyscratch._loss import Card, Loss
from pyscratch.losses._family import family, logit_of, weighted_mean


@family
class GaussianMixture(Loss):
    """A real number that may be either roughly here or roughly there: the mixture density head.

    Logits of a row with d outputs and K components: [weights K, means K · d, scales K · d], component by component.
    Several outputs share one weight and one responsibility per component: given the component they are independent, in
    the mixture they are not. ``loss.link(z)`` has ``weights`` (n, K) and ``means`` and ``scales``, (n, K) for one
    output, (n, K, d) otherwise. An offset (n, d) is added to the means of every component.

    components: K, from 1 to 128.
    scale_link: from a logit to a standard deviation, as in `HeteroscedasticGaussian`.
    min_scale: added to every standard deviation, >= 0. Without it the likelihood is unbounded: a component may collapse
        on a single y.

    ``mean`` and ``variance`` are those of each output. The mean may lie where no data lie, between the components: ask
    the distribution for its ``mode``, for quantiles or samples instead.

    ``fisher`` is the information of the complete data, in which the component of each row is observed too: the
    expectation of EM's second derivative, for weights w_j (1[j = k] − w_k), for a mean w / scale², for a scale
    2 w (d log scale / dz)², and 0 between them. The Fisher information itself has no closed form; the complete one
    exceeds it by a positive semidefinite matrix (Orchard & Woodbury 1972), so scoring with it takes EM's steps.

    ``start`` is where training begins, not the best constant, which has no closed form: components apart from each
    other, for alike ones have alike gradients and never separate.
    """

    likelihood, links, parameters = "gaussian_mixture", ("softmax",), ("weights", "means", "scales")
    scale_links = ("softplus", "exp", "squareplus", "logvar")
    examples = (
        {"components": 5},
        {"components": 1},
        {"components": 2, "min_scale": 0.1},
        {"components": 3, "scale_link": "exp"},
        {"components": 2, "scale_link": "squareplus", "min_scale": 0.125},
        {"components": 3, "scale_link": "logvar"},
    )
    support = "finite real numbers"
    ulps = {  # of the largest term times what `_condition` of the twin says: u²/2 and log scale are rounded
        "nll": (12, 8),
        "grad": (12, 8),
        "params": (6, 6),
        "mean": (8, 8),
        "variance": (16, 16),
        "curvature": (16, 16),
        "fisher": (16, 16),
    }
    scipy = "none: scipy.stats has no mixtures"
    distribution_class = mixtures.GaussianMixture
    _start_is_best = False
    _fisher_is_expected = False
    card = Card(
        target="a real number with several likely places, such as the answers to an inverse problem",
        link="weights = exp(a) / Σ exp(a), means = m, scales = h(c) + min_scale, h(c) = log(1 + exp(c)) for softplus",
        nll="−log Σ weight Π density of N(mean, scale²) at y",
        grad="weights − r, −r u / scale, r (1 − u²) d log scale / dc; r: responsibilities, u = (y − mean) / scale",
        curvature="the components' own under r minus the covariance of their gradients; fisher: of the complete data",
        wrong="y has one likely place (HeteroscedasticGaussian), or too few rows tell the components apart",
        source="Bishop (1994), Mixture Density Networks; (2006), Pattern Recognition and Machine Learning, section 5.6",
    )

    def __init__(self, components, scale_link="softplus", min_scale=0.0):
        if isinstance(components, (bool, np.bool_)):
            raise TypeError("components must be a whole number, not bool")
        try:
            components = operator.index(components)
        except TypeError:
            raise TypeError(f"components must be a whole number, not {components!r}") from None
        if not 1 <= components <= 128:
            raise ValueError(f"components must lie between 1 and 128, not {components}")
        self._freeze(
            components=components,
            scale_link=choice("scale_link", scale_link, self.scale_links),
            min_scale=positive("min_scale", min_scale, zero=True),
        )

    def _fields(self):
        return {"components": self.components, "min_scale": self.min_scale}

    def width(self, outputs=1):
        """How many logits a row needs for ``outputs`` outputs: K (1 + 2 d)."""
        return self.components * (1 + 2 * outputs)

    def outputs(self, width):
        """How many outputs a row of ``width`` logits describes; ValueError if the width does not fit."""
        d, rest = divmod(width - self.components, 2 * self.components)
        if d < 1 or rest:
            k = self.components
            raise ValueError(
                f"{self!r} takes {k} weights and for each output {k} means and {k} scales, not {width} logits per row: "
                f"one output needs a last layer of width {self.width()}"
            )
        return d

    def _split(self, z):
        k, d = self.components, self.outputs(z.shape[1])
        shape = (len(z), k) if d == 1 else (len(z), k, d)
        return z[:, :k], z[:, k : k + k * d].reshape(shape), z[:, k + k * d :].reshape(shape)

    def _shifted(self, z, offset):
        k, d = self.components, offset.shape[1]
        z = z.copy()
        z[:, k : k + k * d] += np.tile(offset, (1, k))
        return z

    def _block_outputs(self, width):
        return 1

    def _supported(self, y, width):
        return np.isfinite(y)

    def _draw(self, rng, weights, means, scales, size=None):
        """A component of each row, then a number of it for each output."""
        rows = weights.shape[0]
        shape = (rows, *means.shape[2:]) if size is None else tuple(size)
        draws = shape[: len(shape) - 1 - (means.ndim > 2)]
        u = rng.random((*draws, rows, 1))
        chosen = np.minimum((np.cumsum(weights, 1)[:, :-1] <= u).sum(-1), weights.shape[1] - 1)
        each = np.arange(rows)
        return rng.normal(means[each, chosen], scales[each, chosen], shape)

    def start(self, y, *, weights=None, offset=None, width=None):
        """Logits (width,) where training should begin, in float64: see the class; y − offset is what is looked at."""
        return super().start(_less(y, offset), weights=weights, width=width)

    def best_constant(self, y, *, weights=None, offset=None, width=None):
        """Logits (width,) of a constant mixture to which EM leads from `start`, at most 300 steps: a local maximum.

        Scales stay above a thousandth of y's standard deviation, for below any y the likelihood has no bound.
        """
        y = _less(y, offset)
        z = self.start(y, weights=weights, width=width)
        w = np.ones(len(y)) if weights is None else np.asarray(weights, float)
        y, w = np.reshape(y, (len(y), -1))[w > 0], w[w > 0]
        share, means, scales = (block[0] for block in self.link(z[None]))
        means, scales = means.reshape(self.components, -1, 1), scales.reshape(self.components, -1, 1)
        lowest = max(self.min_scale, 1e-3 * np.sqrt(weighted_mean((y - weighted_mean(y, w)) ** 2, w)).min())
        for _ in range(300):
            log = np.log(share)[:, None] - ((y.T - means) ** 2 / (2 * scales**2) + np.log(scales)).sum(1)
            r = np.exp(log - log.max(0))
            r *= w / r.sum(0)
            mass = np.maximum(r.sum(1), 1e-300)
            share, before = np.maximum(mass / mass.sum(), 1e-30), means
            means = (r @ y / mass[:, None])[..., None]
            variance = np.einsum("kn,kdn->kd", r, (y.T - means) ** 2) / mass[:, None]
            scales = np.maximum(np.sqrt(variance), lowest)[..., None]
            if np.all(np.abs(means - before) <= 1e-10 * scales):
                break
        floor = 1e-9 * scales + 1e-30
        c = logit_of(self.scale_link, np.maximum(scales - self.min_scale, floor))
        return np.concatenate([np.log(share), means.ravel(), c.ravel()])

    def _start(self, y, w, width):
        """Means at quantiles of each output, scales of its standard deviation / K, equal weights."""
        k = self.components
        order = np.argsort(y, axis=0, kind="stable")
        share = np.cumsum(w[order], 0) / w.sum()
        at = [np.searchsorted(column, (np.arange(k) + 0.5) / k) for column in share.T]
        means = np.stack([y[order[np.minimum(i, len(y) - 1), j], j] for j, i in enumerate(at)], 1)
        center = weighted_mean(y, w)
        floor = 1e-6 * np.maximum(np.abs(center), 1.0)  # of targets that are all alike
        std = np.sqrt(weighted_mean((y - center) ** 2, w))
        scale = np.maximum(std / k - self.min_scale, np.maximum(1e-3 * std, floor))
        means = means + np.linspace(-1, 1, k)[:, None] * (1e-3 * std + floor)  # also where quantiles coincide
        return [np.zeros(k), means.ravel(), np.tile(logit_of(self.scale_link, scale), k)]


def _less(y, offset):
    """Targets minus their offset."""
    y = np.asarray(y)
    return y if offset is None else y - (offset if np.ndim(offset) == 0 else np.reshape(offset, y.shape))

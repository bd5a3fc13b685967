"""Further families: what `losses` has for the five common heads, for targets that are skewed, bounded or overdispersed."""

from collections import namedtuple
import math

import numpy as np

from pyscratch import _checks, _native, counts, distributions
from pyscratch._checks import choice, positive
from pyscratch._loss import Card, Loss
from pyscratch.losses import Bernoulli, family, logit_of, weighted_mean

POSITIVE = ("softplus", "exp", "squareplus")  # links of predicted shapes


class Shaped(Loss):
    """A family whose last parameter (a shape, a concentration) is a number, or None where the network predicts it.

    Such a family has two names in the C registry: ``likelihood`` where the number is given, ``free_likelihood`` else.
    """

    free_likelihood, given = "", ""  # given: the option that holds the number
    scale_links = POSITIVE

    def _freeze_shape(self, **options):
        number = options[self.given]
        if number is None:
            vars(self).update(likelihood=self.free_likelihood, parameters=("mean", self.given))
            vars(self).update(_tuple=namedtuple("Parameters", self.parameters), _one_to_one=False, _start_is_exact=False)
        else:
            options[self.given] = positive(self.given, number)
        choice("scale_link", options["scale_link"], self.scale_links)
        self._freeze(**options)

    def _start_shape(self, shape):
        """The logits of a predicted shape or concentration."""
        return logit_of(self.scale_link, shape)

    def with_scale(self, z, y, weights=None):
        """The same family with the number that is most likely for these rows; itself where the network predicts it.

        It is sought from 1e-6 to 1e9, to 12 digits: where the derivative of the nll by its logarithm, which the family
        that predicts it knows, is 0.
        """
        if self._options[self.given] is None:
            return super().with_scale(z, y, weights)
        z, y, w = self._used_rows(z, y, weights)
        free = type(self)(**{**self._options, self.given: None, "scale_link": "exp"})
        both = np.concatenate([z, np.zeros_like(z)], axis=1)

        def slope(log):
            both[:, z.shape[1] :] = log
            return float(free.grad(both, y, weights=w, reduction="sum")[:, z.shape[1] :].sum())

        found = root(slope, math.log(1e-6), math.log(1e9))
        return type(self)(**{**self._options, self.given: math.exp(found)})


def root(slope, low, high):
    """Where an increasing function crosses 0 between ``low`` and ``high`` (the end nearest to it if it does not).

    Regula falsi, with the Illinois rule that keeps both ends moving.
    """
    at_low, at_high = slope(low), slope(high)
    if at_low >= 0 or at_high <= 0:
        return low if at_low >= 0 else high
    side = 0
    for _ in range(200):
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        if not low < middle < high:
            middle = (low + high) / 2
        at = slope(middle)
        if at == 0 or high - low <= 1e-13 * max(1.0, abs(middle)):
            break
        if at < 0:
            low, at_low, at_high, side = middle, at, at_high / 2 if side < 0 else at_high, -1
        else:
            high, at_high, at_low, side = middle, at, at_low / 2 if side > 0 else at_low, 1
    return middle


@family
class Binomial(Bernoulli):
    """So many successes out of so many trials: y (n, 2) holds successes and failures, (n, 2 d) those of d outputs.

    ``mean`` is the probability of a success, ``variance`` that of one trial, and so are Fisher information and samples.
    """

    likelihood, links = "binomial", ("logit", "probit", "cloglog")
    target = _native.PAIRS
    examples = ({}, {"link": "probit"}, {"link": "cloglog"})
    support, remedy = "counts 0, 1, 2, ... of successes and of failures", "for proportions use Bernoulli with weights"
    scipy = "binom"
    ulps = {**Bernoulli.ulps, "nll": (16, 16)}
    card = Card(
        target="a pair of counts: successes and failures of n independent trials",
        link="mean = 1 / (1 + exp(−z)), the probability of a success",
        nll="−y log mean − (n − y) log(1 − mean) − log C(n, y)",
        grad="n mean − y: the residual",
        curvature="n mean (1 − mean), observed and Fisher",
        wrong="the successes vary more than independent trials do, or trials of a row differ in their probability",
        source="McCullagh & Nelder (1989), Generalized Linear Models, section 4.3",
    )

    def _supported(self, y, width):
        return np.isfinite(y) & (y >= 0) & (y == np.floor(y))

    def _draw(self, rng, mean, size=None):
        """One trial of each row: (1, 0) or (0, 1), successes before failures."""
        yes = rng.binomial(1, mean, size)
        pair = np.stack([yes, 1 - yes], -1) if np.ndim(mean) == 1 else np.concatenate([yes, 1 - yes], -1)
        return pair.astype(float)

    def _start(self, y, w, width):
        yes, no = w @ y[:, :width], w @ y[:, width:]
        return [logit_of(self.link.name, (yes + 0.5 * (yes * no == 0)) / (yes + no + (yes * no == 0)))]


@family
class Gamma(Shaped):
    """A positive number whose standard deviation goes with its mean: amounts, durations, prices.

    shape: the squared ratio of mean and standard deviation; None: predicted, from logits [mean of each output, shape of
        each output]. `with_scale` finds the most likely number.
    link: "log"; "canonical", mean = −1 / z for z < 0 (with +1 / z the gradient would be minus the residual); or
        "reciprocal_softplus", mean = 1 / log(1 + exp(z)), which no logit can leave.
    scale_link: "softplus", "exp" or "squareplus", of a predicted shape.
    """

    likelihood, free_likelihood, given = "gamma", "gamma_shape", "shape"
    links = ("log", "canonical", "reciprocal_softplus")
    domains = {"canonical": (-math.inf, 0.0)}
    examples = (
        {},
        {"shape": 2.5},
        {"shape": 0.75, "link": "canonical"},
        {"shape": 4.0, "link": "reciprocal_softplus"},
        {"scale_link": "exp"},
        {"link": "canonical", "scale_link": "squareplus"},
        {"link": "reciprocal_softplus"},
    )
    support, remedy = "finite numbers > 0", "for data with zeros use Tweedie"
    ulps = {"nll": (16, 8), "grad": (16, 8), "mean": (4, 4), "variance": (8, 8), "curvature": (16, 8), "fisher": (16, 16)}
    scipy = "gamma"
    distribution_class = distributions.Distribution
    card = Card(
        target="a positive number; its spread is proportional to its mean",
        link="mean = exp(z1), shape a number or log(1 + exp(z2))",
        nll="shape (y / mean + log mean) − (shape − 1) log y − shape log shape + log Γ(shape)",
        grad="shape (1 − y / mean); with the canonical link shape (mean − y): the residual",
        curvature="shape y / mean, Fisher: shape; with the canonical link shape mean², both",
        wrong="y can be zero (Tweedie), or has a heavier tail (LogNormal)",
        source="McCullagh & Nelder (1989), Generalized Linear Models, chapter 8",
    )

    def __init__(self, shape=None, link="log", scale_link="softplus"):
        self._freeze_shape(shape=shape, link=choice("link", link, self.links), scale_link=scale_link)

    def _fields(self):
        return {} if self.shape is None else {"dispersion": 1 / self.shape}

    def _supported(self, y, width):
        return np.isfinite(y) & (y > 0)

    def _scipy(self, mean, shape=None):
        shape = self.shape if shape is None else shape
        return {"a": shape + 0 * mean, "scale": mean / shape}

    def _draw(self, rng, mean, shape=None, size=None):
        shape = self.shape if shape is None else shape
        return np.maximum(rng.gamma(shape, mean / shape, size), np.finfo(np.float32).tiny)

    def _start(self, y, w, width):
        mean = weighted_mean(y, w)
        start = [logit_of(self.link.name, mean)]
        if self.shape is None:  # log shape − digamma(shape) is the log of the mean minus the mean of the logs
            gap = np.maximum(np.log(mean) - weighted_mean(np.log(y), w), 1e-9)
            start.append(self._start_shape((3 - gap + np.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)))
        return start


@family
class NegativeBinomial(Shaped):
    """A count that varies more than a Poisson count: variance = mean + mean² / concentration.

    concentration: a number > 0, or None: predicted, from logits [mean of each output, concentration of each output].
        `with_scale` finds the most likely number. The dispersion of other libraries is its inverse.
    scale_link: "softplus", "exp" or "squareplus", of a predicted concentration.

    The Fisher information of a predicted concentration is a series, summed to 1e-4 of its value.
    """

    likelihood, free_likelihood, given = "negative_binomial", "negative_binomial_concentration", "concentration"
    links = ("log", "softplus")
    examples = (
        {},
        {"concentration": 1.5},
        {"concentration": 1e6},
        {"concentration": 0.25, "link": "softplus"},
        {"link": "softplus", "scale_link": "exp"},
        {"scale_link": "squareplus"},
    )
    approximate = {"fisher": 1e-4}
    support, remedy = "counts 0, 1, 2, ...", "for amounts that are no counts use Gamma or Tweedie"
    ulps = {"nll": (16, 16), "grad": (16, 8), "mean": (4, 4), "variance": (8, 8), "curvature": (12, 8), "fisher": (8, 8)}
    scipy = "nbinom"
    distribution_class = counts.NegativeBinomial
    card = Card(
        target="a count of events whose rate varies beyond what X explains",
        link="mean = exp(z1), concentration r a number or log(1 + exp(z2))",
        nll="(y + r) log(1 + mean / r) − y log mean + log y! − Σ log(1 + j / r) over j < y",
        grad="r (mean − y) / (r + mean)",
        curvature="r mean (r + y) / (r + mean)², Fisher: r mean / (r + mean)",
        wrong="counts vary less than their mean, or zeros come from another process (ZeroInflated)",
        source="Hilbe (2011), Negative Binomial Regression, chapter 8 (NB2)",
    )

    def __init__(self, concentration=None, link="log", scale_link="softplus"):
        self._freeze_shape(concentration=concentration, link=choice("link", link, self.links), scale_link=scale_link)

    def _fields(self):
        return {} if self.concentration is None else {"parameter": self.concentration}

    def _supported(self, y, width):
        return np.isfinite(y) & (y >= 0) & (y == np.floor(y))

    def _scipy(self, mean, concentration=None):
        r = self.concentration if concentration is None else concentration
        return {"n": r + 0 * mean, "p": r / (r + mean)}

    def _draw(self, rng, mean, concentration=None, size=None):
        r = self.concentration if concentration is None else concentration
        return rng.poisson(rng.gamma(r, mean / r, size)).astype(float)

    def _start(self, y, w, width):
        mean = np.maximum(weighted_mean(y, w), 0.5 / (w.sum() + 1))
        start = [logit_of(self.link.name, mean)]
        if self.concentration is None:  # by moments
            spare = np.maximum(weighted_mean((y - mean) ** 2, w) - mean, 1e-3 * mean)
            start.append(self._start_shape(np.clip(mean**2 / spare, 1e-3, 1e6)))
        return start


@family
class Tweedie(Loss):
    """An amount that is often exactly zero: a Poisson number of Gamma amounts, such as claims or rain.

    power: p, 1 < p < 2: the variance is dispersion · mean^p.
    nll is the quasi-likelihood: the terms of the density in y, p and the dispersion alone, a series, are left out. It
    has the gradient of the likelihood; its values compare at one power and one dispersion only.
    """

    likelihood, links = "tweedie", ("log", "softplus")
    examples = ({}, {"power": 1.25, "dispersion": 2.0}, {"power": 1.75, "link": "softplus"})
    support, remedy = "finite numbers >= 0", ""
    ulps = {"nll": (16, 6), "grad": (16, 6), "mean": (4, 4), "variance": (24, 24), "curvature": (16, 8), "fisher": (16, 16)}
    scipy = "none: quasi-likelihood"
    distribution_class = distributions.Distribution
    card = Card(
        target="a number >= 0 with a mass at 0: the sum of a Poisson number of Gamma amounts",
        link="mean = exp(z)",
        nll="(mean^(2−p) / (2 − p) − y mean^(1−p) / (1 − p)) / dispersion, without the terms in y alone",
        grad="(mean^(2−p) − y mean^(1−p)) / dispersion",
        curvature="((2−p) mean^(2−p) + (p−1) y mean^(1−p)) / dispersion, Fisher: mean^(2−p) / dispersion",
        wrong="zeros and amounts have different causes (Hurdle), or whole densities are to be compared",
        source="Jørgensen (1997), The Theory of Dispersion Models, chapter 4",
    )

    def __init__(self, power=1.5, dispersion=1.0, link="log"):
        power = positive("power", power)
        if not 1 < power < 2:
            raise ValueError(f"power must lie between 1 (Poisson) and 2 (Gamma), not {power}")
        self._freeze(power=power, dispersion=positive("dispersion", dispersion), link=choice("link", link, self.links))

    def _fields(self):
        return {"power": self.power, "dispersion": self.dispersion}

    def _supported(self, y, width):
        return np.isfinite(y) & (y >= 0)

    def _draw(self, rng, mean, size=None):
        p, f = self.power, self.dispersion
        number = rng.poisson(mean ** (2 - p) / (f * (2 - p)), size)
        return rng.standard_gamma(number * (2 - p) / (p - 1)) * (f * (p - 1) * mean ** (p - 1))

    def _start(self, y, w, width):
        floor = 0.5 / (w.sum() + 1) * np.maximum(y.max(0), np.finfo(float).tiny)
        return [logit_of(self.link.name, np.maximum(weighted_mean(y, w), floor))]

    def with_scale(self, z, y, weights=None):
        """The same family with dispersion = the weighted mean of (y − mean)² / mean^p: moments, for nll leaves out terms."""
        z, y, w = self._used_rows(z, y, weights)
        mean = _checks.columns(self.mean(z))
        squares = ((y - mean) ** 2 / mean**self.power).mean(1)
        return type(self)(**{**self._options, "dispersion": weighted_mean(squares, w)})

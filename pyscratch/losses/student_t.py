"""A real number with outliers."""

from collections import namedtuple
import math

import numpy as np

from pyscratch import distributions
from pyscratch._checks import choice, columns, positive
from pyscratch._loss import Card
from pyscratch.losses._family import family, logit_of, weighted_median
from pyscratch.losses._scaled import Scaled
from pyscratch.losses._shaped import root


@family
class StudentT(Scaled):
    """A real number with outliers, which pull less the farther off they are: Student's t about a predicted location.

    df: the degrees of freedom, a number > 0, or None: predicted, from logits [location, scale, df of each output].
        `with_scale` finds the most likely number. As df grows the distribution becomes a Gaussian.
    scale_link: of the scale and of a predicted df; as in `HeteroscedasticGaussian`.
    min_scale: added to the scale, >= 0.

    The mean, which is the location, does not exist for df <= 1, the variance not for df <= 2: both are NaN there.
    """

    likelihood = "student_t"
    examples = (
        {},
        {"df": 4.0},
        {"df": 1.5, "scale_link": "exp"},
        {"df": 1e7, "min_scale": 0.1},
        {"scale_link": "exp"},
        {"scale_link": "squareplus", "min_scale": 0.125},
        {"df": 30.0, "scale_link": "squareplus"},
    )
    typical = (0.0, 2.0, 3.0)
    support = "finite real numbers"
    ulps = {
        "nll": (16, 8),
        "grad": (16, 8),
        "mean": (0, 0),
        "variance": (16, 16),
        "curvature": (16, 8),
        "fisher": (16, 16),
    }
    scipy = "t"
    distribution_class = distributions.Distribution
    card = Card(
        target="a real number, now and then far from where it is expected",
        link="location = z1, scale = h(z2) + min_scale, df a number or h(z3); h(z) = log(1 + exp(z)) for softplus",
        nll="(df + 1) / 2 log(1 + u² / df) + log scale + log Γ(df / 2) − log Γ((df + 1) / 2) + log(π df) / 2",
        grad="−w u / scale and (1 − w u²) d log scale / dz2 with u = (y − location) / scale, w = (df + 1) / (df + u²)",
        curvature="Fisher: (df + 1) / (df + 3) / scale² and 2 df / (df + 3) (d log scale / dz2)²",
        wrong="outliers are errors of measurement to be removed, or the tails are short (HeteroscedasticGaussian)",
        source="Lange, Little & Taylor (1989), Robust statistical modeling using the t distribution",
    )
    _start_is_exact = False

    def __init__(self, df=None, scale_link="softplus", min_scale=0.0):
        if df is None:
            names = ("location", "scale", "df")
            vars(self).update(likelihood="student_t_df", parameters=names, _tuple=namedtuple("Parameters", names))
        else:
            df = positive("df", df)
        choice("scale_link", scale_link, self.scale_links)
        self._freeze(df=df, scale_link=scale_link, min_scale=positive("min_scale", min_scale, zero=True))

    def _fields(self):
        return {"min_scale": self.min_scale} | ({} if self.df is None else {"parameter": self.df})

    def _supported(self, y, width):
        return np.isfinite(y)

    def _scipy(self, location, scale, df=None):
        return {"df": (self.df if df is None else df) + 0 * location, "loc": location, "scale": scale}

    def _draw(self, rng, location, scale, df=None, size=None):
        return location + scale * rng.standard_t((self.df if df is None else df) + 0 * location, size)

    def _start(self, y, w, width):
        df = 4.0 if self.df is None else self.df
        location = np.array([weighted_median(column, w) for column in y.T])
        spread = np.array([weighted_median(column, w) for column in np.abs(y - location).T])
        scale = np.maximum(1.4 * spread - self.min_scale, 1e-6 * np.maximum(np.abs(location), 1.0))
        start = [location, logit_of(self.scale_link, scale)]
        return start if self.df is not None else [*start, np.full(len(location), logit_of(self.scale_link, df))]

    def with_scale(self, z, y, weights=None):
        """The same family with the df that is most likely for these rows; itself where the network predicts it.

        It is sought from 1e-3 to 1e9, to 12 digits: where the derivative of the nll by its logarithm is 0.
        """
        if self.df is None:
            return super().with_scale(z, y, weights)
        z, y, w = self._used_rows(z, y, weights)
        location, scale = (columns(block) for block in self.link(z))
        free, logits = type(self)(scale_link="exp"), np.hstack([location, np.log(scale), np.zeros_like(scale)])

        def slope(log):
            logits[:, -location.shape[1] :] = log
            return float(free.grad(logits, y, weights=w, reduction="sum")[:, -location.shape[1] :].sum())

        return type(self)(**{**self._options, "df": math.exp(root(slope, math.log(1e-3), math.log(1e9)))})

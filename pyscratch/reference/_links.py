"""The links of the reference: maps from logits to means, and to scales, shapes and concentrations."""

import math

import numpy as np

from pyscratch.reference._functions import HALF_LOG_2PI, log_ndtr, mills, ndtr, times

# ---- links of means: z to mean, with what a likelihood needs of it, in logarithms where those do not overflow ----


class MeanLink:
    """One link: the mean, log mean, log |slope| with slope = dmean/dz, and bend = d log |slope| / dz; of a proportion
    also rest = 1 − mean and log rest."""

    sign = 1  # of the slope

    def mean(self, z):
        """The mean."""
        return np.exp(self.log_mean(z))

    def up(self, z):
        """d log mean / dz."""
        return self.sign * np.exp(self.log_slope(z) - self.log_mean(z))

    def down(self, z):
        """−d log rest / dz, of a proportion."""
        return np.exp(self.log_slope(z) - self.log_rest(z))

    def turn(self, z):
        """d log |up| / dz."""
        return self.bend(z) - self.up(z)

    def up_slope(self, z):
        """The terms of d² log mean / dz²."""
        return self.up(z) * self.bend(z), -self.up(z) ** 2

    def down_slope(self, z):
        """The terms of −d² log rest / dz², of a proportion."""
        return self.down(z) * self.bend(z), self.down(z) ** 2


class Identity(MeanLink):
    """mean = z."""

    def mean(self, z):
        """The mean."""
        return z

    def log_mean(self, z):
        """The logarithm of the mean."""
        return np.log(z)

    def log_slope(self, z):
        """The logarithm of |dmean/dz|."""
        return 0 * z

    def bend(self, z):
        """d log |dmean/dz| / dz."""
        return 0 * z


class Log(MeanLink):
    """mean = exp(z)."""

    def log_mean(self, z):
        """The logarithm of the mean."""
        return z

    def log_slope(self, z):
        """The logarithm of |dmean/dz|."""
        return z

    def bend(self, z):
        """d log |dmean/dz| / dz."""
        return 0 * z + 1

    def turn(self, z):
        """d log up / dz."""
        return 0 * z


class Sqrt(MeanLink):
    """mean = z², for z > 0."""

    def mean(self, z):
        """The mean."""
        return z**2

    def log_mean(self, z):
        """The logarithm of the mean."""
        return 2 * np.log(z)

    def log_slope(self, z):
        """The logarithm of |dmean/dz|."""
        return np.log(2 * z)

    def bend(self, z):
        """d log |dmean/dz| / dz."""
        return 1 / z


class Canonical(MeanLink):
    """mean = −1 / z, for z < 0."""

    def mean(self, z):
        """The mean."""
        return -1 / z

    def log_mean(self, z):
        """The logarithm of the mean."""
        return -np.log(-z)

    def log_slope(self, z):
        """The logarithm of |dmean/dz|."""
        return -2 * np.log(-z)

    def bend(self, z):
        """d log |dmean/dz| / dz."""
        return -2 / z


class Logit(MeanLink):
    """mean = 1 / (1 + exp(−z)), from t = exp(−|z|): no digits are lost in either tail."""

    def mean(self, z):
        """The mean."""
        t = np.exp(-np.abs(z))
        return np.where(z >= 0, 1, t) / (1 + t)

    def rest(self, z):
        """1 − mean."""
        return self.mean(-z)

    def log_mean(self, z):
        """The logarithm of the mean."""
        return np.minimum(z, 0) - np.log1p(np.exp(-np.abs(z)))

    def log_rest(self, z):
        """The logarithm of 1 − mean."""
        return self.log_mean(-z)

    def log_slope(self, z):
        """The logarithm of |dmean/dz|."""
        return self.log_mean(z) + self.log_mean(-z)

    def bend(self, z):
        """d log |dmean/dz| / dz."""
        return self.mean(-z) - self.mean(z)


class Probit(MeanLink):
    """mean = Φ(z), the normal cdf."""

    def mean(self, z):
        """The mean."""
        return ndtr(z)

    def rest(self, z):
        """1 − mean."""
        return self.mean(-z)

    def log_mean(self, z):
        """The logarithm of the mean."""
        return log_ndtr(z)

    def log_rest(self, z):
        """The logarithm of 1 − mean."""
        return log_ndtr(-z)

    def log_slope(self, z):
        """The logarithm of |dmean/dz|."""
        return -(z**2) / 2 - HALF_LOG_2PI

    def bend(self, z):
        """d log |dmean/dz| / dz."""
        return -z

    def up(self, z):
        """d log mean / dz: the inverse Mills ratio."""
        return mills(z)

    def down(self, z):
        """−d log rest / dz."""
        return mills(-z)


class Cloglog(MeanLink):
    """mean = 1 − exp(−x) with x = exp(z)."""

    def mean(self, z):
        """The mean."""
        return -np.expm1(-np.exp(z))

    def rest(self, z):
        """1 − mean."""
        return np.exp(-np.exp(z))

    def log_mean(self, z):
        """The logarithm of the mean: z − x/2 where x is tiny, then whichever form keeps its digits (Mächler 2012)."""
        x = np.exp(z)
        near = np.where(z < -37, z - x / 2, np.log(-np.expm1(-x)))
        return np.where(x < math.log(2), near, np.log1p(-np.exp(-x)))

    def log_rest(self, z):
        """The logarithm of 1 − mean."""
        return -np.exp(z)

    def log_slope(self, z):
        """The logarithm of |dmean/dz|."""
        return z - np.exp(z)

    def bend(self, z):
        """d log |dmean/dz| / dz."""
        return 1 - np.exp(z)

    def up(self, z):
        """d log mean / dz = x / expm1(x), without 0/0 and ∞/∞ in the tails."""
        x = np.exp(z)
        return np.where(
            z < -37, 1 - x / 2, np.where(x > 700, x * np.exp(-x), x / np.expm1(np.where(x > 700, 0 * x + 1, x)))
        )

    def down(self, z):
        """−d log rest / dz."""
        return np.exp(z)

    def up_slope(self, z):
        """d² log mean / dz² = up (1 − x − up), which cancels left of 0: there −x/2 − (x/2 coth(x/2) − 1), by series."""
        x = np.exp(z)
        t = np.where(x < 0.25, x, 0 * x)
        series = t**4 / 720 - t**6 / 30240 + t**8 / 1209600 - t**10 / 47900160 + t**12 * 691 / 1307674368000
        return (times(self.up(z), np.where(x < 0.25, -t / 2 - t**2 / 12 + series, 1 - x - self.up(z))),)

    def down_slope(self, z):
        """−d² log rest / dz²."""
        return (np.exp(z),)


class Loglog(MeanLink):
    """mean = exp(−exp(−z)): Cloglog mirrored."""

    def mean(self, z):
        """The mean."""
        return LINKS["cloglog"].rest(-z)

    def rest(self, z):
        """1 − mean."""
        return LINKS["cloglog"].mean(-z)

    def log_mean(self, z):
        """The logarithm of the mean."""
        return LINKS["cloglog"].log_rest(-z)

    def log_rest(self, z):
        """The logarithm of 1 − mean."""
        return LINKS["cloglog"].log_mean(-z)

    def up(self, z):
        """d log mean / dz."""
        return LINKS["cloglog"].down(-z)

    def down(self, z):
        """−d log rest / dz."""
        return LINKS["cloglog"].up(-z)

    def up_slope(self, z):
        """d² log mean / dz²."""
        return tuple(-term for term in LINKS["cloglog"].down_slope(-z))

    def down_slope(self, z):
        """−d² log rest / dz²."""
        return tuple(-term for term in LINKS["cloglog"].up_slope(-z))


class Cauchit(MeanLink):
    """mean = 1/2 + arctan(z) / π; left of −1 it is arctan(−1/z) / π, which does not cancel."""

    def _pi(self, z):
        return 4 * np.arctan(0 * z + 1) if z.dtype == object else math.pi  # with as many digits as z has

    def mean(self, z):
        """The mean."""
        pi = self._pi(z)
        return np.where(z < -1, np.arctan(-1 / np.where(z < -1, z, 0 * z - 1)), pi / 2 + np.arctan(z)) / pi

    def rest(self, z):
        """1 − mean."""
        return self.mean(-z)

    def log_mean(self, z):
        """The logarithm of the mean."""
        return np.where(z < 0, np.log(self.mean(z)), np.log1p(-self.rest(z)))

    def log_rest(self, z):
        """The logarithm of 1 − mean."""
        return self.log_mean(-z)

    def log_slope(self, z):
        """The logarithm of |dmean/dz|."""
        return -np.log(self._pi(z)) - np.log1p(z**2)

    def bend(self, z):
        """d log |dmean/dz| / dz."""
        return -2 * z / (1 + z**2)


class SoftplusMean(MeanLink):
    """mean = log(1 + exp(z))."""

    def mean(self, z):
        """The mean."""
        return SCALE_LINKS["softplus"].value(z)

    def log_mean(self, z):
        """The logarithm of the mean."""
        return SCALE_LINKS["softplus"].log(z)

    def log_slope(self, z):
        """The logarithm of |dmean/dz|."""
        return LINKS["logit"].log_mean(z)

    def bend(self, z):
        """d log |dmean/dz| / dz."""
        return LINKS["logit"].rest(z)

    def turn(self, z):
        """d log up / dz."""
        return SCALE_LINKS["softplus"].bend(z) / SCALE_LINKS["softplus"].slope(z)


class ReciprocalSoftplus(MeanLink):
    """mean = 1 / log(1 + exp(z)): positive and decreasing."""

    sign = -1

    def mean(self, z):
        """The mean."""
        return 1 / SCALE_LINKS["softplus"].value(z)

    def log_mean(self, z):
        """The logarithm of the mean."""
        return -SCALE_LINKS["softplus"].log(z)

    def log_slope(self, z):
        """The logarithm of |dmean/dz|."""
        return LINKS["logit"].log_mean(z) - 2 * SCALE_LINKS["softplus"].log(z)

    def bend(self, z):
        """d log |dmean/dz| / dz."""
        return LINKS["logit"].rest(z) - 2 * SCALE_LINKS["softplus"].slope(z)

    def turn(self, z):
        """d log |up| / dz."""
        return LINKS["softplus"].turn(z)


LINKS = {
    "identity": Identity(),
    "log": Log(),
    "sqrt": Sqrt(),
    "canonical": Canonical(),
    "logit": Logit(),
    "probit": Probit(),
    "cloglog": Cloglog(),
    "loglog": Loglog(),
    "cauchit": Cauchit(),
    "softplus": SoftplusMean(),
    "reciprocal_softplus": ReciprocalSoftplus(),
}


# ---- links of scales: h, log h, slope = h' / h and bend, the derivative of the slope ----


class Softplus:
    """h(z) = log(1 + exp(z)). Far below 0 it is t = exp(z), and log h is z − t/2, where h itself underflows."""

    tail = -37.0  # t is below half an ulp of 1 there, in float64

    def value(self, z):
        """The scale."""
        return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))

    def log(self, z):
        """The logarithm of the scale."""
        return self._tailed(z, z - np.exp(z) / 2, lambda near: np.log(self.value(near)))

    def slope(self, z):
        """The derivative of log h: sigmoid(z) / h(z)."""
        return self._tailed(z, 1 - np.exp(z) / 2, lambda near: LINKS["logit"].mean(near) / self.value(near))

    def bend(self, z):
        """The second derivative of log h: slope (1 − sigmoid(z) − slope) = slope (h − t) / ((1 + t) h).

        The difference h − t cancels for small t: there it is its series, −t²/2 + t³/3 − ..., divided by t.
        """
        left = np.where(z < -1, z, 0 * z - 1)
        t = np.exp(left)
        series = sum((-1) ** (k + 1) * t ** (k - 1) / k for k in range(44, 1, -1))
        difference = self._tailed(left, -t / 2, lambda near: series / ((1 + t) * self.value(near) / t))
        return self.slope(z) * np.where(z < -1, difference, LINKS["logit"].rest(z) - self.slope(z))

    def _tailed(self, z, tail, formula):
        far = z < self.tail
        return np.where(far, tail, formula(np.where(far, 0 * z, z)))


class Exponential:
    """h(z) = exp(a z): a = 1, or 1/2 where the logit is the logarithm of the variance."""

    def __init__(self, a):
        self.a = a

    def value(self, z):
        """The scale."""
        return np.exp(self.a * z)

    def log(self, z):
        """The logarithm of the scale."""
        return self.a * z

    def slope(self, z):
        """The derivative of log h."""
        return 0 * z + self.a

    def bend(self, z):
        """The second derivative of log h."""
        return 0 * z


class Squareplus:
    """h(z) = (z + sqrt(z² + 4)) / 2, which left of 0 is 2 / (sqrt(z² + 4) − z)."""

    def value(self, z):
        """The scale."""
        big = (np.abs(z) + np.sqrt(z**2 + 4)) / 2
        return np.where(z < 0, 1 / big, big)

    def log(self, z):
        """The logarithm of the scale."""
        big = np.log((np.abs(z) + np.sqrt(z**2 + 4)) / 2)
        return np.where(z < 0, -big, big)

    def slope(self, z):
        """The derivative of log h."""
        return 1 / np.sqrt(z**2 + 4)

    def bend(self, z):
        """The second derivative of log h."""
        return -z * self.slope(z) ** 3


SCALE_LINKS = {"softplus": Softplus(), "exp": Exponential(1), "squareplus": Squareplus(), "logvar": Exponential(0.5)}

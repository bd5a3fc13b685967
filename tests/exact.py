"""Numbers of many digits inside NumPy object arrays: the reference's formulas, evaluated in them, are the exact answer.

NumPy's elementary functions call a method of the same name on each object, so ``np.exp`` of such an array works.
"""

import functools

import mpmath
import numpy as np

DIGITS = 90  # 45 lose a gradient of 1e-38 beside terms of 1
mp = mpmath.mp.clone()
mp.dps = DIGITS


def _value(x):
    return x.value if isinstance(x, Exact) else mp.mpf(float(x)) if isinstance(x, np.floating) else mp.mpf(x)


def _binary(operation):
    def method(self, other):
        return Exact(operation(self.value, _value(other)))

    return method


def _reflected(operation):
    def method(self, other):
        return Exact(operation(_value(other), self.value))

    return method


def _unary(name):
    def method(self):
        return Exact(getattr(mp, name)(self.value))

    return method


def _divided(a, b):
    if b == 0:  # as IEEE arithmetic has it
        return mp.nan if a == 0 or mp.isnan(a) else mp.sign(a) * mp.inf
    return a / b


@functools.cache
def _log_tweedie_sum(y, p, f):
    """log Σ z^j / (j! Γ(b j)) as in the reference; far from 1 every other term, or fewer, are as good."""
    if not y > 0:
        return mp.mpf(0)
    b, peak = (2 - p) / (p - 1), y ** (2 - p) / (f * (2 - p))
    log_z = b * mp.log(y / (p - 1)) - (1 + b) * mp.log(f) - mp.log(2 - p)
    reach = 13 * mp.sqrt(peak / (1 + b)) + 50
    step = max(1, int(reach / 150))
    terms = (
        log_z * j - mp.loggamma(j + 1) - mp.loggamma(b * j)
        for j in range(max(1, int(peak - reach)), int(peak + reach) + 1, step)
    )
    return mp.log(step * mp.fsum(mp.exp(term) for term in terms))


def _late_information(r, x):
    """What the series in `concentration_information` adds up to, as the integral over t of its terms as Beta functions,
    r² ∫ (1 − t)^(r − 1) (−log(1 − q t) − q t) / t from 0 to 1, by s = −log(1 − t): where q is nearly 1 it is quicker.
    Nothing cancels, so fewer digits will do: two more of them change the fiftieth."""
    with mp.workdps(50):
        q, turn = x / (1 + x), mp.log(x)

        def over_s(s):
            t = -mp.expm1(-s)
            return mp.exp(-r * s) * (-mp.log1p(-q * t) - q * t) / t if t else mp.mpf(0)

        return r**2 * mp.quad(over_s, [0, 1, turn, turn + 10, turn + 40, mp.inf])


class Exact:
    """One number."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    __add__, __radd__ = _binary(lambda a, b: a + b), _reflected(lambda a, b: a + b)
    __sub__, __rsub__ = _binary(lambda a, b: a - b), _reflected(lambda a, b: a - b)
    __mul__, __rmul__ = _binary(lambda a, b: a * b), _reflected(lambda a, b: a * b)
    __truediv__, __rtruediv__ = _binary(_divided), _reflected(_divided)
    __pow__ = _binary(lambda a, b: a**b)
    exp, log, log1p, expm1, sqrt = _unary("exp"), _unary("log"), _unary("log1p"), _unary("expm1"), _unary("sqrt")
    tanh, floor, sign, lgamma = (
        _unary("tanh"),
        _unary("floor"),
        _unary("sign"),
        _unary("loggamma"),
    )
    erfc, arctan, sin, cos = _unary("erfc"), _unary("atan"), _unary("sin"), _unary("cos")

    def ndtr(self):
        return Exact(mp.erfc(-self.value / mp.sqrt(2)) / 2)

    def log_ndtr(self):
        return Exact(mp.log1p(-(-self).ndtr().value) if self.value > 0 else mp.log(self.ndtr().value))

    def mills(self):
        return Exact(mp.npdf(self.value) / self.ndtr().value)

    def log1pmx(self):
        x = self.value
        return Exact(mp.log1p(x) - x if abs(x) > 1e-15 else -(x**2) / 2 + x**3 / 3 - x**4 / 4)

    def lgamma_excess(self):
        k = self.value
        if k < mp.mpf(10) ** 20:
            return Exact(mp.loggamma(k) - k * mp.log(k) + k)
        return Exact(mp.log(2 * mp.pi / k) / 2 + 1 / (12 * k))

    def digamma_excess(self):
        k = self.value
        return Exact(k * (mp.psi(0, k) - mp.log(k)) if k < mp.mpf(10) ** 20 else -mp.mpf(1) / 2 - 1 / (12 * k))

    def trigamma_excess(self):
        k = self.value
        return Exact(k**2 * mp.psi(1, k) - k if k < mp.mpf(10) ** 20 else mp.mpf(1) / 2 + 1 / (6 * k))

    def _halves(self, h, order):
        """The derivatives of log Γ(h + 1/2) − log Γ(h) − log(h) / 2, from its asymptotic series."""
        terms = (mp.mpf(-1) / 8, mp.mpf(1) / 192, mp.mpf(-1) / 640, mp.mpf(17) / 14336, mp.mpf(-31) / 18432)
        return sum(c * mp.rf(2 * k + 1, order) * (-1) ** order / h ** (2 * k + 1 + order) for k, c in enumerate(terms))

    def lgamma_bend(self):
        x = self.value
        if x < mp.mpf(10) ** -10:
            return Exact(sum(mp.zeta(n) * (2**n - 2) * (-x) ** n / n for n in range(2, 7)))
        return Exact(mp.loggamma(1 + 2 * x) - 2 * mp.loggamma(1 + x))

    def half_rise(self):
        h = self.value
        if h > mp.mpf(10) ** 5:
            return Exact(self._halves(h, 0))
        return Exact(mp.loggamma(h + 0.5) - mp.loggamma(h) - mp.log(h) / 2)

    def half_climb(self):
        h = self.value
        if h > mp.mpf(10) ** 5:
            return Exact(h * self._halves(h, 1))
        return Exact(h * (mp.psi(0, h + 0.5) - mp.psi(0, h)) - 0.5)

    def half_bend(self):
        h = self.value
        if h > mp.mpf(10) ** 5:
            return Exact(-(h**2) * self._halves(h, 2))
        return Exact(h**2 * (mp.psi(1, h) - mp.psi(1, h + 0.5)) - 0.5)

    def _power_sums(self, r):
        """Σ (j / r), Σ (j / r)², Σ (j / r)³ over j < y where j / r is tiny; else None."""
        y, r = self.value, _value(r)
        small = y < r * mp.mpf(10) ** -15
        if not small:
            return None
        return y * (y - 1) / (2 * r), (y - 1) * y * (2 * y - 1) / (6 * r**2), (y * (y - 1) / 2) ** 2 / r**3

    @property
    def _steps(self):
        """The whole numbers below this one, if they are few: then sums over them cancel nothing."""
        return range(int(self.value)) if self.value <= 300 and self.value == mp.floor(self.value) else None

    def log_rising(self, r):
        sums, r = self._power_sums(r), _value(r)
        if self._steps is not None:
            return Exact(mp.fsum(mp.log1p(j / r) for j in self._steps))
        if sums:
            return Exact(sums[0] - sums[1] / 2 + sums[2] / 3)
        return Exact(mp.loggamma(self.value + r) - mp.loggamma(r) - self.value * mp.log(r))

    def harmonic_excess(self, r):
        sums, r = self._power_sums(r), _value(r)
        if self._steps is not None:
            return Exact(mp.fsum(j / (r + j) for j in self._steps))
        if sums:
            return Exact(sums[0] - sums[1] + sums[2])
        return Exact(self.value - r * (mp.psi(0, self.value + r) - mp.psi(0, r)))

    def trigamma_drop(self, r):
        sums, r = self._power_sums(r), _value(r)
        if self._steps is not None:
            return Exact(mp.fsum((r / (r + j)) ** 2 for j in self._steps))
        if sums:
            return Exact(self.value - 2 * sums[0] + 3 * sums[1] - 4 * sums[2])
        return Exact(r**2 * (mp.psi(1, r) - mp.psi(1, self.value + r)))

    def concentration_information(self, x):
        r, x = self.value, _value(x)
        p, q = 1 / (1 + x), x / (1 + x)
        if p < mp.mpf(10) ** -8 and r < mp.mpf(10) ** -20:  # the first terms in p
            return Exact(r * (mp.log(1 / p) - 1))
        if p < mp.mpf(10) ** -8:
            return Exact(self.trigamma_excess().value - (mp.pi * r / mp.sin(mp.pi * r) * p**r if r < 0.9 else 0))
        return Exact(r * q**2 / (2 * (r + 1)) * mp.hyp3f2(1, 2, 2, r + 2, 3, q) if x < 100 else _late_information(r, x))

    def log_tweedie_sum(self, p, f):
        return Exact(_log_tweedie_sum(self.value, _value(p), _value(f)))

    def bernoulli_ratio(self):
        x = self.value
        return Exact(x / mp.expm1(x) if 0 < x < mp.inf else mp.mpf(x == 0))

    def bernoulli_excess(self):
        x = self.value
        return Exact(x + x / mp.expm1(x) - 1 if x > mp.mpf(10) ** -10 else x / 2 + x**2 / 12 - x**4 / 720)

    def digamma(self):
        return Exact(mp.psi(0, self.value))

    def trigamma(self):
        return Exact(mp.psi(1, self.value))

    def __neg__(self):
        return Exact(-self.value)

    def __abs__(self):
        return Exact(abs(self.value))

    def __lt__(self, other):
        return self.value < _value(other)

    def __le__(self, other):
        return self.value <= _value(other)

    def __gt__(self, other):
        return self.value > _value(other)

    def __ge__(self, other):
        return self.value >= _value(other)

    def __eq__(self, other):
        return self.value == _value(other)

    __hash__ = None

    def __float__(self):
        return float(self.value)

    def __repr__(self):
        return f"Exact({mp.nstr(self.value, 20)})"


def exact(x):
    """An array of floats as an object array of exact numbers."""
    return np.frompyfunc(lambda v: Exact(mp.mpf(float(v))), 1, 1)(np.asarray(x, float)).astype(object)


def as_floats(x):
    """Exact numbers rounded to float64, to infinity where they are too large for it."""
    with np.errstate(over="ignore"):
        return np.frompyfunc(float, 1, 1)(x).astype(float)


def ulps(got, want, *sizes):
    """|got − want| in units in the last place of ``want``, then of each of ``sizes``, in the dtype of ``got``; a list.

    Below the smallest normal number the unit is that number: intermediate results may have underflowed. A result that
    rounds to infinity may be infinite or the largest number; NaN equals NaN.
    """
    info = np.finfo(got.dtype)
    exactly, given = as_floats(want), got.astype(float)
    error = np.frompyfunc(lambda g, w: float(abs(mp.mpf(g) - _value(w))), 2, 1)(given, want).astype(float)
    largest = float(info.max)
    far = np.abs(exactly) > largest * (1 - 2.0**-info.nmant)
    fine = np.isnan(given) & np.isnan(exactly) | far & (np.abs(given) >= largest) & (np.sign(given) == np.sign(exactly))
    results = []
    for size in (exactly, *map(as_floats, sizes)):
        exponent = np.frexp(np.where(np.isfinite(size), size, largest))[1]
        unit = np.maximum(np.ldexp(1.0, exponent - 1 - info.nmant), float(info.tiny))
        results.append(np.where(fine, 0, np.where(np.isfinite(error), error, np.inf) / unit))
    return results

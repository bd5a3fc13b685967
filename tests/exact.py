"""Numbers of many digits inside NumPy object arrays: the reference's formulas, evaluated in them, are the exact answer.

NumPy's elementary functions call a method of the same name on each object, so ``np.exp`` of such an array works.
"""

import mpmath
import numpy as np

DIGITS = 60
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
    tanh, floor, sign, lgamma, digamma = (
        _unary("tanh"),
        _unary("floor"),
        _unary("sign"),
        _unary("loggamma"),
        _unary("psi0"),
    )
    erfc, arctan, sin, cos = _unary("erfc"), _unary("atan"), _unary("sin"), _unary("cos")

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


def ulps(got, want, size=None):
    """|got − want| in units in the last place of ``want`` (or of ``size``), in the dtype of ``got``; elementwise.

    Below the smallest normal number the unit is that number: intermediate results may have underflowed.
    """
    info = np.finfo(got.dtype)
    largest, smallest = mp.mpf(float(info.max)), mp.mpf(float(info.tiny))
    digits = info.nmant

    def one(g, w, s):
        g, w, s = mp.mpf(float(g)), _value(w), abs(_value(s))
        if mp.isnan(w) or mp.isnan(g):
            return 0.0 if mp.isnan(w) == mp.isnan(g) else np.inf
        if abs(w) > largest:  # rounds to infinity
            return 0.0 if mp.isinf(g) and mp.sign(g) == mp.sign(w) or g == mp.sign(w) * largest else np.inf
        if mp.isinf(g):
            return 0.0 if abs(w) > largest * (1 - mp.mpf(2) ** (-digits)) else np.inf
        if s == 0:
            return 0.0 if g == w else float(abs(g - w) / smallest)
        unit = max(mp.mpf(2) ** (mp.floor(mp.log(s, 2)) - digits), smallest) if not mp.isinf(s) else mp.inf
        return float(abs(g - w) / unit)

    return np.frompyfunc(one, 3, 1)(got, want, want if size is None else size).astype(float)

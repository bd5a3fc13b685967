"""Elementary functions that NumPy lacks, for the reference.

They take arrays of floats or of any other number type, of which they call the method of their name: tests evaluate the
formulas of the reference in numbers of many digits.
"""

import math

import numpy as np

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
SQRT_2 = math.sqrt(2)
BERNOULLI_NUMBERS = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)  # B2, B4, ...


def times(a, b):
    """The product a b, where 0 · inf is 0, as measure theory has it."""
    with np.errstate(invalid="ignore"):
        return np.where((a == 0) & (b == b) | (b == 0) & (a == a), 0, a * b)


def _elementwise(function):
    """A function of floats as one of arrays; of other number types it is their method of that name."""
    name, inputs = function.__name__.strip("_"), function.__code__.co_argcount
    of_object = np.frompyfunc(lambda first, *others: getattr(first, name)(*others), inputs, 1)
    of_float = np.frompyfunc(function, inputs, 1)

    def apply(*arrays):
        if any(array.dtype == object for array in arrays):
            return of_object(*arrays)
        return of_float(*(np.asarray(array, float) for array in arrays)).astype(arrays[0].dtype)

    apply.__name__, apply.__doc__ = name, function.__doc__
    return apply


# ---- the gamma function and sums that are differences of its logarithm ----


def _lgamma(x):
    """log Γ(x)."""
    return math.lgamma(x) if x > 0 else math.inf if x == 0 else math.nan


def _digamma(x):
    """ψ(x) = d log Γ(x) / dx, x > 0: recurrence up to 10, then its asymptotic series (Abramowitz & Stegun 6.3.18)."""
    if not 0 < x < math.inf:
        return -math.inf if x == 0 else x
    total = 0.0
    while x < 10:
        total, x = total - 1 / x, x + 1
    series = sum(b / (2 * k * x ** (2 * k)) for k, b in enumerate(BERNOULLI_NUMBERS, 1))
    return total + math.log(x) - 1 / (2 * x) - series


def _trigamma(x):
    """ψ'(x), for x > 0: recurrence up to 10, then its asymptotic series (Abramowitz & Stegun 6.4.12)."""
    if not 0 < x < math.inf:
        return math.inf if x == 0 else 1 / x
    total = 0.0
    while x < 10:
        total, x = total + 1 / x**2, x + 1
    return total + 1 / x + 1 / (2 * x**2) + sum(b / x ** (2 * k + 1) for k, b in enumerate(BERNOULLI_NUMBERS, 1))


def _lgamma_excess(k):
    """log Γ(k) − k log k + k; from k = 1 by recurrence to m >= 10, then Stirling's series (Abramowitz & Stegun 6.1.40).

    A step from x to x + 1 takes away (x + 1) log(1 + 1 / x) − 1. With s = 1 / (2 x + 1) the logarithm is 2 artanh s,
    and the step (1 + s) (1 + s² / 3 + s⁴ / 5 + ...) − 1: nothing cancels.
    """
    if not k > 1:
        return _lgamma(k) - (k * math.log(k) if k > 0 else 0.0) + k
    n = math.ceil(10 - k) if k < 10 else 0
    m = k + n
    steps = []
    for x in (k + j for j in range(n)):
        s = 1 / (2 * x + 1)
        steps.append(s + (1 + s) * sum(s ** (2 * i) / (2 * i + 1) for i in range(20, 0, -1)))
    series = [b / (2 * j * (2 * j - 1) * m ** (2 * j - 1)) for j, b in enumerate(BERNOULLI_NUMBERS, 1)]
    return math.fsum([HALF_LOG_2PI, -math.log(m) / 2, *series, *steps])


def _digamma_excess(k):
    """k (ψ(k) − log k), by recurrence to m >= 20: ψ(m) − log k = log(1 + (m − k) / k) − 1 / (2 m) − ..."""
    if not 0 < k < math.inf:
        return -1.0 if k == 0 else -0.5 if k > 0 else k
    n = max(0, math.ceil(20 - k))
    m = k + n
    series = [-k * b / (2 * j * m ** (2 * j)) for j, b in enumerate(BERNOULLI_NUMBERS, 1)]
    return math.fsum([k * math.log1p(n / k), -k / (2 * m), *series, *(-k / (k + j) for j in range(n))])


def _trigamma_excess(k):
    """k² ψ'(k) − k, the Fisher information of the logarithm of a Gamma's shape, by recurrence to m >= 20."""
    if not 1e-100 < k < math.inf:
        return 1.0 if k <= 1e-100 else 0.5 if k > 0 else k
    n = max(0, math.ceil(20 - k))
    m = k + n
    series = [k * (k / m) * b / m ** (2 * j) for j, b in enumerate(BERNOULLI_NUMBERS, 1)]
    return math.fsum([-k * n / m, (k / m) ** 2 / 2, *series, *((k / (k + j)) ** 2 for j in range(n))])


# log Γ(h + 1/2) − log Γ(h) − log(h) / 2 in powers of h^(1 − 2n): −1/8, 1/192, ...
_HALVES = [-(1 - 4.0**-n) * b / (n * (2 * n - 1)) for n, b in enumerate(BERNOULLI_NUMBERS, 1)]


def _half_rise(h):
    """log Γ(h + 1/2) − log Γ(h) − log(h) / 2: recurrence up to 30, then its asymptotic series."""
    total = 0.0
    while 0 < h < 30:
        total, h = total + math.log(h / (h + 0.5) * ((h + 1) / (h + 0.5))) / 2, h + 1
    return total + sum(c / h ** (2 * k + 1) for k, c in enumerate(_HALVES)) if h else -math.inf


def _half_climb(h):
    """h (ψ(h + 1/2) − ψ(h)) − 1/2."""
    total, at = 0.0, h
    while 0 < at < 30:
        total, at = total + 0.5 / (at * (at + 1) * (2 * at + 1)), at + 1
    series = sum(-(2 * k + 1) * c / at ** (2 * k + 1) for k, c in enumerate(_HALVES)) if h else 0.0
    return h * total + h / at * series if 0 < h < math.inf else 0.5 if h == 0 else 0 / h


def _half_bend(h):
    """h² (ψ'(h) − ψ'(h + 1/2)) − 1/2."""
    total, at = 0.0, h
    while 0 < at < 30:
        c = (at + 0.5) ** 2
        total, at = total + (1.5 * c - 0.125) / (2 * c * (at * (at + 1)) ** 2), at + 1
    series = sum(-(2 * k + 1) * (2 * k + 2) * c / at ** (2 * k + 1) for k, c in enumerate(_HALVES)) if h else 0.0
    return h**2 * total + (h / at) ** 2 * series if 1e-100 < h < math.inf else 0.5 if h < 1 else 0 / h


def _zeta(n):
    """ζ(n) for whole n > 1: 60 terms, and the rest by Euler and Maclaurin's formula."""
    rest = 60.0**-n * (60 / (n - 1) + 1 / 2 + n / 720 - n * (n + 1) * (n + 2) / (720 * 60.0**3))
    rest += 60.0 ** (-n - 5) * n * (n + 1) * (n + 2) * (n + 3) * (n + 4) / 30240
    return math.fsum([rest, *(k**-n for k in range(1, 60))])


_BENDS = [(2**n - 2) / n * (-1) ** n * _zeta(n) for n in range(2, 25)]


def _lgamma_bend(x):
    """log Γ(1 + 2 x) − 2 log Γ(1 + x); for small x its series, Σ ζ(n) (2ⁿ − 2) (−x)ⁿ / n (A. & S. 6.1.33)."""
    if not x < 0.1:
        return _lgamma(1 + 2 * x) - 2 * _lgamma(1 + x) if x < math.inf else x
    return sum(c * x**n for n, c in enumerate(_BENDS, 2))


def _log_rising(y, r):
    """log (Γ(y + r) / (Γ(r) r^y)): for whole y the sum of log(1 + j / r) over j < y."""
    if not y <= 1e4:
        return math.lgamma(y + r) - math.lgamma(r) - y * math.log(r)
    return np.log1p(np.arange(y) / r).sum() if r > 0 else math.lgamma(max(y, 1)) if y < 2 else math.inf


def _harmonic_excess(y, r):
    """y − r (ψ(y + r) − ψ(r)): for whole y the sum of j / (r + j) over j < y."""
    if not y <= 1e4:
        return y - r * (_digamma(y + r) - _digamma(r))
    j = np.arange(1, max(y, 1))
    return (j / (r + j)).sum()


def _trigamma_drop(y, r):
    """r² (ψ'(r) − ψ'(y + r)): for whole y the sum of r² / (r + j)² over j < y."""
    if not y <= 1e4:
        return r**2 * (_trigamma(r) - _trigamma(y + r))
    return (y > 0) + ((r / (r + np.arange(1, max(y, 1)))) ** 2).sum()


def _concentration_information(r, x):
    """r times the sum of (n − 1)! qⁿ / (n (r + 1) ... (r + n − 1)) over n > 1: see NegativeBinomial.

    with q = x / (1 + x), x = mean / r. Terms from N on go like n^(−1−r) qⁿ; their sum is half the first plus an
    integral, by Gauss and Legendre's rule.
    """
    if not 0 < r < math.inf or not 0 < x:
        return math.nan if r != r or x != x else 0.0
    count, q = 3000, 1 / (1 + 1 / x)
    n = np.arange(2, count)
    terms = q**2 * r / (r + 1) * np.cumprod(np.concatenate([[1.0], q * n / (r + n)]))
    z = count * math.log1p(1 / x)
    half = min(math.log1p(36 / z) if z > 0 else math.inf, 36 / r) / 2
    u = half * (1 + _NODES)
    integral = half * (np.exp(-r * u - z * np.expm1(u)) @ _WEIGHTS)
    return (terms[:-1] / n).sum() + terms[-1] * (integral + 0.5 / count)


def _bernoulli_ratio(x):
    """x / (exp(x) − 1)."""
    return 1.0 if x == 0 else 0.0 if x > 1e3 else x / math.expm1(x) if not x > 700 else x * math.exp(-x)


def _bernoulli_excess(x):
    """x + x / (exp(x) − 1) − 1; near 0 the series whose coefficients gave the Bernoulli numbers their name."""
    if not x < 0.5:
        return x + (_bernoulli_ratio(x) - 1)
    return x / 2 + sum(b * x ** (2 * k) / math.factorial(2 * k) for k, b in enumerate(BERNOULLI_NUMBERS, 1))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)

def _log_tweedie_sum(y, p, f):
    """log Σ W_j, the series of a Tweedie density at y > 0: W_j = z^j / (j! Γ(b j)) with b = (2 − p) / (p − 1) and
    z = (y / (p − 1))^b / (f^(1 + b) (2 − p)); its terms lie about y^(2−p) / (f (2−p)). Dunn & Smyth (2005).
    """
    if not 0 < y < math.inf:
        return 0.0
    b, peak = (2 - p) / (p - 1), y ** (2 - p) / (f * (2 - p))
    log_z = b * math.log(y / (p - 1)) - (1 + b) * math.log(f) - math.log(2 - p)
    reach = 12 * math.sqrt(peak / (1 + b)) + 40
    step = max(1, int(reach / 100))  # far from 1 a sum over every other term, or fewer, is as good: it is an integral
    j = np.arange(max(1, int(peak - reach)), peak + reach, step)
    terms = [log_z * k - math.lgamma(k + 1) - math.lgamma(b * k) for k in j.tolist()]
    top = max(terms)
    return top + math.log(step * math.fsum(math.exp(term - top) for term in terms))


lgamma, digamma, trigamma = _elementwise(_lgamma), _elementwise(_digamma), _elementwise(_trigamma)
lgamma_excess, digamma_excess = _elementwise(_lgamma_excess), _elementwise(_digamma_excess)
trigamma_excess = _elementwise(_trigamma_excess)
lgamma_bend = _elementwise(_lgamma_bend)
half_rise, half_climb, half_bend = _elementwise(_half_rise), _elementwise(_half_climb), _elementwise(_half_bend)
log_rising, harmonic_excess = _elementwise(_log_rising), _elementwise(_harmonic_excess)
log_tweedie_sum = _elementwise(_log_tweedie_sum)
bernoulli_ratio, bernoulli_excess = _elementwise(_bernoulli_ratio), _elementwise(_bernoulli_excess)
trigamma_drop, concentration_information = _elementwise(_trigamma_drop), _elementwise(_concentration_information)


def log_factorial(y):
    """log y!, by table for the usual counts."""
    if y.dtype != object and np.all((y < 256) & (y == np.floor(y))):
        return _LOG_FACTORIALS[y.astype(int)].astype(y.dtype)
    return lgamma(y + 1)


_LOG_FACTORIALS = np.array([math.lgamma(k + 1) for k in range(256)])


def _log1pmx(x):
    """log(1 + x) − x, without cancellation near 0."""
    if abs(x) > 0.1:
        return math.log1p(x) - x
    return sum((-1) ** (k + 1) * x**k / k for k in range(20, 1, -1))


log1pmx = _elementwise(_log1pmx)


# ---- the normal distribution ----


def _tail_ratio(x):
    """(1 − Φ(x)) / φ(x), x > 3: the continued fraction 1 / (x + 1 / (x + 2 / ...)) (Abramowitz & Stegun 26.2.14)."""
    f = x
    for k in range(80, 0, -1):
        f = x + k / f
    return 1 / f


def _density(z):
    """φ(z), with z² in two parts: its rounding error is a relative error of the exponential."""
    if abs(z) > 40:
        return 0.0 if z == z else z
    high = math.ldexp(round(math.ldexp(z, 20)), -20)
    return math.exp(-high * high / 2) * math.exp(-(z - high) * (z + high) / 2 - HALF_LOG_2PI)


def _ndtr(z):
    """Φ(z), the normal cdf."""
    return math.erfc(-z / SQRT_2) / 2 if not z < -3 else _density(z) * _tail_ratio(-z)


def _log_ndtr(z):
    """log Φ(z)."""
    if not z < -3:
        return math.log1p(-_ndtr(-z)) if z > 0 else math.log(_ndtr(z))
    return -(z**2) / 2 - HALF_LOG_2PI + math.log(_tail_ratio(-z)) if z > -math.inf else z


def _mills(z):
    """φ(z) / Φ(z), the inverse Mills ratio."""
    return _density(z) / _ndtr(z) if not z < -3 else 1 / _tail_ratio(-z)


ndtr, log_ndtr, mills = _elementwise(_ndtr), _elementwise(_log_ndtr), _elementwise(_mills)

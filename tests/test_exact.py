"""Errors in ULP against the reference's formulas in many digits, on a grid with tails: within the family's bounds."""

from cases import ALL_OUTPUTS, ask, formulas, seeded
import numpy as np
import pytest

from pyscratch import _native

pytest.importorskip("mpmath")
from exact import exact, ulps  # noqa: E402

LOGITS = [0.0, 1e-6, 0.01, 0.3, 0.7, 1.0, 2.5, 5.0, 8.0, 12.0, 17.5, 20.0, 30.0, 38.0, 60.0, 86.0, 110.0, 300.0, 700.0]
TARGETS = [0, 1, 2, 3, 7, 20, 64, 200, 1000, 1e5, -3, -1e-3, 0.5, 0.3, 0.999, 1e-5, 0.9, 17.25, -250.5]
POINTS = 200


def grid(loss, dtype):
    """Rows of one output: logits from a log-spaced grid and targets of the support."""
    rng = seeded(loss.name, "grid")
    width = loss.width(3) if loss.target == _native.LABELS else loss.width()
    values = np.array([sign * z for z in LOGITS for sign in (1, -1)], dtype)
    z = rng.choice(values, (POINTS, width))
    z[: POINTS // 2] = rng.normal(0, 2, (POINTS // 2, width))
    first = z[:, :1]
    first[...] = np.where((first > loss.domain[0]) & (first < loss.domain[1]), first, -first)
    inside = ((first > loss.domain[0]) & (first < loss.domain[1]))[:, 0]
    if loss.target == _native.LABELS:
        return z, rng.integers(0, width, POINTS)
    candidates = np.array(TARGETS, dtype)
    candidates = candidates[loss._supported(candidates, width)]
    columns = loss._y_columns(1)
    return z[inside], rng.choice(candidates, (int(inside.sum()), columns))


@pytest.fixture(scope="module")
def answers():
    """Exact answers by example and number type: they are shared by the instruction sets."""
    return {}


@pytest.mark.parametrize("wanted", ALL_OUTPUTS)
def test_errors_in_ulp(pair, example, dtype, isa, wanted, answers):
    loss, twin = pair
    key = (repr(loss), dtype, wanted)
    z, y = grid(loss, dtype)
    if key not in answers:
        answers[key] = formulas(twin, z, y, wanted, exact)
    want, size = answers[key]
    got = ask(loss, z, y, wanted)
    want, size = want.reshape(got.shape), size.reshape(got.shape)
    of_result, of_term = loss.ulps.get(wanted, (4, 4))
    error, relative = ulps(got, want, size)
    stated = loss.approximate.get(wanted, 0) / np.finfo(dtype).eps
    wrong = (error > max(of_result, stated)) & (relative > of_term)
    worst = np.argmax(np.where(wrong, relative, -1))
    row = np.unravel_index(worst, got.shape)[0]
    if wrong.any():
        pytest.fail(
            f"{int(wrong.sum())} of {wrong.size} {wanted}: worst at z={z[row]} y={y[row]}: {got.ravel()[worst]!r} is "
            f"{error.ravel()[worst]:.1f} ULP off {float(want.ravel()[worst])!r}, {relative.ravel()[worst]:.1f} of its "
            "largest term"
        )

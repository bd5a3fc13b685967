"""Errors in ULP against the reference's formulas in many digits, on a grid with tails: within the family's bounds."""

from cases import ALL_OUTPUTS, ask, formulas, grid
import numpy as np
import pytest

pytest.importorskip("mpmath")
from exact import exact, ulps  # noqa: E402


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
    stated = 2 * loss.approximate.get(wanted, 0) / np.finfo(dtype).eps  # an ULP is between eps / 2 and eps
    wrong = (error > max(of_result, stated)) & (relative > max(of_term, stated))
    worst = np.argmax(np.where(wrong, relative, -1))
    row = np.unravel_index(worst, got.shape)[0]
    if wrong.any():
        pytest.fail(
            f"{int(wrong.sum())} of {wrong.size} {wanted}: worst at z={z[row]} y={y[row]}: {got.ravel()[worst]!r} is "
            f"{error.ravel()[worst]:.1f} ULP off {float(want.ravel()[worst])!r}, {relative.ravel()[worst]:.1f} of its "
            "largest term"
        )

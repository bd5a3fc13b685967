"""Errors in ULP against the reference's formulas in many digits, on a grid with tails: within the family's bounds."""

from cases import ALL_OUTPUTS, ask, formulas, grid
import numpy as np
import pytest

pytest.importorskip("mpmath")
from exact import exact, ulps  # noqa: E402


def worst_beyond(loss, dtype, wanted, got, want, size):
    """Where the error is furthest beyond the family's bounds, and in words how many are and by how much; else None."""
    of_result, of_term = loss.ulps.get(wanted, (4, 4))
    error, relative = ulps(got, want, size)
    stated = 2 * loss.approximate.get(wanted, 0) / np.finfo(dtype).eps  # an ULP is between eps / 2 and eps
    wrong = (error > max(of_result, stated)) & (relative > max(of_term, stated))
    if not wrong.any():
        return None
    worst = np.unravel_index(np.argmax(np.where(wrong, relative, -1)), got.shape)
    return worst[0], (
        f"{int(wrong.sum())} of {wrong.size} {wanted}: the worst, {got[worst]!r}, is {error[worst]:.1f} ULP off "
        f"{float(want[worst])!r}, {relative[worst]:.1f} of its largest term"
    )


@pytest.mark.parametrize("wanted", ALL_OUTPUTS)
def test_errors_in_ulp(pair, dtype, wanted, each_isa):
    """With every instruction set: what takes the time is the exact answer."""
    loss, twin = pair
    z, y = grid(loss, dtype)
    want, size = formulas(twin, z, y, wanted, exact)
    for isa in each_isa():
        got = ask(loss, z, y, wanted)
        beyond = worst_beyond(loss, dtype, wanted, got, want.reshape(got.shape), size.reshape(got.shape))
        if beyond:
            row, told = beyond
            pytest.fail(f"{isa}: {told}, at z={z[row]} y={y[row]}")

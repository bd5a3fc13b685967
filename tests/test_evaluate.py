"""Several quantities in one pass: the same bits as the methods one by one."""

from cases import draw, seeded, widths
import numpy as np
import pytest

import pyscratch as ps
from pyscratch._quantities import NAMES


def one_by_one(loss, z, y, weights, reduction, offset=None):
    """What the methods return."""
    value, grad = loss.nll_and_grad(z, y, weights=weights, offset=offset, reduction=reduction)
    return {
        "nll": value,
        "grad": grad,
        "mean": loss.mean(z, offset=offset),
        "variance": loss.variance(z, offset=offset),
        "fisher": loss.fisher(z, weights=weights, offset=offset),
        "curvature": loss.curvature(z, y, weights=weights, offset=offset),
        "link": loss.link(z, offset=offset),
    }


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name, value in expected.items():
        value = value if isinstance(value, tuple) else (value,)
        other = got[name] if isinstance(got[name], tuple) else (got[name],)
        assert type(got[name]) is type(expected[name]), name
        for a, b in zip(other, value, strict=True):
            assert a == b if isinstance(b, ps.Total) else np.array_equal(a, b, equal_nan=True), name


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "total"])
def test_the_same_bits_as_one_by_one(pair, dtype, reduction):
    rng = seeded("evaluate", reduction)
    for loss, rows in zip(pair, (37, 5), strict=True):
        for width in widths(loss)[::3]:
            z, y = draw(loss, rows, width, rng, dtype)
            weights = rng.uniform(0.5, 2, rows)
            with_zeros = weights * (np.arange(rows) % 3 > 0)
            for w in (None, weights, with_zeros):
                assert_same(
                    loss.evaluate(z, y, want=NAMES, weights=w, reduction=reduction),
                    one_by_one(loss, z, y, w, reduction),
                )


def test_an_offset_belongs_to_every_quantity(pair):
    rng = seeded("evaluate with an offset")
    loss = pair[0]
    for width in widths(loss):
        z, y = draw(loss, 20, width, rng)
        columns = loss.outputs(width) if loss.target != 1 else width
        offset = 0.1 * rng.random((20, columns)) * (-1 if loss.domain[1] < np.inf else 1)
        got = loss.evaluate(z, y, want=NAMES, offset=offset)
        assert_same(got, one_by_one(loss, z, y, None, "mean", offset))


def test_y_is_not_needed_for_what_does_not_depend_on_it(pair):
    for loss in pair:
        z, _ = draw(loss, 5, widths(loss)[0], seeded("no y"))
        got = loss.evaluate(z, want=("fisher", "mean"))
        assert list(got) == ["fisher", "mean"]
        assert np.array_equal(got["mean"], loss.mean(z)) and np.array_equal(got["fisher"], loss.fisher(z))
        assert list(loss.evaluate(z, want="mean")) == ["mean"]
        assert loss.evaluate(z, want=()) == {}
        with pytest.raises(ValueError, match="y is needed for nll, grad"):
            loss.evaluate(z)


def test_an_unknown_name_is_an_error_that_lists_the_others():
    with pytest.raises(ValueError, match="want must be one of 'nll', 'grad', .*; got 'hessian'"):
        ps.Poisson().evaluate(np.zeros(2), np.zeros(2), want=("nll", "hessian"))
    with pytest.raises(ValueError, match="reduction must be one of"):
        ps.Poisson().evaluate(np.zeros(2), np.zeros(2), reduction="median")


def test_rows_of_weight_zero_may_hold_anything_in_y():
    z = np.array([0.5, 1.0, -0.5])
    got = ps.Poisson().evaluate(z, np.array([1.0, np.nan, 2.0]), weights=np.array([1.0, 0.0, 2.0]), want=NAMES)
    kept = ps.Poisson().evaluate(z[[0, 2]], np.array([1.0, 2.0]), weights=np.array([1.0, 2.0]), want=NAMES)
    assert got["nll"] == kept["nll"] and np.array_equal(got["mean"][[0, 2]], kept["mean"])
    np.testing.assert_array_max_ulp(got["mean"], np.exp(z), ps.Poisson.ulps["mean"][0])
    assert got["grad"][1] == got["fisher"][1] == 0

"""Every head, native: equal to the reference, whichever way it is asked, at every size and in every layout."""

from cases import ALL_OUTPUTS, ask, draw, draw_logits, flat, formulas, seeded, sizes, widths, with_offset
import numpy as np
import pytest

from pyscratch import Total, _native, losses

SLACK = 4  # the reference in float64 rounds as well


def bounds(loss, wanted):
    """ULP bounds that the family states: of the result, of the largest term."""
    return loss.ulps.get(wanted, (4, 4))


def refuse(wrong, wanted, z, *others):
    """Fail with the first row that is wrong."""
    if wrong.any():
        row = int(np.argmax(wrong.reshape(len(z), -1).any(1)))
        pytest.fail(f"{wanted} of row {row}, z={z[row]}: " + ", ".join(str(other[row]) for other in others))


def assert_close(loss, z, y, wanted, want, size):
    """The native output is the reference's within the stated bounds, in ULP of the logits' type."""
    got = ask(loss, z, y, wanted)
    want, size = want.reshape(got.shape), size.reshape(got.shape)
    of_result, of_term = bounds(loss, wanted)
    eps = np.finfo(z.dtype).eps
    slack = SLACK if z.dtype == np.float64 else 1
    if wanted == "nll":  # a row's outputs are added one after the other
        of_term = of_term + 2 * loss.outputs(z.shape[1])
    allowed = slack * eps * np.maximum((of_result + 1) * np.abs(want), (of_term + 1) * size)
    allowed = np.maximum(allowed, loss.approximate.get(wanted, 0) * size)
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = ~(np.abs(got - want) <= allowed + np.finfo(z.dtype).tiny) & (got != want.astype(z.dtype))
    if wanted in ("mean", "variance"):  # neither of them needs to exist
        wrong &= ~(np.isnan(got) & np.isnan(want))
    refuse(wrong, f"{wanted} ({_native.isa()})", z, y, got, want)
    assert got.dtype == z.dtype


def test_equals_the_reference(pair, dtype, each_isa):
    """At every size: the first so many rows, for what the reference says of a row does not depend on the others."""
    loss, twin = pair
    for width in widths(loss):
        counts = sorted({rows for isa in _native.isas() for rows in sizes(isa, dtype, loss, width)})
        z, y = draw(loss, counts[-1], width, seeded(loss.name, width), dtype)
        for wanted in ALL_OUTPUTS:
            want, size = formulas(twin, z.astype(float), y, wanted)
            for rows in counts:
                for _ in each_isa():
                    assert_close(loss, z[:rows], y[:rows], wanted, want[:rows], size[:rows])


def test_all_ways_of_asking_agree_bit_for_bit(pair, dtype, isa):
    loss, _ = pair
    for width in widths(loss)[::3]:
        for rows in sizes(isa, dtype, loss, width):
            rng = seeded(loss.name, rows)
            z, y = draw(loss, rows, width, rng, dtype)
            weights = rng.integers(0, 3, rows).astype(dtype)
            for w in (None, weights):
                if rows and (w is None or w.any()):
                    assert_one_answer(loss, z, y, w)


def assert_one_answer(loss, z, y, weights):
    """Value and gradient are the same bits from every method."""
    for reduction in ("mean", "sum", "total", "none"):
        options = {"weights": weights, "reduction": reduction}
        value, grad = loss.nll_and_grad(z, y, **options)
        assert (
            np.array_equal(value, loss.nll(z, y, **options))
            if reduction == "none"
            else value == loss.nll(z, y, **options)
        )
        assert np.array_equal(grad, loss.grad(z, y, **options))
        out = np.empty_like(z)
        again, filled = loss.nll_and_grad(z, y, out=out, **options)
        assert filled is out and np.array_equal(out, grad) and np.array_equal(again, value)
        call = loss.bind(z, y, **options)
        for _ in range(2):
            bound, bound_grad = call.nll_and_grad()
            assert np.array_equal(bound, value) and np.array_equal(bound_grad, grad)
            assert bound_grad is call.gradient
        assert np.array_equal(call.nll(), value) and np.array_equal(call.grad(), grad)
    in_place = z.copy()
    assert loss.grad(in_place, y, weights=weights, out=in_place) is in_place
    assert np.array_equal(in_place, loss.grad(z, y, weights=weights))
    total = loss.nll(z, y, weights=weights, reduction="total")
    assert loss.nll(z, y, weights=weights) == total.mean
    assert loss.nll(z, y, weights=weights, reduction="sum") == total.sum


def test_bound_call_follows_its_buffer(pair, dtype):
    loss, _ = pair
    width = widths(loss)[-1]
    z, y = draw(loss, 40, width, seeded(loss.name), dtype)
    call = loss.bind(z, y)
    z[...] = draw_logits(loss, 40, width, seeded("other"), dtype)
    value, grad = call.nll_and_grad()
    want, want_grad = loss.nll_and_grad(z.copy(), y)
    assert value == want and np.array_equal(grad, want_grad)


def test_nan_logits_give_nan_in_their_row_only(pair, dtype, isa):
    loss, _ = pair
    for width in widths(loss):
        z, y = draw(loss, 20, width, seeded(loss.name), dtype)
        clean_nll, clean_grad = ask(loss, z, y, "nll"), ask(loss, z, y, "grad")
        for row in (0, 7, 19):
            for column in range(width):
                spoiled = z.copy()
                spoiled[row, column] = np.nan
                nll, grad = ask(loss, spoiled, y, "nll"), ask(loss, spoiled, y, "grad")
                assert np.isnan(nll[row]) and np.isnan(grad[row, column])
                others = np.arange(20) != row
                assert np.array_equal(nll[others], clean_nll[others])
                assert np.array_equal(grad[others], clean_grad[others])
                assert np.isnan(loss.nll(spoiled, y))


@pytest.mark.filterwarnings("error")
def test_finite_logits_never_give_nan(pair, dtype, isa):
    loss, twin = pair
    largest = float(np.finfo(dtype).max)
    magnitudes = [0.0, 1e-30, 1.0, 17.0, 40.0, 89.0, 104.0, 300.0, 710.0, 745.5, 1000.0, 1e10, largest]
    values = np.array([sign * m for m in magnitudes for sign in (1, -1)])
    values = values[(values > loss.domain[0]) & (values < loss.domain[1])]
    rng = seeded(loss.name)
    width = widths(loss)[-1] if len(loss.parameters) == 1 else loss.width()
    z = rng.choice(values, (3000, width)).astype(dtype)
    z = np.sort(z, axis=1) if loss.increasing else z
    y = draw(loss, 3000, width, rng, dtype)[1]
    for wanted in ALL_OUTPUTS:
        got = ask(loss, z, y, wanted)
        wrong = np.isnan(got)
        if wanted in ("mean", "variance"):  # neither of them needs to exist
            wrong &= ~np.isnan(ask(twin, z, y, wanted))
        refuse(wrong.reshape(len(z), -1).any(1), wanted, z, y, got)
    assert not np.isnan(loss.nll(z, y))


def test_infinite_logits_agree_with_the_reference(pair, dtype, isa):
    loss, twin = pair
    width = widths(loss)[-1]
    z, y = draw(loss, 400, width, seeded(loss.name), dtype)
    rows = np.arange(400)
    low, high = loss.domain
    up, down = np.inf if high > 0 else -np.inf, -np.inf if low < 0 else np.inf
    z[rows, rows % width] = np.where(rows % 2, up, down)
    z = np.sort(z, axis=1) if loss.increasing else z
    got, want = ask(loss, z, y, "nll"), ask(twin, z.astype(float), y if y.dtype.kind == "i" else y.astype(float), "nll")
    assert np.array_equal(np.isnan(got), np.isnan(want)) and np.array_equal(np.isposinf(got), np.isposinf(want))
    assert not np.isneginf(got).any() or np.array_equal(np.isneginf(got), np.isneginf(want))


def test_nothing_is_written_past_the_end(pair, dtype, isa):
    loss, _ = pair
    guard = 16
    for width in widths(loss):
        for rows in sizes(isa, dtype)[:-1]:
            z, y = draw(loss, rows, width, seeded(loss.name), dtype)
            buffer = np.full(rows * width + 2 * guard, 12345.0, dtype)
            grad = buffer[guard : guard + rows * width].reshape(rows, width)
            column = np.full(rows + 2 * guard, 12345.0, dtype)
            nll = column[guard : guard + rows]
            loss.nll_and_grad(z, y, reduction="none", out=(nll, grad))
            for used, whole in ((grad.size, buffer), (nll.size, column)):
                assert (whole[:guard] == 12345).all() and (whole[guard + used :] == 12345).all()
            for wanted in ("curvature", "fisher"):
                arguments = (z, y) if wanted == "curvature" else (z,)
                getattr(loss, wanted)(*arguments, out=grad)
                assert (buffer[:guard] == 12345).all() and (buffer[guard + grad.size :] == 12345).all()


def layouts(a):
    """Copies of an array in every layout that numpy has for it."""
    yield "strided", np.repeat(a, 2, axis=0)[::2]
    yield "reversed", np.ascontiguousarray(a[::-1])[::-1]
    yield "fortran", np.asfortranarray(a)
    unaligned = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    unaligned[...] = a
    yield "unaligned", unaligned
    yield "big-endian", a.astype(a.dtype.newbyteorder(">"))
    frozen = a.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    if a.ndim == 2:
        yield "column slice", np.concatenate([a, a], axis=1)[:, : a.shape[1]]


def inwards(loss):
    """1, or −1 where the first logit must be negative: an offset of that sign stays inside the domain."""
    return -1 if np.isfinite(loss.domain[1]) else 1


def test_any_layout_gives_the_same_bits(pair, dtype):
    loss, _ = pair
    for width in widths(loss):
        z, y = draw(loss, 33, width, seeded(loss.name), dtype)
        columns = loss.outputs(width) if loss.target != _native.LABELS else width
        offset = np.full((33, columns), 0.25 * inwards(loss), dtype)
        weights = np.arange(33).astype(dtype)
        want, want_grad = loss.nll_and_grad(z, y, weights=weights, offset=offset)
        for what, other in layouts(z):
            value, grad = loss.nll_and_grad(other, y, weights=weights, offset=offset)
            assert value == want and np.array_equal(grad, want_grad) and grad.dtype == dtype, what
        for what, other in layouts(y):
            value, grad = loss.nll_and_grad(z, other, weights=weights, offset=offset)
            assert value == want and np.array_equal(grad, want_grad), what
        for what, other in layouts(weights):
            assert loss.nll(z, y, weights=other, offset=offset) == want, what
        for what, other in layouts(offset):
            assert loss.nll(z, y, weights=weights, offset=other) == want, what


def test_lists_are_float64(pair):
    loss, _ = pair
    z, y = draw(loss, 5, widths(loss)[-1], seeded(loss.name))
    assert loss.nll(z.tolist(), y.tolist()) == loss.nll(z, y)
    assert loss.grad(z.tolist(), y.tolist()).dtype == np.float64


def test_shapes_of_one_column_are_one_thing(pair, dtype):
    for loss in pair:
        if loss.width() != 1 or loss.outputs(1) != 1 or loss.target == _native.PAIRS:
            continue
        z, y = draw(loss, 12, 1, seeded(loss.name), dtype)
        want, want_grad = loss.nll_and_grad(z, y)
        for z_ in (z, z[:, 0]):
            for y_ in (y.reshape(12, 1), y.reshape(12)):
                value, grad = loss.nll_and_grad(z_, y_)
                assert value == want and grad.shape == z_.shape and np.array_equal(grad.reshape(12, 1), want_grad)
                assert loss.nll(z_, y_, reduction="none").shape == (12,)
                assert loss.curvature(z_, y_).shape == loss.fisher(z_).shape == loss.link(z_).shape == z_.shape


def test_outputs_of_a_row_are_added(pair, dtype, isa):
    loss, twin = pair
    width = loss.width(3)
    if loss.target == _native.LABELS or loss._block_outputs(width) != 3:
        pytest.skip("one output per row, or outputs that share responsibilities")
    z, y = draw(loss, 50, width, seeded(loss.name), dtype)
    columns = [np.ascontiguousarray(z[:, i::3]) for i in range(3)]
    parts = [loss.nll_and_grad(c, np.ascontiguousarray(y[:, i::3]), reduction="none") for i, c in enumerate(columns)]
    nll, grad = loss.nll_and_grad(z, y, reduction="none")
    size = formulas(twin, z.astype(float), y, "nll")[1].max()  # the same terms, added in another order
    assert np.allclose(nll, parts[0][0] + parts[1][0] + parts[2][0], rtol=0, atol=8 * np.finfo(dtype).eps * size)
    assert all(np.array_equal(grad[:, i::3], part[1]) for i, part in enumerate(parts))
    assert np.array_equal(loss.mean(z)[:, 1], loss.mean(columns[1]), equal_nan=True)


# ---- weights, offset, reductions ----


def test_weights_repeat_rows(pair, dtype, isa):
    for loss in pair:
        width = widths(loss)[-1]
        rng = seeded(loss.name)
        z, y = draw(loss, 60, width, rng, dtype)
        counts = rng.integers(0, 4, 60)
        repeated = loss.nll_and_grad(np.repeat(z, counts, 0), np.repeat(y, counts, 0), reduction="total")
        value, grad = loss.nll_and_grad(z, y, weights=counts, reduction="total")
        assert value.weight == pytest.approx(repeated[0].weight, rel=1e-6)
        assert value.sum == pytest.approx(repeated[0].sum, rel=1e-5 if dtype == np.float32 else 1e-12)
        assert np.allclose(grad.sum(0), repeated[1].sum(0), rtol=1e-4 if dtype == np.float32 else 1e-11, atol=1e-4)
        assert not grad[counts == 0].any()


def test_rows_of_weight_zero_are_not_read(pair, dtype, isa):
    for loss in pair:
        width = widths(loss)[-1]
        z, y = draw(loss, 30, width, seeded(loss.name), dtype)
        weights = (np.arange(30) % 3 > 0).astype(dtype)
        seen = weights > 0
        want = loss.nll_and_grad(z[seen], y[seen], reduction="total")
        spoiled_z, spoiled_y = z.copy(), y.copy()
        spoiled_z[~seen] = np.nan
        spoiled_y[~seen] = -7 if y.dtype.kind == "i" else np.nan
        value, grad = loss.nll_and_grad(spoiled_z, spoiled_y, weights=weights, reduction="total")
        assert value.sum == pytest.approx(want[0].sum, rel=1e-6) and value.weight == want[0].weight
        assert np.array_equal(grad[seen], want[1]) and not grad[~seen].any()
        nll = loss.nll(spoiled_z, spoiled_y, weights=weights, reduction="none")
        assert np.array_equal(nll == 0, ~seen) or not nll[~seen].any()
        assert not np.isnan(loss.curvature(spoiled_z, spoiled_y, weights=weights)).any()


def test_no_rows_and_no_weight(pair, dtype, isa):
    for loss in pair:
        width = widths(loss)[-1]
        z, y = draw(loss, 6, width, seeded(loss.name), dtype)
        for z_, y_, w in ((z[:0], y[:0], None), (z, y, np.zeros(6)), (z[:0], y[:0], np.zeros(0))):
            assert loss.nll(z_, y_, weights=w, reduction="total") == Total(0.0, 0.0)
            assert loss.nll(z_, y_, weights=w, reduction="sum") == 0
            assert not loss.nll(z_, y_, weights=w, reduction="none").any()
            with pytest.warns(RuntimeWarning, match="no rows") as caught:
                value, grad = loss.nll_and_grad(z_, y_, weights=w)
            assert len(caught) == 1 and caught[0].filename == __file__
            assert np.isnan(value) and grad.shape == z_.shape and not grad.any()


def test_offset_is_added_to_the_first_block(pair, dtype, isa):
    for loss in pair:
        for width in widths(loss):
            z, y = draw(loss, 25, width, seeded(loss.name), dtype)
            columns = width if loss.target == _native.LABELS else loss.outputs(width)
            offset = (inwards(loss) * (np.arange(25 * columns).reshape(25, columns) % 8) / 8).astype(dtype)
            moved = with_offset(loss, z, offset)
            want = loss.nll_and_grad(moved, y)
            got = loss.nll_and_grad(z, y, offset=offset)
            assert got[0] == want[0] and np.array_equal(got[1], want[1])
            assert np.array_equal(loss.mean(z, offset=offset), loss.mean(moved), equal_nan=True)
            assert np.array_equal(flat(loss.link(z, offset=offset)), flat(loss.link(moved)))
            assert np.array_equal(loss.fisher(z, offset=offset), loss.fisher(moved))
            assert np.array_equal(loss.distribution(z, offset=offset).mean, loss.mean(moved), equal_nan=True)
            if columns == 1:
                assert loss.nll(z, y, offset=offset[:, 0]) == want[0]
            shift = dtype(0.5 * inwards(loss))
            shifted = with_offset(loss, z, np.full((25, columns), shift))
            assert loss.nll(z, y, offset=shift) == loss.nll(shifted, y)


def test_totals_merge_over_any_split(pair, dtype):
    for loss, rows in zip(pair, (500, 60), strict=True):
        width = widths(loss)[-1]
        rng = seeded(loss.name)
        z, y = draw(loss, rows, width, rng, dtype)
        weights = rng.exponential(size=rows).astype(dtype)
        weights[rng.integers(0, rows, rows // 10)] = 0
        for w in (None, weights):
            whole = loss.nll(z, y, weights=w, reduction="total")
            for _ in range(4):
                parts = np.split(rng.permutation(rows), np.sort(rng.integers(0, rows, 5)))
                totals = [loss.nll(z[p], y[p], weights=None if w is None else w[p], reduction="total") for p in parts]
                merged = sum(totals)
                assert merged.sum == pytest.approx(whole.sum, rel=1e-13, abs=1e-12)
                assert merged.weight == pytest.approx(whole.weight, rel=1e-14)
                assert merged.mean == pytest.approx(loss.nll(z, y, weights=w), rel=1e-13, abs=1e-12)


@pytest.mark.parametrize("size", [0.0, 1.0, 12.0, 30.0, 80.0])
def test_a_total_of_many_logs_keeps_its_digits(size, dtype, isa):
    """The sum of log(1 + odds) is the log of a product: also where 1 + odds is 1, and where the product is huge."""
    z = np.tile(np.array([size, -size], dtype), 1500)
    for y in (z > 0, z < 0):  # odds alone; logits besides
        y = y.astype(dtype)
        want = len(z) * np.logaddexp(0.0, -size if (y > 0)[0] == (z > 0)[0] else size)
        assert losses.Bernoulli().nll(z, y, reduction="sum") == pytest.approx(want, rel=float(4 * np.finfo(dtype).eps))


@pytest.mark.parametrize("extreme", [81.0, -95.0, 1e6, -2e6, 1e30, -1e30])
@pytest.mark.parametrize("name,options", [("Bernoulli", {}), ("Poisson", {}), ("Gamma", {"shape": 2.5}),
                                          ("HeteroscedasticGaussian", {})])
def test_an_extreme_logit_changes_no_other_row(name, options, extreme, dtype, isa):
    loss = losses.families[name](**options)
    z, y = draw(loss, 2000, loss.width(), seeded(name), dtype)
    want = loss.grad(z, y, reduction="sum")
    z[1234, -1] = extreme
    got = loss.grad(z, y, reduction="sum")
    assert np.array_equal(np.delete(got, 1234, 0), np.delete(want, 1234, 0))
    assert np.array_equal(got[1234:1235], loss.grad(z[1234:1235], y[1234:1235], reduction="sum"))
    rows = loss.nll(z, y, reduction="none")
    total = loss.nll(z, y, reduction="sum")
    assert total == pytest.approx(rows.sum(dtype=float), rel=1e-6)


def test_gradient_is_of_the_returned_number(pair):
    for loss in pair:
        width = widths(loss)[-1]
        rng = seeded(loss.name)
        z, y = draw(loss, 7, width, rng)
        weights = rng.exponential(size=7)
        for reduction in ("mean", "sum"):
            grad = loss.grad(z, y, weights=weights, reduction=reduction)
            direction = rng.normal(size=z.shape)
            step = 1e-6
            after = loss.nll(z + step * direction, y, weights=weights, reduction=reduction)
            before = loss.nll(z - step * direction, y, weights=weights, reduction=reduction)
            assert (after - before) / (2 * step) == pytest.approx((grad * direction).sum(), rel=1e-6, abs=1e-7)
        summed = loss.grad(z, y, weights=weights, reduction="sum")
        for reduction in ("none", "total"):
            assert np.array_equal(loss.grad(z, y, weights=weights, reduction=reduction), summed)


# ---- large batches ----


@pytest.mark.parametrize("name", ["Poisson", "HeteroscedasticGaussian", "Categorical"])
def test_streamed_gradients_are_those_of_small_batches(name, dtype, isa):
    loss = losses.families[name]()
    width = 500 if name == "Categorical" else loss.width()
    rows = (8 << 20) // (width * np.dtype(dtype).itemsize) + 5  # just past the size from which they are streamed
    z, y = draw(loss, 1000, width, seeded(name), dtype)
    z, y = np.resize(z, (rows, width)), np.resize(y, (rows, *y.shape[1:]))
    for shift in (0, 3):  # vectors are not aligned in memory
        place = np.full(rows * width + 8, 7, dtype)
        out = place[shift : shift + rows * width].reshape(rows, width)
        loss.grad(z, y, reduction="sum", out=out)
        want = loss.grad(z[:1000], y[:1000], reduction="sum")
        assert np.array_equal(out, np.resize(want, out.shape))
        assert (place[:shift] == 7).all() and (place[shift + rows * width :] == 7).all()

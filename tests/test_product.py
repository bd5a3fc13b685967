"""Several heads side by side: each as if it were alone, on its own columns."""

import pickle

from cases import ALL_OUTPUTS, EXAMPLES, ask, draw, flat, name_of, seeded, twins, widths
from networks import BOTH, MODULES, module_id
import numpy as np
import pytest

import pyscratch as ps
from pyscratch import _data, _plan, losses, reference
from pyscratch._checks import columns
from pyscratch.diagnostics import coverage, crps, gain, pit, summary

needs_c = pytest.mark.skipif(not BOTH, reason="the C kernels are not built")
each_module = pytest.mark.parametrize("module", MODULES, ids=module_id)


def outputs_of(loss, several):
    """One output or several, as far as the head takes them; always several classes."""
    return 3 if loss.of_classes else 2 if several and loss.width(2) in widths(loss) else 1


def heads_of(examples, side=0):
    """Pairs of a head and the number of its outputs; every other head has several."""
    made = [twins(example)[side] for example in examples]
    return [(loss, outputs_of(loss, index % 2)) for index, loss in enumerate(made)]


FREE = [(name, options) for name, options in EXAMPLES if not losses.families[name].increasing]  # one Dense will do
FIRST = [(name, cls.examples[0]) for name, cls in losses.families.items() if (name, cls.examples[0]) in FREE]
COMBINATIONS = [FIRST[i : i + 3] for i in range(0, len(FIRST), 3)]  # every family once
EVERYTHING = [*COMBINATIONS, FREE]  # and all of their options at once
MIXED = [("Poisson", {}), ("Categorical", {}), ("HeteroscedasticGaussian", {}), ("Binomial", {})]


def name_of_all(examples):
    return "all" if examples is FREE else "+".join(map(name_of, examples))


each_combination = pytest.mark.parametrize("examples", EVERYTHING, ids=name_of_all)


def drawn(heads, rows, rng, dtype=np.float64):
    """Logits and targets of each head."""
    return [draw(head, rows, head.width(outputs), rng, dtype) for head, outputs in heads]


def joined(loss, each):
    """Logits and targets side by side."""
    z = np.concatenate([z for z, _ in each], axis=1)
    return z, loss.join(*(y for _, y in each)).astype(z.dtype)


def mixed(module, rows=40, dtype=np.float64):
    """A product of four kinds of heads with logits and targets, and the heads' own."""
    heads = heads_of(MIXED, side=module is reference)
    loss = module.Product(heads)
    each = drawn(heads, rows, seeded("mixed", rows), dtype)
    return loss, *joined(loss, each), each


# ---- the bits of the heads ----


@needs_c
@each_combination
def test_every_head_returns_its_own_bits(examples, isa, dtype):
    heads = heads_of(examples)
    for rows in (0, 1, 37):
        loss, each = ps.Product(heads), drawn(heads, rows, seeded("bits", name_of_all(examples)), dtype)
        check_bits(heads, loss, each)


def check_bits(heads, loss, each):
    z, y = joined(loss, each)
    found = {name: columns(ask(loss, z, y, name)) if name != "params" else None for name in ALL_OUTPUTS}
    total, link = 0, loss.link(z)
    for index, (part, (z_own, y_own)) in enumerate(zip(loss.parts, each, strict=True)):
        for name in ALL_OUTPUTS:
            alone = ask(part.head, z_own, y_own, name)
            if name == "nll":
                total = total + alone
            elif name == "params":
                assert np.array_equal(flat(link[index]), alone, equal_nan=True), part
            else:
                place = part.mean if name in ("mean", "variance") else part.logits
                assert np.array_equal(found[name][:, place], columns(alone), equal_nan=True), (part, name)
    assert np.array_equal(found["nll"][:, 0], total)
    value, grad = loss.nll_and_grad(z, y, reduction="sum")
    assert value == sum(head.nll(*own, reduction="sum") for (head, _), own in zip(heads, each, strict=True))
    assert np.array_equal(grad, found["grad"])


@needs_c
@each_combination
def test_library_and_reference_agree(examples):
    ours, its = ps.Product(heads_of(examples)), reference.Product(heads_of(examples, 1))
    z, y = joined(ours, drawn(heads_of(examples), 20, seeded("twins", name_of_all(examples))))
    for name in ALL_OUTPUTS:
        one, other = (
            np.concatenate([flat(p) for p in loss.link(z)], axis=1) if name == "params" else ask(loss, z, y, name)
            for loss in (ours, its)
        )
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(other[np.isfinite(other)]).max())


@each_module
def test_many_rows_have_the_same_sum(module):
    """More than one block of the kernels, whose length depends on the width of a head."""
    loss, z, y, each = mixed(module, 20000)
    alone = [part.head.nll(*own, reduction="sum") for part, own in zip(loss.parts, each, strict=True)]
    assert loss.nll(z, y, reduction="sum") == sum(alone)


@needs_c
def test_rows_that_are_longer_than_a_block(dtype):
    """They are read where they are, and only their labels are copied."""
    rng = seeded("long")
    loss = ps.Product([(ps.Gaussian(), 2), (ps.Categorical(), 9000), (ps.Poisson(), 8192)])
    z = rng.normal(size=(3, loss.width())).astype(dtype)
    y = loss.join(rng.normal(size=(3, 2)), rng.integers(0, 9000, 3), rng.integers(0, 9, (3, 8192))).astype(dtype)
    value, grad = loss.nll_and_grad(z, y, reduction="sum")
    total = 0.0
    for part, own in zip(loss.parts, loss.split(y), strict=True):
        alone, its = part.head.nll_and_grad(
            z[:, part.logits], own.astype(dtype) if own.ndim > 1 else own, reduction="sum"
        )
        total += alone
        assert np.array_equal(grad[:, part.logits], its)
    assert value == total


@needs_c
def test_c_takes_all_heads_together(monkeypatch):
    """Value and gradient are one call; only a head that refuses is asked by itself. Threads change nothing."""
    loss, z, y, _ = mixed(ps, 20000)
    before, found = ps.threads(), []
    monkeypatch.setattr(ps.Product, "_taken", lambda *given: pytest.fail("the heads are asked one by one"))
    try:
        for count in (1, 2):
            ps.set_threads(count)
            found.append((*loss.nll_and_grad(z, y), loss.bind(z, y).nll()))
    finally:
        ps.set_threads(before)
    assert found[0][0] == found[1][0] == found[0][2] and np.array_equal(found[0][1], found[1][1])


@each_module
def test_whole_second_derivatives_are_blocks_on_the_diagonal(module):
    loss, z, y, each = mixed(module)
    weights = seeded("block").integers(0, 3, len(z)).astype(float)
    for ask_ in (
        lambda loss, z, y: loss.fisher(z, weights=weights, block=True),
        lambda loss, z, y: loss.curvature(z, y, weights=weights, block=True),
    ):
        whole = ask_(loss, z, y)
        for part, own in zip(loss.parts, each, strict=True):
            assert np.array_equal(whole[:, part.logits, part.logits], ask_(part.head, *own))
            whole[:, part.logits, part.logits] = 0
        assert whole.shape == (len(z), loss.width(), loss.width()) and not whole.any()


@each_module
def test_natural_gradients_are_those_of_the_heads(module):
    loss, z, y, each = mixed(module)
    found, offset = loss.natural_grad(z, y), np.zeros((len(z), loss.outputs(loss.width())))
    for part, own in zip(loss.parts, each, strict=True):
        assert np.array_equal(found[:, part.logits], part.head.natural_grad(*own))
    assert np.array_equal(loss.natural_grad(z, y, offset=offset), found)


# ---- weights, offset, reductions ----


@each_module
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_and_offset_are_those_of_every_head(module, dtype):
    loss, z, y, each = mixed(module, dtype=dtype)
    rng = seeded("weights")
    weights = rng.integers(0, 3, len(z)).astype(dtype)
    offset = rng.normal(0, 0.3, (len(z), loss.outputs(loss.width()))).astype(dtype)
    y[weights == 0] = np.nan
    rows, total = loss.nll(z, y, weights=weights, offset=offset, reduction="none"), 0
    value, grad = loss.nll_and_grad(z, y, weights=weights, offset=offset)
    for part, own in zip(loss.parts, each, strict=True):
        given = {"weights": weights, "offset": offset[:, part.offset]}
        total = total + part.head.nll(*own, **given, reduction="none")
        assert np.array_equal(grad[:, part.logits], part.head.grad(*own, **given))
        moment = loss.mean(z, offset=offset)[:, part.mean]
        assert np.array_equal(moment, columns(part.head.mean(own[0], offset=given["offset"])))
    assert np.array_equal(rows, total) and not rows[weights == 0].any()
    halves = [slice(0, 11), slice(11, None)]
    parts = [loss.nll(z[i], y[i], weights=weights[i], offset=offset[i], reduction="total") for i in halves]
    assert sum(parts).weight == weights.sum()
    assert sum(parts).mean == pytest.approx(value, rel=1e-6 if dtype == np.float32 else 1e-14)


@each_module
def test_an_evaluation_has_the_bits_of_the_methods(module):
    loss, z, y, _ = mixed(module)
    want = ("nll", "grad", "mean", "variance", "fisher", "curvature", "link")
    weights = np.append(np.zeros(3), np.ones(len(z) - 3))
    for given in ({}, {"weights": weights}):
        found = loss.evaluate(z, y, want=want, **given, reduction="none")
        assert list(found) == list(want)
        assert np.array_equal(found["nll"], loss.nll(z, y, **given, reduction="none"))
        assert np.array_equal(found["grad"], loss.grad(z, y, **given, reduction="sum"))
        for name in ("mean", "variance"):
            assert np.array_equal(found[name], getattr(loss, name)(z))
        assert np.array_equal(found["fisher"], loss.fisher(z, **given))
        assert np.array_equal(found["curvature"], loss.curvature(z, y, **given))
        assert all(np.array_equal(flat(a), flat(b)) for a, b in zip(found["link"], loss.link(z), strict=True))
    assert set(loss.evaluate(z, want=("mean", "variance"))) == {"mean", "variance"}


@each_module
@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "total"])
def test_a_bound_product_reads_its_buffers(module, reduction):
    loss, z, y, _ = mixed(module)
    weights, offset = np.arange(len(z)) % 3.0, np.full((len(z), loss.outputs(loss.width())), 0.25)
    for given in ({}, {"weights": weights}, {"weights": weights, "offset": offset}):
        call = loss.bind(z, y, **given, reduction=reduction)
        for _ in range(2):
            value, grad = call.nll_and_grad()
            expected, its = loss.nll_and_grad(z, y, **given, reduction=reduction)
            assert np.array_equal(value, expected) and np.array_equal(grad, its)
            assert np.array_equal(call.nll(), expected) and np.array_equal(call.grad(), its)
            z += 0.125
    loss, z, y = module.Product([module.Poisson(), module.Poisson(link="sqrt")]), np.ones((3, 2)), np.ones((3, 2))
    call = loss.bind(z, y)
    z[2, 1] = -1
    with pytest.raises(ValueError, match=r"heads\[1\], .*logits\[2\] = .*first logit > 0"):
        call.nll()


@each_module
def test_the_gradient_may_overwrite_the_logits(module):
    loss, z, y, _ = mixed(module)
    expected, place = loss.grad(z, y), z.copy()
    assert loss.grad(place, y, out=place) is place and np.array_equal(place, expected)
    place, y[-1, 0] = z.copy(), -1
    with pytest.raises(ValueError, match=f"y.{len(z) - 1}. = -1.0: Poisson"):
        loss.grad(place, y, out=place)
    assert np.array_equal(place, z)


@each_module
def test_one_head_with_one_logit_is_that_head(module):
    loss, z, y = module.Product([module.Poisson()]), np.array([0.3, -0.5, 1.2]), np.array([0, 1, 5])
    for shape in ((3,), (3, 1)):
        value, grad = loss.nll_and_grad(z.reshape(shape), y)
        assert value == module.Poisson().nll(z, y) and grad.shape == shape
        assert np.array_equal(grad.ravel(), module.Poisson().grad(z, y))
    assert loss.width() == loss.outputs(1) == 1


# ---- classes ----


@each_module
def test_class_weights_and_ignored_labels_concern_their_head_alone(module):
    rng = seeded("classes")
    given = {"class_weights": (1.0, 0.5, 2.0), "smoothing": 0.1, "ignore_index": -100}
    head = module.Categorical(**given)
    loss = module.Product([module.Gaussian(), (head, 3)])
    z, real, label = rng.normal(size=(30, 4)), rng.normal(size=30), rng.integers(0, 3, 30)
    label[::4] = -100
    y = loss.join(real, label)
    parts = [module.Gaussian().nll(z[:, :1], real, reduction="sum"), head.nll(z[:, 1:], label, reduction="sum")]
    assert loss.nll(z, y, reduction="sum") == sum(parts)
    assert loss.nll(z, y) == pytest.approx(sum(parts) / 30)
    assert not loss.grad(z, y)[::4, 1:].any() and loss.grad(z, y)[::4, 0].all()
    found = loss.evaluate(z, y, want=("mean", "variance", "link"))
    assert np.array_equal(found["mean"], loss.mean(z)) and found["mean"][:, 1:].all()
    assert np.array_equal(found["variance"], loss.variance(z)) and np.array_equal(found["link"][1], loss.link(z)[1])
    plain = module.Product([module.Gaussian(), (module.Categorical(ignore_index=-100), 3)])
    assert loss.plain == plain and plain.plain == plain


@each_module
def test_balanced_class_weights_are_resolved_by_a_fit(module):
    rng = seeded("balanced")
    loss = module.Product([module.Gaussian(), (module.Categorical(class_weights="balanced"), 2)])
    y = loss.join(rng.normal(size=80), (np.arange(80) < 20) * 1)
    numbers = loss.balanced(y).parts[1].head.class_weights
    assert numbers == pytest.approx((80 / 120, 2.0)) and loss.class_weights == "balanced"
    net = module.Network([module.Dense(2, 3)], loss, rng=0)
    net.fit(rng.normal(size=(80, 2)), y, epochs=2)
    assert net.loss is loss and loss.balanced(y).class_weights is None
    with pytest.raises(ValueError, match="balanced"):
        net.fit(lambda: iter([]), epochs=1)


# ---- targets ----


@each_module
def test_targets_are_joined_and_split(module):
    loss, _, y, each = mixed(module)
    for given in (y, y.tolist(), np.asfortranarray(y)):
        for own, (_, alone) in zip(loss.split(given), each, strict=True):
            assert np.array_equal(own.reshape(alone.shape), alone) and own.dtype == alone.dtype
    assert np.array_equal(loss.join(*(alone for _, alone in each)), y)
    with pytest.raises(TypeError, match="join takes the targets of 4 heads, not of 1"):
        loss.join(y)
    with pytest.raises(TypeError, match=r"heads\[1\], Categorical.*integer labels"):
        loss.join(*loss.split(y)[:1], y[:, 1], *loss.split(y)[2:])


@each_module
def test_numbers_that_do_not_survive_are_refused(module):
    loss = module.Product([module.Gaussian(), (module.Categorical(), 3), module.Poisson()])
    z = np.zeros((2, 5), np.float32)
    assert np.isfinite(loss.nll(z, np.array([[2.0**24 + 1, 2, 3], [0, 0, 0]])))
    with pytest.raises(ValueError, match=r"heads\[2\], Poisson.* = 16777217.0 cannot be held in float32"):
        loss.nll(z, np.array([[0, 1, 2.0**24 + 1], [0, 0, 0]]))


# ---- errors ----


@each_module
def test_errors_name_the_head_and_the_row(module):
    loss = module.Product([module.Poisson(link="sqrt"), (module.Gaussian(), 2), (module.Categorical(), 3)])
    z, y = np.ones((5, 6)), np.tile([2, 0.5, -0.5, 1], (5, 1))
    bad = {
        (3, 0, -1.0): r"heads\[0\], Poisson\(.*y\[:, 0:1\]: y\[3\] = -1.0: Poisson needs counts",
        (2, 2, np.nan): r"heads\[1\], Gaussian\(.*y\[:, 1:3\]: y\[2, 1\] = nan: .*is it missing",
        (4, 3, 3.0): r"heads\[2\], Categorical\(.*logits\[:, 3:6\] and y\[:, 3:4\]: y\[4\] = 3: .*labels from 0 to 2",
        (1, 3, 0.5): r"heads\[2\], Categorical\(.*: y\[1\] = 0.5: Categorical needs labels, whole numbers",
        (1, 3, np.nan): r"heads\[2\], .*: y\[1\] = nan: Categorical needs labels.*is it missing",
    }
    for (row, column, value), message in bad.items():
        wrong = y.copy()
        wrong[row, column] = value
        for refuse in (loss.nll, loss.nll_and_grad, loss.curvature, loss.natural_grad, loss.bind):
            with pytest.raises(ValueError, match=message):
                refuse(z, wrong)
        with pytest.raises(ValueError, match=message):
            loss.start(wrong)
        weights = (np.arange(5) != row).astype(float)
        assert np.isfinite(loss.nll(z, wrong, weights=weights))
    z[1, 0] = -1
    with pytest.raises(ValueError, match=r"heads\[0\], .*: logits\[1\] = .* 'sqrt' link needs a first logit > 0"):
        loss.mean(z)
    with pytest.raises(ValueError, match=r"^weights\[2\] = -1.0"):
        loss.nll(np.ones((5, 6)), y, weights=[1, 1, -1, 1, 1])
    with pytest.raises(ValueError, match=r"1 \(Poisson\) \+ 2 \(Gaussian\) \+ 3 \(Categorical\) = 6, not 5 logits"):
        loss.nll(z[:, :5], y)
    with pytest.raises(ValueError, match=r"2 \(Gaussian\) \+ 1 \(Categorical\) = 4 columns ask for \(5, 4"):
        loss.nll(z, y[:, :3])
    with pytest.raises(ValueError, match="exposure"):
        loss.nll(z, y, exposure=2.0)


@each_module
def test_what_is_no_list_of_heads_is_refused(module):
    for wrong, error, message in [
        (module.Poisson(), TypeError, "a list of heads"),
        ([], ValueError, "at least one head"),
        ([module.Poisson], TypeError, r"heads\[0\] must be a head of ours such as Poisson\(\).*the class Poisson"),
        ([module.Poisson(), "poisson"], TypeError, r"heads\[1\] must be"),
        ([module.Product([module.Poisson()])], TypeError, r"heads\[0\] must be"),
        ([module.Categorical()], ValueError, r"heads\[0\], Categorical.*needs the number of classes: write \(Cat"),
        ([(module.Gaussian(), 0)], ValueError, r"heads\[0\]\[1\], the outputs of Gaussian.*at least 1, got 0"),
        ([(module.Gaussian(), 1.5)], TypeError, "whole number"),
        ([(module.Categorical(class_weights=(1, 2)), 3)], ValueError, r"heads\[0\], Categorical.*2 per row, not 3"),
    ]:
        with pytest.raises(error, match=message):
            module.Product(wrong)


# ---- a frozen value ----


@each_module
def test_a_product_is_a_frozen_value(module):
    loss = mixed(module)[0]
    assert loss == type(loss)(**loss.options) == pickle.loads(pickle.dumps(loss)) and len({loss, loss.plain}) == 1
    names = {**(module.families if module is reference else losses.families), "Product": module.Product}
    assert eval(repr(loss), names) == loss
    assert loss.link == loss.link.name == "log + softmax + identity + logit"
    with pytest.raises(AttributeError, match="frozen"):
        loss.heads = ()
    other = module.Product([(part.head, part.outputs + 1) for part in loss.parts])
    assert other != loss and other.width() > loss.width()


def test_a_product_has_heads_of_its_side():
    for module, side in ((ps, reference), (reference, ps)):
        loss = module.Product([side.Poisson(link="softplus"), (side.Categorical(smoothing=0.1), 4)])
        families = reference.families if module is reference else losses.families
        assert [type(part.head) for part in loss.parts] == [families["Poisson"], families["Categorical"]]
        assert loss.parts[0].head.link == "softplus" and loss.parts[1].head.smoothing == 0.1


# ---- fits without a network ----


@each_module
def test_starts_and_scales_are_those_of_the_heads(module):
    loss, z, y, _ = mixed(module, 60)
    weights, own = np.arange(60) % 4.0, loss.split(y)
    alone = [p.head.start(t, weights=weights, width=p.width) for p, t in zip(loss.parts, own, strict=True)]
    assert np.array_equal(loss.start(y, weights=weights), np.concatenate(alone))
    assert np.array_equal(loss.best_constant(y, weights=weights), np.concatenate(alone))
    offset = np.zeros((60, loss.outputs(loss.width())))
    offset[:, 0] = seeded("offset").normal(size=60)
    found = loss.start(y, weights=weights, offset=offset)
    assert np.array_equal(found[:1], module.Poisson().start(own[0], weights=weights, offset=offset[:, :1]))
    assert np.array_equal(found[1:], np.concatenate(alone)[1:])
    loss = module.Product([module.Gaussian(), module.Poisson(), (module.Gaussian(), 2)])
    z, y = np.zeros((9, 4)), np.column_stack([np.arange(9.0), np.arange(9), np.ones(9), np.full(9, 3)])
    scaled = loss.with_scale(z, y, np.arange(9.0))
    assert scaled.parts[0].head == module.Gaussian().with_scale(z[:, 0], y[:, 0], np.arange(9.0))
    assert scaled.parts[1].head == module.Poisson() and scaled.parts[2].head.scale == pytest.approx(np.sqrt(5))


# ---- the distribution ----


@each_module
def test_the_distribution_is_that_of_independent_targets(module):
    loss, z, y, each = mixed(module, 30)
    offset = np.full((30, loss.outputs(loss.width())), 0.25)
    for given in ({}, {"offset": offset}):
        d = loss.distribution(z, **given)
        np.testing.assert_allclose(d.log_prob(y), -loss.nll(z, y, **given, reduction="none"), rtol=1e-13)
        own = loss.split(y)
        assert np.allclose(d.log_prob(y), sum(part.log_prob(t) for part, t in zip(d.parts, own, strict=True)))
        assert np.array_equal(d.mean, np.column_stack([part.mean for part in d.parts]))
        assert np.allclose(d.mean, loss.mean(z, **given)) and np.allclose(d.std**2, loss.variance(z, **given))
        assert np.array_equal(d[3:5].mean, d.mean[3:5]) and len(d[[1, 2]].parts[0]) == 2
        gains = [gain(part, t) for part, t in zip(d.parts, own, strict=True)]
        assert gain(d, y) == pytest.approx(sum(gains)) and set(summary(d, y)) == {"gain"}
    alone = loss.parts[2].head.distribution(each[2][0])
    d = loss.distribution(z)
    assert np.array_equal(d.parts[2].quantile(0.3), alone.quantile(0.3))
    assert crps(d.parts[2], own[2]) == crps(alone, each[2][1])
    for refuse in (lambda: d.cdf(0), lambda: d.interval(0.5), lambda: crps(d, y), lambda: pit(d, y),
                   lambda: coverage(d, y)):  # fmt: skip
        with pytest.raises(NotImplementedError, match=r"ask parts, as in d.parts\[0\].cdf"):
            refuse()


@each_module
def test_samples_have_the_columns_of_y(module):
    loss, z, _, _ = mixed(module, 3)
    d = loss.distribution(z)
    y = d.sample(1, 20000)
    assert y.shape == (20000, 3, sum(columns(own).shape[1] for own in loss.split(y[0])))
    assert np.array_equal(d.sample(2, (2, 5)), d.sample(2, (2, 5))) and np.isfinite(loss.nll(z, d.sample(3)))
    assert np.allclose(y[..., 0].mean(0), d.mean[:, 0], atol=6 * d.std[:, 0].max() / 140)
    shares = np.stack([(y[..., 1] == k).mean(0) for k in range(3)], axis=1)
    assert np.allclose(shares, d.mean[:, loss.parts[1].mean], atol=0.02)
    pytest.importorskip("scipy.special")  # for the entropy of the binomial
    assert d.mode.shape[0] == 3 and np.array_equal(d.mode[:, 1], d.parts[1].mode)
    entropies = [np.reshape(part.entropy, (3, -1)).sum(1) for part in d.parts if part.loss.likelihood != "binomial"]
    assert np.all(d.entropy >= sum(entropies))


# ---- networks ----


def problem(module, rows=120):
    rng = seeded("problem")
    X = rng.normal(size=(rows, 4))
    loss = module.Product([module.Poisson(), (module.Categorical(), 3), module.HeteroscedasticGaussian()])
    y = loss.join(
        rng.poisson(np.exp(0.5 * X[:, 0])),
        np.argmax(X[:, :3] + rng.gumbel(size=(rows, 3)), axis=1),
        rng.normal(X[:, 1], np.exp(0.3 * X[:, 2])),
    )
    return X, y, loss


@each_module
def test_heads_that_share_no_layer_train_as_if_alone(module):
    X, y, loss = problem(module)
    net = module.Network([module.Dense(4, loss.width())], loss, rng=0)
    first = net.layers[0].W.copy()
    settings = {"epochs": 5, "batch_size": 32, "optimizer": module.SGD(0.05, momentum=0.5), "shuffle": False}
    history, total = net.fit(X, y, **settings), 0
    for part, own in zip(loss.parts, loss.split(y), strict=True):
        alone = module.Network([module.Dense(4, part.width)], part.head, rng=0)
        alone.layers[0].W = first[:, part.logits]
        total = total + np.array(alone.fit(X, own, **settings).nll)
        np.testing.assert_allclose(net.layers[0].W[:, part.logits], alone.layers[0].W, rtol=1e-12)
        np.testing.assert_allclose(net.layers[0].b[part.logits], alone.layers[0].b, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(history.nll, total, rtol=1e-13)


@each_module
def test_a_body_with_several_heads(module, tmp_path):
    X, y, loss = problem(module, 600)
    body = [module.Dense(4, 16), module.Tanh(), module.Dense(16, loss.width())]
    net = module.Network(body, loss, rng=0)
    history = net.fit(X, y, epochs=30, batch_size=50, optimizer=module.Adam(0.01), validation=0.2)
    assert history.validation_nll[-1] < history.validation_nll[0] and gain(net.distribution(X), y) > 0.3
    assert net.predict(X).shape == (600, 5)
    assert net.score(X, y) == pytest.approx(np.mean(net.distribution(X).log_prob(y)))
    call = net.predictor(600)
    np.testing.assert_array_equal(call(X), net.predict(X))
    with pytest.raises(TypeError, match="Poisson.*has no classes"):
        net.predict_class(X)
    net.save(tmp_path / "m.npz")
    again = module.Network.load(tmp_path / "m.npz")
    assert again.loss == loss and np.array_equal(again.predict(X), net.predict(X))
    if BOTH:
        across = (reference if module is ps else ps).Network.load(tmp_path / "m.npz")
        np.testing.assert_allclose(across.predict(X), net.predict(X), rtol=1e-12)
    first = net.fit(X, y, epochs=2).nll
    assert np.array_equal(first, again.fit(X, y, epochs=2).nll)


@each_module
def test_a_failed_fit_changes_nothing(module):
    X, y, loss = problem(module)
    net = module.Network([module.Dense(4, 6)], loss, rng=0)
    before, y[7, 1] = net.values.copy(), 3
    for fit in (lambda: net.fit(X, y), lambda: net.fit(X, y[:, :2]), lambda: net.fit(X, y, offset=np.zeros((120, 3)))):
        with pytest.raises(ValueError, match=r"heads\[1\].*y\[7\] = 3|y has shape \(120, 2\)|offset has shape"):
            fit()
        assert np.array_equal(net.values, before) and not net._started and net.history is None
    with pytest.raises(ValueError, match=r"Dense\(4, 5.*gives 5 logits per row: the heads of this Product"):
        module.Network([module.Dense(4, 5)], loss)


@each_module
def test_classes_stand_side_by_side(module):
    rng = seeded("predicted classes")
    X = rng.normal(size=(50, 3))
    loss = module.Product([(module.Bernoulli(), 2), (module.Categorical(), 4)])
    y = loss.join(rng.integers(0, 2, (50, 2)), rng.integers(0, 4, 50))
    for kind in (module.Network, module.Ensemble):
        made = kind([module.Dense(3, 6)], loss, rng=0)
        made.fit(X, y, epochs=1)
        mean, found = made.predict(X), made.predict_class(X)
        assert np.array_equal(found, np.column_stack([mean[:, :2] > 0.5, mean[:, 2:].argmax(1)]))
        assert np.isfinite(made.score(X, y)) and found.dtype == np.int64
    mixture = made.distribution(X)
    np.testing.assert_allclose(mixture.variance, mixture.within + mixture.between)
    assert mixture.sample(0).shape == y.shape


@each_module
def test_a_stream_of_batches_takes_the_same_steps(module):
    X, y, loss = problem(module)
    nets = [module.Network([module.Dense(4, 6)], loss, rng=0) for _ in range(2)]
    nets[0].fit(X, y, epochs=2, batch_size=40, shuffle=False, start=False)
    nets[1].fit(lambda: ((X[i : i + 40], y[i : i + 40]) for i in range(0, 120, 40)), epochs=2, start=False)
    assert np.array_equal(nets[0].values, nets[1].values)


# ---- epochs in C ----


def plans(loss, X, y, dtype, optimizer, batch_size=32, hidden=8, **data):
    """(network, plan) through Python, and the same through C."""
    for kind in (_plan.Plan, _plan.EpochPlan):
        body = [ps.Dense(X.shape[1], hidden), ps.ReLU(), ps.Dense(hidden, loss.width())]
        net = ps.Network(body, loss, rng=0, dtype=dtype)
        net._take(optimizer)
        rows = _data.rows(net, X, y, **data)
        net.layers[-1].b = loss._valid_logits(net.width) if optimizer.learning_rate < 1e-5 else net.layers[-1].b
        yield net, kind(net, rows, batch_size, optimizer, list(net._slots.values()))


def same_steps(made, rel, epochs=3):
    (one, first), (other, second) = made
    before = one.values.copy()
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(first.used)
        totals = first.epoch(order), second.epoch(order)
        assert np.array_equal(one.values, other.values) and not np.array_equal(one.values, before)
        assert totals[0].sum == pytest.approx(totals[1].sum, rel=rel) and totals[0].weight == totals[1].weight
    assert one.steps == other.steps > 0


@needs_c
@each_combination
def test_every_head_takes_the_same_steps_in_c(examples, isa, dtype):
    """So does a head that refuses most logits: with a small rate it stays where they are valid."""
    heads = heads_of(examples)
    loss = ps.Product([pair for pair in heads if not pair[0]._ignores])
    each = [
        own for own, pair in zip(drawn(heads, 50, seeded("epochs"), dtype), heads, strict=True) if not pair[0]._ignores
    ]
    _, y = joined(loss, each)
    X = 1e-3 * seeded("X").normal(size=(50, 5))
    made = list(plans(loss, X, y.astype(dtype), dtype, ps.Adam(1e-6), 16))
    same_steps(made, 1e-5 if dtype == np.float32 else 1e-12)


@needs_c
@pytest.mark.parametrize("batch_size", [1, 7, 120])
def test_weights_and_offset_take_the_same_steps_in_c(batch_size, dtype):
    X, y, loss = problem(ps)
    rng = seeded("epoch")
    weights = rng.integers(0, 3, 120)
    y[weights == 0] = np.nan
    data = {"weights": weights, "offset": 0.1 * rng.normal(size=(120, 5))}
    for given in ({}, {"weights": weights}, data):
        targets = y if given else np.where(np.isnan(y), 1.0, y)
        made = list(plans(loss, X, targets, dtype, ps.SGD(0.02, momentum=0.5), batch_size, **given))
        same_steps(made, 1e-5 if dtype == np.float32 else 1e-13)


@needs_c
def test_what_trains_in_c(monkeypatch):
    X, y, loss = problem(ps)
    kinds = []
    monkeypatch.setattr(_plan.EpochPlan, "_bind", lambda plan, *given: kinds.append("C"))
    monkeypatch.setattr(_plan.Plan, "_bind", lambda plan, *given: kinds.append("Python"))
    ignoring = ps.Product([ps.Poisson(), (ps.Categorical(ignore_index=-100), 3), ps.HeteroscedasticGaussian()])
    for head, body in [
        (loss, [ps.Dense(4, 6)]),
        (ignoring, [ps.Dense(4, 6)]),
        (loss, [ps.Dense(4, 6), type("Mine", (ps.Tanh,), {})()]),
    ]:
        net = ps.Network(body, head, rng=0)
        net._take(ps.Adam())
        _plan.prepare(net, _data.rows(net, X, y), 8, ps.Adam(), list(net._slots.values()))
    assert kinds == ["C", "Python", "Python"]


@needs_c
def test_a_batch_that_a_head_refuses_changes_nothing():
    """Logits leave the domain of the second head in the third batch: an error that names it, on both paths."""
    X = np.ones((40, 1))
    X[30] = -3.0
    loss = ps.Product([ps.Gaussian(), ps.Poisson(link="sqrt")])
    y = np.ones((40, 2))
    for layers in ([ps.Dense(1, 2)], [ps.Dense(1, 2), type("Mine", (ps.Dense,), {})(2, 2)]):
        net = ps.Network(layers, loss, rng=0)
        for layer in net.layers:
            layer.W, layer.b = np.eye(*layer.W.shape) if layer.n_in == 2 else np.ones((1, 2)), np.zeros(2)
        with pytest.raises(ValueError, match=r"heads\[1\], Poisson\(link='sqrt'.*logits\[10\] = .*first logit > 0"):
            net.fit(X, y, batch_size=20, shuffle=False, start=False, optimizer=ps.SGD(1e-9), epochs=2)
        assert net.steps == 1


@needs_c
def test_a_fit_in_c_is_a_fit_in_python(monkeypatch, dtype):
    X, y, loss = problem(ps)
    values = []
    for native in (True, False):
        if not native:
            monkeypatch.setattr(_plan, "is_native", lambda layer: False)
        net = ps.Network([ps.Dense(4, 8), ps.ReLU(), ps.Dense(8, 6)], loss, rng=0, dtype=dtype)
        history = net.fit(X, y, epochs=3, batch_size=32, optimizer=ps.Adam(0.01), validation=0.2)
        values.append((net.values, history.validation_nll, history.nll))
    assert np.array_equal(values[0][0], values[1][0]) and values[0][1] == values[1][1]
    np.testing.assert_allclose(values[0][2], values[1][2], rtol=1e-6 if dtype == np.float32 else 1e-13)

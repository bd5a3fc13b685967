"""Bad input is an error that names the argument, the first bad element, its value, the rule and a remedy."""

from cases import EXAMPLES, draw, seeded, twins, widths
import numpy as np
import pytest

from pyscratch import _native, losses, reference

MODULES = pytest.mark.parametrize("module", [losses, reference], ids=["native", "reference"])
Z = np.array([[0.1], [0.2], [0.3], [0.4]])
Z3 = np.arange(12.0).reshape(4, 3)


def refused(error, words, function, *arguments, **options):
    """The call raises ``error``, and its message holds all of the words."""
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


# ---- targets outside the support ----

BAD_TARGETS = [
    ("Poisson", {}, Z, [0, 1, -1, 2], ["y[2] = -1", "counts"]),
    ("Poisson", {}, Z, [0, 1, 2, 1.5], ["y[3] = 1.5", "integer=False"]),
    ("Poisson", {"integer": False}, Z, [0, 1.5, -0.5, 1], ["y[2] = -0.5", ">= 0"]),
    ("Poisson", {}, Z, [0, np.inf, 1, 1], ["y[1] = inf"]),
    ("Poisson", {}, Z, [np.nan, 1, 1, 1], ["y[0] = nan", "missing", "weight 0"]),
    ("Bernoulli", {}, Z, [0, 1, 1, -1], ["y[3] = -1", "0 to 1", "(y + 1) / 2"]),
    ("Bernoulli", {}, Z, [0, 1.5, 1, 0], ["y[1] = 1.5"]),
    ("Bernoulli", {}, Z, [0, 1, np.nan, 0], ["y[2] = nan"]),
    ("Gaussian", {}, Z, [0, 1, np.nan, 0], ["y[2] = nan", "finite"]),
    ("Gaussian", {}, Z, [0, -np.inf, np.nan, 0], ["y[1] = -inf"]),
    ("Gaussian", {}, Z3, [[0, 0, 0], [0, 0, np.nan], [0, 0, 0], [0, 0, 0]], ["y[1, 2] = nan"]),
    ("HeteroscedasticGaussian", {}, np.zeros((4, 2)), [0, 1, np.nan, 0], ["y[2] = nan"]),
    ("Categorical", {}, Z3, [0, 1, 3, 2], ["y[2] = 3", "0 to 2"]),
    ("Categorical", {}, Z3, [0, -1, 3, 2], ["y[1] = -1"]),
    ("Categorical", {}, Z3, np.array([0, 1, 2, 2**63], np.uint64), ["y[3] = 9223372036854775808"]),
    ("Categorical", {}, Z3, [0, 1, 2, 2**40], ["y[3] = 1099511627776"]),
    ("Categorical", {}, Z3, np.array([[1, 0, 0], [0, 0.5, 0.4], [0, 1, 0], [0, 1, 0]]), ["y[1] =", "sum to 1"]),
    ("Categorical", {}, Z3, np.array([[1, 0, 0], [0, 1.5, -0.5], [0, 1, 0], [0, 1, 0]]), ["y[1] =", ">= 0"]),
    ("Categorical", {}, Z3, np.array([[1, 0, 0], [0, 1, 0], [np.nan, 1, 0], [0, 1, 0]]), ["y[2] =", "missing"]),
]


@MODULES
@pytest.mark.parametrize("case", BAD_TARGETS, ids=lambda c: f"{c[0]}-{c[4][0]}")
def test_targets_outside_the_support(module, case, dtype):
    name, options, z, y, words = case
    loss = module.families[name](**options)
    z = z.astype(dtype)
    for method in (loss.nll, loss.grad, loss.nll_and_grad, loss.curvature):
        refused(ValueError, words, method, z, y)
    refused(ValueError, words, loss.nll, z, y, reduction="none")
    refused(ValueError, words, loss.bind, z, y)
    refused(ValueError, words, loss.targets, y, z.shape[1], dtype)
    refused(ValueError, words, loss.start, y, width=z.shape[1])
    bad = int(words[0].split("[")[1].split("]")[0].split(",")[0])
    if isinstance(y, np.ndarray) and y.dtype == np.uint64:
        return  # a label that int64 cannot hold is refused even where it is not read
    weights = np.arange(4) < bad
    if bad:
        assert np.isfinite(loss.nll(z, y, weights=weights))  # the bad rows are not read


def test_the_first_bad_row_of_a_long_array(isa, dtype):
    for rows in (3, 40, 70_000):
        for bad in (0, rows // 2, rows - 1):
            y = np.zeros(rows, dtype)
            y[bad:] = -1
            refused(ValueError, [f"y[{bad}] = -1"], losses.Poisson().nll, np.zeros(rows, dtype), y)
            labels = np.zeros(rows, int)
            labels[bad:] = 4
            refused(ValueError, [f"y[{bad}] = 4"], losses.Categorical().grad, np.zeros((rows, 4), dtype), labels)


@MODULES
def test_logits_in_place_survive_a_bad_target(module):
    z = np.ones(5)
    refused(ValueError, ["y[4]"], module.Poisson().grad, z, [0, 1, 2, 3, -1], out=z)
    assert np.array_equal(z, np.ones(5))


# ---- shapes: nothing is broadcast ----

BAD_SHAPES = [
    ("Poisson", Z[:, 0], np.zeros((1, 4)), ["(1, 4)", "(4,)", "reshape"]),
    ("Poisson", Z, np.zeros((1, 4)), ["(1, 4)", "(4, 1)"]),
    ("Poisson", Z, np.zeros(5), ["(5,)", "as many rows"]),
    ("Poisson", Z, np.zeros(3), ["(3,)", "as many rows"]),
    ("Poisson", Z, np.zeros(1), ["(1,)"]),
    ("Poisson", Z, 0.0, ["()"]),
    ("Poisson", Z, np.zeros((4, 2)), ["(4, 2)"]),
    ("Poisson", Z3, np.zeros(4), ["(4,)", "(4, 3)", "width of the last layer"]),
    ("Poisson", Z3, np.zeros((3, 4)), ["(3, 4)", "(4, 3)", "reshape"]),
    ("Poisson", Z3, np.zeros((4, 1)), ["(4, 1)", "(4, 3)"]),
    ("Poisson", Z, np.zeros((4, 1, 1)), ["(4, 1, 1)"]),
    ("HeteroscedasticGaussian", np.zeros((4, 2)), np.zeros((4, 2)), ["(4, 2)", "(4,) or (4, 1)"]),
    ("Categorical", Z3, np.zeros((3, 1), int), ["(3, 1)"]),
    ("Categorical", Z3, np.zeros((4, 3), int), ["(4, 3)"]),
]


@MODULES
@pytest.mark.parametrize("case", BAD_SHAPES, ids=lambda c: f"{c[0]}-{np.shape(c[1])}-{np.shape(c[2])}")
def test_shapes_of_y(module, case):
    name, z, y, words = case
    refused(ValueError, ["y", *words], module.families[name]().nll, z, y)


@MODULES
def test_shapes_of_logits(module):
    refused(ValueError, ["logits", "(2, 2, 1)"], module.Poisson().nll, np.zeros((2, 2, 1)), np.zeros((2, 2)))
    refused(ValueError, ["logits", "()"], module.Poisson().mean, 0.5)
    refused(ValueError, ["logits per output", "3 per row"], module.HeteroscedasticGaussian().link, np.zeros((4, 3)))
    refused(ValueError, ["mean + scale", "1 per row"], module.HeteroscedasticGaussian().link, np.zeros(4))
    refused(ValueError, ["0 per row"], module.Poisson().link, np.zeros((4, 0)))
    refused(ValueError, ["one logit per class", "2 per row"], module.Categorical(class_weights=(1, 2)).link, Z3)


@MODULES
def test_shapes_of_weights_and_offset(module):
    loss = module.Poisson()
    y = np.zeros(4)
    refused(ValueError, ["weights", "(4, 1)", "ravel"], loss.nll, Z, y, weights=np.ones((4, 1)))
    refused(ValueError, ["weights", "(3,)", "one weight per row"], loss.nll, Z, y, weights=np.ones(3))
    refused(ValueError, ["offset", "(3,)"], loss.nll, Z, y, offset=np.ones(3))
    refused(ValueError, ["offset", "(4,)", "(4, 3)"], loss.nll, Z3, np.zeros((4, 3)), offset=np.ones(4))
    refused(ValueError, ["offset", "(4, 1)", "(4, 3)"], module.Categorical().nll, Z3, np.zeros(4, int), offset=Z)


@MODULES
def test_values_of_weights(module, dtype):
    loss, y = module.Poisson(), np.zeros(4)
    for bad in (-1.0, np.nan, np.inf):
        for method in (loss.nll, loss.grad, loss.curvature, loss.bind):
            refused(ValueError, ["weights[2]", "finite and >= 0"], method, Z.astype(dtype), y, weights=[1, 0, bad, -2])
    refused(ValueError, ["weights[2]"], loss.fisher, Z, weights=[1, 1, -1, 1])
    refused(ValueError, ["no best constant", "positive weight"], loss.start, y, weights=np.zeros(4))


# ---- number types ----


@MODULES
@pytest.mark.parametrize("name", ["Poisson", "Bernoulli", "Categorical"])
def test_number_types(module, name):
    loss = module.families[name]()
    z, y = (Z3, np.array([0, 1, 0, 1])) if name == "Categorical" else (Z, np.array([0, 1, 0, 1]))
    masked = np.ma.array(y, mask=[False, True, False, False])
    refused(TypeError, ["y", "masked", "weights"], loss.nll, z, masked)
    refused(TypeError, ["logits", "masked"], loss.nll, np.ma.array(z), y)
    refused(TypeError, ["weights", "masked"], loss.nll, z, y, weights=np.ma.array(np.ones(4)))
    refused(TypeError, ["y", "complex"], loss.nll, z, y.astype(complex))
    refused(TypeError, ["logits", "complex"], loss.nll, z.astype(complex), y)
    refused(TypeError, ["y", "object"], loss.nll, z, y.astype(object))
    refused(TypeError, ["y", "<U"], loss.nll, z, ["a", "b", "a", "b"])
    refused(TypeError, ["y", "datetime"], loss.nll, z, y.astype("datetime64[s]"))
    refused(TypeError, ["logits", "float16", "astype"], loss.nll, z.astype(np.float16), y)
    refused(TypeError, ["logits", "bool"], loss.nll, z > 0.2, y)
    if np.dtype(np.longdouble).itemsize > 8:
        refused(TypeError, ["logits", "float32 or float64"], loss.nll, z.astype(np.longdouble), y)


@MODULES
def test_swapped_arguments(module):
    refused(TypeError, ["swapped"], module.Poisson().nll, np.array([0, 1, 2, 3]), Z[:, 0])
    refused(TypeError, ["swapped"], module.Categorical().nll, np.array([0, 1, 2, 0]), Z3)
    assert module.Poisson().nll([0, 1], [1.0, 2.0]) == module.Poisson().nll([0.0, 1.0], [1, 2])  # lists are no claim


@MODULES
def test_floating_labels(module):
    loss = module.Categorical()
    refused(TypeError, ["integer labels", "astype"], loss.nll, Z3, [0.0, 1.0, 2.0, 0.5])
    refused(TypeError, ["integer labels"], loss.nll, Z3, np.zeros((4, 1)))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64, bool])
def test_every_integer_type_is_a_target(kind, dtype):
    for name, options in EXAMPLES:
        for loss in twins((name, options)):
            width = widths(loss)[-1]
            z, y = draw(loss, 9, width, seeded(name), dtype)
            whole = np.abs(y).astype(np.int64) % 2
            try:
                want = loss.nll(z, whole if loss.target == _native.LABELS else whole.astype(dtype))
            except ValueError:
                continue  # a family for which 0 or 1 is no target
            assert loss.nll(z, whole.astype(kind)) == want
            if whole.ndim == 1:
                assert loss.nll(z, whole.astype(kind).reshape(-1, 1)) == want


@MODULES
def test_floating_targets_of_another_size(module):
    z = Z.astype(np.float32)
    y = np.array([0.1, 0.2, 0.3, 0.4])
    loss = module.Gaussian()
    assert loss.nll(z, y) == loss.nll(z, y.astype(np.float32))
    assert loss.nll(Z, y.astype(np.float16)) == loss.nll(Z, y.astype(np.float16).astype(float))
    assert loss.grad(z, y).dtype == np.float32
    refused(ValueError, ["y[1] = 1e+300", "float32"], loss.nll, z, [0.0, 1e300, 0.0, 0.0])


@MODULES
def test_integers_that_do_not_survive(module):
    z = np.zeros(3, np.float32)
    refused(ValueError, ["y[1] = 16777217", "float32", "float64"], module.Poisson().nll, z, [1, 2**24 + 1, 3])
    refused(ValueError, ["y[1] = 16777217", "float32"], module.Poisson().nll, z, [1.0, 2.0**24 + 1, 3.0])
    refused(ValueError, ["y[2] = 9007199254740993"], module.Gaussian().nll, np.zeros(3), [1, 2, 2**53 + 1])
    refused(ValueError, ["y[0] = 18446744073709551615"], module.Poisson().nll, z, np.full(3, 2**64 - 1, np.uint64))
    assert np.isfinite(module.Poisson().nll(z, [1, 2**24, 3 * 2**24]))
    assert np.isfinite(module.Gaussian().nll(np.zeros(3), [1, 2**53, -(2**60)]))


# ---- out, options, reductions ----


@MODULES
def test_out(module):
    loss, y = module.Poisson(), np.zeros(4)
    for bad in (np.zeros(4), np.zeros((4, 1), np.float32), np.zeros((5, 1)), np.zeros((4, 2))[:, :1], [0.0] * 4):
        refused(ValueError, ["out"], loss.grad, Z, y, out=bad)
    frozen = np.zeros((4, 1))
    frozen.flags.writeable = False
    refused(ValueError, ["out", "writable"], loss.grad, Z, y, out=frozen)
    refused(ValueError, ["out", "overlaps"], loss.grad, Z, y.reshape(4, 1), out=y.reshape(4, 1))
    buffer = np.zeros(9)
    refused(ValueError, ["out", "overlaps"], loss.grad, buffer[:8], np.zeros(8), out=buffer[1:])
    refused(ValueError, ["out", 'reduction="none"'], loss.nll, Z, y, out=np.zeros(4))
    out = np.zeros(4)
    assert loss.nll(Z, y, reduction="none", out=out) is out and out.all()
    refused(ValueError, ["out", "overlaps"], loss.mean, Z[:, 0], out=Z[:, 0])


@MODULES
def test_options(module):
    refused(ValueError, ["link", "'log'", "'probit'"], module.Poisson, link="probit")
    refused(ValueError, ["link"], module.Poisson, link=None)
    refused(ValueError, ["scale", "> 0", "-1"], module.Gaussian, scale=-1)
    refused(ValueError, ["scale", "> 0"], module.Gaussian, scale=0.0)
    refused(ValueError, ["scale", "finite"], module.Gaussian, scale=np.nan)
    refused(TypeError, ["scale", "str"], module.Gaussian, scale="1")
    refused(TypeError, ["scale", "bool"], module.Gaussian, scale=True)
    refused(ValueError, ["scale_link", "'softplus'"], module.HeteroscedasticGaussian, scale_link="cosh")
    refused(ValueError, ["min_scale", ">= 0"], module.HeteroscedasticGaussian, min_scale=-0.1)
    refused(ValueError, ["smoothing", "below 1"], module.Categorical, smoothing=1.0)
    refused(ValueError, ["class_weights", ">= 0"], module.Categorical, class_weights=(1, -1))
    refused(ValueError, ["reduction", "'mean'", "average"], module.Poisson().nll, Z, np.zeros(4), reduction="average")
    refused(ValueError, ["reduction"], module.Poisson().bind, Z, np.zeros(4), reduction="average")


@MODULES
def test_bind_needs_logits_that_are_ready(module):
    for z in (Z.tolist(), np.zeros((4, 2))[:, :1], Z.astype(np.int64), Z.astype(">f8")):
        refused(ValueError, ["bind", "ready"], module.Poisson().bind, z, [0, 1, 2, 3])


# ---- the instruction sets ----


def test_an_unknown_instruction_set_is_an_error():
    before = _native.isa()
    refused(ValueError, ["'sse9'", before], _native.use_isa, "sse9")
    assert _native.isa() == before

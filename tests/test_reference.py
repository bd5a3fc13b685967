"""The reference by itself: finite differences, the same interface as the library, and no need of the C kernels."""

import inspect
import subprocess
import sys
import textwrap

from cases import draw, draw_logits, formulas, seeded, widths
import numpy as np
import pytest

import pyscratch
from pyscratch import _native, losses, reference

STEP = 2e-5


def difference(function, z):
    """Central differences of a function by each logit of a row: of its value per row, or of its own entry there.

    Of two steps, combined so that what is left is of their fourth power (Richardson).
    """
    slopes = np.empty_like(z)
    for k in range(z.shape[1]):

        def change(step, k=k):
            up, down = z.copy(), z.copy()
            up[:, k] += step
            down[:, k] -= step
            change = function(up) - function(down)
            return (change[:, k] if change.ndim == 2 else change) / (up[:, k] - down[:, k])

        slopes[:, k] = (4 * change(STEP) - change(2 * STEP)) / 3
    return slopes


def test_gradient_and_curvature_are_finite_differences(pair):
    _, twin = pair
    for width in widths(twin)[:2]:
        z, y = draw(twin, 200, width, seeded(twin.name, width))
        size = formulas(twin, z, y, "nll")[1][:, None] + 1
        grad = difference(lambda z: twin.nll(z, y, reduction="none"), z)  # noqa: B023
        assert np.all(np.abs(grad - twin.grad(z, y, reduction="sum")) <= 1e-7 * size)
        size = formulas(twin, z, y, "grad")[1] + 1
        curvature = difference(lambda z: twin.grad(z, y, reduction="sum"), z)  # noqa: B023
        assert np.all(np.abs(curvature - twin.curvature(z, y)) <= 1e-6 * size)


def test_finite_differences_in_many_digits(pair):
    pytest.importorskip("mpmath")
    from exact import Exact, exact, mp

    _, twin = pair
    width = widths(twin)[0] if len(twin.parameters) == 1 else twin.width()
    z, y = draw(twin, 12, width, seeded(twin.name, "digits"))
    z[:4] *= 12  # tails
    h = mp.mpf(10) ** -20

    def at(shift, column, wanted):
        """An output at logits moved by ``shift`` in one column."""

        def number(x):
            a = exact(x)
            if a.shape == z.shape and np.array_equal(x, z):
                a = a.copy()
                a[:, column] = a[:, column] + Exact(shift)
            return a

        return formulas(twin, z, y, wanted, number)

    for column in range(width):
        for of, derivative in (("nll", "grad"), ("grad", "curvature")):
            want, size = formulas(twin, z, y, derivative, exact)
            (after, largest), (before, _) = at(h, column, of), at(-h, column, of)
            slope, lost = (after - before) / Exact(2 * h), np.abs(largest) * Exact(mp.eps / h)
            slope, lost = (a[:, column] if a.ndim == 2 else a for a in (slope, lost))
            wrong = np.abs(slope - want[:, column]) > 1e-17 * (np.abs(size[:, column]) + 1) + lost
            assert not wrong.any(), (derivative, z[wrong], slope[wrong], want[wrong, column])


def test_what_stands_beside_the_diagonal(pair):
    """By finite differences of the gradient, and as the mean of products of the gradient; in C it is the same."""
    loss, twin = pair
    if len(twin.parameters) < 2 or isinstance(twin, losses.GaussianMixture):
        pytest.skip("one logit per output, or a test of its own")
    for width in widths(twin)[:2]:
        z, y = draw(twin, 100, width, seeded(twin.name, "beside"))
        whole, each = twin.curvature(z, y, block=True), np.arange(width)
        for k in range(width):
            up, down = z.copy(), z.copy()
            up[:, k] += STEP
            down[:, k] -= STEP
            change = twin.grad(up, y, reduction="sum") - twin.grad(down, y, reduction="sum")
            slope = change / (up[:, k] - down[:, k])[:, None]
            beside = each != k
            size = np.abs(slope).max(1, keepdims=True) + 1
            assert np.all(np.abs(slope - whole[:, k])[:, beside] <= 1e-4 * size)
        np.testing.assert_allclose(whole[:, each, each], twin.curvature(z, y), rtol=1e-12, atol=1e-12)
        if _native.available:
            np.testing.assert_allclose(loss.curvature(z, y, block=True), whole, rtol=1e-8, atol=1e-9)
            rtol = max(1e-8, twin.approximate.get("fisher", 0))
            np.testing.assert_allclose(loss.fisher(z, block=True), twin.fisher(z, block=True), rtol=rtol, atol=1e-9)
    rng = seeded(twin.name, "products")
    z = np.repeat(draw_logits(twin, 3, twin.width(), rng, spread=0.5), 4000, axis=0)
    grad = twin.grad(z, twin.distribution(z).sample(rng), reduction="sum").reshape(3, 4000, -1)
    products = grad[..., None] * grad[..., None, :]
    error = products.std(1) / np.sqrt(4000)
    assert np.all(np.abs(products.mean(1) - twin.fisher(z[::4000], block=True)) <= 6 * error + 1e-12)


def test_fisher_is_the_expected_curvature(pair):
    """Over many drawn targets the mean curvature is the Fisher information, within 6 standard errors."""
    _, twin = pair
    if not twin._fisher_is_expected:
        pytest.skip("it is a bound, which has a test of its own")
    width = widths(twin)[0] if len(twin.parameters) > 1 else widths(twin)[-1]
    rng = seeded(twin.name, "fisher")
    z = np.repeat(draw_logits(twin, 3, width, rng, spread=0.7), 4000, axis=0)
    y = twin.plain.distribution(z).sample(rng)
    curvature = twin.curvature(z, y).reshape(3, 4000, width)
    if twin.kinked:
        curvature = twin.grad(z, y, reduction="sum").reshape(3, 4000, width) ** 2
    fisher = twin.fisher(z[::4000])
    error = curvature.std(1) / np.sqrt(4000)
    assert np.all(np.abs(curvature.mean(1) - fisher) <= 6 * error + 1e-12 * np.abs(fisher))


def test_the_score_has_mean_zero(pair):
    _, twin = pair
    if twin.plain != twin:
        pytest.skip("class weights and smoothing are no likelihood")
    width = widths(twin)[-1]
    rng = seeded(twin.name, "score")
    z = np.repeat(draw_logits(twin, 3, width, rng, spread=0.7), 2000, axis=0)
    grad = twin.grad(z, twin.distribution(z).sample(rng), reduction="sum").reshape(3, 2000, width)
    assert np.all(np.abs(grad.mean(1)) <= 6 * grad.std(1) / np.sqrt(2000) + 1e-12)


def test_the_mean_is_that_of_the_link(pair):
    for loss in pair:
        z = draw(loss, 20, widths(loss)[-1], seeded(loss.name))[0]
        p = loss.link(z)
        if isinstance(p, tuple):
            assert p._fields == loss.parameters
            of_components = (*p[0].shape, loss.outputs(z.shape[1]))  # of a mixture with several outputs
            assert all(block.shape in (p[0].shape, of_components) for block in p)
        else:
            assert p.shape == z.shape


@pytest.mark.parametrize("name", losses.families)
def test_twins_have_one_interface(name):
    ours, twin = losses.families[name], reference.families[name]
    assert inspect.signature(ours) == inspect.signature(twin)
    public = [method for method in dir(ours) if not method.startswith("_")]
    for method in public:
        assert method in dir(twin)
        assert callable(getattr(ours, method)) == callable(getattr(twin, method))


def run(code, tmp_path):
    """Run Python code that finds no compiled library."""
    blocked = tmp_path / "blocked.py"
    blocked.write_text("import sys\nsys.modules['pyscratch._lib'] = None\n" + textwrap.dedent(code))
    package = str(pyscratch.__path__[0].rsplit("/pyscratch", 1)[0])
    return subprocess.run(
        [sys.executable, str(blocked)], capture_output=True, text=True, env={"PYTHONPATH": package}, timeout=120
    )


def test_it_runs_without_the_c_kernels(tmp_path):
    code = """
        import numpy as np
        from pyscratch import reference as ps
        value, grad = ps.Poisson().nll_and_grad(np.zeros(3), [1, 2, 3])
        call = ps.Categorical().bind(np.zeros((2, 3)), [0, 2])
        close = abs(call.nll_and_grad()[0] - np.log(3)) < 1e-15
        print(round(value, 12), close, ps.HeteroscedasticGaussian().link([[0.0, 0.0]]))
    """
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1.828302216596 True Parameters(mean=")


def test_the_library_without_the_c_kernels_says_what_to_do(tmp_path):
    code = """
        import pyscratch as ps
        loss = ps.Poisson()          # a description needs no kernels
        print(repr(loss))
        for ask in (lambda: loss.nll([0.0], [1]), lambda: loss.mean([0.0]), ps.isa, lambda: ps.use_isa("scalar")):
            try:
                ask()
            except ImportError as error:
                assert "\\n" not in str(error) and "pip install" in str(error), error
            else:
                raise SystemExit("no error")
    """
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("Poisson(")

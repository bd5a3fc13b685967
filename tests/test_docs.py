"""The pages in docs/ say what is so: the walk-through of a family works, word for word."""

from pathlib import Path
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "adding-a-family.md"

HARNESS = """
#include "isa/scalar_f64.c"
#include <stdio.h>
int main(void)
{
    double z[] = {0.3, -0.7, 1.2}, y[] = {1.7, 0.4, 0.9}, nll[3] = {0}, grad[3], curvature[3], sum = 0;
    ps_options options = {.dispersion = 1 / 2.5, .parameter = 1, .power = 1.5};
    ps_call call = {.real = PS_F64, .options = &options, .rows = 3, .outputs = 1, .width = 1, .z = z, .y = y,
                    .scale = 1, .nll = nll, .grad = grad, .curvature = curvature};
    size_t bad = 0;
    for (int i = 0; i < ps_scalar_f64.heads; i++) {
        const HeadRow *row = &ps_scalar_f64.head[i];
        if (strcmp(row->name, "inverse_gaussian/log")) continue;
        if (row->head(&call, GRAD | VALUE | CURVATURE, &sum, &bad) || row->base(&call, &sum, &bad)) return 1;
        for (int k = 0; k < 3; k++) printf("%.17g %.17g %.17g\\n", nll[k], grad[k], curvature[k]);
        return 0;
    }
    return 2;
}
"""

PROGRAM = """
import numpy as np
from pyscratch import losses, reference
loss = reference.InverseGaussian(shape=2.5)
z, y = np.array([0.3, -0.7, 1.2]), np.array([1.7, 0.4, 0.9])
h = 1e-6
slope = (loss.nll(z + h, y, reduction="none") - loss.nll(z - h, y, reduction="none")) / (2 * h)
assert np.allclose(slope, loss.grad(z, y, reduction="sum"), rtol=1e-8)
assert losses.InverseGaussian.card.nll in losses.InverseGaussian.__doc__
for row in zip(loss.nll(z, y, reduction="none"), loss.grad(z, y, reduction="sum"), loss.curvature(z, y)):
    print(*row)
"""


def blocks():
    """The code of the page by the file it belongs in."""
    return dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```", PAGE.read_text(), re.M | re.S))


def test_a_family_is_four_places():
    places = list(blocks())
    assert places == [
        "csrc/families/inverse_gaussian.h",
        "csrc/families.h",
        "pyscratch/losses/inverse_gaussian.py",
        "pyscratch/reference/inverse_gaussian.py",
    ]


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project with the page's family in it."""
    root = tmp_path_factory.mktemp("project")
    skip = shutil.ignore_patterns("__pycache__", "_lib*")
    for folder in ("csrc", "pyscratch"):
        shutil.copytree(ROOT / folder, root / folder, ignore=skip)
    before = {path for path in root.rglob("*") if path.is_file()}
    for place, text in blocks().items():
        path = root / place
        if path.exists():  # the registry: an include and a row
            include, row = text.strip().splitlines()
            old = path.read_text()
            text = old.replace('#include "families/categorical.h"', f'{include}\n#include "families/categorical.h"')
            text = text.replace("    ROW(categorical, softmax)", f"    {row},\n    ROW(categorical, softmax)")
            assert text.count("inverse_gaussian") == 2
        path.write_text(text)
    added = {path for path in root.rglob("*") if path.is_file()} - before
    assert len(added) == 3
    return root


def test_the_walk_through_works(extended):
    """Its C, compiled as plain scalars, and its reference agree; the reference is its own derivative."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if not shutil.which(compiler):
        pytest.skip("no C compiler")
    (extended / "harness.c").write_text(HARNESS)
    sources = ["harness.c", "csrc/threads.c"]
    build = [compiler, "-O1", "-std=gnu11", "-ffp-contract=off", "-Wno-psabi", "-w", "-Icsrc", "-Icsrc/isa", *sources,
             "-o", "harness", "-lm", "-pthread"]  # fmt: skip
    subprocess.run(build, cwd=extended, check=True, timeout=300)
    in_c = subprocess.run(["./harness"], cwd=extended, check=True, capture_output=True, text=True, timeout=60).stdout
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    run = subprocess.run(program, cwd=extended, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    ours, its = (np.array([line.split() for line in text.splitlines()], float) for text in (in_c, run.stdout))
    assert ours.shape == (3, 3)
    np.testing.assert_allclose(ours, its, rtol=1e-13)


def test_the_catalogue_is_that_of_the_registry():
    from bench import catalogue

    page = (ROOT / "docs" / "catalogue.md").read_text()
    assert page == catalogue.page(), "run `make catalogue`"
    pictures = set(re.findall(r"\((catalogue/\w+\.png)\)", page))
    assert pictures == {f"catalogue/{name.lower()}.png" for name in catalogue.families}
    assert all((ROOT / "docs" / picture).exists() for picture in pictures)

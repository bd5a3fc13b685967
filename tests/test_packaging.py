"""The wheel, the source archive, what rebuilds when, and what a newcomer reads when nothing is built yet."""

from pathlib import Path
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not in a source folder")

# Stands for the compiler: notes its sources, runs the preprocessor (so every include must be there), leaves an output.
FAKE_COMPILER = """#!{python}
import os, subprocess, sys
words = sys.argv[1:]
output = words[words.index("-o") + 1]
sources = [word for word in words if word.endswith(".c")]
if sources:
    words = [os.devnull if word == output else word for word in words if word != "-c"]
    subprocess.run(["cc", "-E", *words], check=True)
    with open({log!r}, "a") as log:
        log.writelines(source + "\\n" for source in sources)
open(output, "w").close()
"""


def run(*command, folder):
    """Run a command; its output goes into the assertion when it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path):
    """Return a copy of the project with its compiled objects and their times, so that nothing compiles anew."""
    left = shutil.ignore_patterns(".venv", ".git", "out", "dist", "__pycache__", "*.egg-info", ".pytest_cache")
    return Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=left))


@pytest.fixture
def setuptools():
    return pytest.importorskip("setuptools", minversion="77", reason="packing needs setuptools 77 or newer")


@pytest.fixture
def builds(setuptools, tmp_path, monkeypatch):
    """Return a function that builds in a folder with a fake compiler and tells which sources were compiled."""
    log, compiler = tmp_path / "log", tmp_path / "compiler"
    compiler.write_text(FAKE_COMPILER.format(python=sys.executable, log=str(log)))
    compiler.chmod(0o755)
    for name in ("CC", "LDSHARED"):
        monkeypatch.setenv(name, str(compiler))

    def build(folder):
        log.write_text("")
        run(sys.executable, "setup.py", "-q", "build_ext", "--inplace", folder=folder)
        return sorted(log.read_text().split())

    return build


def test_the_wheel_is_small_and_serves_every_python_from_3_10(setuptools, copy, tmp_path):
    if not list(ROOT.glob("build/objects-*")):
        pytest.skip("the kernels were not built in this folder: packing would compile them")
    run(sys.executable, "setup.py", "-q", "bdist_wheel", "-d", str(tmp_path / "wheels"), folder=copy)
    wheel = next((tmp_path / "wheels").glob("*.whl"))
    assert "-cp310-abi3-" in wheel.name
    assert wheel.stat().st_size < 1_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert "pyscratch/_lib.abi3.so" in names
    assert {name.split("/")[0] for name in names} == {"pyscratch", wheel.name.split("-cp310")[0] + ".dist-info"}
    assert sorted(re.findall(r"^Requires-Dist: (\w+)[^;\n]*$", metadata, re.MULTILINE)) == ["cffi", "numpy"]


def test_the_source_archive_holds_everything_and_builds(builds, copy, tmp_path):
    run(sys.executable, "setup.py", "-q", "sdist", "-d", str(tmp_path / "dist"), folder=copy)
    with tarfile.open(next((tmp_path / "dist").glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path / "unpacked")
    unpacked = next((tmp_path / "unpacked").iterdir())
    files = [path for top in ("csrc", "tests", "bench") for path in (ROOT / top).rglob("*")]
    wanted = [path.relative_to(ROOT) for path in files if path.is_file() and path.suffix in (".c", ".h", ".inc", ".py")]
    wanted += map(Path, ("Makefile", "README.md", "LICENSE", "setup.py", "pyproject.toml"))
    assert not [str(path) for path in wanted if not (unpacked / path).exists()]
    compiled = {Path(source).name for source in builds(unpacked)}
    assert compiled > {path.name for path in CSRC.glob("*.c")}


def test_every_included_file_is_a_dependency(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "pyscratch"))
    import _build

    texts = [path.read_text() for path in CSRC.rglob("*") if path.suffix in (".c", ".h", ".inc")]
    include = re.compile(r'^\s*#\s*include\s+"(.+)"', re.MULTILINE)
    included = {Path(name).name for text in texts for name in include.findall(text)}
    assert "pointwise.h" in included
    assert included <= {Path(path).name for path in _build.included()}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_each_compiler_takes_the_flags_that_it_is_given(compiler, monkeypatch, tmp_path):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "pyscratch"))
    monkeypatch.setenv("CC", compiler)
    import _build

    (tmp_path / "empty.c").write_text("int nothing;\n")
    run(compiler, *_build.flags(), "-Werror", "-c", "empty.c", folder=tmp_path)


def test_an_edit_rebuilds_and_no_edit_does_not(builds, copy):
    shutil.rmtree(copy / "build", ignore_errors=True)
    everything = builds(copy)
    assert len(everything) > 5
    assert builds(copy) == []
    edits = {"csrc/dispatch.c": ["csrc/dispatch.c"]}
    headers = ("csrc/families/poisson.h", "csrc/kernels.inc", "pyscratch/_build.py")
    edits.update(dict.fromkeys(headers, everything))
    for name, compiled in edits.items():
        path = copy / name
        path.write_text(path.read_text() + "\n")
        assert builds(copy) == compiled, f"after an edit of {name}"


# An editable install lends its kernels to any folder that is named pyscratch: take its finder away.
ALONE = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if '__editable__' not in str(f)]; "


def without_kernels(copy, program):
    """Run a program in a clone whose extension is not built."""
    for path in (copy / "pyscratch").glob("_lib*"):
        path.unlink()
    return subprocess.run([sys.executable, "-c", ALONE + program], cwd=copy, capture_output=True, text=True)


def test_python_started_in_an_unbuilt_clone_says_in_one_line_what_to_do(copy):
    done = without_kernels(copy, "import pyscratch as ps; ps.Poisson().nll([0.0], [1])")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "ImportError" in last and ("pip install" in last or "make" in last), done.stderr


def test_the_reference_works_in_an_unbuilt_clone(copy):
    program = "from pyscratch import reference as ps; print(ps.Poisson().nll([0.0], [1], reduction='sum'))"
    done = without_kernels(copy, program)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == 1.0


def test_the_programs_of_the_readme_run_word_for_word(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    pytest.importorskip("scipy")  # for L-BFGS
    here = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    run(sys.executable, "-c", "\n".join([here, *blocks]), folder=tmp_path)

"""The cffi build of ``pyscratch._lib``: declarations are cut out of ``csrc/pyscratch.h``, which C includes too."""

import os
from pathlib import Path
import platform
import subprocess
import sys
import sysconfig

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
# No tables for unwinding: nothing in C throws, and they are 10 KB an object.
FLAGS = ["-O2", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden",
         "-g0", "-Wno-psabi", "-pthread", "-fno-asynchronous-unwind-tables"]
GCC_FLAGS = ["-fno-tree-pre", "-fno-align-jumps", "-fno-align-labels"]  # 3 KB an object, no kernel slower
ISAS = {"x86_64": ("avx512", "avx2", "scalar"), "amd64": ("avx512", "avx2", "scalar"),
        "aarch64": ("neon", "scalar"), "arm64": ("neon", "scalar")}


def flags():
    """Return what every C file is compiled with."""
    return FLAGS if is_clang() else FLAGS + GCC_FLAGS


def is_clang():
    """Return whether the compiler that setuptools will take, by the same rule, is Clang: it refuses GCC's own flags."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    try:
        return "clang" in subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout.lower()
    except OSError:  # setuptools will say that it is missing
        return False


def declarations():
    """Return the part of pyscratch.h between the two marks."""
    text = (CSRC / "pyscratch.h").read_text()
    return text.split("/* cdef: begin */")[1].split("/* cdef: end */")[0]


def sources():
    """Return the C files, the slowest to compile first, so that a parallel build ends early."""
    isas = ISAS.get(platform.machine().lower(), ("scalar",))
    kernels = [f"csrc/isa/{isa}_{real}.c" for isa in isas for real in ("f32", "f64")]
    return kernels + sorted(f"csrc/{path.name}" for path in CSRC.glob("*.c"))


def included():
    """Return every file that the sources include: editing one rebuilds."""
    return sorted(str(path.relative_to(ROOT)) for path in CSRC.rglob("*") if path.suffix in (".h", ".inc"))


if sys.platform == "win32":
    raise SystemExit("pyscratch needs GCC or Clang on Linux or macOS; on Windows, use it inside WSL")

ffibuilder = FFI()
ffibuilder.cdef(declarations())
ffibuilder.set_source("pyscratch._lib", '#include "pyscratch.h"', sources=sources(), include_dirs=["csrc"],
                      depends=[*included(), "setup.py", "pyscratch/_build.py"],
                      extra_compile_args=flags(), extra_link_args=["-pthread"], py_limited_api=True)

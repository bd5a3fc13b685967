"""C of the benchmarks, compiled when it is needed with the library's headers for the instruction set that is active."""

import os
from pathlib import Path
import shlex
import subprocess
import sysconfig
import tempfile

from cffi import FFI
import numpy as np

HERE = Path(__file__).resolve().parent
TARGETS = {
    "avx512": ["-DISA_AVX512", "-DISA_BYTES=64", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"],
    "avx2": ["-DISA_AVX2", "-DISA_BYTES=32", "-mavx2", "-mfma"],
    "neon": ["-DISA_NEON", "-DISA_BYTES=16"],
}
FLAGS = ["-O2", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-shared"]


def library(source, declarations, isa, real):
    """Return (library, FFI) of a C file of this folder for one instruction set and one real; REAL is its C type."""
    bits = 8 * np.dtype(real).itemsize
    scalar = ["-DISA_SCALAR", f"-DISA_BYTES={bits // 8}"]
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    ffi = FFI()
    ffi.cdef(declarations.replace("REAL", "float" if bits == 32 else "double"))
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/bench.so"
        subprocess.run([*compiler, *FLAGS, "-fPIC", f"-DREAL_BITS={bits}", *TARGETS.get(isa, scalar),
                        f"-I{HERE.parent / 'csrc'}", HERE / source, "-o", path, "-lm"], check=True)  # fmt: skip
        return ffi.dlopen(path), ffi

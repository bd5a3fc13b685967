"""The kernel tests on NEON, on any machine: `make neon`. Needs a cross compiler for arm64 and qemu-user.

The C library and ``neon.c`` become a program for arm64. Here the entries that run kernels are replaced by ones that
send their arguments to it, so that the tests, unchanged, hold its functions, heads and layers to their bounds.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import shutil
import struct
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from pyscratch import _build, _lib, _native  # noqa: E402

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
ENTRIES = (
    "ps_use_isa", "ps_function", "ps_head", "ps_dense_forward", "ps_dense_backward", "ps_activation_forward",
    "ps_activation_backward", "ps_layer_norm_forward", "ps_layer_norm_backward", "ps_sgd", "ps_adam",
)  # fmt: skip
TESTS = ("test_vmath.py", "test_heads.py", "test_rowwise.py", "test_dense.py")
LEFT_OUT = "threads or outside_the_arrays"  # one thread there, and its memory is not ours to fence


def build(folder):
    """Compile what is older than its sources, link the program and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    kernels = [f"csrc/isa/{isa}_{real}.c" for isa in ("neon", "scalar") for real in ("f32", "f64")]
    sources = [*kernels, *(str(path.relative_to(ROOT)) for path in (ROOT / "csrc").glob("*.c")), "tests/neon.c"]
    newest = max((ROOT / path).stat().st_mtime for path in _build.included())

    def compiled(source):
        target = folder / f"{Path(source).stem}.o"
        if not target.exists() or target.stat().st_mtime < max(newest, (ROOT / source).stat().st_mtime):
            command = [COMPILER, *_build.FLAGS, "-Icsrc", "-c", source, "-o", target]
            subprocess.run(command, cwd=ROOT, check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, sources))
    program = folder / "calls"
    subprocess.run([COMPILER, "-static", *objects, "-o", program, "-lm", "-pthread"], check=True)
    return program


class Remote:
    """Stands for the compiled library: kernels run in the program, the rest in this process."""

    def __init__(self, program):
        self._here, self._isa = _native.lib, b"neon"
        self._program = subprocess.Popen([EMULATOR, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.calls = 0

    def __getattr__(self, name):
        if name not in ENTRIES:
            return getattr(self._here, name)
        number = ENTRIES.index(name)
        return lambda *arguments: self._call(number, arguments)

    def ps_isas(self):
        return _native.ffi.new("char[]", b"neon scalar")

    def ps_isa(self):
        return _native.ffi.new("char[]", self._isa)

    def ps_use_isa(self, name):
        status = self._call(0, (_native.ffi.new("char[]", name),))
        self._isa = self._isa if status else name or b"neon"
        return status

    def ps_head(self, *arguments):
        return self._call(2, (*arguments[:-1], self._class_weights(*arguments[1:6:4]), arguments[-1]))

    def ps_head_call(self, call):
        """What the struct points to has the sizes that pyscratch.h states."""
        rows, logits, real = call.rows, call.rows * call.width, 8 if call.real else 4
        targets = {_native.LABELS: 8 * rows, _native.ROWS: logits * real, _native.PAIRS: 2 * rows * call.outputs * real}
        per_output, second = rows * call.outputs * real, logits * real * (call.width if call.flags & 2 else 1)

        def array(name, size):
            place = getattr(call, name)
            return _native.ffi.cast(f"char(*)[{size}]", place)[0] if place else _native.NULL

        inputs = (array("z", logits * real), array("offset", per_output), call.target_kind,
                  array("y", targets.get(call.target_kind, per_output)), array("weights", rows * real))  # fmt: skip
        outputs = (array("total", 16), array("nll", rows * real), array("grad", logits * real),
                   array("params", logits * real), array("mean", per_output), array("variance", per_output),
                   array("curvature", second), array("fisher", second))  # fmt: skip
        options = call.options[0] if call.options else _native.NULL
        return self._call(2, (call.family, options, call.real, rows, call.outputs, call.width, *inputs,
                              call.scale, call.flags, *outputs, self._class_weights(call.options, call.width),
                              array("bad_row", 8)))  # fmt: skip

    @staticmethod
    def _class_weights(options, width):
        there = options and options.class_weights
        return _native.ffi.cast(f"char(*)[{8 * width}]", options.class_weights)[0] if there else _native.NULL

    def _call(self, number, arguments):
        parts, arrays = [struct.pack("<ii", number, len(arguments))], []
        for argument in arguments:
            if isinstance(argument, _native.ffi.CData):
                array = self._bytes(argument)
                parts.append(struct.pack("<cq", b"a", -1 if array is None else len(array)))
                if array is not None:
                    arrays.append((argument, array))
                    parts.append(bytes(array))
            else:
                parts.append(struct.pack("<cd" if isinstance(argument, float) else "<cq",
                                         b"d" if isinstance(argument, float) else b"i", argument))  # fmt: skip
        self._program.stdin.write(b"".join(parts))
        self._program.stdin.flush()
        (status,) = struct.unpack("<q", self._read(8))
        for argument, array in arrays:
            answer = self._read(len(array))
            if "ps_options" not in str(_native.ffi.typeof(argument)) and answer != bytes(array):
                array[:] = answer
        self.calls += 1
        return status

    def close(self):
        """End the program: it stops where its input does."""
        self._program.communicate()

    @staticmethod
    def _bytes(argument):
        """What it points to, or None; a struct comes as itself."""
        if _native.ffi.typeof(argument).kind == "struct":
            argument = _native.ffi.addressof(argument)
        return None if argument == _native.NULL else _native.ffi.buffer(argument)

    def _read(self, size):
        answer = self._program.stdout.read(size)
        if len(answer) != size:
            raise RuntimeError(f"the program for arm64 ended with {self._program.wait()}")
        return answer


def main():
    """Run the tests, or say in one line what is missing."""
    missing = [tool for tool in (COMPILER, EMULATOR) if not shutil.which(tool)]
    if missing:
        print(f"neon: skipped, {' and '.join(missing)} not installed (Debian: gcc-aarch64-linux-gnu, qemu-user)")
        return 0
    remote = Remote(build(ROOT / "build" / "neon"))
    _native.lib = _lib.lib = remote
    _native._ps_head, _native._ps_head_call = remote.ps_head, remote.ps_head_call
    files = [str(ROOT / "tests" / name) for name in TESTS]
    failed = pytest.main(["-q", "-p", "no:cacheprovider", "-k", f"neon and not ({LEFT_OUT})", *files, *sys.argv[1:]])
    remote.close()
    print(f"neon: {remote.calls:,} calls ran on {EMULATOR}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Prints the code size of every compiled object and of the wheel; with --strict it fails past the budget."""

from pathlib import Path
import subprocess
import sys
import tempfile

from pyscratch._build import sources

ROOT = Path(__file__).resolve().parent.parent
OBJECT_BUDGET = 200_000  # bytes of text in one object
WHEEL_BUDGET = 1_000_000


def text_size(path):
    """Return the bytes of code and constants in one object, as ``size`` counts them."""
    table = subprocess.run(["size", path], check=True, capture_output=True, text=True).stdout.splitlines()
    return int(table[1].split()[0])


def wheel_size():
    """Build the wheel from the objects that are there and return (name, bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
        subprocess.run(command, check=True)
        wheel = next(Path(folder).glob("*.whl"))
        return wheel.name, wheel.stat().st_size


def main():
    """Print the table; with --strict the exit code is 1 when something is over its budget."""
    name, wheel = wheel_size()
    every = ROOT.glob("build/objects-*/csrc/isa/*.o")  # a folder for each compiler: the newest object's
    objects = max(every, key=lambda path: path.stat().st_mtime).parents[2]
    files = [objects / source.replace(".c", ".o") for source in sorted(sources())]
    rows = [(path.relative_to(objects), text_size(path), OBJECT_BUDGET) for path in files]
    rows.append((name, wheel, WHEEL_BUDGET))
    for label, size, budget in rows:
        print(f"{label!s:<56}{size / 1000:7.1f} KB of {budget // 1000}{'  OVER' if size > budget else ''}")
    return "--strict" in sys.argv[1:] and any(size > budget for _, size, budget in rows)


if __name__ == "__main__":
    sys.exit(main())

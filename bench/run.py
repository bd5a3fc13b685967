"""`make bench`: every head and Dense against the reference, small to large, in both reals. Table, and JSON in out/.

usage: python -m bench.run [--quick] [--only WORD] [--seconds S] [--output FILE]

Each answer is checked before it is timed; contenders take turns on one thread; times are medians.
"""

import argparse
from datetime import datetime, timezone
import json
from pathlib import Path
import platform
import sys

import numpy as np

from bench import contenders
import pyscratch as ps
from pyscratch.compare import gap, interleaved

OUT = Path(__file__).resolve().parent.parent / "out"


def prepare(case):
    """Return the calls of the contenders that are here and right, and the names of those that are wrong."""
    calls, wrong = {}, []
    for name, make in contenders.CONTENDERS[case.kind].items():
        try:
            call = make(case)
        except ImportError:
            continue
        if call is None:
            continue
        answer = call()
        far = max(gap(mine, exact) for mine, exact in zip(answer, case.exact, strict=True))
        if far <= contenders.TOLERANCE[case.real]:
            calls[name] = call
        else:
            wrong.append(name)
    return calls, wrong


def measure(case, seconds):
    """Return the row of one case: medians of the contenders' seconds, about ``seconds`` altogether."""
    calls, wrong = prepare(case)
    once = sum(interleaved(list(calls.values()), repeats=1))
    repeats = int(np.clip(seconds / max(once, 2e-3 * len(calls)), 3, 51))
    times = dict(zip(calls, interleaved(list(calls.values()), repeats), strict=True))
    return {"kind": case.kind, "name": case.name, "real": case.real, "size": list(case.size), "bytes": case.bytes,
            "flops": case.flops, "repeats": repeats, "seconds": times, "wrong": wrong}  # fmt: skip


def header(kind):
    """Return the headline of a table."""
    names = "".join(f"{name:>13}" for name in contenders.CONTENDERS[kind])
    ratios = "".join(f"{f'others/{mine}':>14}" for mine in contenders.RIVALS[kind])
    return f"\n{kind + ', µs':<24}{'real':<9}{'size':>18}{names}{ratios}"


def line(row):
    """Return the row of the table: microseconds of each contender, and the best rival's in those of pyscratch."""
    size, times = " × ".join(f"{n:,}" for n in row["size"]), row["seconds"]
    cells = []
    for name in contenders.CONTENDERS[row["kind"]]:
        cell = f"{1e6 * times[name]:,.1f}" if name in times else "WRONG" if name in row["wrong"] else "-"
        cells.append(f"{cell:>13}")
    for mine, rivals in contenders.RIVALS[row["kind"]].items():
        best = min((times[name] for name in rivals if name in times), default=None)
        cells.append(f"{best / times[mine]:>13.2f}x" if best and mine in times else f"{'-':>14}")
    return f"{row['name']:<24}{row['real']:<9}{size:>18}{''.join(cells)}"


def environment():
    """Return what the numbers depend on."""
    return {"when": datetime.now(timezone.utc).isoformat(timespec="seconds"), "machine": platform.machine(),
            "system": platform.platform(), "python": platform.python_version(), "numpy": np.__version__,
            "pyscratch": {"isa": ps.isa(), "threads": ps.threads()}}  # fmt: skip


def main(arguments=None):
    """Print the tables and write the JSON; the exit code is 1 when a contender's answer was wrong."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--only", default="", metavar="WORD", help="cases with it in kind, name, real or size")
    parser.add_argument("--seconds", type=float, default=0.5, help="to spend on each case (default 0.5)")
    parser.add_argument("--output", type=Path, default=OUT / "bench.json", help="JSON file (default out/bench.json)")
    options = parser.parse_args(arguments)
    ps.set_threads(1)
    print(f"pyscratch on {ps.isa()}, one thread, NumPy {np.__version__}; each answer was checked before it was timed")
    rows, kind = [], None
    for case in contenders.cases(options.quick, options.only):
        if case.kind != kind:
            kind = case.kind
            print(header(kind))
        rows.append(measure(case, options.seconds))
        print(line(rows[-1]), flush=True)
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps({"environment": environment(), "rows": rows}, indent=1) + "\n")
    print(f"\nwritten to {options.output}")
    return any(row["wrong"] for row in rows)


if __name__ == "__main__":
    sys.exit(main())

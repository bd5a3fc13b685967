"""`make bench`: every head and Dense against the reference and the peers, small to large, in both reals.

usage: python -m bench.run [--quick] [--only WORDS] [--seconds S] [--output FILE]

Each answer is checked before it is timed; contenders take turns on one core; times are medians. Each row says what
share of this machine's limit, measured in the same run, pyscratch reaches. Two more tables say what composed links and
several quantities at once cost: see `composed`. Tables; JSON and a picture in out/.
"""

import argparse
from datetime import datetime, timezone
from importlib import metadata
import json
from pathlib import Path
import platform
import sys

import numpy as np

from bench import CORES, TURN, composed, contenders, stay_on
from bench.limits import Limits
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
        pairs = zip(answer, case.answer(name), strict=True)
        far = max(gap(np.asarray(mine) / case.unit, exact / case.unit) for mine, exact in pairs)
        if far <= contenders.TOLERANCE[case.real]:
            calls[name] = call
        else:
            wrong.append(name)
    return calls, wrong


def measure(case, seconds, limits=None):
    """Return the row of one case: medians of the contenders' seconds, about ``seconds`` altogether."""
    calls, wrong = prepare(case)
    once = sum(interleaved(list(calls.values()), repeats=1))
    repeats = int(np.clip(seconds / max(once, TURN * len(calls)), 3, 51))
    times = dict(zip(calls, interleaved(list(calls.values()), repeats, TURN), strict=True))
    limit = limits[case.real].seconds(case.bytes, case.flops) if limits and case.kind != "threads" else None
    return {"kind": case.kind, "name": case.name, "real": case.real, "size": list(case.size), "bytes": case.bytes,
            "flops": case.flops, "repeats": repeats, "seconds": times, "limit": limit, "wrong": wrong}  # fmt: skip


def header(kind):
    """Return the headline of a table."""
    names = "".join(f"{name:>15}" for name in contenders.CONTENDERS[kind])
    ratios = "".join(f"{f'best/{mine}':>14}" for mine in contenders.RIVALS[kind])
    return f"\n{kind + ', µs':<24}{'real':<9}{'size':>18}{names}{ratios}{'of limit':>10}"


def line(row):
    """Return the row of the table: microseconds of each contender, and the best rival's in those of pyscratch."""
    size, times = " × ".join(f"{n:,}" for n in row["size"]), row["seconds"]
    cells = []
    for name in contenders.CONTENDERS[row["kind"]]:
        cell = f"{1e6 * times[name]:,.1f}" if name in times else "WRONG" if name in row["wrong"] else "-"
        cells.append(f"{cell:>15}")
    for mine, rivals in contenders.RIVALS[row["kind"]].items():
        best = min((times[name] for name in rivals if name in times), default=None)
        cells.append(f"{best / times[mine]:>13.2f}x" if best and mine in times else f"{'-':>14}")
    first = times.get(next(iter(contenders.CONTENDERS[row["kind"]])))
    cells.append(f"{row['limit'] / first:>10.0%}" if row.get("limit") and first else f"{'-':>10}")
    return f"{row['name']:<24}{row['real']:<9}{size:>18}{''.join(cells)}"


def environment():
    """Return what the numbers depend on."""
    versions = {}
    for name in ("numpy", "scikit-learn", "torch", "jax"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"when": datetime.now(timezone.utc).isoformat(timespec="seconds"), "machine": platform.machine(),
            "system": platform.platform(), "python": platform.python_version(), "peers": versions,
            "pyscratch": {"isa": ps.isa(), "threads": ps.threads()}}  # fmt: skip


def write(rows, limits, path, more):
    """Write the JSON and, where matplotlib is installed, the picture beside it."""
    path.parent.mkdir(exist_ok=True)
    result = {"environment": environment(), "limits": {real: limits[real].table() for real in limits}, "rows": rows,
              **more}  # fmt: skip
    path.write_text(json.dumps(result, indent=1) + "\n")
    written = [path]
    try:
        from bench import roofline
    except ImportError:
        print("\nno picture: matplotlib is not installed")
    else:
        written.append(roofline.draw(result, path.with_name("roofline.png")))
    print(f"\nwritten to {' and '.join(map(str, written))}")


def main(arguments=None):
    """Print the tables and write the JSON; the exit code is 1 when a contender's answer was wrong."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--only", default="", metavar="WORDS", help="cases with each in kind, name, real or size")
    parser.add_argument("--seconds", type=float, default=0.5, help="to spend on each case (default 0.5)")
    parser.add_argument("--output", type=Path, default=OUT / "bench.json", help="JSON file (default out/bench.json)")
    options = parser.parse_args(arguments)
    from bench import peers  # noqa: F401 (enters them in the registry)

    ps.set_threads(1)
    one_core = {max(CORES)} if CORES else set()
    stay_on(one_core)
    limits = {real: Limits(ps.isa(), real) for real in contenders.REALS}
    print(f"pyscratch on {ps.isa()}, one thread, NumPy {np.__version__}; each answer was checked before it was timed")
    print("limits:", ", ".join(f"{real} {limits[real].flops / 1e9:.1f} GFLOP/s" for real in limits), "of multiply-adds")
    rows, kind = [], None
    for case in contenders.cases(options.quick, options.only):
        if case.kind != kind:
            kind = case.kind
            stay_on(CORES if kind == "threads" else one_core)
            print(header(kind))
        rows.append(measure(case, options.seconds, limits))
        print(line(rows[-1]), flush=True)
    stay_on(one_core)
    write(rows, limits, options.output, {} if options.only else composed.main(3 if options.quick else 9))
    return any(row["wrong"] for row in rows)


if __name__ == "__main__":
    sys.exit(main())

"""`make accuracy`: errors of every head against adaptive-precision arithmetic; the table is docs/accuracy.md.

usage: python -m bench.accuracy [--only WORD] [--rows N] [--output FILE]
       python -m bench.accuracy --every-float [--only WORD] [--isa NAME]

Every example of the registry, both reals, every instruction set of this machine: value and gradient on usual and
extreme logits and targets. The exact answer is the reference's formula in as many digits as it takes until twice as
many say the same. With --every-float the kernels of one float32 are run over all 2^32 of them, against float64.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
import sys

import numpy as np

from pyscratch import _native, losses

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import cases  # noqa: E402
import exact  # noqa: E402

REALS = ("float32", "float64")
OUTPUTS = ("nll", "grad")
FAULTS = ("NaN", "infinity", "sign", "zero")
DIGITS, MOST_DIGITS, AGREEMENT = 45, 3000, 1e-22


# ---- the exact answer ----


def evaluate(twin, z, y, wanted, digits):
    """Return (answer, size of its largest term) in so many digits, a row per row of z."""
    before, exact.mp.dps = exact.mp.dps, digits
    try:
        return [part.reshape(len(z), -1) for part in cases.formulas(twin, z, y, wanted, exact.exact)]
    finally:
        exact.mp.dps = before


def disagreement(few, many):
    """Return the relative difference of two arrays of exact numbers; 0 where both are the same infinity or NaN."""

    def relative(a, b):
        a, b = exact._value(a), exact._value(b)
        if a == b or (exact.mp.isnan(a) and exact.mp.isnan(b)):
            return 0.0
        return float(abs(a - b) / abs(b)) if exact.mp.isfinite(b) and b else np.inf

    return np.frompyfunc(relative, 2, 1)(few, many).astype(float)


def adaptive(twin, z, y, wanted):
    """Return (answer, size of its largest term, digits it took)."""
    digits, rows = DIGITS, np.arange(len(z))
    answer, size = evaluate(twin, z, y, wanted, digits)
    while len(rows) and digits < MOST_DIGITS:
        digits *= 2
        finer, term = evaluate(twin, z[rows], y[rows], wanted, digits)
        unsure = (disagreement(answer[rows], finer) > AGREEMENT).any(1)
        answer[rows], size[rows] = finer, term
        rows = rows[unsure]
    for row in rows:  # what is nothing beside its terms in thousands of digits is 0, of which no digit is ever sure
        none = [abs(exact._value(a)) <= exact._value(b) * exact.mp.mpf(10) ** (-digits // 2)
                for a, b in zip(answer[row], size[row], strict=True)]  # fmt: skip
        if not np.any(none):
            raise ArithmeticError(f"{twin!r}: {wanted} at {z[row]}, {y[row]} needs more than {digits} digits")
        answer[row, none] = exact.exact(np.zeros(sum(none)))
    return answer, size, digits


# ---- heads ----


@dataclass
class Row:
    """One line of the table."""

    family: str
    real: str
    wanted: str
    bound: tuple
    digits: int
    worst: dict = field(default_factory=dict)  # instruction set -> worst ULP (of the result, of the largest term)
    outside: int = 0  # answers beyond the bound
    faults: dict = field(default_factory=lambda: dict.fromkeys(FAULTS, 0))


def faults(got, want, off):
    """Count the answers that are wrong in kind; a sign or zero counts where rounding the largest term is no excuse.

    ``off``: further from the exact answer than the bound allows relative to its largest term.
    """
    info, value = np.finfo(got.dtype), exact.as_floats(want)
    finite = np.abs(value) <= float(info.max)
    opposite = np.sign(got) * np.sign(value) < 0
    return {"NaN": int((np.isnan(got) & ~np.isnan(value)).sum()), "infinity": int((np.isinf(got) & finite).sum()),
            "sign": int((opposite & off).sum()), "zero": int(((got == 0) & (np.abs(value) >= info.tiny) & off).sum())}


def measure(example, real, wanted, isas, rows):
    """Return the row of one family, real and output."""
    loss, twin = cases.twins(example)
    z, y = cases.grid(loss, np.dtype(real), rows)
    answer, size, digits = adaptive(twin, z, y, wanted)
    row = Row(repr(loss), real, wanted, loss.ulps.get(wanted, (4, 4)), digits)
    for isa in isas:
        _native.use_isa(isa)
        got = cases.ask(loss, z, y, wanted)
        want = answer.reshape(got.shape)
        of_result, of_term = exact.ulps(got, want, size.reshape(got.shape))
        row.worst[isa] = float(of_result.max()), float(of_term.max())
        row.outside += int(((of_result > row.bound[0]) & (of_term > row.bound[1])).sum())
        for fault, count in faults(got, want, of_term > row.bound[1]).items():
            row.faults[fault] += count
    return row


def short(ulp):
    """Return a number of ULP in few characters."""
    return f"{ulp:.1f}" if ulp < 1000 else f"{ulp:.0e}".replace("e+0", "e").replace("e+", "e")


TITLE = """# Accuracy of the heads

Written by `make accuracy`: the largest error over {points} rows of usual and extreme logits and targets, in units in
the last place (ULP) of the exact result / of the largest term of the formula. The exact result is the reference's
formula in as many digits as it takes until twice as many say the same ({few} to {many} digits). A result is within its
bound when it is so by either measure: next to a zero of a gradient nobody is accurate relative to the result.

The last columns count, over all instruction sets, answers outside the bound, and answers that are wrong in kind for
finite logits: NaN, false infinities, wrong signs and false zeros (which rounding the largest term does not explain).

"""


def table(rows, isas, points):
    """Return the text of docs/accuracy.md."""
    head = ["family", "real", "output", "bound", *isas, "outside", *FAULTS]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        errors = [" / ".join(map(short, row.worst[isa])) for isa in isas]
        bound = "{:g} / {:g}".format(*row.bound)
        cells = [f"`{row.family}`", row.real, row.wanted, bound, *errors, row.outside, *row.faults.values()]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    title = TITLE.format(points=points, few=DIGITS, many=max(row.digits for row in rows))
    return title + "\n".join(lines) + "\n"


def line(row):
    """Return a row of the table as it is printed."""
    errors = " ".join(f"{isa} {short(of_result)}/{short(of_term)}" for isa, (of_result, of_term) in row.worst.items())
    wrong = "".join(f"  {count} {name}" for name, count in {"OUTSIDE": row.outside, **row.faults}.items() if count)
    return f"{row.family:<52}{row.real} {row.wanted:<5}{errors}{wrong}"


def heads(args):
    """Measure every head, print as it goes, write the table; return how many answers are wrong."""
    isas, rows = _native.isas(), []
    for example in cases.EXAMPLES:
        if args.only.lower() not in repr(cases.twins(example)[0]).lower():
            continue
        for real in REALS:
            for wanted in OUTPUTS:
                row = measure(example, real, wanted, isas, args.rows)
                rows.append(row)
                print(line(row), flush=True)
    args.output.parent.mkdir(exist_ok=True)
    args.output.write_text(table(rows, isas, args.rows))
    print(f"written to {args.output}")
    return sum(row.outside + sum(row.faults.values()) for row in rows)


# ---- one float32, all of them ----


def function(name):
    """Return the call y = f(x) of a mathematical function of the kernels."""
    ffi, lib = _native.ffi, _native.lib
    index, text = 0, name.encode()
    while (listed := lib.ps_function_name(index)) != ffi.NULL and ffi.string(listed) != text:
        index += 1

    def call(x):
        y = np.empty_like(x)
        lib.ps_function(index, int(x.dtype == np.float64), x.size, ffi.from_buffer(x), ffi.NULL, ffi.from_buffer(y))
        return [y]

    return call


def head(name, y):
    """Return the call (nll, grad) of a head at one target."""
    loss = losses.families[name]()

    def call(z):
        return loss.nll_and_grad(z, np.full(z.shape, y, z.dtype), reduction="none")

    return call


ONE_INPUT = {name: function(name) for name in ("exp", "log", "sigmoid", "softplus", "tanh")}
for _name, _y in (("Bernoulli", 0), ("Bernoulli", 1), ("Poisson", 0), ("Poisson", 3)):
    ONE_INPUT[f"{_name} at {_y}"] = head(_name, _y)


def worst_of(got, want, x):
    """Return (ULP, x) of the largest error of float32 results against float64; differences in kind are infinite."""
    rounded = want.astype(np.float32)
    differs = np.flatnonzero((got != rounded) & ~(np.isnan(got) & np.isnan(rounded)))
    if not differs.size:
        return 0.5, x[0]
    got, want = got[differs].astype(float), want[differs]
    exponent = np.frexp(np.where(np.isfinite(want), want, 1))[1]
    unit = np.ldexp(1.0, np.clip(exponent - 24, -149, 104))
    error = np.nan_to_num(np.abs(got - want) / unit, nan=np.inf)
    at = int(np.argmax(error))
    return float(error[at]), x[differs[at]]


def every_float(args):
    """Run the one-input kernels over all floats; print the worst error of each output and where it is."""
    chunk = 1 << 20
    for isa in [args.isa] if args.isa else _native.isas():
        _native.use_isa(isa)
        for name, call in ONE_INPUT.items():
            if args.only.lower() not in name.lower():
                continue
            worst = {}
            for first in range(0, 1 << 32, chunk):
                x = np.arange(first, first + chunk, dtype=np.uint32).view(np.float32)
                with np.errstate(all="ignore"):
                    for i, (got, want) in enumerate(zip(call(x), call(x.astype(float)), strict=True)):
                        worst[i] = max(worst.get(i, (0.0, x[0])), worst_of(got, want, x), key=lambda pair: pair[0])
            errors = "   ".join(f"{ulp:.3f} ULP at {at!r}" for ulp, at in worst.values())
            print(f"{isa:<8}{name:<16}{errors}", flush=True)
    return 0


def main():
    """Read the options and measure; the exit code is 1 when an answer is outside its bound or wrong in kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only what has this word in its name")
    parser.add_argument("--rows", type=int, default=400, help="rows of logits and targets per head")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "accuracy.md", metavar="FILE")
    parser.add_argument("--every-float", action="store_true", help="one-input kernels over all 2^32 floats")
    parser.add_argument("--isa", help="with --every-float: only this instruction set")
    args = parser.parse_args()
    before = _native.isa()
    try:
        return (every_float if args.every_float else heads)(args) > 0
    finally:
        _native.use_isa(before)


if __name__ == "__main__":
    sys.exit(main())

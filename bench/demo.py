"""`make demo`: every head on real data, against a wrong one, in C and in NumPy. One table, and pictures in out/.

usage: python -m bench.demo [--quick]
"""

import argparse
from dataclasses import asdict, replace
import json
from pathlib import Path
import sys
import time

from bench import data, protocol
from bench.protocol import Task

OUT = Path(__file__).resolve().parent.parent / "out"
PROMISE = 1e-6  # the largest difference between the predictions of C and NumPy, relative to max(1, |prediction|)

TASKS = (
    Task("DoctorVisits", data.doctor_visits, "count", "Poisson", "Gaussian", (32,), race=60),
    Task("rwm5yr", data.rwm5yr, "count", "Poisson", "Gaussian", (32,), batch_size=128, race=40,
         note="right type, overdispersed: see negative binomial"),
    Task("rwm5yr", data.rwm5yr, "count", "NegativeBinomial", "Poisson", (32,), batch_size=128, race=4),
    Task("Default", data.default, "binary", "Bernoulli", "Gaussian", (16,), race=40),
    Task("digits", data.digits, "class", "Categorical", "Gaussian", (64,), "ReLU", batch_size=32, race=40),
    Task("diamonds", data.diamonds, "real", "HeteroscedasticGaussian", "Gaussian", (64, 64), batch_size=256, epochs=60,
         race=6),
    Task("diamonds", data.diamonds, "real", "Gamma", "Gaussian", (64, 64), batch_size=256, epochs=60, race=2,
         note="price in dollars, raw; its spread goes with its mean"),
    Task("carat", data.carats, "real", "GaussianMixture", "HeteroscedasticGaussian", (32,), batch_size=256, epochs=60,
         race=6, options={"components": 5}, note="price from the weight alone: other properties hide several prices"),
    Task("BudgetFood", data.budget_food, "real", "Beta", "Gaussian", (32,), batch_size=128, epochs=60, race=2,
         note="the share of a household's budget that food takes"),
    Task("diabetes", data.diabetes, "count", "Gaussian", "Poisson", (16,), batch_size=32, race=500,
         note="whole numbers, far from 0: the Gaussian is the right bet"),
)  # fmt: skip

BANDS = "90 % band holds {0:.1%} of the rows and dips below 0 for {1:.1%}; other head: {2:.1%} and {3:.1%}"

HEADER = (
    "data set        rows  head : other head           nll   other   difference ± error       impossible"
    "      C    NumPy  NumPy/C  max gap"
)


def quick(task):
    """Return the task cut down for a smoke test: it shows that everything runs, its scores mean less."""
    return replace(task, epochs=min(task.epochs, 15), patience=3, race=max(2, task.race // 5))


def short(head):
    """Return a head's name as the table has it."""
    names = {"HeteroscedasticGaussian": "heteroscedastic", "NegativeBinomial": "negative binomial",
             "GaussianMixture": "mixture"}  # fmt: skip
    return names.get(head, head)


def line(result):
    """Return a row of the table."""
    task, (native, reference) = result.task, result.seconds
    heads = f"{short(task.head)} : {short(task.other)}"
    return (
        f"{task.name:<12}{result.rows:8,}  {heads:<27}{result.nll:8.4f}{result.other_nll:8.4f} "
        f"{result.difference:+8.4f} ± {result.error:.4f} {result.verdict:<5}{result.impossible:8.1%} "
        f"{native:8.2f} {reference:8.2f} {reference / native:7.1f}x  {result.gap:.0e}"
    )


LEGEND = """
nll: held-out surprise per row in nats, lower is better: of counts by mass, of classes by probability, of diamonds by
  density per dollar; a Gaussian always at its best scale. win, loss: beyond 2 standard errors, else even.
impossible: test rows for which the other head predicts a mean below 0 (or above 1, for 0/1 and classes).
C, NumPy: seconds to train the head for the same epochs on one thread. max gap: between the two sides' predictions,
  relative to max(1, |prediction|)."""


def remarks(results):
    """Return the lines that say more about single rows of the table."""
    for result in results:
        several = f"{result.splits} splits" if result.splits > 1 else ""
        briers = "Brier score {:.4f}, other head: {:.4f}".format(*result.brier) if result.brier else ""
        bands = BANDS.format(*result.bands) if result.bands else ""
        told = "; ".join(filter(None, (several, briers, bands, result.task.note)))
        if told:
            yield f"{result.task.name} ({short(result.task.head)}): {told}"


def run(task, contenders, splits):
    """Load, train, compare and race one task."""
    rows = task.load()
    result = protocol.compare_heads(contenders[0], task, rows, splits if len(rows.y) < protocol.SMALL else 1)
    result.seconds, result.gap = protocol.race(contenders, task, rows)
    return result


def save(results, path):
    """Write what the table says as JSON."""
    rows = []
    for result in results:
        row = {key: value for key, value in asdict(result).items() if key != "task"}
        rows.append({"data": result.task.name, "head": result.task.head, "other": result.task.other, **row,
                     "verdict": result.verdict})  # fmt: skip
    path.write_text(json.dumps(rows, indent=1) + "\n")


def main(arguments=None):
    """Print the table, draw the pictures; the exit code is 1 when C and NumPy disagree."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a short form: fewer epochs and splits")
    options = parser.parse_args(arguments)
    data.require()
    from bench import pictures
    import pyscratch as ps
    from pyscratch import reference

    start = time.perf_counter()
    ps.set_threads(1)
    print(f"pyscratch on {ps.isa()}, one thread; each head against another on the same data, network, rows and seed\n")
    print(HEADER)
    results = []
    for task in TASKS:
        task, splits = (quick(task), 3) if options.quick else (task, protocol.SPLITS)
        results.append(run(task, (ps, reference), splits))
        print(line(results[-1]), flush=True)
    print(LEGEND, *remarks(results), "", sep="\n")
    OUT.mkdir(exist_ok=True)
    save(results, OUT / "demo.json")
    for path in pictures.draw(ps, OUT, share=0.2 if options.quick else 1):
        print(f"{path.relative_to(OUT.parent)}: {pictures.WORDS[path.stem]}")
    print(f"\nall in {time.perf_counter() - start:.0f} s")
    far = [result.task.name for result in results if not result.gap <= PROMISE]
    if far:
        print(f"C and NumPy differ by more than {PROMISE} on {', '.join(far)}", file=sys.stderr)
    return bool(far)


if __name__ == "__main__":
    sys.exit(main())

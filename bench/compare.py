"""Two runs of the bench side by side.

usage: python -m bench.compare BEFORE.json AFTER.json [--contender NAME] [--least RATIO]

For each row that both have: the seconds of one contender before and after, their ratio (above 1: faster now), and the
share of the machine's limit.
"""

import argparse
import json
from pathlib import Path
import statistics
import sys


def rows_of(path, contender):
    """Return the rows of a run in which the contender was timed, by what they are."""
    rows = json.loads(Path(path).read_text())["rows"]
    return {(row["kind"], row["name"], row["real"], tuple(row["size"])): row
            for row in rows if contender in row["seconds"]}  # fmt: skip


def share(row, contender):
    """Return the share of the limit as text."""
    limit = row.get("limit")
    return f"{limit / row['seconds'][contender]:.0%}" if limit else "-"


def main(arguments=None):
    """Print the comparison; the exit code is 1 when the runs have no row in common."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__.splitlines()[0])
    parser.add_argument("before", help="JSON of one run")
    parser.add_argument("after", help="JSON of another")
    parser.add_argument("--contender", default="bound", help="whose times (default bound)")
    parser.add_argument("--least", type=float, default=1.0, help="show rows whose times differ by this factor or more")
    options = parser.parse_args(arguments)
    before, after = (rows_of(path, options.contender) for path in (options.before, options.after))
    ratios = []
    for key in [key for key in before if key in after]:
        old, new = (rows[key]["seconds"][options.contender] for rows in (before, after))
        ratios.append(old / new)
        if max(old / new, new / old) >= options.least:
            kind, name, real, size = key
            shares = f"{share(before[key], options.contender):>7}{share(after[key], options.contender):>7}"
            print(f"{kind:<20}{name:<26}{real:<9}{' × '.join(f'{n:,}' for n in size):>22}"
                  f"{1e6 * old:>13,.1f}{1e6 * new:>13,.1f} µs{old / new:>8.2f}x{shares}")  # fmt: skip
    if not ratios:
        print("the two runs have no row in common")
        return 1
    print(f"{len(ratios)} rows; ratio before / after: median {statistics.median(ratios):.2f}, "
          f"least {min(ratios):.2f}, most {max(ratios):.2f}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One picture of a bench run: how near the kernels come to what the machine can do."""

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

COLOURS = {"float32": "tab:blue", "float64": "tab:orange"}


def bound(result, kinds):
    """Yield (row, seconds) of pyscratch for each row of these kinds that was timed."""
    for row in result["rows"]:
        if row["kind"] in kinds and "bound" in row["seconds"]:
            yield row, row["seconds"]["bound"]


def heads(axes, result):
    """Draw bytes per second against bytes of each head, under what a copy of as many bytes reaches."""
    for real, limits in result["limits"].items():
        points = [(copy["bytes"], copy["per_second"] / 1e9) for copy in limits["copy"]]
        axes.plot(*zip(*points, strict=True), color=COLOURS[real], alpha=0.6, label=f"copy, {real}")
    named = {}
    for row, seconds in bound(result, ("head",)):
        named.setdefault((row["name"], row["real"]), []).append((row["bytes"], row["bytes"] / seconds / 1e9))
    letters = dict(zip(sorted({name for name, _ in named}), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ", strict=False))
    for (name, real), points in sorted(named.items()):
        label = f"{letters[name]}: {name}" if real == "float32" else None
        axes.plot(*zip(*points, strict=True), marker=f"${letters[name]}$", linestyle=":", linewidth=0.5, markersize=7,
                  color=COLOURS[real], label=label)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="bytes read and written", ylabel="GB/s")
    axes.set_title("heads: nll and gradient")
    axes.legend(fontsize=6)


def dense(axes, result):
    """Draw operations per second against operations per byte of Dense, under the lesser of the two limits."""
    reach = [2.0**power for power in range(-2, 11)]
    for real, limits in result["limits"].items():
        if not limits["copy"]:  # no row with this real
            continue
        top, slow = limits["flops"] / 1e9, min(copy["per_second"] for copy in limits["copy"]) / 1e9
        axes.plot(reach, [min(top, slow * x) for x in reach], color=COLOURS[real], label=f"limit, {real}")
        for kind, marker in (("dense forward", "o"), ("dense both", "x")):
            points = [(row["flops"] / row["bytes"], row["flops"] / seconds / 1e9)
                      for row, seconds in bound(result, (kind,)) if row["real"] == real]  # fmt: skip
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=COLOURS[real], label=f"{kind}, {real}")
    axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s", title="Dense")
    axes.legend(fontsize=6)


def draw(result, path):
    """Write the picture and return where."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.5), layout="constrained")
    if any(limits["copy"] for limits in result["limits"].values()):
        heads(left, result)
        dense(right, result)
    figure.suptitle(f"{result['environment']['pyscratch']['isa']}, one thread, against the limits of this machine")
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path

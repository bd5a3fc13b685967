"""What the heads believe, as pictures: counts, noise that varies, probabilities of classes."""

from dataclasses import replace

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from bench import data, protocol  # noqa: E402
from bench.protocol import Task, Trained  # noqa: E402

RIGHT, WRONG, INK, POINTS = "#0b6e8a", "#d1603d", "#333333", "#8a8f98"
STYLE = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "axes.titlesize": 11,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "legend.frameon": False, "legend.fontsize": 9,
    "figure.constrained_layout.use": True, "savefig.dpi": 150, "axes.labelcolor": INK, "xtick.color": INK,
    "ytick.color": INK,
}  # fmt: skip
WORDS = {
    "counts": "a Poisson rate and its band against counts, and how their variance grows with the mean",
    "band": "a band that widens where the noise does",
    "classes": "calibration of probabilities, and the digits that the network is least sure of",
    "branches": "an inverse problem with several answers: a mixture finds each, a Gaussian their average",
    "overview": "counts and a band that widens, side by side",
}


def draw(ps, folder, share=1.0):
    """Draw every picture into ``folder`` and return the paths; ``share`` of the epochs shortens the training."""
    figures = {"counts": counts, "band": bands, "classes": classes, "branches": branches, "overview": overview}
    paths = []
    with plt.rc_context(STYLE):
        for name, figure in figures.items():
            paths.append(folder / f"{name}.png")
            drawn = figure(ps, share)
            drawn.savefig(paths[-1])
            plt.close(drawn)
    return paths


def fit_pair(ps, task, rows, share, seed=0):
    """Train both heads on one split; return them with the standardised features and the parts."""
    parts = protocol.split(len(rows.y), seed, rows.groups)
    X = protocol.standardised(rows.X, parts[0])
    task = replace(task, epochs=max(2, int(task.epochs * share)))
    pair = [Trained(ps, task, head, X, rows.y, parts, seed) for head in (task.head, task.other)]
    return pair, X, parts


def curve_pair(ps, rows, kind, heads, share, activation="Tanh", **settings):
    """Train both heads on one feature and all rows; return (grid in raw units, [head on the grid, ...]).

    A picture claims nothing about held-out rows: it shows the shape that each head can take.
    """
    x = rows.X[:, 0]
    everything = np.arange(len(x))
    X = protocol.standardised(rows.X, everything)
    task = Task("", None, kind, *heads, hidden=(32, 32), activation=activation, **settings)
    task = replace(task, epochs=max(2, int(task.epochs * share)), patience=task.epochs)
    grid = np.linspace(x.min(), x.max(), 400)
    scaled = ((grid - x.mean()) / x.std())[:, None]
    parts = (everything, everything, everything)
    return grid, scaled, [Trained(ps, task, head, X, rows.y, parts, 0) for head in heads]


def plot_band(axes, grid, X, trained, color, name, step=False):
    """Draw a head's mean and its 90 % band."""
    low, high = trained.band(X)
    axes.fill_between(grid, low, high, color=color, alpha=0.18, linewidth=0, step="mid" if step else None)
    for edge in (low, high):
        axes.plot(grid, edge, color=color, linewidth=0.8, alpha=0.7, drawstyle="steps-mid" if step else "default")
    axes.plot(grid, trained.mean(X), color=color, linewidth=2, label=name)


# ---- counts ----


def shade(axes, low=None, high=None, vertical=False):
    """Grey out what lies outside the possible, up to the edges of the axes, which stay where they are."""
    bottom, top = axes.get_xlim() if vertical else axes.get_ylim()
    span, hold = (axes.axvspan, axes.set_xlim) if vertical else (axes.axhspan, axes.set_ylim)
    for start, end in ((bottom, low), (high, top)):
        if start is not None and end is not None and start < end:
            span(start, end, color="black", alpha=0.07, linewidth=0, zorder=0)
    hold(bottom, top)


def counts_by_activity(ps, axes, share):
    """Visits to a doctor by days of reduced activity: the two heads' means and bands."""
    rows = data.doctor_visits()
    rows = data.Data(rows.column("reduced")[:, None], rows.y)
    grid, X, pair = curve_pair(ps, rows, "count", ("Poisson", "Gaussian"), share, batch_size=256, epochs=60)
    pairs, number = np.unique(np.stack([rows.X[:, 0], rows.y], axis=1), axis=0, return_counts=True)
    axes.scatter(*pairs.T, s=6 * np.sqrt(number), color=POINTS, alpha=0.7, linewidth=0, zorder=1.5)
    plot_band(axes, grid, X, pair[1], WRONG, "Gaussian: mean and 90 % band")
    plot_band(axes, grid, X, pair[0], RIGHT, "Poisson: rate and 90 % band", step=True)
    axes.set(xlabel="days of reduced activity in two weeks", ylabel="visits to a doctor")
    axes.set(xlim=(-0.5, 14.5), ylim=(-1.5, 9.5))
    shade(axes, low=0)
    axes.text(14.3, -0.75, "no such count", ha="right", va="center", fontsize=9, color=INK)
    axes.set_title("Counts: the noise grows with the rate")
    axes.legend(loc="upper left")


def spread_by_rate(ps, axes, share):
    """Draw the observed variance of the counts against the predicted mean, and what each head says it is."""
    rows = data.doctor_visits()
    (right, wrong), X, parts = fit_pair(ps, Task("", None, "count", "Poisson", "Gaussian", (32,)), rows, share)
    held = np.concatenate(parts[1:])
    rate, y = right.mean(X[held]), rows.y[held]
    mean, variance, error = binned(rate, (y - rate) ** 2)
    axes.errorbar(mean, variance, error, color=POINTS, marker="o", markersize=5, linewidth=0, elinewidth=1,
                  label="observed, a tenth of the held-out rows each")  # fmt: skip
    ends = np.array([mean[0] * 0.8, mean[-1] * 1.2])
    axes.plot(ends, np.full(2, wrong.scale**2), color=WRONG, linewidth=2, label="Gaussian: one variance")
    axes.plot(ends, ends, color=RIGHT, linewidth=2, label="Poisson: variance = mean")
    axes.set(xlabel="mean predicted from eleven features", ylabel="variance of the visits", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.set_title("Which head believes it?")
    axes.legend(loc="upper left")


def binned(x, y, bins=10):
    """Return the mean x, the mean y and its standard error in bins of as many rows each."""
    order = np.array_split(np.argsort(x), bins)
    return np.array([(x[i].mean(), y[i].mean(), y[i].std() / np.sqrt(len(i))) for i in order]).T


def cut(x, y, edges, least=5):
    """Return the mean x, the mean y and its standard error between the edges, where there are enough rows."""
    groups = [np.flatnonzero((x >= a) & (x < b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return np.array([(x[i].mean(), y[i].mean(), y[i].std() / np.sqrt(len(i))) for i in groups if len(i) >= least]).T


def counts(ps, share):
    """Draw the rate and its band against counts, and how the variance of counts grows with their mean."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1.25, 1))
    counts_by_activity(ps, left, share)
    spread_by_rate(ps, right, share)
    return figure


# ---- noise that varies ----


def plot_noise(ps, axes, rows, share, labels, size, alpha, **settings):
    """Draw a data set with one feature, and the bands of the two Gaussian heads."""
    heads = ("HeteroscedasticGaussian", "Gaussian")
    grid, X, (right, wrong) = curve_pair(ps, rows, "real", heads, share, **settings)
    axes.scatter(rows.X[:, 0], rows.y, s=size, color=POINTS, alpha=alpha, linewidth=0, rasterized=True)
    plot_band(axes, grid, X, wrong, WRONG, "one variance for all")
    plot_band(axes, grid, X, right, RIGHT, "variance predicted")
    title, x, y = labels
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title)


def crash(ps, axes, share):
    """Draw the motorcycle crash."""
    labels = "A crash: first calm, then chaos", "milliseconds after the impact", "acceleration of the head, g"
    plot_noise(ps, axes, data.mcycle(), share, labels, 14, 0.8, batch_size=32, rate=3e-3, epochs=600)
    axes.legend(loc="lower right")


def bands(ps, share):
    """Draw three data sets whose noise is not the same everywhere, with 90 % bands."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2))
    crash(ps, axes[0], share)
    labels = "Food: the rich differ more", "income, Belgian francs, 1857", "spent on food"
    plot_noise(ps, axes[1], data.engel(), share, labels, 12, 0.8, batch_size=64, rate=1e-3, epochs=300)
    axes[1].set(xlim=(300, 3000), ylim=(0, 2400))
    axes[1].text(2950, 60, "one more at 4 958 francs", ha="right", fontsize=8, color=INK)
    rows = data.diamonds()
    rows = data.Data(rows.column("carat")[:, None], rows.y)
    rows = data.Data(*(a[rows.X[:, 0] <= 3] for a in (rows.X, rows.y)))
    labels = "Diamonds: large ones have any price", "carat", "price, dollars"
    plot_noise(ps, axes[2], rows, share, labels, 2, 0.06, batch_size=256, rate=1e-3, epochs=15)
    return figure


# ---- classes ----


def default_by_balance(ps, axes, share):
    """Draw the probability of default by balance."""
    rows = data.default()
    rows = data.Data(rows.column("balance")[:, None], rows.y)
    grid, X, pair = curve_pair(ps, rows, "binary", ("Bernoulli", "Gaussian"), share, batch_size=256, epochs=60)
    x, observed, error = cut(rows.X[:, 0], rows.y, np.linspace(0, 2600, 21))
    axes.errorbar(x, observed, 2 * error, color=POINTS, marker="o", markersize=4, linewidth=0, elinewidth=1,
                  label="observed share ± 2 standard errors")  # fmt: skip
    for trained, color in zip(pair, (RIGHT, WRONG), strict=True):
        axes.plot(grid, trained.mean(X), color=color, linewidth=2, label=trained.head)
    axes.set(xlabel="balance on the card, dollars", ylabel="probability of default", ylim=(-0.15, 1.15))
    shade(axes, low=0, high=1)
    axes.set_title("Default: a probability stays in [0, 1]")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 0.9))


def digit_reliability(ps, axes, share, splits=5):
    """Draw predicted probabilities of digits against observed shares over several splits.

    Returns the last classifier with the features, images and labels of its test rows.
    """
    task, rows = Task("", None, "class", "Categorical", "Gaussian", (64,), "ReLU", batch_size=32), data.digits()
    predicted, hits = ([], []), []
    for seed in range(splits):
        pair, X, (_, _, test) = fit_pair(ps, task, rows, share, seed)
        hits.append(np.eye(10)[rows.y[test]].ravel())
        for trained, means in zip(pair, predicted, strict=True):
            means.append(trained.mean(X[test]).ravel())
    edges = np.array([-np.inf, 0, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 1, np.inf])
    names = "Categorical", "Gaussian on one-hot rows"
    for means, name, color, marker in zip(predicted, names, (RIGHT, WRONG), "os", strict=True):
        x, observed, error = cut(np.concatenate(means), np.concatenate(hits), edges)
        axes.errorbar(x, observed, 2 * error, color=color, marker=marker, markersize=5, linewidth=1, label=name)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    axes.set(xlabel="predicted for a class", ylabel="observed share ± 2 standard errors", xlim=(-0.15, 1.2))
    shade(axes, low=0, high=1, vertical=True)
    axes.set_title("Digits: does 0.8 mean 80 %?")
    axes.legend(loc="lower right")
    return pair[0], X[test], rows.X[test], rows.y[test]


def unsure_digits(figure, trained, X, images, labels):
    """Draw the nine test digits whose likeliest class is the least likely, with the two likeliest classes."""
    p = trained.mean(X)
    figure.suptitle("The least sure digits (orange: wrong)", fontsize=11, fontweight="bold")
    for axes, i in zip(figure.subplots(3, 3).flat, np.argsort(p.max(axis=1))[:9], strict=True):
        axes.imshow(images[i].reshape(8, 8), cmap="gray_r", interpolation="nearest")
        first, second = np.argsort(p[i])[::-1][:2]
        axes.set_title(f"{first}: {p[i, first]:.0%}, {second}: {p[i, second]:.0%}", fontsize=8, loc="center",
                       color=RIGHT if first == labels[i] else WRONG, fontweight="normal")  # fmt: skip
        axes.set_axis_off()


def classes(ps, share):
    """Draw probabilities against observed shares, and the digits that the network is least sure of."""
    figure = plt.figure(figsize=(13, 4.4))
    left, right = figure.subfigures(1, 2, width_ratios=(2.6, 1))
    by_balance, reliability = left.subplots(1, 2)
    default_by_balance(ps, by_balance, share)
    unsure_digits(right, *digit_reliability(ps, reliability, share))
    return figure


# ---- an inverse problem ----


def inverse_problem(rows, rng):
    """Draw (X, y), x = y + 0.3 sin(2 pi y) + noise: an x around 1/2 has three answers (Bishop 2006, section 5.6)."""
    y = rng.random(rows)
    x = y + 0.3 * np.sin(2 * np.pi * y) + rng.uniform(-0.1, 0.1, rows)
    return (4 * (x - 0.5))[:, None], y


def inverse_pair(ps, share=1.0, rows=600, seed=0):
    """Train a mixture and a Gaussian head on the inverse problem; return both networks and their data."""
    X, y = inverse_problem(rows, np.random.default_rng(seed))
    pair = []
    for loss in (ps.GaussianMixture(3), ps.HeteroscedasticGaussian()):
        net = ps.Network([ps.Dense(1, 16), ps.Tanh(), ps.Dense(16, loss.width())], loss, rng=seed)
        net.fit(X, y, epochs=max(2, int(400 * share)), batch_size=50, optimizer=ps.Adam(0.01), progress=False)
        pair.append(net)
    return pair, X, y


def branches(ps, share):
    """Draw the densities that both heads give to each y at each x, with their means."""
    pair, X, y = inverse_pair(ps, share)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    grid, levels = np.linspace(X.min(), X.max(), 200), np.linspace(-0.2, 1.2, 281)
    held_X, held_y = inverse_problem(2000, np.random.default_rng(1))
    names = "Mixture of 3 Gaussians", "One Gaussian"
    for axes, net, color, name in zip(panels, pair, (RIGHT, WRONG), names, strict=True):
        d = net.distribution(grid[:, None])
        density = np.exp([d.log_prob(np.full(len(grid), level)) for level in levels])
        axes.pcolormesh(grid, levels, np.sqrt(density), cmap="Greys", vmin=0, vmax=3, shading="auto", rasterized=True)
        axes.scatter(X, y, s=4, color=POINTS, linewidth=0)
        axes.plot(grid, d.mean, color=WRONG, linewidth=1.5, linestyle="--", label="mean")
        if net is pair[0]:
            axes.plot(grid, d.mode, ".", color=color, markersize=3, label="mode: the likeliest y")
        axes.set_title(f"{name}: {net.score(held_X, held_y):+.2f} nats per held-out row")
        axes.set(xlabel="x = y + 0.3 sin 2πy + noise, standardised", ylim=(-0.1, 1.1))
        axes.legend(loc="upper left")
    panels[0].set_ylabel("y")
    return figure


def overview(ps, share):
    """Draw the picture of the README."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    counts_by_activity(ps, axes[0], share)
    crash(ps, axes[1], share)
    return figure

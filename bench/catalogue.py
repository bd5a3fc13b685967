"""The catalogue page, docs/catalogue.md, made from the registry so that it cannot drift; pictures in docs/catalogue/.

usage: python -m bench.catalogue [--text]         --text: without the pictures, which need matplotlib and scipy
"""

import argparse
from pathlib import Path
import re

import numpy as np

from pyscratch import _native
from pyscratch.losses import families

DOCS = Path(__file__).resolve().parent.parent / "docs"
KINDS = {
    _native.REALS: "numbers, (n,) or (n, d)",
    _native.LABELS: "labels 0 ... K − 1, (n,)",
    _native.PAIRS: "pairs, (n, 2) or (n, 2 d)",
}

INTRODUCTION = """# The catalogue

*Made from the registry by `make catalogue`; edit the classes, not this page.*

A network proposes logits. A link maps them to the parameters of a distribution over y. The loss is the negative
log-likelihood of the data. So the choice of a loss is the choice of a distribution, and this is the menu.

## Why the gradient is the residual

Write the distribution of one observation as an exponential family with natural parameter θ:

    log p(y | θ) = (θ y − A(θ)) / φ + terms in y and φ alone

A is the log-partition function: what makes the probabilities sum to one. Differentiate ∫ p dy = 1 by θ and it says that
the mean of y is A′(θ); once more, that its variance is φ A″(θ). Now let the logit be the natural parameter itself,
z = θ, which is what the *canonical* link does. The loss is then

    nll = (A(z) − z y) / φ + ...        d nll / dz = (A′(z) − y) / φ = (mean − y) / φ

The gradient is the residual, whatever A was: logistic regression, softmax, least squares and Poisson regression share
their backward pass because each takes its family's canonical link. The second derivative is A″(z) / φ, the variance
over φ²: it does not contain y, so the curvature that is observed and its expectation, the Fisher information, are one
thing, and the loss is convex in z.

With any other link mean = h(z), the chain rule adds one factor, the slope of the link over the variance function
V(mean) = A″:

    d nll / dz = (mean − y) / φ · h′(z) / V(h(z))

For the canonical link h′ = V, and the factor is 1. This line, and the residual in it, stand in the code once
(`give_gradient` in `csrc/point.h`); a family with one logit states its mean, its nll and its link, and has no gradient
to state. Families with more parameters (scales, shapes, mixtures) are not of this form in all of their logits and state
theirs.

## A loss in three small methods

```python
loss.link(z)       # what the logits mean: parameters of the distribution
loss.nll(z, y)     # how surprising y is under it, all constants included
loss.grad(z, y)    # which way to move the logits: for a canonical pair with φ = 1 link(z) − y
```

An object of your own with these three methods trains in a `Network` like the built-in ones.

## Several targets

Given the logits the outputs of a head are independent, and so are heads beside each other: their nll are added, and
each has the gradient that it has alone, in its own columns. That is a loss for several tasks that share a body:

```python
loss = ps.Product([ps.Poisson(), (ps.Gaussian(), 3), (ps.Categorical(), 10)])     # a count, a position, a class
net = ps.Network([ps.Dense(9, 64), ps.Tanh(), ps.Dense(64, loss.width())], loss)
net.fit(X, loss.join(counts, positions, labels))
net.distribution(X).parts[0].interval(0.9)                                        # of the counts
```
"""


def example(cls):
    """Return the first example whose distribution is described by one line of options."""
    return cls(**cls.examples[0])


def links(cls):
    """Return the links of a family in words."""
    words = [", ".join(f"`{link}`" for link in cls.links)]
    if cls.scale_links:
        words.append("scale link " + ", ".join(f"`{link}`" for link in cls.scale_links))
    return "; ".join(words)


def overview():
    """Return the table of all families."""
    rows = ["| family | y | logits per output | links |", "|---|---|---|---|"]
    for name, cls in families.items():
        logits = example(cls).parameters
        count = "K − 1" if cls.increasing else "K" if cls.of_classes else f"{len(logits)}: {', '.join(logits)}"
        rows.append(f"| [`{name}`](#{name.lower()}) | {cls.card.target} | {count} | {links(cls)} |")
    return "\n".join(rows)


def card(name, cls):
    """Return the section of one family."""
    lines = [f"### {name}", "", summary(cls), "", f"![{name}](catalogue/{name.lower()}.png)", ""]
    facts = {"y": f"{cls.card.target}: {cls.support}; {KINDS[cls.target]}", "links": links(cls), **facts_of(cls.card)}
    lines += [f"- **{word}**: {fact}" for word, fact in facts.items()]
    return "\n".join(lines)


def facts_of(card):
    """Return what a card says beside the target, by the word that stands before it."""
    words = {"grad": "gradient", "wrong": "the wrong bet when"}
    return {words.get(key, key): value for key, value in card._asdict().items() if key != "target"}


def summary(cls):
    """Return the first sentence of a class's docstring."""
    return re.sub(r"\s+", " ", cls.__doc__.split("\n\n")[0]).strip()


def page():
    """Return the text of docs/catalogue.md."""
    cards = "\n\n".join(card(name, cls) for name, cls in families.items())
    return f"{INTRODUCTION}\n## The families\n\n{overview()}\n\n## Cards\n\n{cards}\n"


def picture(name, cls):
    """Draw densities or masses at three rows of logits; return the figure."""
    from matplotlib.figure import Figure

    loss = example(cls)
    width = loss.width(3) if cls.of_classes else loss.width()
    z = np.random.default_rng(sum(map(ord, name))).normal(0, 1, (3, width))
    if loss.typical:
        z += loss.typical[: len(loss.parameters)]
    z = loss._arranged(z)
    d = loss.distribution(z)
    figure = Figure(figsize=(4, 1.6), dpi=100, layout="tight")
    axes = figure.subplots()
    if not d.ordered:
        for k, row in enumerate(d.mean):
            axes.bar(np.arange(len(row)) + 0.27 * (k - 1), row, 0.25)
        axes.set_xticks(range(z.shape[1]))
    else:
        draw(axes, loss, d)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def draw(axes, loss, d):
    """Draw the curves, or the masses, of ordered distributions."""
    sample = d.sample(0, 400)
    sample = sample[..., 0] if loss.target == _native.PAIRS else sample
    counts = np.array_equal(sample, np.floor(sample))
    low, high = np.quantile(sample, 0.002), np.quantile(sample, 0.985)
    if counts:
        x = np.arange(np.floor(low), min(np.ceil(high), low + 40) + 1)
        for k, mass in enumerate(np.diff([d.cdf(low - 1), *(d.cdf(v) for v in x)], axis=0).T):
            axes.bar(x + 0.27 * (k - 1), mass, 0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
        return
    x = np.linspace(low - 0.1 * (high - low) * bool(np.all(loss._supported(np.array([low - 1.0]), 1))), high, 401)
    inside = loss._supported(x, 1) & (x != 0)
    curves = [np.exp(d[np.full(int(inside.sum()), row)].log_prob(x[inside])) for row in range(len(d))]
    axes.plot(x[inside], np.transpose(curves))
    axes.set_ylim(0, 1.2 * np.quantile(curves, 0.97))  # a density may have a pole


def main(arguments=None):
    """Write the page, and unless told otherwise the pictures."""
    parser = argparse.ArgumentParser(prog="make catalogue", description=__doc__.splitlines()[0])
    parser.add_argument("--text", action="store_true", help="without the pictures")
    options = parser.parse_args(arguments)
    (DOCS / "catalogue.md").write_text(page())
    print("docs/catalogue.md:", len(families), "families")
    if options.text:
        return
    (DOCS / "catalogue").mkdir(exist_ok=True)
    for name, cls in families.items():
        picture(name, cls).savefig(DOCS / "catalogue" / f"{name.lower()}.png")


if __name__ == "__main__":
    main()

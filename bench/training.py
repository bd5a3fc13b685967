"""Training in C against the Python path, the reference, and other libraries: time of one step, one thread.

usage: python -m bench.training [--only WORD] [--seconds S] [--output FILE]

Every contender starts from the same weights and takes the batches of one epoch in the same order. Before anything is
timed, its weights after that epoch must be those of the float64 reference, up to a small part of the way they went.
Contenders take turns; times are medians of whole epochs, divided by their steps. JAX scans the epoch in one compiled
call and torch runs eagerly with its fused optimizers; a library that is not installed is left out.
"""

import argparse
from dataclasses import dataclass
import json
import os
from pathlib import Path
import sys

import numpy as np

from bench.run import OUT, environment
import pyscratch as ps
from pyscratch import _data, _plan, reference
from pyscratch.compare import interleaved

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
RATES = {"SGD": 1e-3, "Adam": 1e-4}
ONE_ROW = "13-64-64-64-1 tanh, predict one row"
TURN = 0.02  # seconds at least that a contender trains before the next one's turn: a fit is many epochs on warm caches
CLOSE = 0.02  # distance of the weights from those of the reference, in parts of the way that these went


@dataclass(frozen=True)
class Case:
    """One row of the table: a body, a head and a batch size, with an optimizer."""

    name: str
    widths: tuple
    activation: str
    head: str
    batch: int
    steps: int
    optimizer: str

    def __str__(self):
        return f"({self.name}) {'-'.join(map(str, self.widths))} {self.head}, batch {self.batch}, {self.optimizer}"

    def data(self):
        """Return X in float32, targets that depend on it, and the order of the rows."""
        rng, rows = np.random.default_rng(0), self.batch * self.steps
        X = rng.standard_normal((rows, self.widths[0])).astype(np.float32)
        z = 0.5 * X @ rng.standard_normal((self.widths[0], self.widths[-1])) / np.sqrt(self.widths[0])
        return X, getattr(reference, self.head)().distribution(z).sample(rng), rng.permutation(rows)

    def network(self, module=ps, dtype=np.float32):
        """Return the network of pyscratch or of its reference."""
        layers = []
        for n_in, n_out in zip(self.widths, self.widths[1:], strict=False):
            layers += [module.Dense(n_in, n_out), getattr(module, self.activation)()]
        return module.Network(layers[:-1], getattr(module, self.head)(), rng=0, dtype=dtype)


def cases():
    """Yield the rows of the table."""
    for optimizer in RATES:
        yield Case("a", (1, 16, 1), "Tanh", "Poisson", 32, 100, optimizer)
        yield Case("b", (13, 64, 64, 2), "ReLU", "HeteroscedasticGaussian", 64, 50, optimizer)
        yield Case("c", (64, 128, 128, 10), "ReLU", "Categorical", 128, 20, optimizer)
        yield Case("d", (784, 512, 512, 10), "ReLU", "Categorical", 256, 4, optimizer)


# ---- contenders: (one epoch, its weights as a flat array) of a case ----


def planned(case, module, dtype, plan=None):
    """Return a contender of our own, with the plan that `fit` takes or with another."""
    net, (X, y, order) = case.network(module, dtype), case.data()
    optimizer = getattr(module, case.optimizer)(RATES[case.optimizer])
    net._take(optimizer)
    rows = _data.rows(net, X.astype(dtype), y)
    made = (plan or _plan.prepare)(net, rows, case.batch, optimizer, list(net._slots.values()))
    return lambda: made.epoch(order), lambda: net.values


def epoch_in_c(case):
    """The epoch is one call."""
    return planned(case, ps, np.float32)


def python_path(case):
    """The same kernels, called one by one."""
    return planned(case, ps, np.float32, _plan.Plan)


def textbook(case):
    """NumPy, in the library's words."""
    return planned(case, reference, np.float32)


def with_torch(case):
    """Modules, autograd and the fused optimizers of torch."""
    import torch

    torch.set_num_threads(1)
    losses = {
        "Poisson": lambda z, y: torch.nn.functional.poisson_nll_loss(z[:, 0], y),
        "Categorical": torch.nn.functional.cross_entropy,
        "HeteroscedasticGaussian": lambda z, y: gaussian(z, y, torch.log, torch.nn.functional.softplus).mean(),
    }
    net, (X, y, order) = case.network(), case.data()
    layers = [torch.nn.Linear(layer.n_in, layer.n_out) if hasattr(layer, "W") else getattr(torch.nn, case.activation)()
              for layer in net.layers]  # fmt: skip
    model, loss = torch.nn.Sequential(*layers), losses[case.head]
    with torch.no_grad():
        for mine, its in zip(net.layers, layers, strict=True):
            if hasattr(mine, "W"):
                its.weight.copy_(torch.tensor(mine.W.T))
                its.bias.copy_(torch.tensor(mine.b))
    optimizer = getattr(torch.optim, case.optimizer)(model.parameters(), RATES[case.optimizer], fused=True)
    X, y = torch.tensor(X), torch.tensor(y if case.head == "Categorical" else y.astype(np.float32))
    batches = torch.tensor(order).split(case.batch)

    def epoch():
        total = 0.0
        for rows in batches:
            optimizer.zero_grad()
            value = loss(model(X[rows]), y[rows])
            value.backward()
            optimizer.step()
            total += value.item()
        return total

    def weights():
        pairs = [(layer.weight.detach().T, layer.bias.detach()) for layer in layers if hasattr(layer, "weight")]
        return np.concatenate([np.ravel(array) for pair in pairs for array in pair])

    return epoch, weights


def gaussian(z, y, log, softplus):
    """Return the nll per row without its constant, of the logits (mean, scale)."""
    scale = softplus(z[:, 1])
    return log(scale) + 0.5 * ((y - z[:, 0]) / scale) ** 2


def with_jax(case):
    """The whole epoch is one compiled scan, with its buffers donated."""
    import jax
    from jax import numpy as jnp

    net, (X, y, order) = case.network(), case.data()
    act = jnp.tanh if case.activation == "Tanh" else jax.nn.relu
    losses = {
        "Poisson": lambda z, y: (jnp.exp(z[:, 0]) - y * z[:, 0]).mean(),
        "Categorical": lambda z, y: -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean(),
        "HeteroscedasticGaussian": lambda z, y: gaussian(z, y, jnp.log, jax.nn.softplus).mean(),
    }

    def loss(parameters, x, y):
        for W, b in parameters[:-1]:
            x = act(x @ W + b)
        W, b = parameters[-1]
        return losses[case.head](x @ W + b, y)

    def sgd(state, batch):
        value, g = jax.value_and_grad(loss)(state, *batch)
        return jax.tree.map(lambda w, g: w - RATES["SGD"] * g, state, g), value

    def adam(state, batch):
        parameters, m, v, step = state
        value, g = jax.value_and_grad(loss)(parameters, *batch)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        step = step + 1
        rate, root = RATES["Adam"] / (1 - 0.9**step), 1 / jnp.sqrt(1 - 0.999**step)
        move = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) * root + 1e-8), parameters, m, v)
        return (move, m, v, step), value

    start = [(jnp.array(layer.W), jnp.array(layer.b)) for layer in net.layers if hasattr(layer, "W")]
    if case.optimizer == "Adam":
        start = start, jax.tree.map(jnp.zeros_like, start), jax.tree.map(jnp.zeros_like, start), jnp.float32(0)
    step = sgd if case.optimizer == "SGD" else adam

    def scan(state, X, y, order):
        batches = [array[order].reshape(case.steps, case.batch, *array.shape[1:]) for array in (X, y)]
        return jax.lax.scan(step, state, batches)

    scan = jax.jit(scan, donate_argnums=0)
    X, y = jnp.array(X), jnp.array(y if case.head == "Categorical" else y.astype(np.float32))
    order, held = jnp.array(order), [start]

    def epoch():
        held[0], values = scan(held[0], X, y, order)
        return float(values.sum())

    def weights():
        parameters = held[0] if case.optimizer == "SGD" else held[0][0]
        return np.concatenate([np.ravel(array) for pair in parameters for array in pair])

    return epoch, weights


CONTENDERS = {"C epoch": epoch_in_c, "Python path": python_path, "reference": textbook, "torch": with_torch,
              "jax scan": with_jax}  # fmt: skip


# ---- one row through a network of three layers ----


def predictions():
    """Return calls that predict one row, by name; each gives the rate of a Poisson."""
    body = [ps.Dense(13, 64), ps.Tanh(), ps.Dense(64, 64), ps.Tanh(), ps.Dense(64, 64), ps.Tanh(), ps.Dense(64, 1)]
    net, x = ps.Network(body, ps.Poisson(), rng=0, dtype=np.float32), np.linspace(-1, 1, 13, dtype=np.float32)[None]
    call, calls = net.predictor(), {}
    calls["predictor"], calls["predict"] = lambda: call(x), lambda: net.predict(x)
    dense = [layer for layer in net.layers if hasattr(layer, "W")]
    try:
        import torch

        layers = [torch.nn.Linear(layer.n_in, layer.n_out) for layer in dense]
        for mine, its in zip(dense, layers, strict=True):
            its.weight.data, its.bias.data = torch.tensor(mine.W.T.copy()), torch.tensor(mine.b)
        between = [step for layer in layers[:-1] for step in (layer, torch.nn.Tanh())]
        model, row = torch.nn.Sequential(*between, layers[-1]), torch.tensor(x)

        @torch.inference_mode()
        def in_torch():
            return torch.exp(model(row)).numpy()[:, 0]

        calls["torch"] = in_torch
    except ImportError:
        pass
    try:
        import jax
        from jax import numpy as jnp

        def rate(parameters, x):
            for W, b in parameters[:-1]:
                x = jnp.tanh(x @ W + b)
            return jnp.exp(x @ parameters[-1][0] + parameters[-1][1])[:, 0]

        compiled, parameters = jax.jit(rate), [(jnp.array(layer.W), jnp.array(layer.b)) for layer in dense]
        calls["jax"] = lambda: np.asarray(compiled(parameters, x))
    except ImportError:
        pass
    return calls


def measure_predictions(repeats=31):
    """Return the row of the table for one prediction: median seconds of every contender that is here and right."""
    calls = predictions()
    exact = calls["predict"]()
    wrong = [name for name, call in calls.items() if not np.allclose(call(), exact, rtol=1e-5)]
    right = {name: call for name, call in calls.items() if name not in wrong}
    times = interleaved(list(right.values()), repeats)
    return {"name": ONE_ROW, "repeats": repeats, "wrong": wrong,
            "seconds": dict(zip(right, times, strict=True))}  # fmt: skip


# ---- the table ----


def measure(case, seconds):
    """Return the row of a case: median seconds per step of every contender that is here and right."""
    exact, weights = planned(case, reference, np.float64)
    before = weights().copy()
    exact()
    moved = np.linalg.norm(weights() - before)
    epochs, wrong = {}, []
    for name, make in CONTENDERS.items():
        try:
            epoch, mine = make(case)
        except ImportError:
            continue
        epoch()
        right = np.linalg.norm(mine() - weights()) <= CLOSE * moved
        if right:
            epochs[name] = epoch
        else:
            wrong.append(name)
    turn = sum(max(time, TURN) for time in interleaved(list(epochs.values()), 1))
    repeats = int(np.clip(seconds / turn, 5, 31))
    times = interleaved(list(epochs.values()), repeats, TURN)
    return {"name": str(case), "repeats": repeats, "wrong": wrong, "flops": flops(case),
            "seconds": {name: time / case.steps for name, time in zip(epochs, times, strict=True)}}  # fmt: skip


def flops(case):
    """Return multiplications and additions of a step's matrix products; the features need no gradient."""
    products = [2 * case.batch * n_in * n_out for n_in, n_out in zip(case.widths, case.widths[1:], strict=False)]
    return 3 * sum(products) - products[0]


def line(row):
    """Return a row of the table: microseconds per step, and each one's in those of the C epoch."""
    times, cells = row["seconds"], []
    for name in CONTENDERS:
        cell = f"{1e6 * times[name]:,.1f}" if name in times else "WRONG" if name in row["wrong"] else "-"
        ratio = f"{times[name] / times['C epoch']:,.1f}x" if name in times and "C epoch" in times else ""
        cells.append(f"{cell:>11}{ratio:>8}")
    speed = f"{row['flops'] / times['C epoch'] / 1e9:>9.1f}" if "C epoch" in times else ""
    return f"{row['name']:<62}{''.join(cells)}{speed}"


def main(arguments=None):
    """Print the table and write the JSON; the exit code is 1 when a contender's answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="WORD", help="rows with it in their name, such as (a) or Adam")
    parser.add_argument("--seconds", type=float, default=3.0, help="to spend on each row (default 3)")
    parser.add_argument("--output", type=Path, default=OUT / "training.json", help="JSON (default out/training.json)")
    options = parser.parse_args(arguments)
    ps.set_threads(1)
    print(f"pyscratch on {ps.isa()}, one thread, float32; µs per step, and in those of the C epoch")
    print(f"{'':<62}{''.join(f'{name:>19}' for name in CONTENDERS)}  GFLOP/s", flush=True)
    rows = []
    for case in cases():
        if options.only in str(case):
            rows.append(measure(case, options.seconds))
            print(line(rows[-1]), flush=True)
    row = measure_predictions() if options.only in ONE_ROW else None
    if row:
        rows.append(row)
        print(row["name"] + ":", ", ".join(f"{name} {1e6 * time:.1f} µs" for name, time in row["seconds"].items()))
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps({"environment": environment(), "rows": rows}, indent=1) + "\n")
    print(f"\nwritten to {options.output}")
    return any(row["wrong"] for row in rows)


if __name__ == "__main__":
    sys.exit(main())

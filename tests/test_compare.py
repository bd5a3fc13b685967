"""`python -m pyscratch.compare`: it sees a difference where there is one, and none where there is none."""

import json
import os
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

from pyscratch import compare, losses, reference

ROOT = Path(__file__).resolve().parent.parent


INTERLEAVED = compare.interleaved


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small and few: what is timed is of no interest here."""
    monkeypatch.setattr(compare, "ROWS", 400)
    monkeypatch.setattr(compare, "interleaved", lambda functions, repeats: [1e-3, 2e-3])


def test_gap_is_relative_to_one_and_takes_equal_infinities_as_equal():
    assert compare.gap([1.0, 200.0], [1.0, 100.0]) == 1.0
    assert compare.gap([1e-9], [0.0]) == pytest.approx(1e-9)
    assert compare.gap([np.inf, np.nan], [np.inf, np.nan]) == 0
    assert compare.gap([np.inf], [1.0]) == np.inf
    assert np.isnan(compare.gap([np.nan], [1.0]))
    assert compare.gap([], []) == 0


def test_contenders_take_turns():
    calls = []
    times = INTERLEAVED([lambda: calls.append("a"), lambda: calls.append("b")], repeats=3, least=0.0)
    assert len(times) == 2 and min(times) > 0
    assert "".join(calls) == "ab" * 4  # once to see how long it takes, then three times


@pytest.mark.parametrize("loss, twin", list(compare.pairs()), ids=repr)
def test_draws_lie_in_the_support(loss, twin):
    z, y = compare.draw(twin, 300, compare.outputs_of(loss), np.random.default_rng(0))
    assert z.shape == (300, loss.width(compare.outputs_of(loss)))
    assert np.isfinite(twin.nll(z, y))
    assert len(np.unique(y)) > 1


@pytest.mark.parametrize("name", losses.families)
@pytest.mark.parametrize("precision", [[], ["--float32"]])
def test_library_and_reference_agree(name, precision, capsys):
    assert compare.main([name.lower(), *precision]) == 0
    told = capsys.readouterr().out
    assert "training" in told and "agree" in told


def test_a_wrong_formula_is_seen(monkeypatch, capsys):
    class Poisson(reference.Poisson):
        def _grad(self, z, mean, y):
            return [(mean * (1 + 1e-6), -y)]

    monkeypatch.setitem(reference.families, "Poisson", Poisson)
    assert compare.main(["Poisson"]) == 1
    assert "differ by more than" in capsys.readouterr().out


def test_an_unknown_head_names_those_there_are(capsys):
    with pytest.raises(SystemExit) as stop:
        compare.main(["Puasson"])
    assert stop.value.code == 2
    assert "Poisson" in capsys.readouterr().err


def test_as_a_command_it_needs_nothing_but_numpy():
    program = "import sys; sys.modules.update(scipy=None, mpmath=None, pytest=None); " \
              "from pyscratch import compare; compare.ROWS = 100; sys.exit(compare.main(['bernoulli']))"  # fmt: skip
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from bench import contenders, run

    monkeypatch.setattr(run, "interleaved", lambda functions, repeats, least=0: [1e-3] * len(functions))
    return contenders, run


def test_every_contender_of_the_bench_is_right(bench, monkeypatch):
    contenders, run = bench
    monkeypatch.setattr(contenders, "HEAD_ROWS", (64,))
    monkeypatch.setattr(contenders, "LABEL_SIZES", ((64, 3),))
    monkeypatch.setattr(contenders, "DENSE_SIZES", ((9, 5, 7),))
    monkeypatch.setattr(contenders, "MAKERS", [maker for maker in contenders.MAKERS if maker[0] in
                                               (contenders.head_cases, contenders.dense_cases)])  # fmt: skip
    cases = list(contenders.cases())
    assert len(cases) == 2 * (len(losses.families) + 2)
    for case in cases:
        calls, wrong = run.prepare(case)
        assert not wrong and {"bound", "call", "reference"} <= set(calls), case


def test_the_peers_of_the_bench_are_right(bench, monkeypatch):
    """Those that are installed, on few rows: too few for the one that takes long to compile."""
    from bench import peers

    contenders, run = bench
    monkeypatch.setattr(peers, "ROWS", (64,))
    monkeypatch.setattr(peers, "LABEL_SIZES", ((32, 3), (64, 3)))
    pytest.importorskip("scipy")
    cases = [peers.peer_case(*description) for description in peers.peer_cases(quick=True)]
    assert len(cases) == 2 * len(set(peers.FORMULAS) & set(losses.families))
    for case in cases:
        calls, wrong = run.prepare(case)
        assert not wrong and {"bound", "numpy"} <= set(calls), case


@pytest.mark.parametrize("name", ["HeteroscedasticGaussian", "Beta", "NegativeBinomial", "GaussianMixture"])
def test_the_gradients_by_hand_are_derivatives(bench, name):
    """Central differences of the value, before the registry has the family as well as after."""
    from bench import peers

    pytest.importorskip("scipy")
    rng, formula = np.random.default_rng(0), peers.FORMULAS[name]
    z = rng.normal(size=(4, 3 * peers.COMPONENTS if name == "GaussianMixture" else 2))
    y = formula.prepared(rng.uniform(0.1, 0.9, 4) if name == "Beta" else rng.poisson(2.0, 4).astype(float))
    grad = formula.numpy(z, *y, np.empty_like(z))[1]
    for index in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[index] = 1e-5
        above, below = (formula.numpy(z + side, *y, np.empty_like(z))[0] for side in (step, -step))
        assert grad[index] == pytest.approx((above - below) / 2e-5, rel=1e-6, abs=1e-8)


def test_two_runs_of_the_bench_side_by_side(bench, tmp_path, capsys):
    from bench import compare

    row = {"kind": "head", "name": "Poisson", "real": "float64", "size": [1000], "limit": 1e-6}
    row["seconds"] = {"bound": 3e-6}
    runs = [tmp_path / "before.json", tmp_path / "after.json"]
    runs[0].write_text(json.dumps({"rows": [row, {**row, "size": [5]}]}))
    runs[1].write_text(json.dumps({"rows": [{**row, "seconds": {"bound": 2e-6}}]}))
    assert compare.main([str(path) for path in runs]) == 0
    told = capsys.readouterr().out
    assert "1.50x" in told and "33%" in told and "50%" in told and "1 rows" in told
    assert compare.main([str(runs[1]), str(runs[1]), "--contender", "nobody"]) == 1


def test_a_wrong_contender_is_named_and_not_timed(bench, monkeypatch):
    contenders, run = bench
    half = {"half": lambda case: lambda: (case.exact[0] / 2, case.exact[1])}
    absent = {"absent": lambda case: __import__("no_such_library")}
    unable = {"unable": lambda case: None}
    monkeypatch.setitem(contenders.CONTENDERS, "head", {**contenders.CONTENDERS["head"], **half, **absent, **unable})
    row = run.measure(contenders.head_case("head", "Poisson", (50,), "float64"), seconds=0)
    assert row["limit"] is None
    assert row["wrong"] == ["half"]
    assert set(row["seconds"]) == {"bound", "call", "reference"}
    assert "WRONG" in run.line(row)

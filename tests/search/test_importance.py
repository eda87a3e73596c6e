"""Importance: what moves the objective comes first, and nothing odd breaks it."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from study_values import study_of, trial

from archsearch.search.explain import LEAST, importances
from archsearch.search.storage.read import StudyRead


def varied(count: int = 60, **more: Any) -> StudyRead:
    rng = random.Random(1)
    trials = []
    for number in range(count):
        point = {"big": rng.random(), "small": rng.random(), "kind": rng.choice(["a", "b"]), "same": 3, **more}
        trials.append(replace(trial(number, point["big"] + 0.05 * point["small"]), assignments=point))
    return study_of(*trials)


def test_what_moves_the_objective_comes_first() -> None:
    found = importances(varied())
    assert next(iter(found)) == "big"
    assert found.keys() == {"big", "small", "kind"}
    assert math.isclose(sum(found.values()), 1.0)


def test_of_few_trials_nothing_is_said() -> None:
    assert importances(varied(LEAST - 1)) == {}
    assert importances(study_of()) == {}


def test_several_objectives() -> None:
    one = varied()
    trials = [replace(each, values=(*(each.values or ()), 1.0)) for each in one.trials]
    assert next(iter(importances(study_of(*trials, objectives=("accuracy", "macs"))))) == "big"


@pytest.mark.parametrize(
    "odd",
    [
        lambda number: {"x": math.nan if number % 2 else 1.0},
        lambda number: {"x": [True, 1, "1", None][number % 4]},
        lambda number: {"x": [number]},
        lambda number: {"x": number} if number % 3 else {},
        lambda number: {"x": 0.5 if number % 2 else 1},
    ],
)
def test_odd_values_do_no_harm(odd: Any) -> None:
    one = varied(20)
    trials = [replace(each, assignments={**each.assignments, **odd(each.number)}) for each in one.trials]
    trials.append(replace(trials[0], number=20, values=(math.nan,)))
    assert importances(study_of(*trials))


def test_what_means_nothing_to_a_design_does_not_count() -> None:
    one = varied()
    trials = [replace(each, attrs={"unused": ["small"]}) for each in one.trials]
    assert "small" not in importances(study_of(*trials))


def test_scikit_learn_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "sklearn.py").write_text("raise SystemExit('imported')")
    tests = Path(__file__).parent
    script = "import sys, test_importance as t; print(next(iter(t.importances(t.varied()))), 'sklearn' in sys.modules)"
    place = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{tests}"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=place, check=False)
    assert done.stdout == "big False\n", done.stderr

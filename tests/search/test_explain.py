"""Explanations: counts of infeasible designs, nearest misses, causes of failures, importance of parameters."""

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
from search_fakes import FakeTask, make_sweep
from study_values import study_of, trial

from archsearch.search.explain import LEAST, explain, importances
from archsearch.search.infeasible import InfeasibleCounts, count_infeasible
from archsearch.search.loop import work
from archsearch.search.storage.read import StudyRead, TrialRead, read_study, trials_read
from archsearch.search.storage.study import Study


def test_the_counts_of_a_search_are_those_of_its_summary(study: Study) -> None:
    work(study, make_sweep(), FakeTask(most=20), seed=1)
    why = explain(read_study(study.store, study.name))
    assert why.infeasible == count_infeasible(trials_read(study.trials()))
    assert why.infeasible.by_limit["parameters"] > 0
    worst = [miss.worst for miss in why.nearest]
    assert worst == sorted(worst)
    assert worst[0] > 0


def test_the_trials_of_sweeps_without_counts_are_counted() -> None:
    def of(number: int, sweep: str, **more: object) -> TrialRead:
        return replace(trial(number, state="infeasible", sweep=sweep, **more), constraints={"macs": 0.5, "head": -0.1})

    screened = {"proposed": 10, "feasible": 2, "by_limit": {"macs": 8}}
    found = study_of(
        of(0, "a"), of(1, "b"), replace(trial(2, 0.5, sweep="a"), attrs={"sweep": "a", "screened": screened})
    )
    refusals = explain(found).infeasible
    assert (refusals.proposed, refusals.feasible, refusals.by_limit) == (11, 2, {"macs": 9})


def test_failures_are_grouped_by_their_cause() -> None:
    found = explain(
        study_of(
            trial(0, state="failed", cause="RuntimeError: odd"),
            trial(1, state="diverged"),
            trial(2, state="failed", cause="RuntimeError: odd"),
        )
    )
    assert found.failures == {"failed: RuntimeError: odd": [0, 2], "diverged: no cause is recorded": [1]}
    assert found.nearest == ()


def varied(count: int = 60, **more: Any) -> StudyRead:
    rng = random.Random(1)
    trials = []
    for number in range(count):
        point = {"big": rng.random(), "small": rng.random(), "kind": rng.choice(["a", "b"]), "same": 3, **more}
        trials.append(replace(trial(number, point["big"] + 0.05 * point["small"]), assignments=point))
    return study_of(*trials)


def test_the_parameter_that_changes_the_objective_comes_first() -> None:
    found = importances(varied())
    assert next(iter(found)) == "big"
    assert found.keys() == {"big", "small", "kind"}
    assert math.isclose(sum(found.values()), 1.0)


def test_few_trials_give_no_importances() -> None:
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


def test_unused_settings_do_not_count() -> None:
    one = varied()
    trials = [replace(each, attrs={"unused": ["small"]}) for each in one.trials]
    assert "small" not in importances(study_of(*trials))


def test_scikit_learn_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "sklearn.py").write_text("raise SystemExit('imported')")
    tests = Path(__file__).parent
    script = "import sys, test_explain as t; print(next(iter(t.importances(t.varied()))), 'sklearn' in sys.modules)"
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, tests, *filter(None, sys.path))))}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=place, check=False)
    assert done.stdout == "big False\n", done.stderr


def counted(feasible: int, *broken: str) -> InfeasibleCounts:
    found = InfeasibleCounts()
    for _ in range(feasible):
        found.count(())
    for name in broken:
        found.count([name])
    return found


def test_counts_add_up_and_are_restored_from_json() -> None:
    one = counted(1, "macs", "parameters", "parameters")
    both = one.add(InfeasibleCounts.from_json(one.as_json()))
    assert (both.proposed, both.feasible, both.by_limit) == (8, 2, {"macs": 2, "parameters": 4})


def test_below_one_percent_there_is_a_warning_with_the_worst_limit() -> None:
    warning = counted(2, *["macs"] * 98, *["parameters"] * 400).warning()
    assert warning is not None
    assert "0.40 % of 500 proposals keep the limits (parameters: 400, macs: 98)" in warning


def test_above_one_percent_or_with_few_proposals_there_is_no_warning() -> None:
    assert counted(5, *["macs"] * 495).warning() is None
    assert counted(0, *["macs"] * 20).warning() is None


def test_wider_limits_are_no_fix_for_designs_that_cannot_be_built() -> None:
    assert str(counted(0, *["design"] * 400).warning()).endswith("(design: 400). Most cannot be built at all.")

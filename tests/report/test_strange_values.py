"""A study that another program or a later version wrote: no value in it ends a report, a figure or an export."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from study_fakes import make_study, make_trial

from archsearch.report.export import export_study
from archsearch.report.figures.charts import count_axis, sheet, value_axis
from archsearch.report.figures.render import document
from archsearch.report.figures.study import study_figures
from archsearch.report.html.page import study_page
from archsearch.report.records import ranking, strict, study_record, trial_record
from archsearch.report.terminal.studies import print_study, print_trial
from archsearch.search.storage.read import STATES, StudyRead, TrialState

HALF = "\ud800"  # half of a pair: JSON holds it, UTF-8 does not
NAMES = ("名前", "قطة", "👩\u200d🚀", HALF, "l" * 500, "", "../x", "$\\frac{", "a\nb", "\x1b[31mred")
WRONG: dict[str, dict[str, Any]] = {
    "a folder that cannot be": {"run_dir": "\0bad"},
    "a folder that UTF-8 does not hold": {"run_dir": HALF},
    "a time without end": {"seconds": 10**400},
    "a time that is none": {"seconds": -math.inf},
    "fixes that are no list": {"margins": '[{"limit": "p", "slack": NaN, "bound": {"below": NaN}, "fixes": 3}]'},
    "margins that are numbers": {"margins": "[1, [2]]"},
    "figures without bounds": {"parameters": 10**400, "macs": math.nan, "receptive_field": -5},
    "figures next to nothing": {"parameters": 1e-320, "macs": 5e-324, "receptive_field": 1e308},
    "names from elsewhere": {"cause": HALF, "device": HALF, "design": f"name: {HALF}", "traceback": HALF},
}


def study_of(of_trial: dict[str, Any], **more: Any) -> StudyRead:
    values = (0.5, 1e-320, -1e308, math.nan, math.inf)
    states: list[TrialState] = [*([STATES[0]] * 6), *STATES]  # the first is complete
    trials = [
        make_trial(
            number,
            state,
            values=(values[number % 5],) if state == "complete" else None,
            assignments=dict.fromkeys(NAMES, HALF if number % 2 else 10**400),
            history={1: math.nan, 10**9: 0.25, -3: math.inf},
            attrs=of_trial if number % 2 == 0 else {"parameters": 7, "macs": 1e9},
        )
        for number, state in enumerate(states)
    ]
    return make_study(trials, **more)


def every_output(study: StudyRead, folder: Path) -> None:
    study_page(study, importances=dict.fromkeys(NAMES, 0.5)).encode()
    for figure in study_figures(study, dict.fromkeys(NAMES, math.nan)).values():
        document(sheet(figure)).encode()
    rows = ranking(study, states=STATES)
    json.dumps(strict(study_record(study, rows)), allow_nan=False)
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), width=100)
    print_study(study, rows, console, total=len(rows))
    for trial in study.trials:
        json.dumps(strict(trial_record(study, trial)), allow_nan=False)
        print_trial(study, trial, console)
    console.file.flush()
    export_study(study, {"csv": folder / "trials.csv", "json": folder / "study.json"})
    assert (folder / "trials.csv").read_text(encoding="utf-8").count("\n") > len(study.trials)
    assert len(json.loads((folder / "study.json").read_text(encoding="utf-8"))["trials"]) == len(study.trials)


@pytest.mark.parametrize("attrs", WRONG.values(), ids=WRONG)
def test_no_value_of_a_trial_ends_an_output(attrs: dict[str, Any], tmp_path: Path) -> None:
    every_output(study_of(attrs), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_ends_an_output(name: str, tmp_path: Path) -> None:
    every_output(study_of({}, name=name, objectives=(name,), attrs={"data": name, "limits": name}), tmp_path)


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_a_trial_is_a_study(count: int, tmp_path: Path) -> None:
    study = study_of(WRONG["figures without bounds"])
    study_page(make_study(list(study.trials[:count])), importances={})
    assert set(study_figures(make_study(list(study.trials[:count])), {})) <= {"history", "curves"}


@pytest.mark.parametrize("axis", [lambda: count_axis("Epoch", -3, 10**12), lambda: count_axis("Epoch", 0, 10**15)])
def test_an_axis_of_many_epochs_has_few_ticks(axis: Callable[[], Any]) -> None:
    assert 1 < len(axis().ticks) < 12


@pytest.mark.parametrize(("low", "high"), [(5e-324, 1.0), (1e-320, 1e299), (1e-199, 1e299), (-1e299, 1e299)])
def test_an_axis_over_all_numbers_has_places(low: float, high: float) -> None:
    axis = value_axis("macs", low, high, is_log=True)
    assert 0 <= axis.share(low) <= axis.share(high) <= 1

"""A small study with a real design in it, for the tests of what is printed and exported."""

from __future__ import annotations

import datetime
import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

from study_fakes import make_trial

from archsearch.analysis.check import Checked
from archsearch.library import check, load_design
from archsearch.report.vocabulary import INFEASIBLE
from archsearch.runs.record import design_yaml
from archsearch.search.storage.read import StudyRead, TrialRead, TrialState
from archsearch.search.storage.rows import constraints_of, margins_json

HOSTILE = "[red]a[/] \x1b[31mb\x07 <i>"
BEGAN = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


@functools.cache
def checked(block: str) -> Checked:
    return check(load_design("c1c2c3c4", block=block))


def bare(number: int, state: TrialState = "complete", *values: float, **attrs: Any) -> TrialRead:
    return make_trial(number, state, values=values or None, attrs=attrs)


def trained(number: int, value: float, block: str = "dilated", **more: Any) -> TrialRead:
    one = checked(block)
    attrs = {
        "state_reason": "complete",
        "key": f"key{number}",
        "design_id": one.design_id,
        "parameters": one.footprint.parameters,
        "macs": one.footprint.macs,
        "receptive_field": one.footprint.receptive_field,
        "margins": margins_json(one.margins),
        "design": design_yaml(one),
        "run_dir": f"outputs/runs/{number:04d}",
        "seconds": 61.0,
        **more,
    }
    return replace(
        bare(number, "complete", value, **attrs),
        assignments={"arch": "c1c2c3c4", "block": block, "seed": number},
        constraints=constraints_of(one.margins),
        history={1: value / 2, 2: value},
        started=BEGAN,
        finished=BEGAN + datetime.timedelta(seconds=61),
    )


def study(*trials: TrialRead, name: str = "shapes-tiny", **attrs: Any) -> StudyRead:
    given = {"data": "shapes", "limits": "advanced_convolution", **attrs}
    return StudyRead(name=name, objectives=("accuracy",), directions=("maximize",), attrs=given, trials=trials)


def mixed() -> StudyRead:
    infeasible = replace(bare(2, INFEASIBLE, cause="parameters"), constraints={"parameters": 0.25, "macs": -0.5})
    failed = bare(3, "failed", cause=HOSTILE, traceback=f"Traceback\n  {HOSTILE}", run_dir="nowhere")
    return study(trained(0, 0.5), trained(1, 0.75, "inverted"), infeasible, failed, bare(4, "running", worker="w"))


def odd() -> StudyRead:
    """What other programs leave: several objectives, no numbers, nothing of ours."""
    nan = float("nan")
    trials = (
        bare(0, "complete", nan, 1.0, margins="[{}]", seconds="long", design="{", run_dir=7),
        replace(bare(1, "complete", 0.5, float("inf")), history={0: nan, 1: -float("inf")}, assignments={"x": HOSTILE}),
        bare(2, "failed", design="stages: [1, 2]", repairs=3, unused="x", margins='[{"limit": "[b]", "kept": 0}]'),
        bare(3, "waiting"),
    )
    return StudyRead(name=HOSTILE, objectives=("a", "b"), directions=("minimize", "maximize"), attrs={}, trials=trials)


def empty() -> StudyRead:
    return StudyRead(name="empty", objectives=("value",), directions=("minimize",), attrs={}, trials=())


def leave_files(trial: TrialRead) -> Path:
    folder = Path(str(trial.attrs["run_dir"]))
    folder.mkdir(parents=True)
    (folder / "design.yaml").write_text(str(trial.attrs.get("design", "")))
    (folder / "model.safetensors").write_bytes(b"0" * 8)
    line = (
        '{"epoch": %d, "train_loss": 1.5, "train_accuracy": 0.25, "validation_accuracy": null, "images_per_second": 9}'
    )
    (folder / "metrics.jsonl").write_text("".join(f"{line % epoch}\n" for epoch in range(1, 9)))
    return folder

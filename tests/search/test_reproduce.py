"""The command that trains a design again: from the run's folder, from assignments, or from the design."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from study_values import study_of, trial

from archsearch.search.reproduce import command_again
from archsearch.search.storage.read import TrialRead


def with_assignments(one: TrialRead, **assignments: Any) -> TrialRead:
    return replace(one, assignments=assignments)


def test_the_overrides_in_the_folder_are_used() -> None:
    Path("run/.hydra").mkdir(parents=True)
    lines = ["data=shapes", "space=cifar", "study.trials=3", "+a.b='x y'", "block@arch.stages.c2.block=strided"]
    Path("run/.hydra/overrides.yaml").write_text(yaml.safe_dump(lines))
    one = trial(0, 0.5, run_dir="run")
    expected = "python -m archsearch.run data=shapes '+a.b='\"'\"'x y'\"'\"'' block@arch.stages.c2.block=strided"
    assert command_again(study_of(one), one) == expected


def test_the_command_of_a_single_run_has_its_assignments() -> None:
    one = with_assignments(trial(0, 0.5, key="k", run_dir="gone"), arch="assignment", block="dilated", seed=1)
    study = study_of(one, data="shapes", limits="tiny")
    expected = "python -m archsearch.run data=shapes constraints=tiny arch=assignment block=dilated seed=1"
    assert command_again(study, one) == expected


def test_repairs_count_and_unused_options_do_not() -> None:
    said = {"sweep": "s", "repairs": {"arch.stages.c4.dilation": 3}, "unused": ["block"]}
    one = with_assignments(trial(0, 0.5, **said), block="normal", **{"train.epochs": 3})
    study = study_of(one, data="a folder of mine", limits="loose")
    assert command_again(study, one) == "python -m archsearch.run train.epochs=3 arch.stages.c4.dilation=3"


def test_the_command_of_a_search_trial_without_overrides_uses_its_design() -> None:
    Path("run/.hydra").mkdir(parents=True)
    Path("run/design.yaml").write_text("name: net\n")
    Path("run/.hydra/overrides.yaml").write_text("no: list\n")
    one = with_assignments(trial(0, 0.5, sweep="s", run_dir="run"), block="normal", **{"train.epochs": 3})
    assert command_again(study_of(one), one) == "python -m archsearch.run arch=run/design.yaml train.epochs=3"


def test_overrides_of_the_sweep_are_part_of_the_command() -> None:
    base = ["data=cifar10", "+train.epochs=9", "study.trials=5", "++arch.stages.c1.width=8"]
    one = with_assignments(trial(0, 0.5, sweep="s", base=base, run_dir="gone"), block="normal", **{"train.epochs": 3})
    expected = "data=cifar10 ++arch.stages.c1.width=8 block=normal train.epochs=3"
    assert command_again(study_of(one), one) == f"python -m archsearch.run {expected}"


def test_the_trial_of_another_program_has_no_command() -> None:
    one = with_assignments(trial(0, 0.5), rate=0.5)
    assert command_again(study_of(one), one) is None

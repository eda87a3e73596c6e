"""A finished run as a trial that a dashboard can show."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from archsearch.analysis.limits import Margin
from archsearch.search.storage.read import excess_of
from archsearch.search.storage.rows import RunRecord, RunState, run_row
from archsearch.search.storage.study import Study

KEPT = Margin(limit="parameters", bound={"below": 5}, found=4, kept=True, slack=0.2)
BROKEN = Margin(limit="receptive_field", bound={"above": 44}, found=33, kept=False, slack=-0.25, fixes=("x=1",))
RUN = RunRecord(
    params={"block": "dilated"},
    state="complete",
    values=[0.75],
    key="k",
    design_id="d",
    design_yaml="name: x",
    margins=[KEPT, BROKEN],
    parameters=4,
    macs=5,
    receptive_field=33,
    run_dir="outputs/runs/x",
    seconds=1.5,
    versions={"torch": "2.15"},
    history={1: 0.5, 2: 0.75},
)


def test_a_run_is_a_trial(study: Study) -> None:
    assert study.write([run_row(RUN)]) == [0]
    trial = study.trials()[0]
    assert (trial.value, trial.params, trial.intermediate_values) == (0.75, {"block": "dilated"}, {1: 0.5, 2: 0.75})
    assert excess_of(trial.system_attrs) == {"parameters": -0.2, "receptive_field": 0.25}
    assert trial.user_attrs["Margin receptive_field (above 44)"] == -0.25
    assert json.loads(trial.user_attrs["margins"])[1]["fixes"] == ["x=1"]
    assert trial.user_attrs["design"] == "name: x"
    assert study.raw.metric_names == ["accuracy"]


@pytest.mark.parametrize(
    ("state", "there"), [("pruned", "PRUNED"), ("diverged", "PRUNED"), ("infeasible", "PRUNED"), ("failed", "FAIL")]
)
def test_the_state_says_how_it_ended(study: Study, state: RunState, there: str) -> None:
    study.write([run_row(replace(RUN, state=state, reason="too slow"))])
    trial = study.trials()[0]
    assert (trial.state.name, trial.user_attrs["state_reason"], trial.values) == (there, state, None)
    assert trial.user_attrs["cause"] == "too slow"

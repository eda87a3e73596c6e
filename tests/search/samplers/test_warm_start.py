"""A warm start: what an earlier study knows reaches the model, and nothing of it is a trial of the new one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import yaml
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.cli.compose import Composer
from archsearch.errors import SpecError
from archsearch.search.loop import work
from archsearch.search.samplers.footprint import FootprintProposer
from archsearch.search.samplers.observations import Observation
from archsearch.search.samplers.warm_start import earlier_observations
from archsearch.search.space import Choice, Design, Range, Space, Value
from archsearch.search.storage.database import Store, open_store
from archsearch.search.storage.rows import Row
from archsearch.search.storage.study import Study, open_study

SPACE = Space(parameters={"a": Range(low=1, high=60, integer=True), "b": Choice(options=(0, 1))})
PLAIN = {"state_reason": "complete", "epochs": 6}


@pytest.fixture(scope="module")
def design() -> str:
    """Return a design as a trial records it."""
    tree = Composer(["arch=quick"]).compose({})
    from archsearch.analysis.check import check_design
    from archsearch.analysis.limits import Limits
    from archsearch.design.spec import decode_design
    from archsearch.runs.record import design_yaml

    return design_yaml(check_design(decode_design(tree["arch"], Composer().blocks), Limits()))


def study_of(store: Store, name: str, objectives: tuple[str, ...] = ("accuracy",)) -> Study:
    return open_study(
        store, name, data="shapes", fingerprint="f00d", limits="tiny", limits_text={}, objectives=objectives
    )


def write(study: Study, assignments: Mapping[str, Value], value: float, design: str, **attrs: Any) -> None:
    given = {**PLAIN, "key": f"{assignments}{attrs}", "assignments": dict(assignments), "design": design, **attrs}
    study.write([Row(state="complete", params={"a": assignments["a"]}, attrs=given, values=(value,))])


def test_trained_designs_are_read_with_their_context(store: Store, design: str) -> None:
    earlier, study = study_of(store, "earlier"), study_of(store, "new")
    write(earlier, {"a": 7, "b": 1}, 0.5, design)
    write(earlier, {"a": 8}, 0.6, design)
    write(earlier, {"a": 99, "b": 0}, 0.7, design)  # 99 is no value of the space
    write(earlier, {"a": 9, "b": 1}, 0.4, design, rung=3)
    write(earlier, {"a": 99}, 0.9, design)  # nothing of it is
    write(earlier, {"a": 5, "b": 1}, 0.9, "not: a design")
    found = earlier_observations("earlier", study, SPACE, epochs=6)
    assert [dict(one.design.params) for one in found] == [{"a": 7, "b": 1}, {"a": 8}, {"b": 0}, {"a": 9, "b": 1}]
    assert [one.values for one in found] == [(0.5,), (0.6,), (0.7,), (0.4,)]
    shorter = {"earlier": 1.0, "rung": pytest.approx(math.log(3 / 6))}
    assert [dict(one.design.context) for one in found] == [{"earlier": 1.0}] * 3 + [shorter]
    parameters = yaml.safe_load(design) and found[0].design.features["log_parameters"]
    assert math.exp(parameters) == pytest.approx(135_946)  # of arch=quick
    (other,) = {one.design.context.get("rung") for one in earlier_observations("earlier", study, SPACE, 12)[:3]}
    assert other == pytest.approx(math.log(6 / 12))


def test_the_earlier_study_may_be_in_another_database(store: Store, design: str) -> None:
    other = open_store("sqlite:///outputs/other.db")
    write(study_of(other, "new"), {"a": 7, "b": 1}, 0.5, design)
    other.close()
    found = earlier_observations("sqlite:///outputs/other.db#new", study_of(store, "new"), SPACE, epochs=6)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("named", "what"),
    [
        ("nothing", "there is no 'nothing'"),
        ("sqlite:///outputs/missing.db#x", "no study database"),
        ("nowhere#x", "is not the address of a study database"),
        ("new", "is this study itself"),
        ("costs", r"has other objectives \(accuracy, macs\)"),
        ("empty", r"no trained design of 'empty' has a value of this space \(it has no trials\)"),
    ],
)
def test_what_cannot_be_compared_is_an_error(store: Store, named: str, what: str) -> None:
    study = study_of(store, "new")
    study_of(store, "costs", ("accuracy", "macs"))
    study_of(store, "empty")
    with pytest.raises(SpecError, match=what) as caught:
        earlier_observations(named, study, SPACE, epochs=6)
    assert caught.value.where == "study.warm_start"


class WideTask(FakeTask):
    """The score is highest where `a` is 40."""

    def size(self, assignments: Mapping[str, Any]) -> float:
        return 100.0 - abs(float(assignments["a"]) - 40.0)


def observation(a: int) -> Observation:
    size = WideTask().size({"a": a})
    design = Design(params={"a": a, "b": 0}, features={"size": size}, context={"earlier": 1.0})
    return Observation(design=design, values=(size / 200,))


def test_the_first_designs_are_those_that_the_earlier_study_makes_promising(study: Study) -> None:
    earlier = tuple(observation(a) for a in range(1, 61, 5))
    sweep = make_sweep(make_settings("footprint", trials=2), space=SPACE, fixed={}, earlier=earlier)
    task = WideTask()
    work(study, sweep, task, seed=1)
    assert len(study.trials()) == len(task.trained) == 2, "nothing of the earlier study is a trial, and none counts"
    assert all(abs(int(str(one["a"])) - 40) <= 2 for one in task.trained)


def test_a_model_of_an_earlier_study_alone_proposes_without_a_first_round() -> None:
    """Also where its designs lack a parameter, and none of them is feasible here."""
    features = {"size": 1.0}
    proposer = FootprintProposer(SPACE, lambda params: features if int(str(params["a"])) < 30 else None)
    earlier = [
        Observation(design=Design(params={"a": a}, features={"size": 1.0}, context={"earlier": 1.0}), values=(a / 60,))
        for a in range(32, 60, 3)
    ]
    found = [proposer.propose(earlier, [], np.random.default_rng(seed)) for seed in range(3)]
    assert all(one is not None and int(str(one.params["a"])) >= 24 for one in found)


def test_what_an_earlier_study_has_trained_is_trained_here_as_well(study: Study) -> None:
    """Also where the search has rungs, which begin no design twice."""
    earlier = tuple(observation(a) for a in range(1, 61))
    sweep = make_sweep(make_settings("footprint", trials=2), space=SPACE, fixed={}, earlier=earlier, rungs=(2, 6))
    work(study, sweep, WideTask(), seed=1)
    assert all(abs(trial.user_attrs["assignments"]["a"] - 40) <= 2 for trial in study.trials())

"""Proposals of Optuna's samplers: feasible, unseen, and everything that was refused on the way."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.samplers import BaseSampler
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.queue import take_snapshot
from archsearch.search.samplers import optuna_samplers
from archsearch.search.samplers.optuna_samplers import INFEASIBLE_REPEATS, OptunaProposer
from archsearch.search.samplers.proposer import Infeasible, evaluate, known_point
from archsearch.search.space import Choice, Space
from archsearch.search.storage.study import Study
from archsearch.search.storage.write import Row


def test_a_point_is_judged() -> None:
    sweep, task = make_sweep(), FakeTask(most=5)
    assert not isinstance(evaluate(task, sweep, {"a": 2, "b": 3}), Infeasible)
    refused = evaluate(task, sweep, {"a": 6, "b": 4})
    broken = evaluate(task, sweep, {"block": "broken"})
    assert isinstance(refused, Infeasible)
    assert isinstance(broken, Infeasible)
    assert (refused.excess, refused.reason) == ({"parameters": 1.0}, "parameters")
    assert (broken.excess, broken.reason) == ({"design": 1.0}, "block: cannot be built")


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_what_is_refused_is_counted_and_handed_over(study: Study, name: str) -> None:
    sweep = make_sweep(make_settings(name))
    proposer = OptunaProposer(study, sweep, FakeTask(most=8), seed=1)
    proposal = proposer.propose(take_snapshot(study.trials(), sweep.name))
    assert proposal is not None
    assert proposal.candidate.parameters <= 8
    assert len(proposer.infeasible) == proposer.counts.by_limit["parameters"] == proposer.counts.proposed - 1
    proposer.on_written([])
    assert not proposer.infeasible


def test_a_known_design_is_not_proposed_again(study: Study) -> None:
    sweep = make_sweep(space=Space(parameters={"a": Choice(options=(1, 2))}))
    task = FakeTask()
    for a in (1, 2):
        key = task.check(sweep.assignments({"a": a})).key
        attrs = {"key": key, "state_reason": "complete"}
        proposer = OptunaProposer(study, sweep, task, seed=1)
        assert proposer.propose(take_snapshot(study.trials(), sweep.name)) is not None
        study.write([Row(state="complete", params=sweep.assignments({"a": a}), attrs=attrs, values=(0.5,))])
    proposer = OptunaProposer(study, sweep, task, seed=1)
    assert proposer.propose(take_snapshot(study.trials(), sweep.name)) is None
    assert proposer.exhausted
    snapshot = take_snapshot(study.trials(), sweep.name)
    points = [known_point(trial, sweep.space) for trial in snapshot.trials]
    assert [point for point in points if point is not None] == [{"a": 1}, {"a": 2}]


class Stubborn(BaseSampler):
    """Proposes the same point for ever, as a model does that learns nothing from what is refused."""

    def __init__(self) -> None:
        self.asked = 0

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        self.asked += 1
        return {"a": 6, "b": 40, "block": "normal"}[param_name]


def test_a_model_that_proposes_what_is_refused_again_and_again_is_passed_over(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Stubborn()
    monkeypatch.setattr(optuna_samplers, "make_sampler", lambda settings, seed: sampler)
    sweep = make_sweep(make_settings("gp"))
    proposer = OptunaProposer(study, sweep, FakeTask(most=20), seed=1)
    proposal = proposer.propose(take_snapshot(study.trials(), sweep.name))
    assert proposal is not None
    assert proposal.handle == -1
    assert sampler.asked == 3 * INFEASIBLE_REPEATS


def test_a_long_search_in_vain_says_how_far_it_has_come(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_samplers, "SECONDS", 0.0)
    sweep = make_sweep()
    proposer = OptunaProposer(study, sweep, FakeTask(most=1), seed=1)
    for checked in (1, 2, 3):
        assert proposer.propose(take_snapshot(study.trials(), sweep.name)) is None
        assert proposer.counts.proposed == checked
    assert not proposer.exhausted
    monkeypatch.setattr(optuna_samplers, "MOST_INFEASIBLE", 3)
    assert proposer.propose(take_snapshot(study.trials(), sweep.name)) is None
    assert proposer.exhausted

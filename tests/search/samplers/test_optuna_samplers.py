"""Optuna's samplers and pruners by name, their proposals, and the study in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import pytest
from optuna import create_study
from optuna.distributions import FloatDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GPSampler
from optuna.trial import FrozenTrial, create_trial
from search_fakes import FakeTask, make_memory_study, make_settings, make_sweep

from archsearch.search.queue import take_snapshot
from archsearch.search.samplers import optuna_samplers
from archsearch.search.samplers.factory import make_pruner
from archsearch.search.samplers.optuna_samplers import INFEASIBLE_REPEATS, InMemoryStudy, OptunaProposer, make_sampler
from archsearch.search.samplers.proposer import Infeasible, evaluate, known_point
from archsearch.search.space import Choice, Space, Value
from archsearch.search.storage.study import Study
from archsearch.search.storage.write import Row, State, finish_row
from archsearch.settings.study import PrunerName, PrunerSettings, SamplerName, SamplerSettings


@pytest.mark.parametrize("name", [name for name in get_args(SamplerName) if name not in ("footprint", "grid")])
def test_every_sampler_of_optuna_can_be_made(name: SamplerName) -> None:
    assert isinstance(make_sampler(SamplerSettings(name=name), seed=1), BaseSampler)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_gaussian_process_learns_from_a_bounded_number_of_trials(
    direction: Literal["maximize", "minimize"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_samplers, "MOST_FITTED", 6)
    fitted: list[list[float]] = []

    def impl(self: object, study: object, completed: list[FrozenTrial], *rest: object) -> dict[str, float]:
        fitted.append([trial.values[0] for trial in completed])
        return {}

    monkeypatch.setattr(GPSampler, "_sample_relative_impl", impl)
    study = create_study(direction=direction, sampler=make_sampler(SamplerSettings(name="gp", startup=1), seed=1))
    for value in (9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0):
        study.add_trial(create_trial(params={"x": value}, distributions={"x": FloatDistribution(0, 10)}, value=value))
    study.ask({"x": FloatDistribution(0, 10)})
    best = [9.0, 8.0, 7.0] if direction == "maximize" else [1.0, 2.0, 3.0]
    assert fitted == [[*best, 6.0, 4.0, 5.0]]


@pytest.mark.parametrize("name", get_args(PrunerName))
def test_every_pruner_can_be_made(name: PrunerName) -> None:
    assert isinstance(make_pruner(PrunerSettings(name=name), epochs=9), BasePruner)


def test_a_point_is_evaluated() -> None:
    sweep, task = make_sweep(), FakeTask(most=5)
    assert not isinstance(evaluate(task, sweep, {"a": 2, "b": 3}), Infeasible)
    infeasible = evaluate(task, sweep, {"a": 6, "b": 4})
    broken = evaluate(task, sweep, {"block": "broken"})
    assert isinstance(infeasible, Infeasible)
    assert isinstance(broken, Infeasible)
    assert (infeasible.excess, infeasible.reason) == ({"parameters": 1.0}, "parameters")
    assert (broken.excess, broken.reason) == ({"design": 1.0}, "block: cannot be built")


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_infeasible_proposals_are_counted_and_passed_on(study: Study, name: str) -> None:
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


class Unconstrained(BaseSampler):
    """Proposes the same point for ever, as a model does that learns nothing from what is infeasible."""

    def __init__(self) -> None:
        self.asked = 0

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        self.asked += 1
        return {"a": 6, "b": 40, "block": "normal"}[param_name]


def test_random_points_replace_a_model_that_keeps_proposing_infeasible_designs(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Unconstrained()
    monkeypatch.setattr(optuna_samplers, "make_sampler", lambda settings, seed: sampler)
    sweep = make_sweep(make_settings("gp"))
    proposer = OptunaProposer(study, sweep, FakeTask(most=20), seed=1)
    proposal = proposer.propose(take_snapshot(study.trials(), sweep.name))
    assert proposal is not None
    assert proposal.handle == -1
    assert sampler.asked == 3 * INFEASIBLE_REPEATS


def test_a_long_search_without_feasible_designs_reports_its_counts(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
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


POINT: dict[str, Value] = {"a": 1, "b": 2, "block": "normal"}


def inner(memory: InMemoryStudy) -> list[tuple[str, float | None]]:
    return [(trial.state.name, trial.values and trial.values[0]) for trial in memory._study.get_trials(deepcopy=False)]


def write_trial(
    study: Study, state: State, values: tuple[float, ...] | None = None, changes: Mapping[str, Value] | None = None
) -> int:
    row = Row(state=state, params={**POINT, **(changes or {})}, attrs={"key": "k"}, values=values)
    return study.write([row])[0]


def test_new_trials_are_copied_once(study: Study) -> None:
    memory = make_memory_study()
    write_trial(study, "complete", (0.5,))
    for _ in range(2):
        memory.pull(study.trials())
    write_trial(study, "pruned")
    memory.pull(study.trials())
    assert inner(memory) == [("COMPLETE", 0.5), ("PRUNED", None)]


def test_failed_trials_and_points_outside_of_the_space_are_not_copied(study: Study) -> None:
    memory = make_memory_study()
    write_trial(study, "complete", (0.5,), {"a": 99})
    write_trial(study, "fail")
    write_trial(study, "waiting")
    memory.pull(study.trials())
    assert inner(memory) == []


def test_the_end_of_a_running_trial_is_copied(study: Study) -> None:
    memory = make_memory_study()
    number = write_trial(study, "running")
    memory.pull(study.trials())
    assert inner(memory) == [("RUNNING", None)]
    finish_row(study.store, study.trials()[number]._trial_id, "complete", {"state_reason": "complete"}, (0.75,))
    memory.pull(study.trials())
    assert inner(memory) == [("COMPLETE", 0.75)]


def test_an_own_proposal_is_not_copied_again(study: Study) -> None:
    memory = make_memory_study()
    handle, point, _ = memory.ask()
    memory.assign_number(handle, write_trial(study, "complete", (0.25,), point))
    memory.pull(study.trials())
    assert inner(memory) == [("COMPLETE", 0.25)]


def test_an_own_infeasible_proposal_keeps_its_constraints_and_comes_once(study: Study) -> None:
    memory = make_memory_study()
    handle, point, _ = memory.ask()
    memory.mark_infeasible(handle, {"parameters": 0.5})
    memory.skip([write_trial(study, "pruned", None, point)])
    memory.pull(study.trials())
    assert inner(memory) == [("PRUNED", None)]
    assert memory._study.trials[0].constraints == {"parameters": 0.5}


def test_a_duplicate_proposal_has_the_values_of_the_known_trial(study: Study) -> None:
    memory = make_memory_study()
    handle, _, _ = memory.ask()
    write_trial(study, "complete", (0.5,))
    memory.copy_known(handle, study.trials()[0])
    assert inner(memory) == [("COMPLETE", 0.5)]

"""Successive halving over rungs of epochs: which designs go on, each trained once, and what the end leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.errors import DivergedError
from archsearch.search.loop import work
from archsearch.search.queue import take_snapshot
from archsearch.search.samplers.factory import make_proposer
from archsearch.search.samplers.proposer import evaluate
from archsearch.search.space import Choice, Space
from archsearch.search.storage.study import Study
from archsearch.search.storage.write import Row
from archsearch.search.sweep import Sweep
from archsearch.search.task import Job, Outcome

RUNGS = (2, 6)
SMALL = Space(parameters={"a": Choice(options=(1, 2)), "b": Choice(options=(1, 2))})  # three designs


@dataclass
class RungTask(FakeTask):
    """The accuracy grows with the epochs and with the size of the design; `diverges` is a size that gives none."""

    whole: int = 6
    diverges: float | None = None
    runs: list[tuple[int, int]] = field(default_factory=list)

    def train(self, job: Job) -> Outcome:
        found: Mapping[str, Any] = job.candidate.assignments
        epochs, score = int(found.get("train.epochs", self.whole)), self.size(found)
        self.runs.append((job.number, epochs))
        if self.on_train is not None:
            self.on_train(job)
        if score == self.diverges:
            raise DivergedError("the loss is not finite")
        return Outcome(measures={"accuracy": score / 100 * epochs / (epochs + 2)}, attrs={"epochs": epochs})


def sweep_of(sampler: str = "random", rungs: tuple[int, ...] = RUNGS, **changes: Any) -> Sweep:
    space = {"space": changes.pop("space")} if "space" in changes else {}
    return make_sweep(make_settings(sampler, **changes), fixed={}, rungs=rungs, **space)


def by_rung(study: Study) -> dict[int | None, list[int]]:
    found: dict[int | None, list[int]] = {}
    for trial in study.trials():
        if trial.user_attrs.get("state_reason") != "infeasible":
            found.setdefault(trial.user_attrs.get("rung"), []).append(trial.number)
    return found


def design_of(study: Study, number: int) -> dict[str, Any]:
    assignments = study.trials()[number].user_attrs["assignments"]
    return {name: assignments[name] for name in ("a", "b", "block")}


@pytest.mark.parametrize("sampler", ["random", "footprint"])
def test_the_best_third_is_trained_for_three_times_the_epochs(study: Study, sampler: str) -> None:
    task = RungTask()
    work(study, sweep_of(sampler, trials=24), task, seed=1)
    rungs = by_rung(study)
    low, whole = rungs[2], rungs[None]
    assert len(low) + len(whole) == 24
    assert len(low) // 3 <= len(whole) <= len(low) // 3 + 4  # a better one that comes later is promoted as well
    assert Counter(epochs for _, epochs in task.runs) == {2: len(low), 6: len(whole)}
    trials = study.trials()
    assert [trials[number].user_attrs["assignments"].get("train.epochs") for number in low] == [2] * len(low)
    for number in whole:
        below = trials[number].user_attrs["promoted_from"]
        assert below < number
        assert design_of(study, below) == design_of(study, number)
        assert "train.epochs" not in trials[number].user_attrs["assignments"]
    assert len({trials[number].user_attrs["promoted_from"] for number in whole}) == len(whole)
    best = max(low, key=lambda number: trials[number].values[0])
    if sampler == "random":  # ranks by the values themselves
        assert best in [trials[number].user_attrs["promoted_from"] for number in whole]


def test_designs_rise_through_every_rung(study: Study) -> None:
    work(study, sweep_of(rungs=(1, 3, 9), trials=40), RungTask(whole=9), seed=1)
    rungs, trials = by_rung(study), study.trials()
    assert {name: bool(numbers) for name, numbers in rungs.items()} == {1: True, 3: True, None: True}
    assert len(rungs[1]) > len(rungs[3]) > len(rungs[None])
    for number in rungs[None]:
        assert trials[trials[number].user_attrs["promoted_from"]].user_attrs["rung"] == 3


def test_a_search_goes_on_at_its_rungs(study: Study) -> None:
    task = RungTask()
    for trials in (5, 9, 14):
        work(study, sweep_of(trials=trials), task, seed=trials)
    assert len(task.runs) == 14
    keys = [trial.user_attrs["key"] for trial in study.trials()]
    assert len(set(keys)) == len(keys)
    assert len(by_rung(study)[None]) >= 3


def test_a_design_that_was_trained_whole_begins_at_no_rung(study: Study) -> None:
    """As one of a study that was searched without rungs before."""
    work(study, sweep_of("footprint", (), space=SMALL, trials=2), RungTask(), seed=1)
    before = [design_of_small(study, number) for number in by_rung(study)[None]]
    work(study, sweep_of("footprint", space=SMALL, trials=50), RungTask(), seed=1)
    begun = [design_of_small(study, number) for number in by_rung(study)[2]]
    assert len(before) == 2
    assert not [one for one in begun if one in before]


def design_of_small(study: Study, number: int) -> dict[str, Any]:
    assignments = study.trials()[number].user_attrs["assignments"]
    return {name: assignments[name] for name in SMALL.parameters}


@pytest.mark.parametrize("sampler", ["random", "footprint"])
def test_a_space_that_is_used_up_is_trained_whole(study: Study, sampler: str) -> None:
    work(study, sweep_of(sampler, (1, 2, 6), space=SMALL, trials=50), RungTask(), seed=1)
    assert {rung: len(numbers) for rung, numbers in by_rung(study).items()} == {1: 3, 2: 3, None: 3}


def test_a_design_that_diverged_is_not_promoted(study: Study) -> None:
    work(study, sweep_of(space=SMALL, trials=50), RungTask(diverges=4.0), seed=1)
    assert {rung: len(numbers) for rung, numbers in by_rung(study).items()} == {2: 3, None: 2}


def test_a_training_that_failed_is_not_promoted_again(study: Study) -> None:
    def fail(job: Job) -> None:
        if "train.epochs" not in job.candidate.assignments:
            raise RuntimeError("too long")

    work(study, sweep_of(space=SMALL, trials=50, max_failures=9), RungTask(on_train=fail), seed=1)
    assert Counter(trial.user_attrs["state_reason"] for trial in study.trials()) == {"complete": 3, "failed": 3}


def test_what_another_worker_trains_at_the_next_rung_is_not_promoted(study: Study) -> None:
    sweep, task = sweep_of(trials=50), RungTask()
    work(study, replace(sweep, settings=replace(sweep.settings, trials=3)), task, seed=1)
    proposer = make_proposer(study, sweep, task, 1)
    first = proposer.propose(take_snapshot(study.trials(), sweep.name))
    assert first is not None
    best = max(study.trials(), key=lambda trial: trial.values[0])
    assert first.attrs == {"promoted_from": best.number}
    attrs = {"sweep": sweep.name, "key": first.candidate.key, "worker": "x", "run_dir": "outputs/x"}
    study.write([Row(state="running", params=dict(first.candidate.assignments), attrs=attrs)])
    again = proposer.propose(take_snapshot(study.trials(), sweep.name))
    assert again is not None
    assert again.attrs == {"rung": 2}


def test_a_trial_of_a_rung_is_resumed_with_its_epochs(study: Study) -> None:
    sweep, task = sweep_of(trials=1), RungTask()
    found = evaluate(task, sweep, {"a": 2, "b": 3, "block": "normal"})
    attrs = {"sweep": sweep.name, "key": "k", "worker": "", "run_dir": "outputs/x", "rung": 2}
    attrs["assignments"] = dict(found.assignments)  # type: ignore[union-attr]
    study.write([Row(state="running", params={"a": 2, "b": 3, "block": "normal"}, attrs=attrs)])
    work(study, sweep, task, seed=1)
    assert task.runs == [(0, 2)]

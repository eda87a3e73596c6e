"""The study in memory: it holds what the database holds, each trial once, however it came to know of it."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.samplers import RandomSampler
from search_fakes import make_space

from archsearch.search.samplers.optuna_samplers import InMemoryStudy
from archsearch.search.space import Value
from archsearch.search.storage.study import Study
from archsearch.search.storage.write import Row, State, finish_row

POINT: dict[str, Value] = {"a": 1, "b": 2, "block": "normal"}


def make_mirror() -> InMemoryStudy:
    return InMemoryStudy(make_space(), ["maximize"], RandomSampler(seed=1))


def inner(mirror: InMemoryStudy) -> list[tuple[str, float | None]]:
    return [(trial.state.name, trial.values and trial.values[0]) for trial in mirror._study.get_trials(deepcopy=False)]


def write(
    study: Study, state: State, values: tuple[float, ...] | None = None, changes: Mapping[str, Value] | None = None
) -> int:
    row = Row(state=state, params={**POINT, **(changes or {})}, attrs={"key": "k"}, values=values)
    return study.write([row])[0]


def test_new_trials_are_taken_over_once(study: Study) -> None:
    mirror = make_mirror()
    write(study, "complete", (0.5,))
    for _ in range(2):
        mirror.pull(study.trials())
    write(study, "pruned")
    mirror.pull(study.trials())
    assert inner(mirror) == [("COMPLETE", 0.5), ("PRUNED", None)]


def test_what_is_no_point_of_the_space_or_failed_stays_out(study: Study) -> None:
    mirror = make_mirror()
    write(study, "complete", (0.5,), {"a": 99})
    write(study, "fail")
    write(study, "waiting")
    mirror.pull(study.trials())
    assert inner(mirror) == []


def test_a_running_trial_is_seen_to_end(study: Study) -> None:
    mirror = make_mirror()
    number = write(study, "running")
    mirror.pull(study.trials())
    assert inner(mirror) == [("RUNNING", None)]
    finish_row(study.store, study.trials()[number]._trial_id, "complete", {"state_reason": "complete"}, (0.75,))
    mirror.pull(study.trials())
    assert inner(mirror) == [("COMPLETE", 0.75)]


def test_an_own_proposal_is_not_taken_over_a_second_time(study: Study) -> None:
    mirror = make_mirror()
    handle, point, _ = mirror.ask()
    mirror.assign_number(handle, write(study, "complete", (0.25,), point))
    mirror.pull(study.trials())
    assert inner(mirror) == [("COMPLETE", 0.25)]


def test_an_own_refusal_keeps_its_constraints_and_comes_once(study: Study) -> None:
    mirror = make_mirror()
    handle, point, _ = mirror.ask()
    mirror.mark_infeasible(handle, {"parameters": 0.5})
    mirror.skip([write(study, "pruned", None, point)])
    mirror.pull(study.trials())
    assert inner(mirror) == [("PRUNED", None)]
    assert mirror._study.trials[0].constraints == {"parameters": 0.5}


def test_an_answered_proposal_has_the_known_trials_values(study: Study) -> None:
    mirror = make_mirror()
    handle, _, _ = mirror.ask()
    write(study, "complete", (0.5,))
    mirror.copy_known(handle, study.trials()[0])
    assert inner(mirror) == [("COMPLETE", 0.5)]

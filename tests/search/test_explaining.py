"""Why: refusals as they were counted, the nearest misses, the causes of failures."""

from __future__ import annotations

from dataclasses import replace

from search_fakes import FakeTask, make_sweep
from study_values import study_of, trial

from archsearch.search.explain import explain
from archsearch.search.loop import work
from archsearch.search.storage.read import TrialRead, read_study, trials_read
from archsearch.search.storage.study import Study
from archsearch.search.infeasible import count_infeasible


def test_a_searchs_refusals_are_those_of_its_summary(study: Study) -> None:
    work(study, make_sweep(), FakeTask(most=20), seed=1)
    why = explain(read_study(study.store, study.name))
    assert why.infeasible == count_infeasible(trials_read(study.trials()))
    assert why.infeasible.by_limit["parameters"] > 0
    worst = [miss.worst for miss in why.nearest]
    assert worst == sorted(worst)
    assert worst[0] > 0


def test_sweeps_that_did_not_count_are_counted_one_by_one() -> None:
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

"""The sampler `footprint` inside the engine: what it screens is counted, what is trained is seen."""

from __future__ import annotations

from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.loop import work
from archsearch.search.queue import take_snapshot
from archsearch.search.samplers.footprint import EXAMPLES, FootprintSearch
from archsearch.search.storage.study import Study

SWEEP = make_sweep(make_settings("footprint", trials=10))


def test_screened_designs_are_counted_and_the_nearest_misses_kept(study: Study) -> None:
    search = FootprintSearch(study, SWEEP, FakeTask(most=10), seed=1)
    proposal = search.propose(take_snapshot(study.trials(), SWEEP.name))
    assert proposal is not None
    assert proposal.candidate.parameters <= 10
    assert search.counts.proposed > search.counts.feasible > 0
    assert len(search.infeasible) == EXAMPLES
    assert all(min(each.excess.values()) < 0.5 for each in search.infeasible)


def test_it_learns_that_larger_is_better(study: Study) -> None:
    task = FakeTask(most=30)
    work(study, SWEEP, task, seed=1)
    sizes = [task.size(one) for one in task.trained]
    assert max(sizes) == 30
    assert sum(sizes[5:]) > sum(sizes[:5])

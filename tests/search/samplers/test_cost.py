"""The cost of a training in the sampler: improvement for each second, and designs whose prediction has changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.evaluator import LOG_SECONDS
from archsearch.search.queue import take_snapshot
from archsearch.search.samplers.footprint import FootprintProposer, FootprintSearch, Observation, per_cost
from archsearch.search.space import Choice, Features, Params, Space
from archsearch.search.storage.study import Study
from archsearch.settings.study import SamplerSettings

SPACE = Space(parameters={"size": Choice(options=(1, 2, 3, 4, 5, 6)), "way": Choice(options=("slow", "quick"))})


def test_improvement_is_divided_by_the_cost() -> None:
    found = per_cost(np.array([1.0, 1.0, 6.0]), np.log(np.array([1.0, 4.0, 3.0])))
    assert found == pytest.approx([1.0, 0.25, 2.0])


def next_ways(cost: str | None) -> list[str]:
    """Return the `way` of the first design that the model proposes, for several seeds; it does not change the score."""
    ways: list[str] = []
    for seed in range(6):
        rng, observations = np.random.default_rng(seed), list[Observation]()

        def admit(params: Params, trained: list[Observation] = observations) -> Features | None:
            if any(each.design.params == params for each in trained):
                return None
            return {"log_cost": math.log(50.0) if params["way"] == "slow" else 0.0}

        proposer = FootprintProposer(SPACE, admit, startup=4, cost=cost)
        for _ in range(4):
            design = proposer.propose(observations, [], rng)
            assert design is not None
            observations.append(Observation(design=design, values=(float(str(design.params["size"])),)))
        design = proposer.propose(observations, [], rng)
        assert design is not None
        ways.append(str(design.params["way"]))
    return ways


def test_of_designs_that_promise_as_much_the_cheap_one_is_proposed() -> None:
    assert set(next_ways("log_cost")) == {"quick"}
    assert "slow" in next_ways(None)


def test_the_setting_reaches_the_proposer(study: Study) -> None:
    sampler = SamplerSettings(cost="train_seconds")
    assert (
        FootprintSearch(study, make_sweep(make_settings(sampler=sampler)), FakeTask(), 0)._proposer.cost == LOG_SECONDS
    )
    assert FootprintSearch(study, make_sweep(make_settings()), FakeTask(), 0)._proposer.cost is None


def test_a_design_that_has_become_infeasible_since_it_was_screened_is_no_proposal(study: Study) -> None:
    task, sweep = FakeTask(), make_sweep(make_settings())
    search = FootprintSearch(study, sweep, task, 0)
    assert search.propose(take_snapshot((), sweep.name)) is not None
    task.most = -1.0  # as if trainings had shown that everything takes longer
    assert search.propose(take_snapshot((), sweep.name)) is None
    assert not search.exhausted

"""Proposals of Optuna's samplers: feasible, unseen, and everything that was refused on the way."""

from __future__ import annotations

import pytest
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.board import read_board
from archsearch.search.candidates import Choice, Space
from archsearch.search.proposing import OptunaProposer, Refused, judged, known_points
from archsearch.search.rows import Row
from archsearch.search.studies import Study


def test_a_point_is_judged() -> None:
    sweep, task = make_sweep(), FakeTask(most=5)
    assert not isinstance(judged(task, sweep, {"a": 2, "b": 3}), Refused)
    refused = judged(task, sweep, {"a": 6, "b": 4})
    broken = judged(task, sweep, {"block": "broken"})
    assert isinstance(refused, Refused)
    assert isinstance(broken, Refused)
    assert (refused.excess, refused.reason) == ({"parameters": 1.0}, "parameters")
    assert (broken.excess, broken.reason) == ({"design": 1.0}, "block: cannot be built")


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_what_is_refused_is_counted_and_handed_over(study: Study, name: str) -> None:
    sweep = make_sweep(make_settings(name))
    proposer = OptunaProposer(study, sweep, FakeTask(most=8), seed=1)
    proposal = proposer.propose(read_board(study.trials(), sweep.name))
    assert proposal is not None
    assert proposal.verdict.parameters <= 8
    assert len(proposer.refused) == proposer.refusals.by_limit["parameters"] == proposer.refusals.proposed - 1
    proposer.written([])
    assert not proposer.refused


def test_a_known_design_is_not_proposed_again(study: Study) -> None:
    sweep = make_sweep(space=Space(parameters={"a": Choice(options=(1, 2))}))
    task = FakeTask()
    for a in (1, 2):
        key = task.check(sweep.assignments({"a": a})).key
        attrs = {"key": key, "state_reason": "complete"}
        proposer = OptunaProposer(study, sweep, task, seed=1)
        assert proposer.propose(read_board(study.trials(), sweep.name)) is not None
        study.write([Row(state="complete", params=sweep.assignments({"a": a}), attrs=attrs, values=(0.5,))])
    assert OptunaProposer(study, sweep, task, seed=1).propose(read_board(study.trials(), sweep.name)) is None
    board = read_board(study.trials(), sweep.name)
    assert [point for point, _ in known_points(board, sweep.space)] == [{"a": 1}, {"a": 2}]

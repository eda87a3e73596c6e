"""Enqueued designs: they are trained first, in their order, and then the sampler proposes designs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.queue import StudySnapshot
from archsearch.search.samplers.proposer import Infeasible, Proposal, Proposer, evaluate
from archsearch.search.sweep import Sweep
from archsearch.search.task import Task

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class EnqueuedProposer:
    """Proposes the enqueued designs that no worker has taken, and then those of the sampler's `proposer`."""

    def __init__(self, proposer: Proposer, sweep: Sweep, task: Task) -> None:
        self._proposer, self._sweep, self._task = proposer, sweep, task
        self._left = list(enumerate(sweep.enqueued))
        self.infeasible: list[Infeasible] = proposer.infeasible  # the same list, which the proposer fills and clears
        self.counts = InfeasibleCounts()
        self.exhausted = False

    def propose(self, snapshot: StudySnapshot) -> Proposal | None:
        self._proposer.counts = self.counts
        while self._left:
            index, point = self._left[0]
            found = evaluate(self._task, self._sweep, point)
            if not isinstance(found, Infeasible) and found.key not in snapshot.known:
                return Proposal(candidate=found, attrs={"enqueued": index})
            del self._left[0]  # taken, or no longer feasible
        found = self._proposer.propose(snapshot)
        self.exhausted = self._proposer.exhausted
        return found

    def scores(self, snapshot: StudySnapshot, trials: Sequence[FrozenTrial]) -> Sequence[float]:
        return self._proposer.scores(snapshot, trials)

    def on_claimed(self, proposal: Proposal, number: int | None) -> None:
        if "enqueued" not in proposal.attrs:
            self._proposer.on_claimed(proposal, number)

    def on_written(self, numbers: list[int]) -> None:
        self._proposer.on_written(numbers)

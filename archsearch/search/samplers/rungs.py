"""Asynchronous successive halving: new designs are trained for few epochs, and the best of them for more.

Each rung is a separate training with its own schedule, because a schedule that has decayed to zero cannot continue. Of
the designs of a rung of `a` epochs, the best fraction `a / b` is trained at the next rung, of `b` epochs, as soon as
there are enough (Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020). So every rung gets
about the same number of epochs in total. The sampler ranks the designs: `footprint` predicts the result of a full
training from all rungs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.queue import StudySnapshot
from archsearch.search.samplers.proposer import Infeasible, Proposal, Proposer, evaluate
from archsearch.search.sweep import Sweep
from archsearch.search.task import Candidate, Task

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

ROUNDING = 1e-9


class RungProposer:
    """Promotes trained designs to the next rung; the sampler's `proposer` proposes new designs."""

    def __init__(self, proposer: Proposer, sweep: Sweep, task: Task) -> None:
        self._proposer, self._sweep, self._task = proposer, sweep, task
        self._keys: dict[tuple[int, int], str] = {}  # key by trial number and rung; empty: infeasible
        self.infeasible: list[Infeasible] = proposer.infeasible  # the same list, which the proposer fills and clears
        self.counts = InfeasibleCounts()
        self.exhausted = False

    def propose(self, snapshot: StudySnapshot) -> Proposal | None:
        self._proposer.counts = self.counts
        if (promoted := self._promotion(snapshot)) is not None:
            return promoted
        if not self._proposer.exhausted and (found := self._proposer.propose(snapshot)) is not None:
            return replace(found, attrs={**found.attrs, **self._attrs(self._sweep.rungs[0])})
        if not self._proposer.exhausted:
            return None
        promoted = self._promotion(snapshot, every=True)
        self.exhausted = promoted is None and not (snapshot.running or snapshot.waiting)
        return promoted

    def scores(self, snapshot: StudySnapshot, trials: Sequence[FrozenTrial]) -> Sequence[float]:
        return self._proposer.scores(snapshot, trials)

    def on_claimed(self, proposal: Proposal, number: int | None) -> None:
        if "promoted_from" not in proposal.attrs:
            self._proposer.on_claimed(proposal, number)

    def on_written(self, numbers: list[int]) -> None:
        self._proposer.on_written(numbers)

    def _promotion(self, snapshot: StudySnapshot, *, every: bool = False) -> Proposal | None:
        """Return the best design that is due for promotion, from the highest rung with one; `every`: all are due."""
        for low, high in reversed(list(pairwise(self._sweep.rungs))):
            trained = [trial for trial in snapshot.trained if self._rung_of(trial) == low]
            due = len(trained) if every else int(len(trained) * low / high + ROUNDING)
            complete = [trial for trial in trained if trial.state.name == "COMPLETE"]
            if not due or all(self._is_taken(trial, high, snapshot) for trial in complete):
                continue
            scores = self._proposer.scores(snapshot, complete)
            ranked = sorted(zip(scores, complete, strict=True), key=lambda one: (-one[0], one[1].number))
            for _, trial in ranked[:due]:
                if not self._is_taken(trial, high, snapshot):
                    candidate = self._candidate(trial, high)
                    assert candidate is not None, "its key is known"
                    attrs = {"promoted_from": trial.number, **self._attrs(high)}
                    return Proposal(candidate=candidate, attrs=attrs)
        return None

    def _rung_of(self, trial: FrozenTrial) -> int:
        return int(trial.user_attrs.get("rung", self._sweep.rungs[-1]))

    def _attrs(self, rung: int) -> Mapping[str, Any]:
        """Return the attributes of a trial at the rung; empty for a full training."""
        return {} if self._sweep.is_whole(rung) else {"rung": rung}

    def _is_taken(self, trial: FrozenTrial, rung: int, snapshot: StudySnapshot) -> bool:
        """Return whether the trial's design has a trial at the rung, or is infeasible there."""
        place = trial.number, rung
        if place not in self._keys:
            candidate = self._candidate(trial, rung)
            self._keys[place] = "" if candidate is None else candidate.key
        return not self._keys[place] or self._keys[place] in snapshot.known

    def _candidate(self, trial: FrozenTrial, rung: int) -> Candidate | None:
        point = self._sweep.space.point_of(trial.user_attrs["assignments"])
        found = None if point is None else evaluate(self._task, self._sweep, point, rung)
        return found if isinstance(found, Candidate) else None

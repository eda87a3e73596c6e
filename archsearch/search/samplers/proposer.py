"""The protocol of all samplers: they propose feasible designs that are not trained yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from archsearch.analysis.limits import Margin
from archsearch.errors import SpecError
from archsearch.search.infeasible import UNBUILDABLE, InfeasibleCounts, broken_limits
from archsearch.search.queue import StudySnapshot
from archsearch.search.space import Params, Space
from archsearch.search.storage.rows import constraints_of
from archsearch.search.sweep import Sweep
from archsearch.search.task import Candidate, Task

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class Infeasible:
    """A proposal that breaks limits or cannot be built; in the latter case it has no `margins`."""

    params: Params
    excess: Mapping[str, float]
    reason: str = ""
    margins: Sequence[Margin] = ()
    system: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A feasible design that is not trained yet.

    `attrs` are attributes of the trial, `system` the sampler's system attributes; `handle` belongs to the proposer.
    """

    candidate: Candidate
    attrs: Mapping[str, Any] = field(default_factory=dict)
    system: Mapping[str, Any] = field(default_factory=dict)
    handle: int = -1


class Proposer(Protocol):
    """Proposes designs for one worker.

    `infeasible` are the infeasible proposals to be recorded, `counts` counts all proposals; `exhausted` becomes True
    when no other design is expected.
    """

    infeasible: list[Infeasible]
    counts: InfeasibleCounts
    exhausted: bool

    def propose(self, snapshot: StudySnapshot) -> Proposal | None:
        """Return a design to train; None if none was found within some seconds, or there are no more (`exhausted`)."""
        ...

    def scores(self, snapshot: StudySnapshot, trials: Sequence[FrozenTrial]) -> Sequence[float]:
        """Return the score that is expected of a full training of each complete trial's design; higher is better."""
        ...

    def on_claimed(self, proposal: Proposal, number: int | None) -> None:
        """Handle that the proposal has become trial `number`; None if it was not claimed."""
        ...

    def on_written(self, numbers: list[int]) -> None:
        """Handle that all of `infeasible` have been written, with these trial numbers."""
        ...


def evaluate(task: Task, sweep: Sweep, params: Params, rung: int | None = None) -> Candidate | Infeasible:
    """Return the candidate at a point of the space, or an `Infeasible` with the limits that it breaks.

    The candidate is for a training at `rung`, by default the lowest one.
    """
    try:
        candidate = task.check(sweep.assignments(params, rung))
    except SpecError as error:
        return Infeasible(params=params, excess={UNBUILDABLE: 1.0}, reason=str(error))
    if candidate.kept:
        return candidate
    broken = ", ".join(broken_limits(candidate.margins))
    return Infeasible(params=params, excess=constraints_of(candidate.margins), reason=broken, margins=candidate.margins)


def observed_scores(trials: Sequence[FrozenTrial], direction: str) -> list[float]:
    """Return the scores of complete trials from their only objective; higher is better."""
    sign = 1.0 if direction == "maximize" else -1.0
    return [sign * trial.values[0] for trial in trials]


def known_point(trial: FrozenTrial, space: Space) -> Params | None:
    """Return the point of a trial in the space; None if the trial is infeasible or outside of the space."""
    if not trial.user_attrs.get("key"):
        return None
    return space.point_of(trial.user_attrs.get("assignments", trial.params))

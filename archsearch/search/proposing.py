"""Where designs come from: one interface over Optuna's samplers and our own, feasible and unseen designs only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from archsearch.analysis.limits import Margin
from archsearch.errors import SpecError
from archsearch.search.board import Board
from archsearch.search.candidates import Params, Space
from archsearch.search.distributions import inside
from archsearch.search.job import Task, Verdict
from archsearch.search.mirror import Mirror
from archsearch.search.record import constraints_of
from archsearch.search.refusals import UNBUILDABLE, Refusals, broken_limits
from archsearch.search.samplers import make_sampler
from archsearch.search.studies import Study
from archsearch.search.sweep import Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

REPEATS = 8  # known designs in a row after which values are drawn at random
GIVE_UP = 3000  # the same after which the space counts as exhausted
REFUSED_IN_A_ROW = 200_000  # after which nothing feasible is expected
SECONDS = 5.0  # after which a proposer says how far it has come, and goes on when it is asked again
# Samplers that learn nothing from what is refused: they would propose it again for ever.
STUBBORN = frozenset({"gp"})
REFUSED_TO_THEM = 8  # proposals in a row after which values are drawn at random


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A proposal that breaks limits, as it will be written; it has no `margins` where it cannot be built."""

    params: Params
    excess: Mapping[str, float]
    reason: str = ""
    margins: Sequence[Margin] = ()
    system: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A feasible design that nobody has trained, with the sampler's notes and its own handle on it."""

    verdict: Verdict
    system: Mapping[str, Any] = field(default_factory=dict)
    handle: int = -1


class Proposer(Protocol):
    """Proposes designs for one worker; `refused` collects what is to be written, `refusals` counts.

    `exhausted` once no other design is expected.
    """

    refused: list[Refused]
    refusals: Refusals
    exhausted: bool

    def propose(self, board: Board) -> Proposal | None:
        """Return a design to train, or None where none was found: for some seconds, or at all (`exhausted`)."""
        ...

    def claimed(self, proposal: Proposal, number: int | None) -> None:
        """Hear that the proposal has become trial `number`, or that somebody else was faster."""
        ...

    def written(self, numbers: list[int]) -> None:
        """Hear that all that was in `refused` is now in the database under these numbers."""
        ...


def judged(task: Task, sweep: Sweep, params: Params) -> Verdict | Refused:
    """Return the verdict on a point of the space, or why it cannot be built or breaks a limit."""
    try:
        verdict = task.check(sweep.assignments(params))
    except SpecError as error:
        return Refused(params=params, excess={UNBUILDABLE: 1.0}, reason=str(error))
    if verdict.kept:
        return verdict
    broken = ", ".join(broken_limits(verdict.margins))
    return Refused(params=params, excess=constraints_of(verdict.margins), reason=broken, margins=verdict.margins)


class OptunaProposer:
    """Any of Optuna's samplers over a mirror of the study; every refused proposal is told to it and recorded."""

    def __init__(self, study: Study, sweep: Sweep, task: Task, seed: int | None) -> None:
        self._sweep, self._task = sweep, task
        self._mirror = Mirror(sweep.space, study.directions, make_sampler(sweep.settings.sampler, seed))
        self._rng = np.random.default_rng(seed)
        self._stubborn = sweep.settings.sampler.name in STUBBORN
        self._known_in_a_row = self._refused_in_a_row = 0
        self.refused: list[Refused] = []
        self.refusals = Refusals()
        self.exhausted = False

    def propose(self, board: Board) -> Proposal | None:
        self._mirror.pull(board.trials)
        until = time.monotonic() + SECONDS
        while True:
            handle, params, system = self._ask()
            found = judged(self._task, self._sweep, params)
            if isinstance(found, Refused):
                self._note(found, handle, system)
                self._refused_in_a_row += 1
            else:
                self.refusals.count(())
                known = board.known.get(found.key)
                if known is None:
                    self._known_in_a_row = self._refused_in_a_row = 0
                    return Proposal(verdict=found, system=system, handle=handle)
                self._known_in_a_row += 1
                if handle >= 0:
                    self._mirror.answer(handle, known)
            if self._known_in_a_row > GIVE_UP or self._refused_in_a_row > REFUSED_IN_A_ROW:
                self.exhausted = True
                return None
            if time.monotonic() > until:
                return None

    def _ask(self) -> tuple[int, Params, Mapping[str, Any]]:
        """Return the sampler's proposal, or a random point (handle -1) where it is stuck."""
        stuck = self._known_in_a_row > REPEATS or (self._stubborn and self._refused_in_a_row >= REFUSED_TO_THEM)
        if stuck:
            return -1, self._sweep.space.draw(self._rng), {}
        return self._mirror.ask()

    def _note(self, found: Refused, handle: int, system: Mapping[str, Any]) -> None:
        self.refusals.count(name for name, value in found.excess.items() if value > 0)
        if handle >= 0:  # of random points the count is enough
            self._mirror.refuse(handle, found.excess)
            self.refused.append(replace(found, system=dict(system)))

    def claimed(self, proposal: Proposal, number: int | None) -> None:
        if proposal.handle < 0:
            return
        if number is None:
            self._mirror.drop(proposal.handle)
        else:
            self._mirror.is_now(proposal.handle, number)

    def written(self, numbers: list[int]) -> None:
        self._mirror.counts_as(numbers)
        self.refused.clear()


def known_point(trial: FrozenTrial, space: Space) -> Params | None:
    """Return the point of the space that a trial was trained, failed or runs at; None where it is none."""
    if not trial.user_attrs.get("key"):
        return None
    return inside(space, trial.user_attrs.get("assignments", trial.params))

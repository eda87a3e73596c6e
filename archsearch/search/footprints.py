"""The proposer of the sampler `footprint`: our Bayesian search with the task's checks as its `admit`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from archsearch.process import give_freed_memory_back
from archsearch.search.board import ANSWERED, Board
from archsearch.search.candidates import Design, Features, Key, Params
from archsearch.search.footprint_sampler import FootprintProposer, Observation
from archsearch.search.job import Task, Verdict
from archsearch.search.proposing import Proposal, Refused, judged, known_point
from archsearch.search.refusals import Refusals
from archsearch.search.studies import Study
from archsearch.search.sweep import Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

MOST, LEAST = 512, 24  # designs that are checked for one proposal
SECONDS = 0.06  # that the checks of one proposal may take
TIMED = 16  # checks that the time of one is taken from, after as many that fill the caches
EXAMPLES = 2  # of them, refused ones that are recorded; the others are counted
IN_VAIN = 20  # proposals in a row without a find, after which none is expected
REMEMBERED = 512  # verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    key: str
    features: Features


class FootprintSearch:
    """Proposes through `FootprintProposer`; what it screens is counted, the nearest misses are recorded."""

    def __init__(self, study: Study, sweep: Sweep, task: Task, seed: int | None) -> None:
        self._sweep, self._task = sweep, task
        self._rng = np.random.default_rng(seed)
        self._verdicts: dict[Key, _Known | None] = {}  # the latest ones, in order
        self._taken: Mapping[str, object] = {}
        self._screened: list[Refused] = []
        self._proposer = FootprintProposer(
            sweep.space,
            self._admit,
            directions=study.directions,
            startup=sweep.settings.sampler.startup,
            screened=self._affordable(),
        )
        self._designs: dict[int, Design | None] = {}  # by the trial's number
        self._in_vain = 0
        self.refused: list[Refused] = []
        self.refusals = Refusals()
        self.exhausted = False

    def propose(self, board: Board) -> Proposal | None:
        self._taken = board.known
        observations: list[Observation] = []
        pending: list[Design] = []
        for trial in board.trials:
            design = self._design(trial)
            if design is None or trial.user_attrs.get("state_reason") == ANSWERED:
                continue
            if not trial.state.is_finished():
                pending.append(design)
            else:
                observations.append(Observation(design=design, values=_values(trial)))
        found = self._proposer.propose(observations, pending, self._rng)
        give_freed_memory_back()  # or the process grows with the arrays of the largest proposal
        self._screened.sort(key=lambda each: max(each.excess.values()))
        self.refused += self._screened[:EXAMPLES]
        self._screened.clear()
        if found is None:
            self._in_vain += 1
            self.exhausted = self._proposer.looked_through or self._in_vain >= IN_VAIN
            return None
        self._in_vain = 0
        verdict = judged(self._task, self._sweep, found.params)
        assert isinstance(verdict, Verdict), "it was admitted"
        return Proposal(verdict=verdict)

    def claimed(self, proposal: Proposal, number: int | None) -> None:
        """Nothing to note: what is taken is read off the board."""

    def written(self, numbers: list[int]) -> None:
        self.refused.clear()

    def _affordable(self) -> int:
        """Return how many checks fit into the time that a proposal may take."""
        points = [self._sweep.space.draw(self._rng) for _ in range(2 * TIMED)]
        start = 0.0
        for number, point in enumerate(points):
            if number == TIMED:
                start = time.process_time()
            judged(self._task, self._sweep, point)
        each = max((time.process_time() - start) / TIMED, 1e-6)
        return int(min(max(SECONDS / each, LEAST), MOST))

    def _admit(self, params: Params) -> Features | None:
        found = self._known(params)
        return found.features if found is not None and found.key not in self._taken else None

    def _known(self, params: Params) -> _Known | None:
        """Return what is remembered of a feasible point, None of a refused one; the rest of the verdict is large."""
        point = self._sweep.space.key(params)
        if point not in self._verdicts:
            if len(self._verdicts) >= REMEMBERED:
                del self._verdicts[next(iter(self._verdicts))]
            found = judged(self._task, self._sweep, params)
            if isinstance(found, Refused):
                self.refusals.count(name for name, value in found.excess.items() if value > 0)
                self._screened.append(found)
                self._verdicts[point] = None
            else:
                self.refusals.count(())
                self._verdicts[point] = _Known(key=found.key, features=found.features)
        return self._verdicts[point]

    def _design(self, trial: FrozenTrial) -> Design | None:
        """Return a trial's design with its features, worked out once; None where it is no point of the space."""
        if trial.number not in self._designs:
            self._designs[trial.number] = self._read(trial)
        return self._designs[trial.number]

    def _read(self, trial: FrozenTrial) -> Design | None:
        point = known_point(trial, self._sweep.space)
        if point is None:
            return None
        found = judged(self._task, self._sweep, point)
        params = trial.params if trial.params == point else point  # the same values: hundreds of trials are held
        return Design(params=params, features=found.features if isinstance(found, Verdict) else {})


def _values(trial: object) -> tuple[float, ...] | None:
    """Return what a trial is worth: its values, or where it was given up the last accuracy that it had."""
    values, steps = getattr(trial, "values", None), getattr(trial, "intermediate_values", {})
    if values is not None:
        return tuple(values)
    if getattr(trial, "user_attrs", {}).get("state_reason") == "pruned" and steps:
        return (steps[max(steps)],)
    return None

"""A study in memory that Optuna's samplers propose from: what the database holds, and this worker's own refusals.

So a proposal costs no transaction, and a refused one can be written later, many at a time.
Imports optuna inside functions only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archsearch.search.board import ANSWERED, WITHDRAWN
from archsearch.search.candidates import Space, Value
from archsearch.search.dashboard import OLDER
from archsearch.search.distributions import distributions_of, inside
from archsearch.search.reading import excess_of
from archsearch.search.studies import Direction

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


class Mirror:
    """Trials of one space, each once, by the database's number or by this worker's own handle."""

    def __init__(self, space: Space, directions: Sequence[Direction], sampler: BaseSampler) -> None:
        import optuna

        self._space = space
        self._distributions = distributions_of(space)
        self._study = optuna.create_study(directions=list(directions), sampler=sampler)
        self._ids: dict[int, int] = {}  # database's number -> id here
        self._open: dict[int, int] = {}  # the same, of those that were unfinished when last seen
        self._seen = 0

    def pull(self, trials: Sequence[FrozenTrial]) -> None:
        """Take over what is new in `trials`, all those of the database in order."""
        for number in list(self._open):
            if trials[number].state.is_finished():
                self._finish(self._open.pop(number), trials[number])
        for trial in trials[self._seen :]:
            if trial.number not in self._ids:
                self._add(trial)
        self._seen = len(trials)

    def ask(self) -> tuple[int, dict[str, Value], dict[str, Any]]:
        """Return a proposal: its handle here, its point, and what the sampler notes with it."""
        trial = self._study.ask(self._distributions)
        system = self._study._storage.get_trial_system_attrs(trial._trial_id)
        return trial._trial_id, dict(trial.params), dict(system)

    def refuse(self, handle: int, excess: Mapping[str, float]) -> None:
        """Say that the proposal breaks limits, by how much each."""
        storage = self._study._storage
        for name, value in excess.items():
            storage.set_trial_system_attr(handle, f"constraints:{name}", float(value))
        self._end(handle, "PRUNED", None)

    def answer(self, handle: int, known: FrozenTrial) -> None:
        """Say that the proposal is the same training as one of the database."""
        if known.state.is_finished():
            self._finish(handle, known)
        else:
            self._end(handle, "FAIL", None)

    def drop(self, handle: int) -> None:
        """Say nothing of the proposal: samplers pass failed trials over."""
        self._end(handle, "FAIL", None)

    def is_now(self, handle: int, number: int) -> None:
        """Say that the proposal has become trial `number` of the database."""
        self._ids[number] = self._open[number] = handle

    def counts_as(self, numbers: Iterable[int]) -> None:
        """Say that these trials of the database are here already, as this worker's refusals."""
        self._ids.update(dict.fromkeys(numbers, -1))

    def _add(self, trial: FrozenTrial) -> None:
        from optuna.trial import FrozenTrial, TrialState

        if trial.user_attrs.get("state_reason") in (ANSWERED, WITHDRAWN) or trial.state.name in ("FAIL", "WAITING"):
            return
        point = inside(self._space, trial.user_attrs.get("assignments", trial.params))
        if point is None:
            return
        template = FrozenTrial(
            number=-1,
            trial_id=-1,
            state=trial.state if trial.state != TrialState.WAITING else TrialState.RUNNING,
            value=None,
            values=trial.values,
            datetime_start=trial.datetime_start,
            datetime_complete=trial.datetime_complete,
            params=point,
            distributions=self._distributions,
            user_attrs={},
            # Else samplers would take the older form of the constraints for one more of them.
            system_attrs={name: value for name, value in trial.system_attrs.items() if name != OLDER},
            intermediate_values=trial.intermediate_values,
        )
        handle = self._study._storage.create_new_trial(self._study._study_id, template)
        self._ids[trial.number] = handle
        if not trial.state.is_finished():
            self._open[trial.number] = handle

    def _finish(self, handle: int, trial: FrozenTrial) -> None:
        if handle < 0:
            return
        storage = self._study._storage
        for name, value in excess_of(trial.system_attrs).items():
            storage.set_trial_system_attr(handle, f"constraints:{name}", value)
        for step, value in trial.intermediate_values.items():
            storage.set_trial_intermediate_value(handle, step, value)
        self._end(handle, trial.state.name, trial.values)

    def _end(self, handle: int, state: str, values: Sequence[float] | None) -> None:
        from optuna.trial import TrialState

        storage, study = self._study._storage, self._study
        frozen = storage.get_trial(handle)
        study.sampler.after_trial(study, frozen, TrialState[state], values)
        storage.set_trial_state_values(handle, TrialState[state], values)

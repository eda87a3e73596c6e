"""Claims: which worker trains which design, settled inside the study's section so that no two ever train the same.

A claim is a running trial with its `key` and its `worker`; one whose worker is dead can be taken up by another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.masking import mask
from archsearch.search.board import ANSWERED, Board, read_board
from archsearch.search.dashboard import margin_attrs
from archsearch.search.job import Verdict
from archsearch.search.liveness import Watch
from archsearch.search.record import constraints_of, margins_json
from archsearch.search.rows import Row, State, finish_row, read_attrs
from archsearch.search.studies import Study
from archsearch.search.sweep import Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A trial that this worker alone may train; `resumed` where another has begun it."""

    trial_id: int
    number: int
    verdict: Verdict | None  # None where it is taken up: its assignments are to be checked again
    assignments: Mapping[str, Any]
    run_dir: Path
    worker: str
    resumed: bool


class Desk:
    """Where a worker claims trials of one sweep; holds what it has seen of the others' signs of life."""

    def __init__(self, study: Study, sweep: Sweep, worker: str) -> None:
        self.study, self.sweep, self.worker = study, sweep, worker
        self._watch = Watch(sweep.settings.grace)

    def board(self) -> Board:
        """Return how the study stands now."""
        retry = self.sweep.settings.retry_failed
        return read_board(self.study.trials(), self.sweep.name, is_dead=self.is_dead, retry_failed=retry)

    def is_dead(self, trial: FrozenTrial) -> bool:
        """Return whether nobody works on a running trial any more."""
        attrs = trial.user_attrs
        return self._watch.is_dead(trial._trial_id, str(attrs.get("worker", "")), attrs.get("beat"))

    def take_up(self) -> Claim | None:
        """Claim a trial that waits, or whose worker is dead; None where there is none.

        One whose training another trial has done meanwhile is answered from that.
        """
        with self.study.store.section():
            board = self.board()
            for trial in (*board.running, *board.waiting):
                if trial.state.name == "RUNNING" and not self.is_dead(trial):
                    continue
                known = board.known.get(trial.user_attrs.get("key", ""))
                if known is None or known.number == trial.number or known.state.name == "WAITING":
                    return self._take(trial)
                if known.state.is_finished():
                    self._answer(trial, known)
        return None

    def _answer(self, trial: FrozenTrial, known: FrozenTrial) -> None:
        copied = {
            name: known.user_attrs[name] for name in ("run_dir", "seconds", "accuracy") if name in known.user_attrs
        }
        attrs = {**copied, "answered_by": known.number, "state_reason": ANSWERED}
        state: State = (
            "complete" if known.state.name == "COMPLETE" else "pruned" if known.state.name == "PRUNED" else "fail"
        )
        finish_row(self.study.store, trial._trial_id, state, attrs, known.values)

    def _take(self, trial: FrozenTrial) -> Claim:
        from optuna.trial import TrialState

        storage, trial_id = self.study.store.storage, trial._trial_id
        storage.set_trial_user_attr(trial_id, "worker", self.worker)
        begun = trial.datetime_start is not None
        if trial.state.name == "WAITING":
            storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        return Claim(
            trial_id=trial_id,
            number=trial.number,
            verdict=None,
            assignments=trial.user_attrs["assignments"],
            run_dir=Path(trial.user_attrs["run_dir"]),
            worker=self.worker,
            resumed=begun,
        )

    def claim(
        self, verdict: Verdict, attrs: Mapping[str, Any], system: Mapping[str, Any] | None = None
    ) -> Claim | None:
        """Claim a new trial for the design, or return None where another has it or enough are spoken for."""
        with self.study.store.section():
            board = self.board()
            if verdict.key in board.known or board.taken >= self.sweep.settings.trials:
                return None
            row = self.row(verdict, "running", {**attrs, "worker": self.worker}, system)
            trial_id, number = self.study.write_inside([row], self.sweep.declarations)[0]
        return Claim(
            trial_id=trial_id,
            number=number,
            verdict=verdict,
            assignments=verdict.assignments,
            run_dir=Path(self.sweep.run_dir().replace("{number}", f"{number:04d}")),
            worker=self.worker,
            resumed=False,
        )

    def row(
        self, verdict: Verdict, state: Any, attrs: Mapping[str, Any], system: Mapping[str, Any] | None = None
    ) -> Row:
        """Return the trial of a design as it is written before its training."""
        return Row(
            state=state,
            params={name: verdict.assignments[name] for name in self.sweep.space.parameters},
            constraints=constraints_of(verdict.margins),
            system=system or {},
            attrs={
                **margin_attrs(verdict.margins),
                "assignments": dict(verdict.assignments),
                "sweep": self.sweep.name,
                "base": [mask(one) for one in self.sweep.base],
                "key": verdict.key,
                "design_id": verdict.design_id,
                "parameters": verdict.parameters,
                "macs": verdict.macs,
                "receptive_field": verdict.receptive_field,
                "margins": margins_json(verdict.margins),
                "run_dir": self.sweep.run_dir(),
                **({"repairs": dict(verdict.repairs)} if verdict.repairs else {}),
                **({"unused": list(verdict.unused)} if verdict.unused else {}),
                **attrs,
            },
        )

    def holds(self, claim: Claim) -> bool:
        """Return whether the trial is still this worker's: it is not if this one was taken for dead."""
        attrs = read_attrs(self.study.store, claim.trial_id, ("worker", "state_reason"))
        return attrs.get("worker") == claim.worker and "state_reason" not in attrs

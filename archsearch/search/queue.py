"""The queue of trials that workers share: a snapshot of a study, and claims that no two workers hold at once.

The queue reads a trial's attributes: `sweep` (the command that it belongs to), `key` (its training), `state_reason`,
`worker` and `heartbeat`. A claim is a running trial with a `key` and a `worker`. If the worker is dead, another worker
can claim the trial.
"""

from __future__ import annotations

import bisect
import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.formatting import pluralize
from archsearch.masking import mask
from archsearch.search.heartbeat import Lease, LeaseMonitor, heartbeat
from archsearch.search.storage.database import StudyLost
from archsearch.search.storage.optuna_internals import id_of
from archsearch.search.storage.rows import Row, State, constraints_of, design_attrs
from archsearch.search.storage.study import Study
from archsearch.search.storage.write import finish_row, read_attrs, release_row
from archsearch.search.sweep import Sweep
from archsearch.search.task import Candidate

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

INFEASIBLE, DUPLICATE = "infeasible", "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySnapshot:
    """All trials of a study at one moment, and those of one sweep by state.

    `known` maps each key to one trial: by preference a complete one, then a pruned, running, failed or waiting one.
    Failed trials are left out if failed trainings are retried.
    """

    trials: tuple[FrozenTrial, ...]
    known: Mapping[str, FrozenTrial]
    trained: tuple[FrozenTrial, ...]  # complete, pruned or diverged; these count as trained designs
    failed: tuple[FrozenTrial, ...]
    running: tuple[FrozenTrial, ...]
    waiting: tuple[FrozenTrial, ...]
    infeasible: int

    @property
    def taken(self) -> int:
        """The number of trials that are trained, running or waiting."""
        return len(self.trained) + len(self.running) + len(self.waiting)

    def failures_in_a_row(self, since: int) -> list[FrozenTrial]:
        """Return the failed trials from number `since` on that follow the last trained one."""
        last = max((trial.number for trial in self.trained), default=-1)
        return [trial for trial in self.failed if trial.number > max(last, since - 1)]


def take_snapshot(
    trials: Sequence[FrozenTrial],
    sweep: str,
    *,
    is_dead: Callable[[FrozenTrial], bool] = lambda trial: False,
    retry_failed: bool = False,
) -> StudySnapshot:
    """Return the snapshot of `trials`, all trials of a study in order, for `sweep`.

    Unfinished trials of another sweep are known only if they are running and their worker is alive (`is_dead`).
    """
    return Snapshots(sweep, is_dead=is_dead, retry_failed=retry_failed).take(trials)


class Snapshots:
    """Takes snapshots of a growing study for one sweep; each finished trial is processed once."""

    def __init__(self, sweep: str, *, is_dead: Callable[[FrozenTrial], bool], retry_failed: bool) -> None:
        self._sweep, self._is_dead, self._retry_failed = sweep, is_dead, retry_failed
        self._finished = _Parts()
        self._unfinished: list[int] = []  # indices in the study at the last snapshot
        self._read = 0

    def take(self, trials: Sequence[FrozenTrial]) -> StudySnapshot:
        """Return the snapshot of `trials`: the trials of the last call, followed by newer ones."""
        places = [*self._unfinished, *range(self._read, len(trials))]
        self._unfinished, self._read = [], len(trials)
        for place in places:
            if trials[place].state.is_finished():
                self._add(self._finished, trials[place])
            else:
                self._unfinished.append(place)
        found = self._finished.copy()
        for place in self._unfinished:
            self._add(found, trials[place])
        return StudySnapshot(
            trials=tuple(trials),
            known=found.known,
            infeasible=found.infeasible,
            **{name: tuple(part) for name, part in found.parts.items()},
        )

    def _add(self, found: _Parts, trial: FrozenTrial) -> None:
        attrs, state = trial.user_attrs, trial.state.name
        reason, key = attrs.get("state_reason"), attrs.get("key")
        own = attrs.get("sweep") == self._sweep
        if reason == INFEASIBLE:
            found.infeasible += own
            return
        if reason == DUPLICATE:
            return
        idle = not own and (state == "WAITING" or (state == "RUNNING" and self._is_dead(trial)))
        retried = state == "FAIL" and self._retry_failed
        if isinstance(key, str) and key and not idle and not retried:
            found.known[key] = max(trial, found.known.get(key, trial), key=_precedence)
        if own:
            bisect.insort(found.parts[_PARTS[state]], trial, key=_number_of)


@dataclass(slots=True)
class _Parts:
    """The trials of a study, grouped as in a snapshot."""

    known: dict[str, FrozenTrial] = field(default_factory=dict)
    parts: dict[str, list[FrozenTrial]] = field(default_factory=lambda: {name: [] for name in set(_PARTS.values())})
    infeasible: int = 0

    def copy(self) -> _Parts:
        return _Parts(dict(self.known), {name: list(part) for name, part in self.parts.items()}, self.infeasible)


_PARTS = {"COMPLETE": "trained", "PRUNED": "trained", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
_RANKS = {"WAITING": 1, "FAIL": 2, "RUNNING": 3, "PRUNED": 4, "COMPLETE": 5}


def _precedence(trial: FrozenTrial) -> tuple[int, int]:
    return _RANKS[trial.state.name], -trial.number


def _number_of(trial: FrozenTrial) -> int:
    return trial.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A trial that only this worker may train; `resumed` if its training was started before.

    `rung` is the number of its epochs if it is less than that of a full training.
    `note` is for the user: why a resumed trial starts from the beginning.
    """

    trial_id: int
    number: int
    candidate: Candidate | None  # None for a trial from the queue, whose assignments need another check
    assignments: Mapping[str, Any]
    run_dir: Path
    worker: str
    resumed: bool
    rung: int | None = None
    note: str = ""


class TrialQueue:
    """The trials of one sweep as one worker sees them; claims, releases and ends take the study's lock."""

    def __init__(self, study: Study, sweep: Sweep, worker: str) -> None:
        self.study, self.sweep, self.worker = study, sweep, worker
        self._monitor = LeaseMonitor(sweep.settings.grace)
        self._snapshots = Snapshots(sweep.name, is_dead=self.is_dead, retry_failed=sweep.settings.retry_failed)

    def snapshot(self) -> StudySnapshot:
        """Return a snapshot of the study as it is now."""
        return self._snapshots.take(self.study.trials())

    def is_dead(self, trial: FrozenTrial) -> bool:
        """Return whether the worker of a running trial is dead."""
        attrs = trial.user_attrs
        return self._monitor.is_dead(id_of(trial), str(attrs.get("worker", "")), attrs.get("heartbeat"))

    def claim_waiting(self) -> Claim | None:
        """Claim a trial that waits or whose worker is dead; None if there is none.

        If another trial has finished the same training in the meantime, the trial becomes a duplicate of it.
        """
        with self.study.store.lock():
            snapshot = self.snapshot()
            for trial in (*snapshot.running, *snapshot.waiting):
                if trial.state.name == "RUNNING" and not self.is_dead(trial):
                    continue
                known = snapshot.known.get(trial.user_attrs.get("key", ""))
                if known is None or known.number == trial.number or known.state.name == "WAITING":
                    return self._claim(trial)
                if known.state.is_finished():
                    self._finish_as_duplicate(trial, known)
        return None

    def claim_new(
        self, candidate: Candidate, attrs: Mapping[str, Any], system: Mapping[str, Any] | None = None
    ) -> Claim | None:
        """Claim a new trial for the design; None if another trial has its key, or enough trials are taken."""
        with self.study.store.lock():
            snapshot = self.snapshot()
            if candidate.key in snapshot.known or snapshot.taken >= self.sweep.settings.most_trials:
                return None
            row = self.row(candidate, "running", {**attrs, "worker": self.worker}, system)
            trial_id, number = self.study.write_locked([row], self.sweep.declarations)[0]
        return Claim(
            trial_id=trial_id,
            number=number,
            candidate=candidate,
            assignments=candidate.assignments,
            run_dir=Path(self.sweep.run_dir().replace("{number}", f"{number:04d}")),
            worker=self.worker,
            resumed=False,
            rung=attrs.get("rung"),
        )

    def row(
        self, candidate: Candidate, state: State, attrs: Mapping[str, Any], system: Mapping[str, Any] | None = None
    ) -> Row:
        """Return the row of a design before its training."""
        return Row(
            state=state,
            params={name: candidate.assignments[name] for name in self.sweep.space.parameters},
            constraints=constraints_of(candidate.margins),
            system=system or {},
            attrs={
                **design_attrs(candidate, self.sweep.run_dir()),
                "assignments": dict(candidate.assignments),
                "sweep": self.sweep.name,
                "base": [mask(one) for one in self.sweep.base],
                **self.sweep.sources.record(),
                **({"repairs": dict(candidate.repairs)} if candidate.repairs else {}),
                **({"unused": list(candidate.unused)} if candidate.unused else {}),
                **attrs,
            },
        )

    def holds(self, claim: Claim) -> bool:
        """Return whether this worker still has the trial; False if it ended, or the worker was considered dead.

        Raises `StudyLost` if the trial is missing.
        """
        attrs = read_attrs(self.study.store, claim.trial_id, ("worker", "state_reason"))
        if "worker" not in attrs:
            raise StudyLost(f"trial {claim.number} has vanished from {self.study.store.address}: was it replaced?")
        return attrs["worker"] == claim.worker and "state_reason" not in attrs

    @contextlib.contextmanager
    def lease(self, claim: Claim) -> Iterator[Lease]:
        """Write heartbeats for the claimed trial until the block ends."""
        storage = self.study.store.storage

        def renew() -> bool:
            try:
                held = self.holds(claim)
                if held:
                    storage.set_trial_user_attr(claim.trial_id, "heartbeat", round(time.time(), 1))
            except Exception:
                self._monitor.forget()
                raise
            return held

        try:
            with heartbeat(renew, self.sweep.settings.heartbeat) as lease:
                yield lease
        finally:
            storage.remove_session()

    def finish(
        self,
        claim: Claim,
        state: State,
        attrs: Mapping[str, Any],
        values: Sequence[float] | None = None,
        pictures: Mapping[str, str] | None = None,
    ) -> bool:
        """End the claimed trial in one transaction and return True, or return False if another worker has it.

        A repeated call returns the same, so the caller can repeat it if the answer of the database was lost.
        """
        with self.study.store.lock():
            if not self.holds(claim):
                return self._has_ended(claim, attrs)
            for key, value in (pictures or {}).items():
                self.study.store.storage.set_trial_system_attr(claim.trial_id, key, value)
            finish_row(self.study.store, claim.trial_id, state, attrs, values)
        return True

    def _has_ended(self, claim: Claim, attrs: Mapping[str, Any]) -> bool:
        found = read_attrs(self.study.store, claim.trial_id, ("worker", "state_reason"))
        return found == {"worker": claim.worker, "state_reason": attrs.get("state_reason")}

    def release_own(self) -> None:
        """Put all trials that this worker has claimed back into the queue, for another worker or a later run."""
        self._monitor.forget()
        with self.study.store.lock():
            for trial in self.snapshot().running:
                if trial.user_attrs.get("worker") == self.worker:
                    release_row(self.study.store, id_of(trial), self.worker)

    def release(self, claim: Claim) -> None:
        """Put the claimed trial back into the queue, unless another worker has it."""
        with self.study.store.lock():
            if self.holds(claim):
                release_row(self.study.store, claim.trial_id, claim.worker)

    def release_if_others_train(self, claim: Claim) -> bool:
        """Put the trial back if other workers train; if several workers leave at once, the last one keeps its trial."""
        with self.study.store.lock():
            if self.others_train(claim.number) and self.holds(claim):
                release_row(self.study.store, claim.trial_id, claim.worker)
                return True
        return False

    def others_train(self, number: int) -> bool:
        """Return whether a living worker is training a trial other than `number`."""
        return any(one.number != number and not self.is_dead(one) for one in self.snapshot().running)

    def _claim(self, trial: FrozenTrial) -> Claim:
        from optuna.trial import TrialState

        storage, trial_id = self.study.store.storage, id_of(trial)
        storage.set_trial_user_attr(trial_id, "worker", self.worker)
        begun = trial.datetime_start is not None
        if trial.state.name == "WAITING":
            storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        return Claim(
            trial_id=trial_id,
            number=trial.number,
            candidate=None,
            assignments={**trial.user_attrs["assignments"], **trial.user_attrs.get("repairs", {})},
            run_dir=Path(trial.user_attrs["run_dir"]),
            worker=self.worker,
            resumed=begun,
            rung=trial.user_attrs.get("rung"),
            note=_restart_note(trial),
        )

    def _finish_as_duplicate(self, trial: FrozenTrial, known: FrozenTrial) -> None:
        copied = {
            name: known.user_attrs[name]
            for name in ("run_dir", "location", "artifacts", "seconds", "accuracy")
            if name in known.user_attrs
        }
        attrs = {**copied, "duplicate_of": known.number, "state_reason": DUPLICATE}
        states: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned"}
        finish_row(self.study.store, id_of(trial), states.get(known.state.name, "fail"), attrs, known.values)


def _restart_note(trial: FrozenTrial) -> str:
    """Return why a trial with recorded epochs starts from the beginning; empty if its files are on this machine."""
    folder, epochs = Path(trial.user_attrs["run_dir"]), max(trial.intermediate_values, default=0)
    if not epochs or any((folder / name).is_file() for name in ("checkpoint.pt", "result.json")):
        return ""
    host = str(trial.user_attrs.get("worker") or trial.user_attrs.get("released", "")).partition(":")[0]
    where = f" on {host}" if host else ""
    return (
        f"trial {trial.number} starts from the beginning: it had {pluralize(epochs, 'epoch')}{where}, "
        f"and its checkpoint is not in {folder} on {socket.gethostname()}"
    )

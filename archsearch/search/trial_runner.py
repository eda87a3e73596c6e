"""Trains one claimed trial and records its end in the study; failures of a training are recorded, not raised."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from archsearch.errors import DeviceMemoryError, DivergedError, InterruptedRun, SpecError
from archsearch.masking import mask
from archsearch.search.faults import Patience, fault_of
from archsearch.search.heartbeat import Lease
from archsearch.search.queue import Claim, TrialQueue
from archsearch.search.storage.dashboard import attach_files
from archsearch.search.storage.database import StudyLost
from archsearch.search.storage.rows import State, location_of
from archsearch.search.task import Candidate, Job, Outcome, Task
from archsearch.signals import StopRequest

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

OnEpoch = Callable[[int, float], None]
"""Called with the epoch, counted from 1, and its validation accuracy."""
EndState = Literal["complete", "pruned", "diverged", "failed", "lost", "released", "waiting"]
"""How a trial ended for this worker; `lost`: another worker has it, `released`: put back for lack of device memory,
`waiting`: put back because of a fault of the machine, see `archsearch.search.faults`."""
KNOWN_BEFORE = ("parameters", "macs", "receptive_field")  # attributes that are written with the claim
HALVED = {"batch": "halved after running out of memory"}
LONGEST_TRACEBACK = 20_000  # characters


class TrialLost(Exception):
    """Another worker has the trial; its training here ends at once and writes no more, as they may share a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnd:
    """How a trial ended: its number, the recorded values, and the cause of a failure in one line.

    `rung` is the number of its epochs if it is less than that of a full training.
    """

    number: int
    state: EndState
    values: tuple[float, ...] | None = None
    rung: int | None = None
    cause: str = ""


def run_trial(
    queue: TrialQueue,
    task: Task,
    claim: Claim,
    pruner: BasePruner,
    device: str | None = None,
    on_epoch: OnEpoch = lambda epoch, accuracy: None,
    stop: StopRequest | None = None,
    *,
    first_training: bool = False,
    database: Patience | None = None,
) -> TrialEnd:
    """Train the claimed design, record how it ended, and return that.

    If memory runs out, the training is repeated with half the batch. If that also fails and it is the worker's
    `first_training`, the trial is put back for the workers that are training: they may fill the device. After a fault
    of the machine the end is `waiting`, and the caller puts the trial back; while the end of a training cannot be
    recorded, `database` pauses. A `stop` ends the training at once, but interrupts no transaction. Raises `StudyLost`,
    `FaultLasted`, and `InterruptedRun` or `KeyboardInterrupt`, after which the caller releases the claim.
    """
    try:
        return _run(queue, task, claim, pruner, device, on_epoch, stop or StopRequest(), first_training, database)
    except Exception as error:
        if (fault := fault_of(error)) is None:
            raise
        return TrialEnd(number=claim.number, state="waiting", cause=fault)


def _run(
    queue: TrialQueue,
    task: Task,
    claim: Claim,
    pruner: BasePruner,
    device: str | None,
    on_epoch: OnEpoch,
    stop: StopRequest,
    first_training: bool,
    database: Patience | None,
) -> TrialEnd:
    end = _Recorder(queue, claim, Patience(0) if database is None else database)
    with queue.lease(claim) as lease:
        curve = _Curve(queue, claim, pruner, lease, on_epoch, stop)
        try:
            candidate = claim.candidate or task.check(claim.assignments)
            job = _make_job(claim, candidate, curve, device)
            with stop.at_once():
                outcome, extra = _train(task, job)
        except (InterruptedRun, StudyLost):
            raise
        except TrialLost:
            return TrialEnd(number=claim.number, state="lost")
        except DivergedError as error:
            return end.record("diverged", cause=str(error))
        except Exception as error:
            if first_training and isinstance(error, DeviceMemoryError) and queue.release_if_others_train(claim):
                return TrialEnd(number=claim.number, state="released", cause=str(error))
            if fault_of(error) is not None:
                raise
            text = mask("".join(traceback.format_exception(error)))[-LONGEST_TRACEBACK:]
            return end.record("failed", cause=_cause(error), attrs={"traceback": text})
        if lease.lost:
            return TrialEnd(number=claim.number, state="lost")
        return end.record_outcome(outcome, extra, curve)


def _train(task: Task, job: Job) -> tuple[Outcome, dict[str, Any]]:
    smaller = task.smaller(job.candidate)
    try:
        return task.train(job), {}
    except (DeviceMemoryError, MemoryError) as error:
        if smaller is None or fault_of(error) is not None:
            raise
        halved = replace(job, candidate=smaller, resume=False)
    except SpecError as error:
        if smaller is None or not job.resume or error.where != "resume":
            raise
        halved = replace(job, candidate=smaller)  # the checkpoint may come from a worker that halved the batch
    # Outside of the handler: the frames of the first training must not hold its memory during the second.
    return task.train(halved), HALVED


def _make_job(claim: Claim, candidate: Candidate, curve: _Curve, device: str | None) -> Job:
    return Job(
        number=claim.number,
        candidate=candidate,
        run_dir=claim.run_dir,
        on_epoch=curve.report,
        resume=claim.resumed,
        device=device,
    )


class _Curve:
    """Records the accuracy of every epoch, and queries the pruner.

    A database that does not answer does not end the training: the epoch is recorded with a later one, or at the end.
    """

    def __init__(
        self, queue: TrialQueue, claim: Claim, pruner: BasePruner, lease: Lease, on_epoch: OnEpoch, stop: StopRequest
    ) -> None:
        from optuna.pruners import NopPruner

        self._queue, self._claim, self._pruner, self._lease = queue, claim, pruner, lease
        self._on_epoch, self._stop = on_epoch, stop
        self._storage, self._prunes = queue.study.store.storage, not isinstance(pruner, NopPruner)
        self._recorded = self._storage.get_trial(claim.trial_id).intermediate_values if claim.resumed else {}
        self._pending: dict[int, float] = {}

    def report(self, epoch: int, accuracy: float) -> bool:
        """Record the accuracy of an epoch; return whether to prune the training."""
        if not math.isfinite(accuracy):
            return False  # the training raises an error if it diverges
        with self._stop.held():
            if self._recorded.get(epoch) != accuracy:
                self._pending[epoch] = accuracy
            self._on_epoch(epoch, accuracy)
            try:
                self._queue.study.store.require_present()
                if self._lease.lost or not self._queue.holds(self._claim):
                    raise TrialLost
                self.write()
                if not self._prunes:
                    return False
                return bool(self._pruner.prune(self._queue.study.raw, self._storage.get_trial(self._claim.trial_id)))
            except Exception as error:
                if fault_of(error) is None:
                    raise
                return False

    def write(self) -> None:
        """Record the epochs that are not recorded yet."""
        for epoch in list(self._pending):
            self._storage.set_trial_intermediate_value(self._claim.trial_id, epoch, self._pending[epoch])
            del self._pending[epoch]


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Records how a trial ended, and waits for a database that does not answer."""

    queue: TrialQueue
    claim: Claim
    database: Patience

    def record_outcome(self, outcome: Outcome, extra: Mapping[str, Any], curve: _Curve) -> TrialEnd:
        """Record the end of a training that raised no error."""
        objectives = self.queue.study.objectives
        attrs = {**outcome.attrs, **extra}
        attrs |= {name: value for name, value in outcome.measures.items() if name not in (*attrs, *KNOWN_BEFORE)}
        if outcome.pruned:
            return self.record("pruned", attrs=attrs, curve=curve)
        missing = [name for name in objectives if name not in outcome.measures]
        if missing:
            cause = f"the training gave no value for {', '.join(missing)} of study.objectives"
            return self.record("failed", attrs=attrs, cause=cause, curve=curve)
        values = tuple(float(outcome.measures[name]) for name in objectives)
        if any(math.isnan(value) for value in values):
            return self.record("diverged", attrs=attrs, cause="an objective is not a number", curve=curve)
        return self.record("complete", values=values, attrs=attrs, curve=curve)

    def record(
        self,
        end: EndState,
        *,
        values: Sequence[float] | None = None,
        attrs: Mapping[str, Any] | None = None,
        cause: str = "",
        curve: _Curve | None = None,
    ) -> TrialEnd:
        """Record the end with its values and attributes."""
        queue, claim = self.queue, self.claim
        states: dict[str, State] = {"complete": "complete", "failed": "fail"}
        written = {**(attrs or {}), **({"cause": cause} if cause else {}), "state_reason": end}
        written["location"] = location_of(claim.run_dir)
        pictures: Mapping[str, str] = {}
        if end == "complete" and self.database.call(lambda: queue.holds(claim)):
            pictures, stored = attach_files(claim.run_dir, queue.study.store.address, queue.sweep.settings.artifacts)
            written |= stored

        def finish() -> bool:
            queue.study.store.require_present()
            if curve is not None and queue.holds(claim):
                curve.write()
            return queue.finish(claim, states.get(end, "pruned"), written, values, pictures)

        if not self.database.call(finish):
            return TrialEnd(number=claim.number, state="lost")
        found = tuple(values) if values is not None else None
        return TrialEnd(number=claim.number, state=end, values=found, cause=cause, rung=claim.rung)


def _cause(error: BaseException) -> str:
    text = mask(str(error).strip().partition("\n")[0])
    return text if isinstance(error, SpecError) else f"{type(error).__name__}: {text}" if text else type(error).__name__

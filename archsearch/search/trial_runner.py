"""One claimed trial from its training to its end in the study; what goes wrong is recorded, not raised."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from archsearch.errors import DeviceMemoryError, DivergedError, InterruptedRun, SpecError
from archsearch.masking import mask
from archsearch.search.heartbeat import Lease
from archsearch.search.queue import Claim, TrialQueue
from archsearch.search.storage.dashboard import attach_files
from archsearch.search.storage.rows import State, location_of
from archsearch.search.task import Candidate, Job, Outcome, Task
from archsearch.signals import StopRequest

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

OnEpoch = Callable[[int, float], None]
"""Called with the epoch, 1 being the first, and its validation accuracy."""
EndState = Literal["complete", "pruned", "diverged", "failed", "lost", "released"]
"""How a trial ended for this worker; `lost`: another worker has it, `released`: put back for want of memory."""
KNOWN_BEFORE = ("parameters", "macs", "receptive_field")  # attributes that the claim has written
HALVED = {"batch": "halved after running out of memory"}
LONGEST_TRACEBACK = 20_000  # characters


class TrialLost(Exception):
    """Another worker has the trial: its training ends at once and writes nothing more, for they may share a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnd:
    """How a trial ended: its number, the values it was recorded with, and in one line the cause of a failure."""

    number: int
    state: EndState
    values: tuple[float, ...] | None = None
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
) -> TrialEnd:
    """Train the claimed design, record how it ended, and return that.

    Out of memory is tried once more at half the batch. Where that is too much as well, a worker's `first_training`
    is put back for the workers that train: its device may be full of them. A `stop` ends the training itself at once,
    but interrupts no transaction. Raises `InterruptedRun` and `KeyboardInterrupt`; the caller releases the claim.
    """
    stop = StopRequest() if stop is None else stop
    with queue.lease(claim) as lease:
        try:
            candidate = claim.candidate or task.check(claim.assignments)
            job = _make_job(queue, claim, candidate, pruner, lease, device, on_epoch, stop)
            with stop.at_once():
                outcome, extra = _train(task, job)
        except InterruptedRun:
            raise
        except TrialLost:
            return TrialEnd(number=claim.number, state="lost")
        except DivergedError as error:
            return _record(queue, claim, "diverged", cause=str(error))
        except Exception as error:  # noqa: BLE001  (whatever a training raises is a result of the search)
            if first_training and isinstance(error, DeviceMemoryError) and queue.release_if_others_train(claim):
                return TrialEnd(number=claim.number, state="released", cause=str(error))
            text = mask("".join(traceback.format_exception(error)))[-LONGEST_TRACEBACK:]
            return _record(queue, claim, "failed", cause=_cause(error), attrs={"traceback": text})
        if lease.lost:
            return TrialEnd(number=claim.number, state="lost")
        return _record_outcome(queue, claim, outcome, extra)


def _train(task: Task, job: Job) -> tuple[Outcome, dict[str, Any]]:
    smaller = task.smaller(job.candidate)
    try:
        return task.train(job), {}
    except (DeviceMemoryError, MemoryError):
        if smaller is None:
            raise
        halved = replace(job, candidate=smaller, resume=False)
    except SpecError as error:
        if smaller is None or not job.resume or error.where != "resume":
            raise
        halved = replace(job, candidate=smaller)  # the checkpoint may be of a worker that had halved the batch
    # Outside of the handler: the first try's frames must not hold its memory while the second runs.
    return task.train(halved), HALVED


def _make_job(
    queue: TrialQueue,
    claim: Claim,
    candidate: Candidate,
    pruner: BasePruner,
    lease: Lease,
    device: str | None,
    on_epoch: OnEpoch,
    stop: StopRequest,
) -> Job:
    from optuna.pruners import NopPruner

    storage, prunes = queue.study.store.storage, not isinstance(pruner, NopPruner)
    recorded = storage.get_trial(claim.trial_id).intermediate_values if claim.resumed else {}

    def report(epoch: int, accuracy: float) -> bool:
        if not math.isfinite(accuracy):
            return False  # the training itself raises when it has diverged
        with stop.held():
            if lease.lost or not queue.holds(claim):
                raise TrialLost
            if recorded.get(epoch) != accuracy:
                storage.set_trial_intermediate_value(claim.trial_id, epoch, accuracy)
            on_epoch(epoch, accuracy)
            return prunes and bool(pruner.prune(queue.study.raw, storage.get_trial(claim.trial_id)))

    return Job(
        number=claim.number,
        candidate=candidate,
        run_dir=claim.run_dir,
        on_epoch=report,
        resume=claim.resumed,
        device=device,
    )


def _record_outcome(queue: TrialQueue, claim: Claim, outcome: Outcome, extra: Mapping[str, Any]) -> TrialEnd:
    attrs = {**outcome.attrs, **extra}
    attrs |= {name: value for name, value in outcome.measures.items() if name not in (*attrs, *KNOWN_BEFORE)}
    if outcome.pruned:
        return _record(queue, claim, "pruned", attrs=attrs)
    missing = [name for name in queue.study.objectives if name not in outcome.measures]
    if missing:
        cause = f"the training gave no value for {', '.join(missing)} of study.objectives"
        return _record(queue, claim, "failed", attrs=attrs, cause=cause)
    values = tuple(float(outcome.measures[name]) for name in queue.study.objectives)
    if any(math.isnan(value) for value in values):
        return _record(queue, claim, "diverged", attrs=attrs, cause="an objective is not a number")
    return _record(queue, claim, "complete", values=values, attrs=attrs)


def _record(
    queue: TrialQueue,
    claim: Claim,
    end: EndState,
    *,
    values: Sequence[float] | None = None,
    attrs: Mapping[str, Any] | None = None,
    cause: str = "",
) -> TrialEnd:
    states: dict[str, State] = {"complete": "complete", "failed": "fail"}
    written = {**(attrs or {}), **({"cause": cause} if cause else {}), "state_reason": end}
    written["location"] = location_of(claim.run_dir)
    pictures: Mapping[str, str] = {}
    if end == "complete" and queue.holds(claim):
        pictures, stored = attach_files(claim.run_dir, queue.study.store.address, queue.sweep.settings.artifacts)
        written |= stored
    if not queue.finish(claim, states.get(end, "pruned"), written, values, pictures):
        return TrialEnd(number=claim.number, state="lost")
    return TrialEnd(number=claim.number, state=end, values=tuple(values) if values is not None else None, cause=cause)


def _cause(error: BaseException) -> str:
    text = mask(str(error).strip().partition("\n")[0])
    return text if isinstance(error, SpecError) else f"{type(error).__name__}: {text}" if text else type(error).__name__

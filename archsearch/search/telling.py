"""One claimed trial from its training to its end in the study; what goes wrong is recorded, not raised."""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from archsearch.errors import DeviceMemoryError, DivergedError, InterruptedRun, SpecError
from archsearch.masking import mask
from archsearch.search.artifacts import attach_pictures
from archsearch.search.beating import Pulse, beating
from archsearch.search.claims import Claim, Desk
from archsearch.search.job import Job, Outcome, Task, Verdict
from archsearch.search.rows import State, finish_row
from archsearch.signals import StopRequest

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

End = Literal["complete", "pruned", "diverged", "failed", "lost", "left"]  # left: to another worker, for want of room
KNOWN_BEFORE = ("parameters", "macs", "receptive_field")  # attributes that the claim has written
HALVED = {"batch": "halved after running out of memory"}
LONGEST_CAUSE = 20_000  # characters of a traceback that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How a trial ended: its number, the values it was recorded with, and in one line the cause of a failure."""

    number: int
    end: End
    values: tuple[float, ...] | None = None
    cause: str = ""


def carry_out(
    desk: Desk,
    task: Task,
    claim: Claim,
    pruner: BasePruner,
    device: str | None = None,
    hear: Callable[[int, float], None] = lambda epoch, accuracy: None,
    stop: StopRequest | None = None,
    *,
    newcomer: bool = False,
) -> Told:
    """Train the claimed design, record how it ended, and return that; `hear` is told the accuracy of every epoch.

    Out of memory is tried once more at half the batch. Where that is too much as well, a `newcomer`, which has trained
    nothing yet, leaves the trial to those who train: its device may be full of them. A `stop` ends the training itself
    at once, but comes into no transaction. Raises `InterruptedRun` and `KeyboardInterrupt`, which `giving_back` is for.
    """
    stop = StopRequest() if stop is None else stop
    with beating(desk, claim, desk.sweep.settings.heartbeat) as pulse:
        try:
            verdict = claim.verdict or task.check(claim.assignments)
            job = _job(desk, claim, verdict, pruner, pulse, device, hear, stop)
            with stop.at_once():
                outcome, extra = _train(task, job)
        except InterruptedRun:
            raise
        except DivergedError as error:
            return _tell(desk, claim, "diverged", cause=str(error))
        except Exception as error:  # noqa: BLE001  (whatever a training raises is a result of the search)
            if newcomer and isinstance(error, DeviceMemoryError) and _leave_to_others(desk, claim):
                return Told(number=claim.number, end="left", cause=str(error))
            return _tell(desk, claim, "failed", cause=_cause(error), attrs={"traceback": _trace(error)})
        if pulse.lost:
            return Told(number=claim.number, end="lost")
        return _tell_outcome(desk, claim, outcome, extra)


@contextlib.contextmanager
def giving_back(desk: Desk) -> Iterator[None]:
    """Give back what this worker still has claimed when the block is interrupted, in a training or before it.

    Another worker, or a later run, then takes it up again.
    """
    try:
        yield
    except (InterruptedRun, KeyboardInterrupt):
        with desk.study.store.section():
            for trial in desk.board().running:
                if trial.user_attrs.get("worker") == desk.worker:
                    _release(desk, trial._trial_id)
        raise


def _release(desk: Desk, trial_id: int) -> None:
    from optuna.trial import TrialState

    storage = desk.study.store.storage
    storage.set_trial_user_attr(trial_id, "worker", "")
    storage.set_trial_state_values(trial_id, TrialState.WAITING)


def _leave_to_others(desk: Desk, claim: Claim) -> bool:
    """Give the trial back if others train; of several workers that leave at once the last one finds nobody."""
    with desk.study.store.section():
        others = any(trial.number != claim.number and not desk.is_dead(trial) for trial in desk.board().running)
        if others and desk.holds(claim):
            _release(desk, claim.trial_id)
            return True
    return False


def _train(task: Task, job: Job) -> tuple[Outcome, dict[str, Any]]:
    smaller = task.smaller(job.verdict)
    try:
        return task.train(job), {}
    except (DeviceMemoryError, MemoryError):
        if smaller is None:
            raise
        again = replace(job, verdict=smaller, resume=False)
    except SpecError as error:
        if smaller is None or not job.resume or error.where != "resume":
            raise
        again = replace(job, verdict=smaller)  # the checkpoint may be of a worker that had halved the batch
    # Outside of the handler: the first try's frames must not hold its memory while the second runs.
    return task.train(again), HALVED


def _job(
    desk: Desk,
    claim: Claim,
    verdict: Verdict,
    pruner: BasePruner,
    pulse: Pulse,
    device: str | None,
    hear: Callable[[int, float], None],
    stop: StopRequest,
) -> Job:
    from optuna.pruners import NopPruner

    storage, raw, compares = desk.study.store.storage, desk.study.raw, not isinstance(pruner, NopPruner)
    done = storage.get_trial(claim.trial_id).intermediate_values if claim.resumed else {}

    def on_epoch(epoch: int, accuracy: float) -> bool:
        if not math.isfinite(accuracy):
            return False  # the training itself says when it has diverged
        with stop.held():
            if pulse.lost or not desk.holds(claim):
                pulse.lost = True
                return True
            if done.get(epoch) != accuracy:
                storage.set_trial_intermediate_value(claim.trial_id, epoch, accuracy)
            hear(epoch, accuracy)
            return compares and bool(pruner.prune(raw, storage.get_trial(claim.trial_id)))

    return Job(
        number=claim.number,
        verdict=verdict,
        run_dir=claim.run_dir,
        on_epoch=on_epoch,
        resume=claim.resumed,
        device=device,
    )


def _tell_outcome(desk: Desk, claim: Claim, outcome: Outcome, extra: Mapping[str, Any]) -> Told:
    attrs = {**outcome.attrs, **extra}
    attrs |= {name: value for name, value in outcome.measures.items() if name not in (*attrs, *KNOWN_BEFORE)}
    if outcome.pruned:
        return _tell(desk, claim, "pruned", attrs=attrs)
    missing = [name for name in desk.study.objectives if name not in outcome.measures]
    if missing:
        cause = f"the training gave no {', '.join(missing)}, which study.objectives asks for"
        return _tell(desk, claim, "failed", attrs=attrs, cause=cause)
    values = tuple(float(outcome.measures[name]) for name in desk.study.objectives)
    if any(math.isnan(value) for value in values):
        return _tell(desk, claim, "diverged", attrs=attrs, cause="an objective is not a number")
    return _tell(desk, claim, "complete", values=values, attrs=attrs)


def _tell(
    desk: Desk,
    claim: Claim,
    end: End,
    *,
    values: Sequence[float] | None = None,
    attrs: Mapping[str, Any] | None = None,
    cause: str = "",
) -> Told:
    states: dict[str, State] = {"complete": "complete", "failed": "fail"}
    said = {**(attrs or {}), **({"cause": cause} if cause else {}), "state_reason": end}
    with desk.study.store.section():
        if not desk.holds(claim):
            return Told(number=claim.number, end="lost")
        if end == "complete":
            for key, value in attach_pictures(claim.run_dir, desk.study.store.address).items():
                desk.study.store.storage.set_trial_system_attr(claim.trial_id, key, value)
        finish_row(desk.study.store, claim.trial_id, states.get(end, "pruned"), said, values)
    return Told(number=claim.number, end=end, values=tuple(values) if values is not None else None, cause=cause)


def _cause(error: BaseException) -> str:
    text = mask(str(error)).strip().partition("\n")[0]
    return text if isinstance(error, SpecError) else f"{type(error).__name__}: {text}" if text else type(error).__name__


def _trace(error: BaseException) -> str:
    return mask("".join(traceback.format_exception(error)))[-LONGEST_CAUSE:]

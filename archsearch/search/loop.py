"""The search loop: propose, check, skip duplicates, train, record, until enough designs are trained.

Imports no Hydra and no torch; the task is an argument. One call of `work` is one worker; any number of them, on any
number of machines, share a study.
"""

from __future__ import annotations

import contextlib
import gc
import json
import random
import time
from collections.abc import Callable, Iterator

from archsearch.errors import InterruptedRun, RunError
from archsearch.formatting import number as grouped
from archsearch.process import USUAL_THRESHOLDS
from archsearch.search.faults import FaultLasted, Patience, fault_of
from archsearch.search.heartbeat import worker_name
from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.progress import Event, Listener
from archsearch.search.queue import INFEASIBLE, Claim, StudySnapshot, TrialQueue
from archsearch.search.samplers.factory import make_proposer, make_pruner
from archsearch.search.samplers.proposer import Infeasible, Proposer, evaluate
from archsearch.search.storage.dashboard import margin_attrs
from archsearch.search.storage.database import StudyLost
from archsearch.search.storage.rows import Row
from archsearch.search.storage.study import Study
from archsearch.search.sweep import Sweep
from archsearch.search.task import Task
from archsearch.search.trial_runner import run_trial
from archsearch.signals import StopRequest, TimeLimit

POLL = 0.5  # seconds between two reads of the study while others train


class SearchStopped(RunError):
    """Raised when too many trainings in a row have failed."""


def work(
    study: Study,
    sweep: Sweep,
    task: Task,
    *,
    listen: Listener = lambda event: None,
    seed: int | None = None,
    device: str | None = None,
    first: int = 0,
    until: float | None = None,
) -> None:
    """Run one worker: train designs until this and other workers have completed the sweep.

    At `until` (of `time.monotonic`) the worker stops its training with a checkpoint, puts the trial back into the
    queue, and ends. It also ends if its device has no memory for its first training while others train.
    Raises `SearchStopped` after `study.max_failures` failures in a row, counted from trial number `first`, and
    `InterruptedRun` or `KeyboardInterrupt` when the trial is back in the queue: Ctrl-C and SIGTERM end a training or a
    pause at once, everything else between two steps. During a fault of the machine the worker pauses; after
    `study.patience` it raises `FaultLasted`, or ends if others train despite the fault.
    """
    queue = TrialQueue(study, sweep, worker_name())
    source = None if sweep.exhaustive else _ProposalSource(queue, task, make_proposer(study, sweep, task, seed), listen)
    pruner = make_pruner(sweep.settings.pruner, sweep.epochs)
    claims = _Claims(queue, source, first)
    first_training = True
    with (
        _deferred_garbage_collection() as collect,
        StopRequest() as stop,
        TimeLimit(until) as limit,
        _ends_in_time(limit, stop, listen),
        _release_on_interrupt(queue),
    ):

        def sleep(seconds: float) -> None:
            with stop.at_once():
                time.sleep(seconds)

        def patience() -> Patience:
            return Patience(sweep.settings.patience, lambda text: listen(Event(kind="note", text=text)), sleep)

        database, trainings = patience(), patience()
        while not limit.is_over:
            stop.check()
            claim = database.call(claims.next)
            if claim is None:
                if claims.over:
                    return
                if claims.idle:
                    sleep(POLL)
                continue
            listen(Event(kind="claimed", number=claim.number, rung=claim.rung))
            if claim.note:
                listen(Event(kind="note", text=claim.note))
            on_epoch = _epoch_listener(listen, claim.number)
            end = run_trial(
                queue, task, claim, pruner, device, on_epoch, stop, first_training=first_training, database=database
            )
            listen(Event(kind="ended", number=claim.number, end=end))
            if end.state == "released":
                listen(Event(kind="note", text=f"a worker stopped, the others continue: {end.cause}"))
                return
            if end.state == "waiting":
                database.call(lambda trial=claim: queue.release(trial))
                if trainings.is_over and database.call(lambda trial=claim: queue.others_train(trial.number)):
                    listen(Event(kind="note", text=f"a worker stopped, the others continue: {end.cause}"))
                    return
                trainings.wait(end.cause)
                continue
            trainings.end_fault()
            first_training = first_training and end.state == "failed"
            collect()


class _Claims:
    """Claims the next trial for a worker: one from the queue, or a new one."""

    def __init__(self, queue: TrialQueue, source: _ProposalSource | None, first: int) -> None:
        self._queue, self._source, self._first = queue, source, first
        self._interrupted = False  # in the last call of `next`, which may have claimed a trial without returning it
        self.over = self.idle = False  # the sweep is done, or others are training the rest

    def next(self) -> Claim | None:
        """Return a claimed trial; None if there is none at present."""
        queue, source = self._queue, self._source
        if self._interrupted:
            queue.release_own()
        self._interrupted = True
        claim = self._claim(queue, source)
        self._interrupted = False
        return claim

    def _claim(self, queue: TrialQueue, source: _ProposalSource | None) -> Claim | None:
        self.idle = False
        snapshot = queue.snapshot()
        _require_few_failures(snapshot, queue.sweep.settings.max_failures, self._first)
        claim = queue.claim_waiting() if snapshot.waiting or snapshot.running else None
        if claim is None and source is not None and source.wanted(snapshot):
            claim = source.claim(snapshot)
            if claim is None and not source.exhausted:
                return None  # another worker was faster, or nothing was found yet
        if claim is None:
            snapshot = queue.snapshot()
            exhausted = source is not None and source.exhausted
            unfinished = snapshot.running or snapshot.waiting
            self.over = is_done(snapshot, queue.sweep) or (exhausted and not unfinished)
            self.idle = not self.over
        return claim


def enqueue(study: Study, sweep: Sweep, task: Task, *, shuffle_seed: int | None = None) -> int:
    """Write the missing combinations of an exhaustive sweep into the study; return the number of all combinations.

    Infeasible ones are recorded as finished, the others wait for a worker.
    """
    points = list(sweep.combinations())
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(points)
    queue = TrialQueue(study, sweep, "")
    found = [evaluate(task, sweep, point) for point in points]
    with study.store.lock():
        retry = sweep.settings.retry_failed
        present = {
            _text_of(trial.user_attrs["assignments"])
            for trial in study.trials()
            if trial.user_attrs.get("sweep") == sweep.name and not (retry and trial.state.name == "FAIL")
        }
        rows = [
            infeasible_row(sweep, each) if isinstance(each, Infeasible) else queue.row(each, "waiting", {"worker": ""})
            for point, each in zip(points, found, strict=True)
            if _text_of(sweep.assignments(point)) not in present
        ]
        study.write_locked(rows, sweep.declarations)
    return len(points)


def is_done(snapshot: StudySnapshot, sweep: Sweep) -> bool:
    """Return whether all trials of the sweep are done."""
    if snapshot.running or snapshot.waiting:
        return False
    return sweep.exhaustive or len(snapshot.trained) >= sweep.settings.most_trials


def infeasible_row(sweep: Sweep, proposal: Infeasible) -> Row:
    """Return the row of an infeasible proposal."""
    attrs = {
        **margin_attrs(proposal.margins),
        "assignments": sweep.assignments(proposal.params),
        "sweep": sweep.name,
        "state_reason": INFEASIBLE,
        "cause": proposal.reason,
    }
    return Row(state="pruned", params=proposal.params, attrs=attrs, constraints=proposal.excess, system=proposal.system)


class _ProposalSource:
    """Claims newly proposed designs, and counts the infeasible proposals."""

    def __init__(self, queue: TrialQueue, task: Task, proposer: Proposer, listen: Listener) -> None:
        self._queue, self._task, self._proposer, self._listen = queue, task, proposer, listen
        self._counts = InfeasibleCounts()
        self._warned = False
        self.exhausted = False

    def wanted(self, snapshot: StudySnapshot) -> bool:
        """Return whether the sweep needs another new design."""
        return not self.exhausted and snapshot.taken < self._queue.sweep.settings.most_trials

    def claim(self, snapshot: StudySnapshot) -> Claim | None:
        """Propose a design and claim it; None if another worker was faster, or none was found (yet, or `exhausted`)."""
        claim, counts = self._propose(snapshot)
        self._counts = self._counts.add(counts)
        self._listen(Event(kind="counts", counts=counts))
        if not self._warned and (warning := self._counts.warning()):
            self._warned = True
            self._listen(Event(kind="note", text=warning))
        if self.exhausted:
            self._listen(Event(kind="note", text=_exhausted_note(self._counts)))
        return claim

    def _propose(self, snapshot: StudySnapshot) -> tuple[Claim | None, InfeasibleCounts]:
        proposer, queue = self._proposer, self._queue
        unrecorded, proposer.counts = proposer.counts, InfeasibleCounts()
        proposal = proposer.propose(snapshot)
        counts = proposer.counts
        proposer.counts = unrecorded.add(counts)
        if proposer.infeasible:
            rows = [infeasible_row(queue.sweep, each) for each in proposer.infeasible]
            proposer.on_written(queue.study.write(rows, queue.sweep.declarations))
        if proposal is None:
            self.exhausted = proposer.exhausted
            return None, counts
        attrs = {**self._task.describe(proposal.candidate), **proposal.attrs, "screened": proposer.counts.as_json()}
        try:
            claim = queue.claim_new(proposal.candidate, attrs, proposal.system)
        except Exception:
            proposer.on_claimed(proposal, None)
            raise
        proposer.on_claimed(proposal, None if claim is None else claim.number)
        if claim is not None:
            proposer.counts = InfeasibleCounts()  # the claimed trial has recorded the counts
        return claim, counts


@contextlib.contextmanager
def _release_on_interrupt(queue: TrialQueue) -> Iterator[None]:
    """Put this worker's claims back into the queue if the block is interrupted or a fault lasts."""
    try:
        yield
    except (InterruptedRun, KeyboardInterrupt, FaultLasted):
        try:
            queue.release_own()
        except Exception as error:
            if fault_of(error) is None and not isinstance(error, StudyLost):
                raise
        raise


@contextlib.contextmanager
def _ends_in_time(limit: TimeLimit, stop: StopRequest, listen: Listener) -> Iterator[None]:
    """Suppress the interrupt that the end of the time budget causes, and report that the time is over."""
    try:
        yield
    except (InterruptedRun, KeyboardInterrupt):
        if not limit.is_over:
            raise
        stop.asked = False  # the code around the search continues
    if limit.is_over:
        listen(Event(kind="note", text="study.budget: the time is over; the same command goes on with the search"))


@contextlib.contextmanager
def _deferred_garbage_collection() -> Iterator[Callable[[], None]]:
    """Yield a function whose first call freezes all present objects and restores Python's usual thresholds.

    A command starts with high thresholds (`archsearch.process`), which suits a short run. Python runs a full collection
    only if the new objects exceed a quarter of the old ones. Imports leave hundreds of thousands of objects, so the
    cycles of each transaction would stay in memory for hundreds of trials, and each full collection would be slow.
    """
    frozen = False

    def freeze() -> None:
        nonlocal frozen
        if not frozen:
            frozen = True
            gc.collect()
            gc.freeze()
            gc.set_threshold(*USUAL_THRESHOLDS)

    try:
        yield freeze
    finally:
        if frozen:
            gc.unfreeze()


def _epoch_listener(listen: Listener, number: int) -> Callable[[int, float], None]:
    return lambda epoch, accuracy: listen(Event(kind="epoch", number=number, epoch=epoch, accuracy=accuracy))


def _require_few_failures(snapshot: StudySnapshot, most: int, first: int) -> None:
    failed = snapshot.failures_in_a_row(first)
    if len(failed) >= most:
        cause = failed[-1].user_attrs.get("cause", "unknown")
        several = "" if len(failed) == 1 else f"the last {len(failed)} trainings failed; the last one: "
        raise SearchStopped(f"{several}trial {failed[-1].number} failed: {cause}")


def _exhausted_note(counts: InfeasibleCounts) -> str:
    if counts.feasible == 0:
        return f"no other design of the space is feasible: {grouped(counts.proposed)} were checked ({counts.worst()})"
    return "the space has no other feasible design: all that were found are trained"


def _text_of(assignments: object) -> str:
    return json.dumps(assignments, sort_keys=True, default=str)

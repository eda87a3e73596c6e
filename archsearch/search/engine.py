"""The search itself: propose, check, dedupe, launch, report, tell, until enough designs are trained.

No Hydra, no torch; the task is an argument. One call of `work` is one worker; any number of them, on any number of
machines, share a study.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from archsearch.errors import RunError
from archsearch.search.board import REFUSED, Board, failures_in_a_row
from archsearch.search.claims import Claim, Desk
from archsearch.search.collecting import settling
from archsearch.search.dashboard import margin_attrs
from archsearch.search.job import Task
from archsearch.search.liveness import worker_name
from archsearch.search.proposing import OptunaProposer, Proposer, Refused, judged
from archsearch.search.refusals import Refusals
from archsearch.search.rows import Row
from archsearch.search.samplers import make_pruner
from archsearch.search.studies import Study
from archsearch.search.sweep import Sweep
from archsearch.search.telling import Told, carry_out, giving_back
from archsearch.signals import StopRequest

POLL = 0.5  # seconds between two looks where others still train


class SearchStopped(RunError):
    """Too many trainings in a row failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to show: `claimed` and `told` carry a trial, `count` what was refused so far, `note` a sentence.

    `epoch` carries the last accuracy of a trial in training. `worker` is its place among those of this machine.
    """

    kind: Literal["claimed", "epoch", "told", "count", "note"]
    number: int | None = None
    worker: int = 0
    epoch: int | None = None
    accuracy: float | None = None
    told: Told | None = None
    refusals: Refusals | None = None
    text: str = ""


Listener = Callable[[Event], None]


def enqueue(study: Study, sweep: Sweep, task: Task, *, shuffle_seed: int | None = None) -> int:
    """Write the combinations of an exhaustive sweep that the study lacks, and return how many there are.

    Infeasible ones are recorded as refused at once, the others wait for a worker.
    """
    points = list(sweep.combinations())
    if shuffle_seed is not None:
        import random

        random.Random(shuffle_seed).shuffle(points)
    desk = Desk(study, sweep, "")
    found = [judged(task, sweep, point) for point in points]
    with study.store.section():
        retry = sweep.settings.retry_failed
        there = {
            _point_of(trial.user_attrs["assignments"])
            for trial in study.trials()
            if trial.user_attrs.get("sweep") == sweep.name and not (retry and trial.state.name == "FAIL")
        }
        rows = [
            refused_row(sweep, each) if isinstance(each, Refused) else desk.row(each, "waiting", {"worker": ""})
            for point, each in zip(points, found, strict=True)
            if _point_of(sweep.assignments(point)) not in there
        ]
        study.write_inside(rows, sweep.declarations)
    return len(points)


def work(
    study: Study,
    sweep: Sweep,
    task: Task,
    *,
    listen: Listener = lambda event: None,
    seed: int | None = None,
    device: str | None = None,
    first: int = 0,
) -> None:
    """Train designs until the sweep has all it asked for, by whichever worker.

    `first` is the number from which failures in a row are counted. Raises `SearchStopped` after
    `study.max_failures` of them, and `InterruptedRun` or `KeyboardInterrupt` after giving the trial back: Ctrl-C and
    SIGTERM end a training or a wait at once, all else between two steps. A worker that finds no room on its device
    for its first training, while others train, ends.
    """
    desk = Desk(study, sweep, worker_name())
    proposer = None if sweep.exhaustive else make_proposer(study, sweep, task, seed)
    pruner = make_pruner(sweep.settings.pruner, sweep.epochs)
    warned = exhausted = False
    newcomer = True
    total = Refusals()
    with settling() as settle, StopRequest() as stop, giving_back(desk):
        while True:
            stop.check()
            board = desk.board()
            _stop_after_failures(board, sweep.settings.max_failures, first)
            claim = desk.take_up() if board.waiting or board.running else None
            if claim is None and proposer is not None and not exhausted and board.taken < sweep.settings.trials:
                claim, exhausted, newly = _claim_new(desk, proposer, task, board)
                total = total.add(newly)
                listen(Event(kind="count", refusals=newly))
                if not warned and (warning := total.warning()):
                    warned = True
                    listen(Event(kind="note", text=warning))
                if exhausted:
                    listen(Event(kind="note", text=_exhausted(total)))
                elif claim is None:
                    continue  # another worker was faster, or nothing was found yet
            if claim is not None:
                number = claim.number
                listen(Event(kind="claimed", number=number))

                def heard(epoch: int, accuracy: float, number: int = number) -> None:
                    listen(Event(kind="epoch", number=number, epoch=epoch, accuracy=accuracy))

                told = carry_out(desk, task, claim, pruner, device, heard, stop, newcomer=newcomer)
                listen(Event(kind="told", number=number, told=told))
                if told.end == "left":
                    listen(Event(kind="note", text=f"a worker ends, the others go on: {told.cause}"))
                    break
                newcomer = newcomer and told.end == "failed"
                settle()
                continue
            board = desk.board()
            if is_done(board, sweep) or (exhausted and not board.running and not board.waiting):
                break
            with stop.at_once():
                time.sleep(POLL)


def is_done(board: Board, sweep: Sweep) -> bool:
    """Return whether all that the sweep asked for is done."""
    if board.running or board.waiting:
        return False
    return sweep.exhaustive or len(board.trained) >= sweep.settings.trials


def make_proposer(study: Study, sweep: Sweep, task: Task, seed: int | None) -> Proposer:
    """Return the proposer that the settings name."""
    if sweep.settings.sampler.name == "footprint":
        from archsearch.search.footprints import FootprintSearch

        return FootprintSearch(study, sweep, task, seed)
    return OptunaProposer(study, sweep, task, seed)


def refused_row(sweep: Sweep, refused: Refused) -> Row:
    """Return the trial that a refused proposal is recorded as."""
    attrs = {
        **margin_attrs(refused.margins),
        "assignments": sweep.assignments(refused.params),
        "sweep": sweep.name,
        "state_reason": REFUSED,
        "cause": refused.reason,
    }
    return Row(state="pruned", params=refused.params, attrs=attrs, constraints=refused.excess, system=refused.system)


def _claim_new(desk: Desk, proposer: Proposer, task: Task, board: Board) -> tuple[Claim | None, bool, Refusals]:
    """Return a claim on a newly proposed design, whether no other is expected, and what was looked at for it."""
    before, proposer.refusals = proposer.refusals, Refusals()
    proposal = proposer.propose(board)
    newly = proposer.refusals
    proposer.refusals = before.add(newly)
    if proposer.refused:
        rows = [refused_row(desk.sweep, each) for each in proposer.refused]
        proposer.written(desk.study.write(rows, desk.sweep.declarations))
    if proposal is None:
        return None, proposer.exhausted, newly
    attrs = {**task.describe(proposal.verdict), "screened": proposer.refusals.as_json()}
    claim = desk.claim(proposal.verdict, attrs, proposal.system)
    proposer.claimed(proposal, None if claim is None else claim.number)
    if claim is not None:
        proposer.refusals = Refusals()  # the next ones are counted with the next trial
    return claim, False, newly


def _stop_after_failures(board: Board, most: int, first: int) -> None:
    failed = failures_in_a_row(board, first)
    if len(failed) >= most:
        cause = failed[-1].user_attrs.get("cause", "unknown")
        number = failed[-1].number
        raise SearchStopped(f"the last {len(failed)} trainings failed; the last one, trial {number}: {cause}")


def _exhausted(total: Refusals) -> str:
    if total.feasible == 0:
        worst = ", ".join(f"{name} refused {count}" for name, count in total.by_limit.most_common(3))
        return f"no further design of the space keeps the limits: {total.proposed} were looked at ({worst})"
    return "the space has no further feasible design: all that were found are trained"


def _point_of(assignments: object) -> str:
    import json

    return json.dumps(assignments, sort_keys=True, default=str)

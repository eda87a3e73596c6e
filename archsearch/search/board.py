"""The board: how a study stands for one search, read off its trials in one pass; values only, nothing is written.

A trial is named by what its attributes say: `sweep` (which command it belongs to), `key` (which training it is),
`state_reason`, `worker` and `beat`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

REFUSED, ANSWERED, WITHDRAWN = "refused", "answered", "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """All trials of a study, and those of one sweep by what has become of them.

    `known` is the trial that answers for each key: a finished one before one that runs; failed ones count only
    where they are not to be tried again.
    """

    trials: tuple[FrozenTrial, ...]
    known: Mapping[str, FrozenTrial]
    trained: tuple[FrozenTrial, ...]  # complete, pruned or diverged: these count
    failed: tuple[FrozenTrial, ...]
    running: tuple[FrozenTrial, ...]
    waiting: tuple[FrozenTrial, ...]
    refused: int

    @property
    def taken(self) -> int:
        """How many of the trials asked for are done or spoken for."""
        return len(self.trained) + len(self.running) + len(self.waiting)


def read_board(
    trials: Iterable[FrozenTrial],
    sweep: str,
    *,
    is_dead: Callable[[FrozenTrial], bool] = lambda trial: False,
    retry_failed: bool = False,
) -> Board:
    """Return how the study stands for `sweep`.

    What another sweep has left unfinished answers for nothing unless somebody works on it (`is_dead`).
    """
    found = tuple(trials)
    known: dict[str, FrozenTrial] = {}
    parts: dict[str, list[FrozenTrial]] = {"trained": [], "failed": [], "running": [], "waiting": []}
    refused = 0
    for trial in found:
        attrs, state = trial.user_attrs, trial.state.name
        reason, key = attrs.get("state_reason"), attrs.get("key")
        mine = attrs.get("sweep") == sweep
        if reason == REFUSED:
            refused += mine
            continue
        if reason in (ANSWERED, WITHDRAWN):
            continue
        idle = not mine and (state == "WAITING" or (state == "RUNNING" and is_dead(trial)))
        if key and not idle and not (state == "FAIL" and retry_failed) and _rank(state) > _rank_of(known.get(key)):
            known[key] = trial
        if mine:
            parts[_PART[state]].append(trial)
    return Board(
        trials=found,
        known=known,
        trained=tuple(parts["trained"]),
        failed=tuple(parts["failed"]),
        running=tuple(parts["running"]),
        waiting=tuple(parts["waiting"]),
        refused=refused,
    )


def failures_in_a_row(board: Board, since: int) -> list[FrozenTrial]:
    """Return the last failed trials from number `since` on that no trained one follows."""
    last = max((trial.number for trial in board.trained), default=-1)
    return [trial for trial in board.failed if trial.number > max(last, since - 1)]


_PART = {"COMPLETE": "trained", "PRUNED": "trained", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
_RANKS = {"WAITING": 1, "FAIL": 2, "RUNNING": 3, "PRUNED": 4, "COMPLETE": 5}


def _rank(state: str) -> int:
    return _RANKS[state]


def _rank_of(trial: FrozenTrial | None) -> int:
    return 0 if trial is None else _RANKS[trial.state.name]

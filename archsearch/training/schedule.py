"""The learning rate as a pure function of progress; imports no torch."""

from __future__ import annotations

import math
from typing import assert_never

from archsearch.settings.training import ScheduleSettings


def learning_rate_ratio(schedule: ScheduleSettings, progress: float) -> float:
    """Return the share of the highest learning rate at `progress`, 0 at the first step, towards 1 at the last.

    `onecycle` rises and falls along half cosines (Smith & Topin 2018), `triangular` along straight lines,
    `cosine` rises straight and falls along a half cosine (Loshchilov & Hutter 2017), `constant` only rises.
    Step i of n has the progress i / n. Raises `ValueError` outside 0..1.
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must be from 0 to 1, is {progress}")
    first, last = schedule.initial_ratio, schedule.final_ratio
    if progress < schedule.warmup:
        share = progress / schedule.warmup
        return _bend(first, 1.0, share) if schedule.name == "onecycle" else _line(first, 1.0, share)
    share = (progress - schedule.warmup) / (1.0 - schedule.warmup)
    match schedule.name:
        case "onecycle" | "cosine":
            return _bend(1.0, last, share)
        case "triangular":
            return _line(1.0, last, share)
        case "constant":
            return 1.0
        case _:
            assert_never(schedule.name)


def _line(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


def _bend(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * share)) / 2.0

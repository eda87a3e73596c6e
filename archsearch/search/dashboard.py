"""What is written into a study for those who open it in optuna-dashboard; nothing of it is read again.

The dashboard lists, sorts and plots attributes that are single numbers, takes constraints in the form of Optuna
before 5, and shows a note in Markdown with the study. Knows neither optuna nor the dashboard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archsearch.analysis.limits import Margin, bound_text

MARGIN = "Margin "
"""How the names of margins begin; the capital sorts them before the other attributes."""
OLDER = "constraints"
"""The system attribute of Optuna before 5: a list without names."""


def margin_attrs(margins: Sequence[Margin]) -> dict[str, float]:
    """Return an attribute for every limit, named by the limit and its bound: the slack, to four digits."""
    return {
        f"{MARGIN}{one.limit} ({bound_text(one.limit, one.bound)})": float(f"{one.slack or 0.0:.4g}") for one in margins
    }


def older_constraints(excess: Mapping[str, float]) -> dict[str, list[float]]:
    """Return the system attribute by which the dashboard tells what is infeasible: the greatest excess alone."""
    return {OLDER: [max(excess.values())]} if excess else {}


def limits_note(limits: str, bounds: object) -> dict[str, Any]:
    """Return the study's system attributes that are its note: the limits as a table, and how margins are read."""
    if not isinstance(bounds, Mapping) or not bounds:
        return {}
    lines = [f"| {limit} | {bound_text(limit, bound)} |" for limit, bound in bounds.items()]
    text = "\n".join([f"## Limits: {limits}", "", "| limit | asked |", "|---|---|", *lines, "", _HOW])
    return {"dashboard:note_ver": 1, "dashboard:note_str:0": text}


_HOW = (
    f"Every trial has a `{MARGIN}...` for each limit, relative to its bound: 0.25 is kept with a quarter to spare, "
    "below 0 is broken. With one of them as the y axis of *History*, refused designs are the grey points. "
    "`python -m archsearch.study why` says which limit refused how many."
)

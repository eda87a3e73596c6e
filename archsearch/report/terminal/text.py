"""Cells and lines on a terminal: values, times, sparklines, tables, and escaped text of users.

Imports rich inside functions.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.formatting import moment, one_line, printable, short_key, value_text

if TYPE_CHECKING:
    from rich.table import Table

NOTHING = "-"
_RAMP, _PLAIN_RAMP = "▁▂▃▄▅▆▇█", "_.-~=+*#"
MOST_MARKS = 60  # characters of a sparkline


def safe(text: object) -> str:
    """Return `text` as one line that is safe to print with rich: markup is escaped, control characters become �."""
    return safe_lines(one_line(text))


def safe_lines(text: object) -> str:
    """Return `text` like `safe`, but with its line breaks."""
    from rich.markup import escape

    return escape(printable(text))


def value_cell(name: str, value: object) -> str:
    """Return a value with its unit: 84.93 %, 187 312, 109 px, 38 s."""
    return NOTHING if value is None else one_line(value_text(name, value))


def moment_cell(when: datetime.datetime | None) -> str:
    """Return a time to the minute, in UTC."""
    return NOTHING if when is None else moment(when)


def sparkline(values: Sequence[float], encoding: str | None = "utf-8") -> str:
    """Return a curve as one line of marks, blank for NaN and infinities; in ASCII if `encoding` is not Unicode."""
    if len(values) > MOST_MARKS:  # the last value of each section, so that the line ends with the curve
        values = [values[round((place + 1) * len(values) / MOST_MARKS) - 1] for place in range(MOST_MARKS)]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    ramp = _RAMP if (encoding or "").lower().startswith("utf") else _PLAIN_RAMP
    low, high = min(finite), max(finite)
    top = len(ramp) - 1

    def mark(value: float) -> str:
        if not math.isfinite(value):
            return " "
        return ramp[round(top * ((value / 2 - low / 2) / (high / 2 - low / 2))) if high > low else top // 2]

    return "".join(map(mark, values))


def relative_path(folder: object) -> str:
    """Return a path relative to the current folder, if it is below it."""
    path = Path(str(folder))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def settings_line(assignments: Mapping[str, Any]) -> str:
    """Return `key=value` for all assignments in one line, without the common prefixes of the keys."""
    return " ".join(f"{short_key(name)}={setting_cell(value)}" for name, value in assignments.items())


def setting_cell(value: object) -> str:
    """Return a value as text, floats to four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), title: str | None = None
) -> Table:
    """Return a table without borders, with its title on the left; the columns in `right` are right-aligned."""
    from rich.table import Table

    found = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for name in columns:
        found.add_column(name, justify="right" if name in right else "left", no_wrap=name in right, overflow="fold")
    for row in rows:
        found.add_row(*row)
    return found

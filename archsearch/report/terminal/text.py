"""Cells and lines on a terminal: values, times, sparklines, tables, and text of users made safe.

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
    """Return `text` in one line for a terminal as rich prints it: markup is text, control characters are �."""
    return safe_lines(one_line(text))


def safe_lines(text: object) -> str:
    """Return `text` as `safe` does, its lines kept."""
    from rich.markup import escape

    return escape(printable(text))


def value_cell(name: str, value: object) -> str:
    """Return a value in its unit: 84.93 %, 187 312, 109 px, 38 s."""
    return NOTHING if value is None else one_line(value_text(name, value))


def moment_cell(when: datetime.datetime | None) -> str:
    """Return a time to the minute, in UTC."""
    return NOTHING if when is None else moment(when)


def sparkline(values: Sequence[float], encoding: str | None = "utf-8") -> str:
    """Return a curve in one line, lowest to highest, with a gap for NaN; ASCII alone where `encoding` is not UTF-8."""
    if len(values) > MOST_MARKS:  # the last of each part, so that the line ends where the curve does
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
    """Return dotted keys with their values in one line, the prefixes that most share left out."""
    return " ".join(f"{short_key(name)}={setting_cell(value)}" for name, value in assignments.items())


def setting_cell(value: object) -> str:
    """Return a value as it was set, numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), title: str | None = None
) -> Table:
    """Return a table without lines, its title to the left; the columns `right` are aligned to that side."""
    from rich.table import Table

    found = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for name in columns:
        found.add_column(name, justify="right" if name in right else "left", no_wrap=name in right, overflow="fold")
    for row in rows:
        found.add_row(*row)
    return found

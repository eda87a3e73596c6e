"""How numbers, shares, durations, times and tables for notebooks are written. Imports the standard library alone."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence
from html import escape


def number(value: object) -> str:
    """Return a number in groups of three digits: `231 402`; anything else as text."""
    return f"{value:,}".replace(",", " ") if isinstance(value, int | float) else str(value)


def percent(share: float, digits: int = 2) -> str:
    """Return a share from 0 to 1 as a percentage: `86.12 %`."""
    return f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: `4.2 s`, `38 s`, `12 min 4 s`, `3 h 20 min`, `4 d 2 h`."""
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 100:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def value_text(name: str, value: object) -> str:
    """Return a value in its unit: `84.93 %`, `187 312`, `109 px`, `38 s`; `–` if there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
    if name.endswith("accuracy") and 0 <= value <= 1:
        return percent(value)
    if name == "seconds":
        return duration(value)
    if name == "receptive_field":
        return f"{value:g} px"
    return number(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def moment(when: datetime.datetime) -> str:
    """Return a time to the minute, in UTC: `2026-11-24 01:18 UTC`."""
    return f"{when.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def setting_text(value: object) -> str:
    """Return the value of a setting, numbers to three digits."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def short_key(name: str) -> str:
    """Return a dotted key without what all of a design's keys begin with."""
    return name.removeprefix("arch.stages.").removeprefix("arch.")


def html_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table for a notebook, every text escaped."""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(html_cell(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_cell(value: object) -> str:
    """Return a value as a cell of `html_table`: whole numbers grouped, other numbers short, a dash for None."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return number(value).replace(" ", "\N{NARROW NO-BREAK SPACE}")
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)

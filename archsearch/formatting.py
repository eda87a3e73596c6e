"""Format numbers, shares, durations, times, user text and HTML tables for notebooks.

Imports the standard library only.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape


def number(value: object) -> str:
    """Return a number with its digits in groups of three: `231 402`; return anything else as text."""
    return f"{value:,}".replace(",", " ") if isinstance(value, int | float) else str(value)


def pluralize(count: float, noun: str) -> str:
    """Return a count with its noun: `0 trials`, `1 trial`, `12 trials`."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


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
    """Return a value with its unit: `84.93 %`, `187 312`, `109 px`, `38 s`; `–` if there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
    if name.endswith("accuracy") and 0 <= value <= 1:
        return percent(value)
    if name in ("seconds", "train_seconds"):
        return duration(value)
    if name == "receptive_field":
        return f"{value:g} px"
    return number(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def rung_text(rung: float | None) -> str:
    """Return the rung of a training as text: its epochs, such as `4`; `all` for a full training, which has no rung."""
    return "all" if rung is None else f"{rung:g}"


def epochs_text(rung: float | None) -> str:
    """Return the rung of a training with its noun: `1 epoch`, `4 epochs`, `all epochs`."""
    return f"{rung_text(rung)} epoch{'' if rung == 1 else 's'}"


def moment(when: datetime.datetime) -> str:
    """Return a time to the minute, in UTC: `2026-11-24 01:18 UTC`."""
    return f"{when.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def folder_name(name: str) -> str:
    """Return `name` as a valid folder name; a name that had to be changed gets six hex digits of its hash appended."""
    kept = re.sub(r"[^\w.-]+", "_", name).strip("._").encode()[:_LONGEST_NAME].decode(errors="ignore")
    return kept if kept == name else f"{kept or 'study'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


_LONGEST_NAME = 120  # bytes; file systems allow 255


def setting_text(value: object) -> str:
    """Return the value of a setting as text, floats with three significant digits."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def short_key(name: str) -> str:
    """Return a dotted key without the prefix `arch.stages.` or `arch.`."""
    return name.removeprefix("arch.stages.").removeprefix("arch.")


def printable(text: object) -> str:
    """Return `text` with � for control characters and characters that change the direction of the text around them.

    Newlines and tabs are kept; use `one_line` for a value within a line.
    """
    given = str(text)
    return given if given.isprintable() else "".join("�" if _is_control(one) else one for one in given)


def one_line(text: object) -> str:
    """Return `text` as `printable` does, but on one line, so that a name cannot add lines to the output."""
    return printable(text).replace("\n", "�").replace("\t", " ")


def _is_control(character: str) -> bool:
    """Return whether it is a control, format (such as text direction), surrogate or line separator character."""
    return character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def html_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table for a notebook, every text escaped."""
    head = "".join(f"<th>{_escaped(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{_escaped(html_cell(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{_escaped(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _escaped(text: str) -> str:
    return escape(printable(text))


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

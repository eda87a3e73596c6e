"""How the values of a study are said on a terminal: measures, moments, sparklines, and text of users' making.

Imports the standard library and analysis only; rich inside functions.
"""

from __future__ import annotations

import datetime
import math
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archsearch.formatting import number

NOTHING = "-"
_RAMP, _PLAIN_RAMP = "▁▂▃▄▅▆▇█", "_.-~=+*#"
WIDEST = 60  # characters of a sparkline


def safe(text: object) -> str:
    """Return `text` for a terminal as rich prints it: markup is text, and control characters are shown as �."""
    from rich.markup import escape

    return escape(bare(text))


def bare(text: object) -> str:
    """Return `text` without control characters, which a terminal would obey; lines stay lines."""
    kept = (one if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cf", "Cs") else "�" for one in str(text))
    return "".join(kept)


def measure(name: str, value: object) -> str:
    """Return a value as a person says it, by what it measures: 84.93 %, 187 312, 109 px, 38 s."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING if value is None else bare(value)
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
    if name.endswith("accuracy") and 0 <= value <= 1:
        return f"{100 * value:.2f} %"
    if name == "receptive_field":
        return f"{value:g} px"
    if name == "seconds":
        return duration(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return number(int(value))
    return f"{value:.6g}"


def duration(seconds: float) -> str:
    """Return seconds in the largest units that fit: 38 s, 12 min, 3 h 20 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def moment(when: datetime.datetime | None) -> str:
    """Return a time to the minute, in UTC."""
    return NOTHING if when is None else f"{when.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def counted(counts: Mapping[Any, int]) -> str:
    """Return how many there are of each: `96 complete, 4 failed`."""
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def sparkline(values: Sequence[float], *, plain: bool = False) -> str:
    """Return a curve in one line, lowest to highest; a gap where a value is no number. `plain` is ASCII alone."""
    if len(values) > WIDEST:  # the last of each part, so that the line ends where the curve does
        values = [values[round((place + 1) * len(values) / WIDEST) - 1] for place in range(WIDEST)]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    ramp = _PLAIN_RAMP if plain else _RAMP
    low, high = min(finite), max(finite)
    top = len(ramp) - 1

    def mark(value: float) -> str:
        if not math.isfinite(value):
            return " "
        return ramp[round(top * ((value / 2 - low / 2) / (high / 2 - low / 2))) if high > low else top // 2]

    return "".join(map(mark, values))


def near(folder: object) -> str:
    """Return a path as seen from the current folder, where it lies below it."""
    path = Path(str(folder))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def assigned(assignments: Mapping[str, Any]) -> str:
    """Return dotted keys with their values in one line, the prefixes that most share left out."""
    return " ".join(f"{short(name)}={brief(value)}" for name, value in assignments.items())


def brief(value: object) -> str:
    """Return a value as it was set, numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def called(name: str) -> str:
    """Return what a figure is called in a line of text."""
    return {"macs": "MACs", "seconds": "time"}.get(name, name.replace("_", " "))


def short(name: str) -> str:
    """Return a dotted key without the part that most keys share."""
    return name.replace("arch.stages.", "").removeprefix("arch.")

"""Names of states and quantities, and the text of their values, shared by all outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from archsearch.formatting import number, percent, value_text
from archsearch.settings.objectives import OBJECTIVES

if TYPE_CHECKING:
    from archsearch.search.storage.read import TrialState

INFEASIBLE: TrialState = "infeasible"
"""The state of a trial whose design breaks a limit or cannot be built; it was not trained."""
DUPLICATE: TrialState = "duplicate"
"""The state of a trial that takes the result of an equal design."""
TRAINED: tuple[TrialState, ...] = ("complete", "pruned", "diverged", "failed")
BOUNDS = ("below", "at_most", "above", "at_least")
_MOST = 1e300  # differences of larger magnitudes may overflow


def label(name: str) -> str:
    """Return the name of a quantity in a sentence: `validation accuracy`; by default `name` without underscores."""
    return OBJECTIVES[name].label if name in OBJECTIVES else name.replace("_", " ")


def short_label(name: str) -> str:
    """Return the short name of a quantity, for a list of several: `accuracy`."""
    return OBJECTIVES[name].short if name in OBJECTIVES else label(name)


def capitalised(text: str) -> str:
    """Return `text` with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def finite(value: object) -> float | None:
    """Return `value` if it is a number; None for text, booleans, NaN, infinities and magnitudes of 1e300 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _MOST else None


def labelled_value(name: str, value: object) -> str:
    """Return a value with its label: `validation accuracy 86.12 %`, `152 000 parameters`."""
    text = value_text(name, value)
    return f"{text} {label(name)}" if name in ("parameters", "macs") else f"{label(name)} {text}"


def compact(value: float, *, trim: bool = False) -> str:
    """Return `value` to three significant digits with a metric prefix: 9216 gives `9.22 k`.

    Values below 1000, and all values with `trim`, have up to four significant digits without trailing zeros.
    """
    size = abs(value)
    for unit, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if size >= unit * 0.9995:
            scaled = value / unit
            digits = 0 if abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2
            return f"{scaled:.4g}{prefix}" if trim else f"{scaled:.{digits}f}{prefix}"
    return f"{value:.4g}"


def cut(text: str, most: int) -> str:
    """Return `text`, cut to at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def misses_text(excess: Mapping[str, float]) -> str:
    """Return by how much a design misses each limit, relative to the bound: `macs by 13.0 %`."""
    return ", ".join(f"{name} by {_excess_text(each)}" for name, each in sorted(excess.items()))


def _excess_text(excess: float) -> str:
    if excess < 10:
        return percent(excess, 1)
    return f"{excess:.3g} times the bound" if excess < 999.5 else f"{number(round(excess))} times the bound"


def record_of(value: object, names: Iterable[str]) -> dict[str, Any]:
    """Return the attributes `names` of `value` as a dictionary, with tuples as lists."""
    found = ((name, getattr(value, name)) for name in names)
    return {name: list(each) if isinstance(each, tuple) else each for name, each in found}


def counted(counts: Mapping[Any, int]) -> str:
    """Return the counts as text: `96 complete, 4 failed`."""
    return ", ".join(f"{number(count)} {name}" for name, count in counts.items()) or "none"


def bound_text(bound: object) -> str:
    """Return the bound of a limit: `below 200 000`, `depthwise_separable, dilated`, `layers 3, by strided, dilated`."""
    if isinstance(bound, dict):
        return ", ".join(
            f"{str(key).replace('_', ' ') if key in BOUNDS else key} {bound_text(value)}"
            for key, value in bound.items()
        )
    if isinstance(bound, list | tuple):
        return ", ".join(map(str, bound)) or "none"
    whole = finite(bound) is not None and float(str(bound)).is_integer()
    return value_text("", bound) if whole else f"{bound:g}" if isinstance(bound, float) else str(bound)

"""What states, quantities and settings are called, and how their values are written: one table for all outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from archsearch.formatting import number, percent, value_text
from archsearch.settings.objectives import OBJECTIVES

if TYPE_CHECKING:
    from archsearch.search.storage.read import TrialState

INFEASIBLE: TrialState = "infeasible"
"""The state of a trial whose design breaks a limit and was not trained."""
DUPLICATE: TrialState = "duplicate"
"""The state of a trial that takes the result of an equal design."""
TRAINED: tuple[TrialState, ...] = ("complete", "pruned", "diverged", "failed")
BOUNDS = ("below", "at_most", "above", "at_least")
_MOST = 1e300  # beyond that differences overflow


def label(name: str) -> str:
    """Return what a quantity is called in a sentence: `validation accuracy`; by default its own name."""
    return OBJECTIVES[name].label if name in OBJECTIVES else name.replace("_", " ")


def short_label(name: str) -> str:
    """Return what a quantity is called in a line of many: `accuracy`."""
    return OBJECTIVES[name].short if name in OBJECTIVES else label(name)


def capitalised(text: str) -> str:
    """Return `text` with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def finite(value: object) -> float | None:
    """Return `value` if it is a number; None for text, truth values, NaN, infinities and numbers next to them."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _MOST else None


def labelled_value(name: str, value: object) -> str:
    """Return a value with its label: `validation accuracy 86.12 %`, `152 000 parameters`."""
    text = value_text(name, value)
    return f"{text} {label(name)}" if name in ("parameters", "macs") else f"{label(name)} {text}"


def compact(value: float, *, trim: bool = False) -> str:
    """Return `value` to three digits with its prefix: 9216 gives `9.22 k`; `trim` drops zeros at the end."""
    size = abs(value)
    for unit, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if size >= unit * 0.9995:
            scaled = value / unit
            digits = 0 if abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2
            return f"{scaled:.4g}{prefix}" if trim else f"{scaled:.{digits}f}{prefix}"
    return f"{value:.4g}"


def cut(text: str, most: int) -> str:
    """Return `text` with at most so many letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def misses_text(excess: Mapping[str, float]) -> str:
    """Return by how much a design misses each limit, relative to the bound: `macs by 13.0 %`."""
    return ", ".join(f"{name} by {_excess_text(each)}" for name, each in sorted(excess.items()))


def _excess_text(excess: float) -> str:
    if excess < 10:
        return percent(excess, 1)
    return f"{excess:.3g} times the bound" if excess < 999.5 else f"{number(round(excess))} times the bound"


def record_of(value: object, names: Iterable[str]) -> dict[str, Any]:
    """Return these attributes of `value` by name, tuples as lists."""
    found = ((name, getattr(value, name)) for name in names)
    return {name: list(each) if isinstance(each, tuple) else each for name, each in found}


def counted(counts: Mapping[Any, int]) -> str:
    """Return the counts: `96 complete, 4 failed`."""
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

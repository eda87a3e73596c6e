"""Declarations: how the values of one parameter are stored, the same for all trials of a study.

Optuna wants one distribution per name and study; runs come with whatever was set on their command
line. So a declaration only ever widens, and options keep their place. Imports optuna inside functions only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from archsearch.search.space import Choice, Parameter, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """Values of one parameter: some `options`, or numbers from `low` to `high`."""

    kind: Literal["choice", "integer", "number"]
    options: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def admits(self, value: Value) -> bool:
        """Return whether `value` can be stored as it is declarations."""
        if self.kind == "choice":
            return any(_same(value, option) for option in self.options)
        return _is_number(value) and self.low <= value <= self.high  # type: ignore[operator]

    def internal(self, value: Value) -> float:
        """Return the number that stands for `value` in the database: an option's is its place."""
        if self.kind == "choice":
            return float(next(place for place, option in enumerate(self.options) if _same(value, option)))
        return float(value)  # type: ignore[arg-type]

    def distribution(self) -> BaseDistribution:
        """Return the same as Optuna says it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution(self.options)
        if self.kind == "integer":
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def as_json(self) -> dict[str, Any]:
        """Return plain values, for a study's attribute."""
        if self.kind == "choice":
            return {"kind": self.kind, "options": list(self.options)}
        return {"kind": self.kind, "low": self.low, "high": self.high, "log": self.log}

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Declaration:
        """Return what `as_json` gave."""
        if raw["kind"] == "choice":
            return Declaration(kind="choice", options=tuple(raw["options"]))
        return Declaration(kind=raw["kind"], low=raw["low"], high=raw["high"], log=raw["log"])


def of_value(value: Value) -> Declaration:
    """Return the narrowest declaration that admits `value`."""
    if not _is_number(value):
        options = (False, True) if isinstance(value, bool) else (value,)
        return Declaration(kind="choice", options=options)
    assert isinstance(value, int | float), "a number"
    kind: Literal["integer", "number"] = "integer" if isinstance(value, int) else "number"
    return Declaration(kind=kind, low=value, high=value)


def of_parameter(parameter: Parameter) -> Declaration:
    """Return the declaration of a parameter of a search space."""
    if isinstance(parameter, Choice):
        return Declaration(kind="choice", options=parameter.options)
    kind: Literal["integer", "number"] = "integer" if parameter.integer else "number"
    return Declaration(kind=kind, low=parameter.low, high=parameter.high, log=parameter.log)


def widened(old: Declaration | None, new: Declaration) -> Declaration | None:
    """Return the narrowest declaration that admits what either does, or None where a text meets a range."""
    if old is None or old == new:
        return new
    if old.kind == "choice":
        values: Iterable[Value] = new.options if new.kind == "choice" else {new.low: 0, new.high: 0}
        missing = [_tidy(value, new) for value in values if not old.admits(_tidy(value, new))]
        return replace(old, options=(*old.options, *missing)) if missing else old
    if new.kind == "choice":
        if not all(_is_number(option) for option in new.options):
            return None
        merged: Declaration | None = old
        for option in new.options:
            merged = widened(merged, of_value(option))
        return merged
    low, high = min(old.low, new.low), max(old.high, new.high)
    kind: Literal["integer", "number"] = "integer" if old.kind == new.kind == "integer" else "number"
    return Declaration(kind=kind, low=low, high=high, log=(old.log or new.log) and low > 0)


def _tidy(value: Value, declaration: Declaration) -> Value:
    return int(value) if declaration.kind == "integer" else value  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e300


def _same(one: Value, other: Value) -> bool:
    return one == other and (type(one) is type(other) or (_is_number(one) and _is_number(other)))

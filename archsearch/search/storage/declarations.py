"""Declarations: how the values of one parameter are stored, the same for all trials of a study.

Optuna needs one distribution per name and study, but each run may set other values on its command line. A
declaration is therefore only ever widened, and options keep their index. Imports optuna inside functions only.
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
    """The values of one parameter: a set of `options`, or the numbers from `low` to `high`."""

    kind: Literal["choice", "integer", "number"]
    options: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def admits(self, value: Value) -> bool:
        """Return whether `value` can be stored under this declaration."""
        if self.kind == "choice":
            return any(_same(value, option) for option in self.options)
        return is_number(value) and self.low <= value <= self.high  # type: ignore[operator]

    def internal(self, value: Value) -> float:
        """Return the number that the database stores for `value`: the index of an option, or the number itself."""
        if self.kind == "choice":
            return float(next(place for place, option in enumerate(self.options) if _same(value, option)))
        return float(value)  # type: ignore[arg-type]

    def distribution(self, step: float | None = None) -> BaseDistribution:
        """Return the declaration as an Optuna distribution; it does not store the `step` of a grid, so pass it here."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution(self.options)
        if self.kind == "integer":
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=step)

    def as_json(self) -> dict[str, Any]:
        """Return the declaration as plain values, for a study attribute."""
        if self.kind == "choice":
            return {"kind": self.kind, "options": list(self.options)}
        return {"kind": self.kind, "low": self.low, "high": self.high, "log": self.log}

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Declaration:
        """Return the declaration that `as_json` wrote."""
        if raw["kind"] == "choice":
            return Declaration(kind="choice", options=tuple(raw["options"]))
        return Declaration(kind=raw["kind"], low=raw["low"], high=raw["high"], log=raw["log"])


def of_value(value: Value) -> Declaration:
    """Return the narrowest declaration that admits `value`."""
    if not is_number(value):
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


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """Return the distribution of a search space's parameter for `optuna.Study.ask`."""
    step = None if isinstance(parameter, Choice) or parameter.log else parameter.step
    return of_parameter(parameter).distribution(step)


def widened(old: Declaration | None, new: Declaration) -> Declaration | None:
    """Return `old` widened by `new`; None if `old` is a range and `new` has an option that is not a number.

    If `old` is a choice and `new` a range, only the ends of the range become options.
    """
    if old is None or old == new:
        return new
    if old.kind == "choice":
        values: Iterable[Value] = new.options if new.kind == "choice" else {new.low: 0, new.high: 0}
        missing = [_tidy(value, new) for value in values if not old.admits(_tidy(value, new))]
        return replace(old, options=(*old.options, *missing)) if missing else old
    if new.kind == "choice":
        if not all(is_number(option) for option in new.options):
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


def is_number(value: object) -> bool:
    """Return whether `value` is a number that a distribution can store: no bool, no NaN, magnitude below 1e300."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e300


def _same(one: Value, other: Value) -> bool:
    return one == other and (type(one) is type(other) or (is_number(one) and is_number(other)))

"""The search space: parameters, and their encoding as numbers. Imports numpy only, neither Optuna nor designs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from numpy.random import Generator

Value = str | int | float | bool | None
Params = Mapping[str, Value]
Features = Mapping[str, float]
Key = tuple[object, ...]
Admit = Callable[[Params], Features | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several options: ordered if they are more than two numbers, otherwise categorical."""

    options: tuple[Value, ...]

    @property
    def ordered(self) -> bool:
        """Whether the options are more than two numbers; for two options, an order has no effect."""
        numbers = all(isinstance(option, int | float) and not isinstance(option, bool) for option in self.options)
        return numbers and len(self.options) > 2

    @property
    def size(self) -> int | None:
        """The number of values."""
        return len(self.options)

    @property
    def columns(self) -> int:
        """The number of columns that `encode` fills."""
        return 1 if self.ordered or len(self.options) == 1 else len(self.options)

    def contains(self, value: Value) -> bool:
        """Return whether `value` is one of the options, of the same type."""
        return any(type(option) is type(value) and option == value for option in self.options)

    def at(self, index: int) -> Value:
        """Return value number `index`."""
        return self.options[index]

    def draw(self, rng: Generator) -> Value:
        """Return a random value; all are equally likely."""
        return self.options[int(rng.integers(len(self.options)))]

    def mutate(self, value: Value, rng: Generator) -> Value:
        """Return a random other value; all are equally likely."""
        others = [option for option in self.options if option != value]
        return others[int(rng.integers(len(others)))] if others else value

    def encode(self, value: Value) -> list[float]:
        """Return one number by rank if ordered, else one column per option; mean 0 and variance 1 over the options."""
        count = len(self.options)
        if count == 1:
            return [0.0]
        if self.ordered:
            rank = sorted(self.options, key=float).index(value)  # type: ignore[arg-type]
            return [(rank - (count - 1) / 2) / math.sqrt((count * count - 1) / 12)]
        deviation = math.sqrt((count - 1) / (count * count))
        return [(float(option == value) - 1 / count) / deviation for option in self.options]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A number from `low` to `high`, both included; `step` makes the range a grid, `integer` makes the number whole."""

    low: float
    high: float
    log: bool = False
    integer: bool = False
    step: float | None = None

    @property
    def columns(self) -> int:
        """The number of columns that `encode` fills."""
        return 1

    @property
    def size(self) -> int | None:
        """The number of values; None if the range is continuous."""
        step = self._grid
        return None if step is None else int((self.high - self.low) / step + 1e-9) + 1

    def contains(self, value: Value) -> bool:
        """Return whether `value` is a number in the range and on its grid."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            return False
        if self.integer and not float(value).is_integer():
            return False
        if self.step is None or self.log:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-6)

    def at(self, index: int) -> Value:
        """Return value number `index` of a grid."""
        assert self._grid is not None, "only a grid is numbered"
        return self._rounded(self.low + index * self._grid)

    def draw(self, rng: Generator) -> Value:
        """Return a random value, uniform on the linear or logarithmic scale of the parameter."""
        return self._value(float(rng.random()))

    def mutate(self, value: Value, rng: Generator) -> Value:
        """Return a nearby value: a normal step whose standard deviation is drawn from 1 % to 30 % of the range."""
        position = self._position(value) + float(rng.normal()) * 0.01 * 30.0 ** float(rng.random())
        near = self._value(min(max(position, 0.0), 1.0))
        return self.draw(rng) if near == value else near

    def encode(self, value: Value) -> list[float]:
        """Return the position in the range as one number, with mean 0 and variance 1 for uniform positions."""
        return [(self._position(value) - 0.5) * math.sqrt(12.0)]

    @property
    def _grid(self) -> float | None:
        return self.step if self.step is not None else 1.0 if self.integer else None

    def _position(self, value: Value) -> float:
        assert isinstance(value, int | float), "the values of a range are numbers"
        if self.high == self.low:
            return 0.5
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def _value(self, position: float) -> Value:
        step = self._grid
        low, high = (self.low, self.high) if step is None else (self.low - step / 2, self.high + step / 2)
        if self.log:
            low = max(low, self.low / 2)
            raw = low * (high / low) ** position
        else:
            raw = low + position * (high - low)
        if step is not None:
            index = min(max(round((raw - self.low) / step), 0), (self.size or 1) - 1)
            return self._rounded(self.low + index * step)
        return min(max(raw, self.low), self.high)

    def _rounded(self, value: float) -> Value:
        return round(value) if self.integer else round(value, 12)


Parameter = Choice | Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A point of the space with the features of its footprint, which may be empty.

    `context` holds, by name, how the training differed from a full training in this study; empty if it did not.
    """

    params: Params
    features: Features
    context: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Named parameters, in order; a parameter that a point lacks is inactive there."""

    parameters: Mapping[str, Parameter]
    _codes: dict[str, dict[Value, list[float]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Encode every option of a choice once."""
        choices = ((name, each) for name, each in self.parameters.items() if isinstance(each, Choice))
        codes = {name: {option: each.encode(option) for option in each.options} for name, each in choices}
        object.__setattr__(self, "_codes", codes)

    @property
    def size(self) -> int | None:
        """The number of points; None if a parameter is continuous."""
        sizes = [parameter.size for parameter in self.parameters.values()]
        return math.prod(size for size in sizes if size is not None) if None not in sizes else None

    @property
    def groups(self) -> list[int]:
        """For every column of `encode`, the index of its parameter."""
        widths = (parameter.columns for parameter in self.parameters.values())
        return list(chain.from_iterable([index] * width for index, width in enumerate(widths)))

    def at(self, index: int) -> Params:
        """Return point number `index` of a finite space."""
        point: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            assert parameter.size is not None, "only a finite space is numbered"
            index, digit = divmod(index, parameter.size)
            point[name] = parameter.at(digit)
        return point

    def draw(self, rng: Generator) -> Params:
        """Return a random point."""
        return {name: parameter.draw(rng) for name, parameter in self.parameters.items()}

    def mutate(self, params: Params, rng: Generator) -> Params:
        """Return the point with one or two of its parameters changed."""
        names = list(self.parameters)
        chosen = rng.choice(len(names), size=min(len(names), int(rng.integers(1, 3))), replace=False)
        changed = dict(params)
        for index in chosen:
            name = names[int(index)]
            parameter = self.parameters[name]
            changed[name] = parameter.mutate(params[name], rng) if name in params else parameter.draw(rng)
        return changed

    def encode(self, params: Params) -> list[float]:
        """Return the point as numbers; an inactive parameter is 0, the middle of its range."""
        columns: list[float] = []
        for name, parameter in self.parameters.items():
            if name not in params:
                columns += [0.0] * parameter.columns
            elif name in self._codes:
                columns += self._codes[name][params[name]]
            else:
                columns += parameter.encode(params[name])
        return columns

    def key(self, params: Params) -> Key:
        """Return the hashable key of a point: its values in order, with `...` for an inactive parameter."""
        return tuple(params.get(name, ...) for name in self.parameters)

    def point(self, key: Key) -> Params:
        """Return the point of a key."""
        return {name: value for name, value in zip(self.parameters, key, strict=True) if value is not ...}  # type: ignore[misc]

    def point_of(self, assignments: Mapping[str, Value]) -> dict[str, Value] | None:
        """Return the part of `assignments` that is a point of this space; None if a parameter has no valid value."""
        point: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if name not in assignments or not parameter.contains(assignments[name]):
                return None
            point[name] = assignments[name]
        return point

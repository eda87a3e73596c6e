"""What a search may choose from: parameters, their encoding as numbers, and a pool of admitted designs.

Imports numpy only; it knows neither Optuna nor what a design is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Value = str | int | float | bool | None
Params = Mapping[str, Value]
Features = Mapping[str, float]
Key = tuple[object, ...]
Admit = Callable[[Params], Features | None]

ENUMERABLE = 1 << 16  # a space of at most so many points is gone through point by point


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of some options; where all are different numbers they are taken as ordered, otherwise as unrelated names."""

    options: tuple[Value, ...]

    @property
    def ordered(self) -> bool:
        """Whether the options are numbers (more than two: the order of two says nothing)."""
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

    def at(self, index: int) -> Value:
        """Return value number `index`."""
        return self.options[index]

    def draw(self, rng: Generator) -> Value:
        """Return a value, each equally likely."""
        return self.options[int(rng.integers(len(self.options)))]

    def mutate(self, value: Value, rng: Generator) -> Value:
        """Return another value, each equally likely."""
        others = [option for option in self.options if option != value]
        return others[int(rng.integers(len(others)))] if others else value

    def encode(self, value: Value) -> list[float]:
        """Return one number by rank, or a column for every option; mean 0 and variance 1 over the options."""
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
    """A number from `low` to `high`, both included; `step` makes it a grid, `integer` makes it whole."""

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
        """The number of values, None where there is a continuum."""
        step = self._grid
        return None if step is None else int((self.high - self.low) / step + 1e-9) + 1

    def at(self, index: int) -> Value:
        """Return value number `index` of a grid."""
        assert self._grid is not None, "only a grid is numbered"
        return self._rounded(self.low + index * self._grid)

    def draw(self, rng: Generator) -> Value:
        """Return a value, uniform on the scale of the parameter."""
        return self._value(float(rng.random()))

    def mutate(self, value: Value, rng: Generator) -> Value:
        """Return a value near by: a normal step whose deviation is itself drawn, from 1 % to 30 % of the range."""
        position = self._position(value) + float(rng.normal()) * 0.01 * 30.0 ** float(rng.random())
        near = self._value(min(max(position, 0.0), 1.0))
        return self.draw(rng) if near == value else near

    def encode(self, value: Value) -> list[float]:
        """Return the position in the range as one number; mean 0 and variance 1 over a uniform draw."""
        return [(self._position(value) - 0.5) * math.sqrt(12.0)]

    @property
    def _grid(self) -> float | None:
        return self.step if self.step is not None else 1.0 if self.integer else None

    def _position(self, value: Value) -> float:
        assert isinstance(value, int | float), "a range holds numbers"
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
    """A point of the space with what analysis knows of it; features are empty where no footprint differs."""

    params: Params
    features: Features


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Named parameters, in order; a parameter that a point does not have is inactive there."""

    parameters: Mapping[str, Parameter]
    _codes: dict[str, dict[Value, list[float]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Encode every option once."""
        choices = ((name, each) for name, each in self.parameters.items() if isinstance(each, Choice))
        codes = {name: {option: each.encode(option) for option in each.options} for name, each in choices}
        object.__setattr__(self, "_codes", codes)

    @property
    def size(self) -> int | None:
        """The number of points, None where there is a continuum."""
        sizes = [parameter.size for parameter in self.parameters.values()]
        return math.prod(size for size in sizes if size is not None) if None not in sizes else None

    @property
    def groups(self) -> list[int]:
        """The number of its parameter for every column of `encode`."""
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
        """Return the point as numbers; an inactive parameter is 0 everywhere, the middle of its range."""
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
        """Return what two equal points have in common: their values in order, `...` where one is inactive."""
        return tuple(params.get(name, ...) for name in self.parameters)

    def point(self, key: Key) -> Params:
        """Return the point that has this key."""
        return {name: value for name, value in zip(self.parameters, key, strict=True) if value is not ...}  # type: ignore[misc]


class Pool:
    """Designs that were admitted and not taken yet; it grows by screening and forgets the least promising ones.

    A finite space is gone through in random order, each point once; otherwise points are drawn at random.
    Thousands of designs wait here, so they are held as rows of numbers, and `design` makes one of them.
    """

    def __init__(self, space: Space, admit: Admit, *, capacity: int) -> None:
        """Start empty; `admit` gives a point's features, or None where it may not be tried (any more)."""
        self.space, self.admit, self.capacity = space, admit, capacity
        self._keys: list[Key] = []
        self._known: set[Key] = set()
        self._encoded_MC: NDArray[np.float64] = np.empty((0, len(space.groups)))
        self._columns: dict[str, int] = {}  # of `_features_MF`, by a feature's name
        self._features_MF: NDArray[np.float64] = np.empty((0, 0))
        self._fresh: list[tuple[list[float], Features]] = []  # the last rows of both, not yet put there
        self._order: NDArray[np.intp] | None = None
        self._next = 0

    def __len__(self) -> int:
        """Return how many designs wait."""
        return len(self._keys)

    def design(self, index: int) -> Design:
        """Return design number `index`; features that it has none of are 0."""
        self._settle()
        row = self._features_MF[index]
        features = {name: float(row[column]) for name, column in self._columns.items()}
        return Design(params=self.space.point(self._keys[index]), features=features)

    @property
    def features(self) -> frozenset[str]:
        """The names of all features that some design had."""
        self._settle()
        return frozenset(self._columns)

    def encoded_MC(self, rows_M: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the designs `rows_M` as numbers: M designs by C columns of the space."""
        self._settle()
        return self._encoded_MC[rows_M]

    def features_MF(self, names: Sequence[str], rows_M: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the features of the designs `rows_M`: M designs by F names."""
        self._settle()
        found_MF = np.zeros((len(rows_M), len(names)))
        for column, name in enumerate(names):
            if name in self._columns:
                found_MF[:, column] = self._features_MF[rows_M, self._columns[name]]
        return found_MF

    def screen(self, count: int, rng: Generator) -> None:
        """Look at `count` further points of the space."""
        size = self.space.size
        if size is not None and size <= ENUMERABLE:
            if self._order is None:
                self._order = rng.permutation(size)
            for index in self._order[self._next : self._next + count]:
                self._offer(self.space.at(int(index)))
            self._next += count
        else:
            for _ in range(count):
                self._offer(self.space.draw(rng))

    @property
    def complete(self) -> bool:
        """Whether every point of the space has been looked at, so that mutations bring nothing new."""
        return self._order is not None and self._next >= len(self._order) and len(self._keys) < self.capacity

    def vary(self, parents: Sequence[Design], count: int, rng: Generator) -> None:
        """Look at `count` mutations of the parents, dealt round."""
        if parents and not self.complete:
            for index in range(count):
                self._offer(self.space.mutate(parents[index % len(parents)].params, rng))

    def still_admits(self, index: int) -> bool:
        """Return whether design number `index` may be tried now; another worker may have taken it."""
        return self.admit(self.space.point(self._keys[index])) is not None

    def keep(self, indices: Sequence[int]) -> None:
        """Forget all designs but those at `indices`."""
        self._settle()
        self._keys = [self._keys[index] for index in indices]
        self._known = set(self._keys)
        rows = np.asarray(indices, dtype=np.intp)
        self._encoded_MC, self._features_MF = self._encoded_MC[rows], self._features_MF[rows]

    def _offer(self, params: Params) -> None:
        key = self.space.key(params)
        if key in self._known:
            return
        features = self.admit(params)
        if features is not None:
            self._keys.append(key)
            self._known.add(key)
            self._fresh.append((self.space.encode(params), features))

    def _settle(self) -> None:
        """Put the fresh rows where the others are."""
        if not self._fresh:
            return
        for _, features in self._fresh:
            for name in features:
                self._columns.setdefault(name, len(self._columns))
        before, columns = self._features_MF.shape
        features_MF = np.zeros((before + len(self._fresh), len(self._columns)))
        features_MF[:before, :columns] = self._features_MF
        for row, (_, features) in enumerate(self._fresh, before):
            for name, value in features.items():
                features_MF[row, self._columns[name]] = value
        encoded_MC = np.array([encoded for encoded, _ in self._fresh], dtype=float)
        self._encoded_MC = np.concatenate([self._encoded_MC, encoded_MC.reshape(len(self._fresh), -1)])
        self._features_MF = features_MF
        self._fresh.clear()

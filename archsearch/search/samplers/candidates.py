"""The pool of admitted designs, the candidates for the next training: thousands, stored as rows of numbers.

Imports numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from archsearch.search.space import Admit, Design, Features, Key, Params, Space, Value

ENUMERABLE = 1 << 16  # points of a space up to which it is enumerated
FEW = 1 << 15  # values of a parameter up to which its values are stored as numbers
INACTIVE = 0  # the number stored for an inactive parameter


class EncodedPoints:
    """Encoded points in little memory: the number of the value if a parameter has few values, else its encoding."""

    def __init__(self, space: Space) -> None:
        """Start without points; the values of a parameter are numbered in the order in which they appear."""
        self._space = space
        sizes = {name: parameter.size for name, parameter in space.parameters.items()}
        self._few = [name for name, size in sizes.items() if size is not None and size <= FEW]
        self._many = [name for name in sizes if name not in self._few]
        self._numbers: dict[str, dict[Value, int]] = {name: {} for name in self._few}
        self._encodings = {name: np.zeros((1, space.parameters[name].columns)) for name in self._few}
        self._numbers_MN: NDArray[np.uint16] = np.empty((0, len(self._few)), dtype=np.uint16)
        self._encoded_MR: NDArray[np.float64] = np.empty((0, len(self._many)))
        columns = np.array(space.groups, dtype=np.intp)
        self._columns = {name: np.flatnonzero(columns == place) for place, name in enumerate(sizes)}

    def add(self, points: Sequence[Params]) -> None:
        """Append the points."""
        numbers = [[self._number(name, point) for name in self._few] for point in points]
        parameters = self._space.parameters
        encoded = [
            [parameters[name].encode(point[name])[0] if name in point else 0.0 for name in self._many]
            for point in points
        ]
        self._numbers_MN = np.concatenate([self._numbers_MN, np.array(numbers, np.uint16).reshape(len(points), -1)])
        self._encoded_MR = np.concatenate([self._encoded_MR, np.array(encoded, float).reshape(len(points), -1)])

    def keep(self, rows_M: NDArray[np.intp]) -> None:
        """Keep only the points `rows_M`, in that order."""
        self._numbers_MN, self._encoded_MR = self._numbers_MN[rows_M], self._encoded_MR[rows_M]

    def encoded_MC(self, rows_M: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the points `rows_M` as encoded by `Space.encode`: M points by C columns."""
        found_MC = np.empty((len(rows_M), len(self._space.groups)))
        numbers_MN = self._numbers_MN[rows_M]
        for place, name in enumerate(self._few):
            found_MC[:, self._columns[name]] = self._encodings[name][numbers_MN[:, place]]
        for place, name in enumerate(self._many):
            found_MC[:, self._columns[name]] = self._encoded_MR[rows_M, place : place + 1]
        return found_MC

    def _number(self, name: str, point: Params) -> int:
        if name not in point:
            return INACTIVE
        numbers, value = self._numbers[name], point[name]
        if value not in numbers:
            numbers[value] = len(numbers) + 1
            row = np.array([self._space.parameters[name].encode(value)])
            self._encodings[name] = np.concatenate([self._encodings[name], row])
        return numbers[value]


class Pool:
    """Admitted designs that are not trained yet; screening adds designs, and `keep` removes the least promising ones.

    A space of up to `ENUMERABLE` points is enumerated in random order, each point once; in a larger space, points are
    drawn at random. Designs are stored as rows of numbers; `design` returns one of them.
    """

    def __init__(self, space: Space, admit: Admit, *, capacity: int) -> None:
        """Start empty; `admit` returns the features of a point, or None if it is infeasible or already taken."""
        self.space, self.admit, self.capacity = space, admit, capacity
        self._keys: list[Key] = []
        self._known: set[Key] = set()
        self._points = EncodedPoints(space)
        self._columns: dict[str, int] = {}  # of `_features_MF`, by feature name
        self._features_MF: NDArray[np.float64] = np.empty((0, 0))
        self._fresh: list[tuple[Params, Features]] = []  # the latest designs, not yet in the arrays
        self._order: NDArray[np.intp] | None = None
        self._next = 0

    def __len__(self) -> int:
        """Return the number of designs."""
        return len(self._keys)

    def design(self, index: int) -> Design:
        """Return design number `index`; features that it lacks are 0."""
        self._append_fresh()
        row = self._features_MF[index]
        features = {name: float(row[column]) for name, column in self._columns.items()}
        return Design(params=self.space.point(self._keys[index]), features=features)

    @property
    def features(self) -> frozenset[str]:
        """The names of the features of all designs."""
        self._append_fresh()
        return frozenset(self._columns)

    def encoded_MC(self, rows_M: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the designs `rows_M` encoded: M designs by C columns of the space."""
        self._append_fresh()
        return self._points.encoded_MC(rows_M)

    def features_MF(self, names: Sequence[str], rows_M: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the features of the designs `rows_M`: M designs by F names."""
        self._append_fresh()
        found_MF = np.zeros((len(rows_M), len(names)))
        for column, name in enumerate(names):
            if name in self._columns:
                found_MF[:, column] = self._features_MF[rows_M, self._columns[name]]
        return found_MF

    def screen(self, count: int, rng: Generator) -> None:
        """Screen `count` further points of the space."""
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
        """Whether every point has been screened and the pool is below its capacity, so that mutations add nothing."""
        return self._order is not None and self._next >= len(self._order) and len(self._keys) < self.capacity

    def vary(self, parents: Sequence[Design], count: int, rng: Generator) -> None:
        """Screen `count` mutations, of each parent in turn."""
        if parents and not self.complete:
            for index in range(count):
                self._offer(self.space.mutate(parents[index % len(parents)].params, rng))

    def still_admits(self, index: int) -> bool:
        """Return whether design number `index` is still admitted; another worker may have taken it."""
        return self.admit(self.space.point(self._keys[index])) is not None

    def keep(self, indices: Sequence[int]) -> None:
        """Keep only the designs at `indices`, in that order."""
        self._append_fresh()
        self._keys = [self._keys[index] for index in indices]
        self._known = set(self._keys)
        rows = np.asarray(indices, dtype=np.intp)
        self._points.keep(rows)
        self._features_MF = self._features_MF[rows]

    def _offer(self, params: Params) -> None:
        key = self.space.key(params)
        if key in self._known:
            return
        features = self.admit(params)
        if features is not None:
            self._keys.append(key)
            self._known.add(key)
            self._fresh.append((params, features))

    def _append_fresh(self) -> None:
        """Append the latest designs to the arrays."""
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
        self._points.add([params for params, _ in self._fresh])
        self._features_MF = features_MF
        self._fresh.clear()

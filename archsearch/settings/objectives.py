"""The table of objectives of a search: the names, the direction and the source of the value of each.

An installed package adds an objective through the entry-point group `archsearch.objectives`; see docs/extending.md.
Imports the standard library, `plugins` and `analysis.seconds` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from archsearch import plugins
from archsearch.analysis.seconds import SECONDS

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """An objective: its `direction`, the keys of its value in `result.json`, and its names.

    `label` is its name in a sentence, `short` in a table. A `measured` objective is evaluated on the validation images.
    """

    direction: Direction
    source: tuple[str, ...]
    label: str
    short: str
    unit: str = ""
    measured: bool = False

    def value_in(self, record: Mapping[str, Any]) -> float | None:
        """Return its value in `record`, the content of `result.json`; None if there is none."""
        found: Any = record
        for key in self.source:
            found = found.get(key) if isinstance(found, Mapping) else None
        return None if found is None else float(found)


class ObjectivePlugin(Protocol):
    """An objective of an installed package; `unit` may be left out."""

    direction: Direction

    def __call__(self, run: Any) -> float:
        """Return the value for a trained network, an `archsearch.runs.execute.TrainedRun`."""
        ...


def _plain(direction: Direction, name: str, label: str, unit: str, *, short: str | None = None) -> Objective:
    """Return an objective whose value is at the top level of `result.json`."""
    return Objective(direction=direction, source=(name,), label=label, short=short or label, unit=unit)


OBJECTIVES: dict[str, Objective] = {
    "accuracy": Objective(
        direction="maximize",
        source=("accuracy", "validation"),
        label="validation accuracy",
        short="accuracy",
        unit="%",
        measured=True,
    ),
    "loss": Objective(
        direction="minimize",
        source=("loss", "validation"),
        label="validation loss",
        short="loss",
        measured=True,
    ),
    "parameters": _plain("minimize", "parameters", "parameters", "parameters"),
    "macs": _plain("minimize", "macs", "MACs", "MACs"),
    "receptive_field": _plain("maximize", "receptive_field", "receptive field", "px"),
    "activations": _plain("minimize", "activations", "activations", "activations"),
    "seconds": _plain("minimize", "seconds", "training time", "s", short="time"),
    SECONDS: _plain("minimize", SECONDS, "predicted training time", "s", short="predicted time"),
    "images_per_second": _plain("maximize", "images_per_second", "images per second", "images/s"),
}
"""The built-in objectives, by the name in `study.objectives`."""


def require_objective(name: str, where: str = "study.objectives") -> None:
    """Raise `SpecError` at the key `where` unless `name` is a built-in objective or one of an installed package."""
    plugins.require_name(name, OBJECTIVES, plugins.OBJECTIVES, where)


def objective(name: str, where: str = "study.objectives") -> Objective:
    """Return the objective `name`, imported now if it is from an installed package.

    Raises `SpecError` at the key `where` if it does not exist, or if its package cannot be imported.
    """
    if (found := OBJECTIVES.get(name)) is not None:
        return found
    require_objective(name, where)
    added = plugins.load(plugins.OBJECTIVES, name, where)
    label = name.replace("_", " ")
    return Objective(
        direction=added.direction,
        source=("objectives", name),
        label=label,
        short=label,
        unit=getattr(added, "unit", ""),
    )


def added_objectives(names: Iterable[str]) -> dict[str, ObjectivePlugin]:
    """Import and return the objectives among `names` that installed packages add."""
    where = "study.objectives"
    return {name: plugins.load(plugins.OBJECTIVES, name, where) for name in names if name not in OBJECTIVES}

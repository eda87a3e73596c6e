"""Extensions that installed packages add through entry points, imported only when they are selected by name.

A package lists its extensions in its `pyproject.toml`, below `[project.entry-points."archsearch.datasets"]` and the
other groups; see docs/extending.md. Imports the standard library, `decode` and `errors` only.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Any

from archsearch.decode import suggest
from archsearch.errors import SpecError

DATASETS = "archsearch.datasets"
TRACKERS = "archsearch.trackers"
OBJECTIVES = "archsearch.objectives"
SAMPLERS = "archsearch.samplers"


def names(group: str) -> tuple[str, ...]:
    """Return the names that installed packages offer in the entry-point `group`, sorted; nothing is imported."""
    return tuple(sorted({point.name for point in _entry_points(group)}))


def load(group: str, name: str, where: str) -> Any:
    """Import and return the object that the entry point `name` of `group` refers to.

    Raises `SpecError` at the key `where` if no package or more than one provides the name, or if it cannot be imported.
    """
    offered = [point for point in _entry_points(group) if point.name == name]
    if not offered:
        raise SpecError(where, f"no installed package provides '{name}' in {group}", suggest(name, names(group)))
    packages = sorted({_package(point) for point in offered})
    if len(packages) > 1:
        fix = "Uninstall all but one of them."
        raise SpecError(where, f"'{name}' is provided by several packages: {', '.join(packages)}", fix)
    try:
        return offered[0].load()
    except Exception as error:
        what = f"the package {packages[0]} provides '{name}' as {offered[0].value}, which cannot be imported"
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise SpecError(where, f"{what} ({reason})", "Update or reinstall the package, or choose another.") from error


def require_name(name: object, built_in: Iterable[str], group: str, where: str) -> None:
    """Raise `SpecError` at the key `where` unless `name` is one of `built_in` or an entry point of `group`.

    Installed packages are searched only for a name that is not `built_in`.
    """
    known = tuple(built_in)
    if name in known:
        return
    offered = names(group)
    if name not in offered:
        guess = suggest(str(name), (*known, *offered))
        fix = guess if guess.startswith("Did") else f"Choose one of {', '.join((*known, *offered))}."
        raise SpecError(where, f"unknown value '{name}'", fix)


@functools.cache
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=group))


def _package(point: EntryPoint) -> str:
    return "(unknown name)" if point.dist is None else f"{point.dist.name} {point.dist.version}"

"""The table of the operations that the trace knows, filled by the modules that define readers.

A reader takes the recorder and the arguments of the call by name, and returns the index of the step that holds the
result. It raises `SpecError` by `Recorder.refuse` for arguments that no layer supports.
Imports this package only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archsearch.importer.steps import Recorder

Reader = Callable[[Recorder, dict[str, Any]], int]
OPERATIONS: dict[str, Reader] = {}
"""The reader of each ATen operation by name, without the `_` suffix of in-place operations."""


def operation(*names: str) -> Callable[[Reader], Reader]:
    """Register the decorated function as the reader of the operations `names`."""

    def register(reader: Reader) -> Reader:
        OPERATIONS.update(dict.fromkeys(names, reader))
        return reader

    return register


def square(recorder: Recorder, values: Any, name: str) -> int:
    """Return the common value of a pair of equal numbers; raise `SpecError` with their `name` if they differ."""
    pair = [values] if isinstance(values, int) else list(values)
    if len(set(pair)) > 1:
        recorder.refuse(f"a {name} of {' x '.join(map(str, pair))}")
    return int(pair[0])


def dimensions(node: Any) -> int:
    """Return the number of dimensions of a node's tensor, the batch included."""
    return len(node.meta["val"].shape)

"""Changes of a design that may keep a limit: each is an override that a user can type, with the mapping it leads to.

Which of them a limit tries is in `limits`; that they work is found by checking the changed design (`check`).
Imports the design only; no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from archsearch.design.spec import DesignSpec

Change = tuple[str, Mapping[str, Any]]
"""The override as text, and the source of the changed design."""
_TRIES = 200


def set_key(design: DesignSpec, path: tuple[str, ...], value: Any) -> Change:
    """Return the change of one key of the design."""
    return f"arch.{'.'.join(path)}={value}", _with(design.source, path, value)


def set_option(design: DesignSpec, option: str, *values: Any) -> Iterator[Change]:
    """Yield `option` at each of `values`, in each stage whose block has it; the last stage first."""
    for value in values:
        for stage in reversed(design.stages):
            if stage.repeats > 0 and option in stage.use.block.defaults:
                yield set_key(design, ("stages", stage.name, option), value)


def set_block(design: DesignSpec, block: str, **options: Any) -> Iterator[Change]:
    """Yield `block`, with its `options`, in each stage; the last stage first."""
    for stage in reversed(design.stages):
        change, source = set_key(design, ("stages", stage.name, "block"), block)
        for option, value in options.items():
            change += f" arch.stages.{stage.name}.{option}={value}"
            source = _with(source, ("stages", stage.name, option), value)
        yield change, source


def add_repeats(design: DesignSpec, *steps: int) -> Iterator[Change]:
    """Yield each stage longer, or shorter, by each of `steps`; the last stage first."""
    for step in steps:
        for stage in reversed(design.stages):
            if stage.repeats + step >= 1:
                yield set_key(design, ("stages", stage.name, "repeats"), stage.repeats + step)


def narrow(design: DesignSpec) -> Iterator[Change]:
    """Yield the multipliers below the design's own, in hundredths, largest first."""
    if design.width == "fit":
        return
    top = round(design.width * 100)
    steps = sorted({max(1, top - step) for step in (*range(1, 60), *range(60, top, 5))}, reverse=True)
    for step in steps[:_TRIES]:
        yield f"arch.width={step / 100:g}", _with(design.source, ("width",), step / 100)


def _with(source: Mapping[str, Any], path: tuple[str, ...], value: Any) -> Mapping[str, Any]:
    """Return a copy of `source` in which the item at `path` is `value`."""
    head, *rest = path
    inner: Mapping[str, Any] = source.get(head) or {}
    return {**source, head: _with(inner, tuple(rest), value) if rest else value}

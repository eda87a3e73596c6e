"""Self-contained designs: a spec written back as one mapping with every block inlined and every number worked out.

Imports the standard library and this room only.
"""

from __future__ import annotations

from typing import Any

from archsearch.decode import is_list, is_mapping
from archsearch.design.spec import BlockUse, DesignSpec, StageSpec


def self_contained(design: DesignSpec) -> dict[str, Any]:
    """Return a mapping that `decode_design` reads back to an equal network without any other file."""
    source: dict[str, Any] = {
        "name": design.name,
        "input": list(design.input_shape),
        "stem": None if design.stem is None else _stage(design.stem, stem=True),
        "stages": {stage.name: _stage(stage) for stage in design.stages},
        "head": _plain({**design.source["head"], "classes": design.head.classes}),
        "width": design.width,
        "divisor": design.divisor,
    }
    if design.symmetry != "none":
        source["symmetry"] = design.symmetry
    return source


def _stage(stage: StageSpec, *, stem: bool = False) -> dict[str, Any]:
    written: dict[str, Any] = {"block": _block(stage.use), "width": stage.width, **stage.use.options}
    if not stem:
        written["repeats"] = stage.repeats
    if stage.entry is not None:
        written["entry"] = {"block": _block(stage.entry), **stage.entry.options}
    return written


def _block(use: BlockUse) -> Any:
    return _plain({**use.block.source, "name": use.block.name})


def _plain(value: Any) -> Any:
    """Return nested mappings and sequences as dicts and lists of their own, for YAML to write without anchors."""
    if is_mapping(value):
        return {str(key): _plain(item) for key, item in value.items()}
    if is_list(value):
        return [_plain(item) for item in value]
    return value

"""The design of a trial, and the data of its drawing: boxes of its blocks, costs and receptive fields of its stages.

Reads the YAML that a trial records; anything but a valid design gives None, not an error. Imports the packages design
and analysis, yaml inside functions, and neither matplotlib nor torch.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from archsearch.analysis.measure import Footprint, measure, rows, stage_ends, stage_of
from archsearch.config_files import MAX_RECORDED, config_folder, read_recorded
from archsearch.decode import is_mapping
from archsearch.design.layers import BlurPool, ChannelPool, Conv, GlobalPool, Linear, Narrow, Pool, Shuffle, Upsample
from archsearch.design.lower import BETWEEN, JOINED, lower
from archsearch.design.plan import Layer, Parallel, Plan, Sequence
from archsearch.design.spec import decode_design, no_blocks
from archsearch.errors import ArchsearchError
from archsearch.search.storage.read import TrialRead

BoxKind = Literal["convolution", "depthwise", "grouped", "pointwise", "pool", "linear", "identity", "image"]
_LATER: Mapping[str, tuple[Any, ...]] = {"padding": ("padding", "same"), "bias": ("bias", False)}
"""Options that were added to the shipped blocks later, with the values that they have there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The stem, a block of a stage, or a layer of the head, with its output shape."""

    stage: str
    kind: BoxKind
    label: str
    """For example `conv 3×3`."""
    marks: tuple[str, ...]
    """Further properties: `stride 2`, `dilation 2`, `residual`, `gate`, `max pool 2`."""
    shape: tuple[int, int, int]
    """Output shape (C, H, W)."""

    @property
    def text(self) -> str:
        """The label and the marks."""
        return ", ".join([self.label, *self.marks])

    @property
    def is_dilated(self) -> bool:
        """Whether a convolution in it has a dilation above 1."""
        return any(mark.startswith("dilation") for mark in self.marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageField:
    """The receptive field of the centre unit at the end of one or more stages: size and (from, to) per axis, in px."""

    stages: tuple[str, ...]
    size: int
    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLine:
    """One row of a design's table: a stage's blocks in words, output shape, receptive field and cost."""

    name: str
    blocks: str
    shape: tuple[int, int, int]
    receptive_field: int
    parameters: int
    macs: int


def read_design(trial: TrialRead) -> Footprint | None:
    """Return the footprint of the design in the trial's attributes or run directory; None if there is no valid one."""
    text = trial.attrs.get("design")
    mapping = read_recorded(text if isinstance(text, str) else _from_folder(trial.attrs.get("run_dir")))
    try:
        return measure(lower(decode_design(mapping, no_blocks)))
    except (ArchsearchError, ValueError, TypeError, RecursionError, OverflowError):
        return None


def design_mapping(trial: TrialRead) -> Mapping[str, Any] | None:
    """Return the mapping in the YAML of the trial's design; None if it has none that can be read."""
    found = read_recorded(trial.attrs.get("design"))
    return found if is_mapping(found) else None


def blocks_of(trial: TrialRead) -> dict[str, str]:
    """Return the name of each stage's block, in order; empty if the trial has no design.

    A recorded design contains its blocks in full, but those from `${block}` have no name: they are recognised by
    comparison with the shipped blocks.
    """
    design = design_mapping(trial)
    stages = design.get("stages") if design is not None else None
    return {str(name): _block_name(stage) for name, stage in stages.items()} if is_mapping(stages) else {}


def blocks_text(blocks: Mapping[str, str]) -> str:
    """Return blocks in one line: `normal` if all stages share it, else `c1 normal, c2-c3 dilated`."""
    if len(set(blocks.values())) == 1:
        return next(iter(blocks.values()))
    parts = [(block, [stage for stage, _ in group]) for block, group in groupby(blocks.items(), lambda item: item[1])]
    return ", ".join(f"{names[0]}{f'-{names[-1]}' if len(names) > 1 else ''} {block}" for block, names in parts)


def stage_lines(design: Footprint) -> list[StageLine]:
    """Return one line for the stem, for each stage and for the head."""
    found: list[StageLine] = []
    fields, field, costs = field_sizes(design), 1, stage_costs(design)
    for stage, group in groupby(boxes(design.plan), key=lambda box: box.stage):
        members = list(group)
        field = fields.get(stage, field)
        found.append(
            StageLine(
                name=stage,
                blocks="; ".join(repeated(box.text for box in members)),
                shape=members[-1].shape,
                receptive_field=field,
                parameters=costs[stage][0],
                macs=costs[stage][1],
            )
        )
    return found


def repeated(texts: Iterable[str]) -> list[str]:
    """Return each distinct text once, with its count: `2 × conv 3×3`."""
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    return [f"{count} × {text}" if count > 1 else text for text, count in counts.items()]


def boxes(plan: Plan) -> list[Box]:
    """Return the boxes of `plan` in execution order: the stem, every block of every stage, and the head's layers.

    Norms, activations and dropout in the head are left out.
    """
    table = rows(plan)
    shape = plan.input_shape
    found: list[Box] = []
    for path, layer in _blocks(plan):
        inside = [row for row in table if row.name == path or row.name.startswith(f"{path}.")]
        shape = inside[-1].output_shape if inside else shape
        found.append(_box(stage_of(path), layer, shape))
    return found


def joins(plan: Plan) -> list[tuple[str, str]]:
    """Return (origin, stage) for each stage with `from`, inner ones first; the stage also reads the origin's output."""
    found: list[tuple[str, str]] = []
    for part in plan.layers:
        if part.name == "stages":
            _find_joins(part.layers, "", found)
    return found


def _find_joins(stages: Iterable[Layer], before: str, found: list[tuple[str, str]]) -> str:
    """Append the joins of `stages`, which follow the stage `before`, to `found`; return the name of the last stage."""
    for stage in stages:
        assert isinstance(stage, Sequence), "a stage is a sequence of blocks"
        for block in stage.layers:
            if isinstance(block, Parallel) and block.name == JOINED:
                _find_joins(block.branches[0].layers, before, found)
                found.append((before, stage.name))
        before = stage.name
    return before


def stage_costs(design: Footprint) -> dict[str, tuple[int, int]]:
    """Return parameters and MACs of the stem, each stage and the head, in order; their sums are the totals."""
    found = {box.stage: (0, 0) for box in boxes(design.plan)}  # an identity has no row
    for row in design.layers:
        parameters, macs = found.get(stage_of(row.name), (0, 0))
        found[stage_of(row.name)] = parameters + row.parameters, macs + row.macs
    return found


def field_sizes(design: Footprint) -> dict[str, int]:
    """Return the receptive field (px) at the end of each stage, and of the head if its convolutions see more."""
    return {stage: field.size for field in stage_fields(design) for stage in field.stages}


def stage_fields(design: Footprint) -> list[StageField]:
    """Return the receptive field of the centre unit of each stage's output, in order; equal neighbours are merged.

    The stem is included, and so is the head if its convolutions see more than the last stage.
    """
    ends = dict(stage_ends(row for row in design.layers if row.kind == "conv" or stage_of(row.name) != "head"))
    last = [row for stage, row in ends.items() if stage != "head"]
    if last and "head" in ends and design.receptive_field == last[-1].receptive_field:
        del ends["head"]
    found: list[StageField] = []
    for stage, row in ends.items():
        rows, columns = row.middle_field()
        if found and (found[-1].rows, found[-1].columns) == (rows, columns):
            found[-1] = replace(found[-1], stages=(*found[-1].stages, stage))
        else:
            found.append(StageField(stages=(stage,), size=row.receptive_field, rows=rows, columns=columns))
    return found


def _blocks(plan: Plan) -> Iterator[tuple[str, Layer]]:
    for part in plan.layers:
        if part.name == "stages":
            for stage in part.layers:
                yield from _blocks_of_stage(stage, "stages.")
        elif part.name == "head":
            for layer in part.layers:
                if isinstance(layer, Conv | Pool | BlurPool | GlobalPool | Linear | Sequence | Parallel):
                    yield f"head.{layer.name}", layer
        else:
            yield part.name, part


def _blocks_of_stage(stage: Layer, prefix: str) -> Iterator[tuple[str, Layer]]:
    """Yield the blocks of a stage with their paths; those of the stages inside its concatenation come first."""
    assert isinstance(stage, Sequence), "a stage is a sequence of blocks"
    for block in stage.layers:
        path = f"{prefix}{stage.name}.{block.name}"
        if isinstance(block, Parallel) and block.name == JOINED:
            for inner in block.branches[0].layers:
                yield from _blocks_of_stage(inner, f"{path}.{BETWEEN}.")
        else:
            yield path, block


def _box(stage: str, layer: Layer, shape: tuple[int, int, int]) -> Box:
    leaves = list(_main_path([layer]))
    convs = [leaf for leaf in leaves if isinstance(leaf, Conv)]
    windows = [leaf for leaf in leaves if isinstance(leaf, Pool | BlurPool)]
    height, width = max((conv.kernels for conv in convs), key=max, default=(0, 0))
    stride = max((conv.stride for conv in convs), default=1)
    dilation = max((conv.dilation for conv in convs if conv.longest > 1), default=1)
    combined = [leaf for leaf in leaves if isinstance(leaf, Parallel)]
    pools = [f"{_pool(one.kind) if isinstance(one, Pool) else 'blur'} {one.kernel}" for one in windows]
    reductions = [f"global {_pool(one.kind)}" for one in leaves if isinstance(one, GlobalPool)]
    kind: BoxKind
    if any(conv.groups == conv.in_channels > 1 and conv.longest > 1 for conv in convs):
        kind, label = "depthwise", f"depthwise {height}×{width}"
    elif any(conv.groups > 1 for conv in convs):
        kind, label = "grouped", f"grouped {height}×{width}"
    elif convs:
        kind, label = ("convolution" if max(height, width) > 1 else "pointwise"), f"conv {height}×{width}"
    elif any(isinstance(leaf, Linear) for leaf in leaves):
        kind, label = "linear", "linear"
    elif pools or reductions:
        kind, label = "pool", [*pools, *reductions].pop(0)
        pools, reductions = (pools[1:], reductions) if pools else ([], reductions[1:])
    else:
        kind, label = "identity", "identity"
    found = [
        f"stride {stride}" if stride > 1 else "",
        f"dilation {dilation}" if dilation > 1 else "",
        *pools,
        *reductions,
        "upsampling" if any(isinstance(leaf, Upsample) for leaf in leaves) else "",
        "split" if any(isinstance(leaf, Narrow) for leaf in leaves) else "",
        "shuffle" if any(isinstance(leaf, Shuffle) for leaf in leaves) else "",
        "residual" if any(one.combine in ("add", "mean") and len(one.branches) > 1 for one in combined) else "",
        "branches" if any(one.combine == "concat" for one in combined) else "",
        "gate" if any(one.combine == "multiply" for one in combined) else "",
    ]
    marks = tuple(dict.fromkeys(mark for mark in found if mark))
    return Box(stage=stage, kind=kind, label=label, marks=marks, shape=shape)


def _pool(kind: str) -> str:
    return "max pool" if kind == "max" else "mean pool"


def _main_path(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield the leaf layers and the `Parallel` layers, except those on shortcuts and in gates."""
    for layer in layers:
        match layer:
            case Sequence(layers=inner):
                yield from _main_path(inner)
            case Parallel(branches=branches, combine=combine):
                yield layer
                for branch in branches:
                    pools = (isinstance(one, GlobalPool | ChannelPool) for one in _main_path([branch]))
                    gate = combine == "multiply" and any(pools)
                    if branch.name != "shortcut" and not gate:
                        yield from _main_path(branch.layers)
            case _:
                yield layer


def _block_name(stage: Any) -> str:
    block = stage.get("block") if is_mapping(stage) else None
    if isinstance(block, str):
        return block
    if not is_mapping(block):
        return "?"
    return str(block.get("name") or "") or _shipped().get(_identity(block), "unnamed")


@functools.cache
def _shipped() -> dict[str, str]:
    """Return the names of the shipped blocks by their `_identity`."""
    found: dict[str, str] = {}
    for file in sorted((config_folder() / "block").glob("*.yaml")):
        block = read_recorded(file.read_text(encoding="utf-8"))
        if is_mapping(block):
            found.setdefault(_identity(block), file.stem)
    return found


def _identity(block: Mapping[str, Any]) -> str:
    return json.dumps(
        {key: _compared(value) for key, value in block.items() if key != "name"}, sort_keys=True, default=str
    )


def _compared(value: Any) -> Any:
    """Return a block without the padding and bias of the shipped blocks, which the blocks of older designs lack."""
    if is_mapping(value):
        return {key: _compared(one) for key, one in value.items() if key not in _LATER or one not in _LATER[key]}
    return [_compared(one) for one in value] if isinstance(value, list) else value


def _from_folder(folder: Any) -> str | None:
    if not isinstance(folder, str) or "\0" in folder:
        return None
    try:
        file = Path(folder, "design.yaml")
        return file.read_text(encoding="utf-8") if file.is_file() and file.stat().st_size <= MAX_RECORDED else None
    except (OSError, ValueError):
        return None

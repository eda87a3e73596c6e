"""What a drawing of a design shows, as values: boxes of its blocks, costs and receptive fields of its stages.

Reads the plan and its rows. Imports the design and analysis; no matplotlib, no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from archsearch.analysis.measure import Footprint, LayerFootprint, rows
from archsearch.design.geometry import Extent
from archsearch.design.layers import Conv, GlobalPool, Linear, Pool
from archsearch.design.plan import Layer, Parallel, Plan, Sequence

BoxKind = Literal["convolution", "depthwise", "grouped", "pointwise", "pool", "linear", "identity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A block of a stage, or a layer of the head: what it is and what leaves it."""

    stage: str
    kind: BoxKind
    label: str
    """Such as `conv 3×3`."""
    marks: tuple[str, ...]
    """What else there is to know: `stride 2`, `dilation 2`, `residual`, `gate`, `max pool 2`."""
    shape: tuple[int, int, int]
    """(C, H, W) behind it."""

    @property
    def is_dilated(self) -> bool:
        """Whether a convolution in it has a dilation above 1."""
        return any(mark.startswith("dilation") for mark in self.marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What a stage, the stem or the head costs."""

    stage: str
    parameters: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageField:
    """What the centre unit at the end of one or more stages sees: `size` px, and px from and to on both axes."""

    stages: tuple[str, ...]
    size: int
    rows: tuple[int, int]
    columns: tuple[int, int]


def boxes(plan: Plan) -> list[Box]:
    """Return the boxes of `plan`, in the order they run: the stem, every block of every stage, and the head's layers.

    Of the head's layers norms, activations and dropout are left out.
    """
    table = rows(plan)
    shape = plan.input_shape
    found: list[Box] = []
    for path, layer in _blocks(plan):
        inside = [row for row in table if row.name == path or row.name.startswith(f"{path}.")]
        shape = inside[-1].output_shape if inside else shape
        stage = path.split(".")[1] if path.startswith("stages.") else path.split(".")[0]
        found.append(_box(stage, layer, shape))
    return found


def stage_costs(plan: Plan) -> list[StageCost]:
    """Return what the stem, each stage and the head cost, in order; their sums are the footprint's totals."""
    found: dict[str, list[int]] = {box.stage: [0, 0] for box in boxes(plan)}  # an identity has no row
    for row in rows(plan):
        costs = found.setdefault(_stage(row), [0, 0])
        costs[0] += row.parameters
        costs[1] += row.macs
    return [StageCost(stage=stage, parameters=p, macs=m) for stage, (p, m) in found.items()]


def stage_fields(plan: Plan, footprint: Footprint) -> list[StageField]:
    """Return the field of the unit in the middle of each stage's map, in order; equal ones are told once.

    The head counts where its convolutions see more than the last stage does.
    """
    ends = {_stage(row): row for row in rows(plan) if _stage(row) != "head" or row.kind == "conv"}
    last = [row for stage, row in ends.items() if stage != "head"]
    if last and "head" in ends and footprint.receptive_field == last[-1].receptive_field:
        del ends["head"]
    found: list[StageField] = []
    for stage, row in ends.items():
        extent = Extent(row.start, row.receptive_field, row.jump)
        _, height, width = row.output_shape
        seen = StageField(
            stages=(stage,),
            size=extent.size,
            rows=extent.interval(height // 2),
            columns=extent.interval(width // 2),
        )
        if found and (found[-1].rows, found[-1].columns) == (seen.rows, seen.columns):
            found[-1] = StageField(
                stages=(*found[-1].stages, stage), size=seen.size, rows=seen.rows, columns=seen.columns
            )
        else:
            found.append(seen)
    return found


def _stage(row: LayerFootprint) -> str:
    parts = row.name.split(".")
    return parts[1] if parts[0] == "stages" else parts[0]


def _blocks(plan: Plan) -> Iterator[tuple[str, Layer]]:
    for part in plan.layers:
        if part.name == "stages":
            for stage in part.layers:
                assert isinstance(stage, Sequence), "a stage is a sequence of blocks"
                yield from ((f"stages.{stage.name}.{block.name}", block) for block in stage.layers)
        elif part.name == "head":
            for layer in part.layers:
                if isinstance(layer, Conv | Pool | GlobalPool | Linear | Sequence | Parallel):
                    yield f"head.{layer.name}", layer
        else:
            yield part.name, part


def _box(stage: str, layer: Layer, shape: tuple[int, int, int]) -> Box:
    leaves = list(_main_path([layer]))
    convs = [leaf for leaf in leaves if isinstance(leaf, Conv)]
    windows = [leaf for leaf in leaves if isinstance(leaf, Pool)]
    kernel = max((conv.kernel for conv in convs), default=0)
    stride = max((conv.stride for conv in convs), default=1)
    dilation = max((conv.dilation for conv in convs if conv.kernel > 1), default=1)
    combined = [leaf for leaf in leaves if isinstance(leaf, Parallel)]
    pools = [f"{_pool(one.kind)} {one.kernel}" for one in windows]
    reductions = [f"global {_pool(one.kind)}" for one in leaves if isinstance(one, GlobalPool)]
    kind: BoxKind
    if any(conv.groups == conv.in_channels > 1 and conv.kernel > 1 for conv in convs):
        kind, label = "depthwise", f"depthwise {kernel}×{kernel}"
    elif any(conv.groups > 1 for conv in convs):
        kind, label = "grouped", f"grouped {kernel}×{kernel}"
    elif convs:
        kind, label = ("convolution" if kernel > 1 else "pointwise"), f"conv {kernel}×{kernel}"
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
        "residual" if any(one.combine == "add" and len(one.branches) > 1 for one in combined) else "",
        "branches" if any(one.combine == "concat" for one in combined) else "",
        "gate" if any(one.combine == "multiply" for one in combined) else "",
    ]
    marks = tuple(dict.fromkeys(mark for mark in found if mark))
    return Box(stage=stage, kind=kind, label=label, marks=marks, shape=shape)


def _pool(kind: str) -> str:
    return "max pool" if kind == "max" else "mean pool"


def _main_path(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield the leaves and the parallels, without what lies on shortcuts and in gates."""
    for layer in layers:
        match layer:
            case Sequence(layers=inner):
                yield from _main_path(inner)
            case Parallel(branches=branches, combine=combine):
                yield layer
                for branch in branches:
                    gate = combine == "multiply" and any(isinstance(one, GlobalPool) for one in _main_path([branch]))
                    if branch.name != "shortcut" and not gate:
                        yield from _main_path(branch.layers)
            case _:
                yield layer

"""Division of a traced network into blocks, and grouping of equal neighbouring blocks into the stages of a design.

A block is a module whose class, written by the author, merges feature maps itself (a residual block) or occurs several
times; otherwise, a `torch.nn.Sequential` that is an item of a list. Layers between such modules are cut before each
convolution. Consecutive blocks of one form become a stage with `repeats`; if only the first differs, it is the stage's
`entry`. Imports the design and this package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Listed
from dataclasses import dataclass, field
from typing import Any

from archsearch.design.layers import Conv, Dropout, GlobalPool, Linear, Pool
from archsearch.design.plan import Layer, Parallel
from archsearch.importer.forms import Form, block_source, unified
from archsearch.importer.steps import Step
from archsearch.importer.writer import SEQUENTIAL, Writer

_TORCH = "torch.nn.modules."  # prefix of torch's own classes, which are never blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The stages and the head of a design as mappings, and the steps of its layers in the order of the design."""

    stages: dict[str, Any]
    head: dict[str, Any]
    order: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Block:
    """Consecutive layers of one block of a stage."""

    path: str
    """The path of the author's module; that of the first layer if the block is loose."""
    kind: str
    """The class of the author's module; empty if the block is loose, that is, cut from layers between such modules."""
    layers: list[Layer] = field(default_factory=list[Layer])

    @property
    def parent(self) -> str:
        """The path of the enclosing module."""
        return _parent(self.path)


def written(layers: tuple[Layer, ...], steps: Listed[Step], classes: int) -> Written:
    """Return the stages and the head of the traced `layers`, which are named by the indices of their `steps`."""
    cut = _start_of_head(layers, steps, classes)
    blocks = _blocks(layers[:cut], steps)
    writer = Writer(steps, _projecting(blocks))
    stages = _stages(blocks, writer)
    return Written(stages=stages, head=_head(layers[cut:], writer, classes), order=tuple(writer.order))


def _start_of_head(layers: tuple[Layer, ...], steps: Listed[Step], classes: int) -> int:
    """Return the index in `layers` at which the head begins.

    This is the first global pool or dense layer after the last merge, or, if earlier, the last convolution or dense
    layer if it has as many outputs as there are classes. Dropout directly before it in the same module belongs to it.
    """
    start = len(layers)
    while start and not isinstance(layers[start - 1], Parallel):
        start -= 1
    flat = next((place for place in range(start, len(layers)) if getattr(layers[place], "is_global", False)), None)
    cut = len(layers) if flat is None else flat
    heavy = [place for place in range(start, len(layers)) if isinstance(layers[place], Conv | Linear)]
    if heavy and _outputs(layers[heavy[-1]]) == classes:
        cut = min(cut, heavy[-1])
    modules = [_parent(steps[int(layer.name)].origin.path) for layer in layers]
    while start < cut < len(layers) and isinstance(layers[cut - 1], Dropout) and modules[cut - 1] == modules[cut]:
        cut -= 1
    return cut


def _outputs(layer: Layer) -> int:
    match layer:
        case Conv():
            return layer.out_channels
        case Linear():
            return layer.out_features
        case _:
            return 0


def _blocks(layers: Iterable[Layer], steps: Listed[Step]) -> list[Block]:
    """Return the blocks that the layers are cut into."""
    kinds = _block_classes(steps)
    found: list[Block] = []
    for layer in layers:
        modules = steps[int(layer.name)].origin.modules
        listed = [(path, kind) for path, kind in modules if kind == SEQUENTIAL and path.rpartition(".")[2].isdecimal()]
        path, kind = next((one for one in modules if one[1] in kinds), listed[-1] if listed else ("", ""))
        last = found[-1] if found else None
        if kind:
            if last is None or (last.kind, last.path) != (kind, path):
                found.append(Block(path=path, kind=kind))
        elif last is None or last.kind or _begins(layer, modules[-1][0] if modules else "", last):
            found.append(Block(path=modules[-1][0] if modules else "", kind=""))
        found[-1].layers.append(layer)
    return found


def _begins(layer: Layer, path: str, block: Block) -> bool:
    """Return whether a loose layer after the loose `block` begins a new one.

    A convolution or merge does if the block has one already, or has a pool and another parent module. A pool with a
    stride does if the block has a stride already, or has another parent module; in the latter case not if the code
    around both calls the pool.
    """
    if isinstance(layer, Pool):
        strided = any(isinstance(each, Conv | Pool) and each.stride > 1 for each in block.layers)
        called = not path or f"{block.path}.".startswith(f"{path}.")
        return layer.stride > 1 and (strided or (_parent(path) != _parent(block.path) and not called))
    heavy = (Conv, Parallel) if _parent(path) == _parent(block.path) else (Conv, Parallel, Pool)
    return isinstance(layer, Conv | Parallel) and any(isinstance(each, heavy) for each in block.layers)


def _block_classes(steps: Listed[Step]) -> frozenset[str]:
    """Return the author's classes that are blocks: those that merge feature maps, and repeated ones without these."""
    paths: dict[str, set[str]] = {}
    inside: dict[str, set[str]] = {}
    merging: set[str] = set()
    for step in steps:
        modules = step.origin.modules
        if step.combine is not None and modules:
            merging.add(modules[-1][1])
        for place, (path, kind) in enumerate(modules):
            paths.setdefault(kind, set()).add(path)
            inside.setdefault(kind, set()).update(inner for _, inner in modules[place + 1 :])
    own = {kind for kind in paths if not kind.startswith(_TORCH)}
    recurring = {kind for kind in own if len(paths[kind]) > 1 and not inside[kind] & merging}
    return frozenset((merging & own) | recurring)


def _projecting(blocks: Iterable[Block]) -> frozenset[str]:
    """Return the classes of blocks with a projecting shortcut: in one block, all branches of a sum have layers."""
    return frozenset(
        block.kind
        for block in blocks
        for layer in block.layers
        if isinstance(layer, Parallel) and layer.combine == "add" and all(each.layers for each in layer.branches)
    )


def _stages(blocks: Listed[Block], writer: Writer) -> dict[str, Any]:
    """Return the stages, with equal neighbours folded into one."""
    stages: dict[str, Any] = {}
    index = 0
    while index < len(blocks):
        entry = writer.form(blocks[index].layers, blocks[index].path, blocks[index].kind)
        form, repeats = _repeated(blocks, index, entry, writer)
        used = {"block": block_source(form), "width": form.width, **form.stride_option}
        if repeats == 1 and (rest := _after_entry(blocks, index, entry, writer)) is not None:
            form, repeats = rest[0], rest[1] + 1
            used["block"], used["entry"] = block_source(form), {"block": block_source(entry)}
        if repeats > 1:
            used["repeats"] = repeats
        stages[_stage_name(blocks, index, repeats, stages)] = used
        index += repeats
    return stages


def _repeated(blocks: Listed[Block], index: int, form: Form, writer: Writer) -> tuple[Form, int]:
    """Return the common form of the block at `index` and of the equal blocks after it, and their number."""
    repeats = 1
    while index + repeats < len(blocks) and form.stride is not None:
        mark = len(writer.order)
        following = _neighbour(blocks, index, index + repeats, writer)
        both = unified(form, following) if following is not None else None
        if both is None:
            del writer.order[mark:]
            break
        form, repeats = both, repeats + 1
    return form, repeats


def _after_entry(blocks: Listed[Block], index: int, entry: Form, writer: Writer) -> tuple[Form, int] | None:
    """Return form and number of the equal blocks after an `entry` that differs; None if they cannot form a stage."""
    if index + 1 >= len(blocks) or not blocks[index].kind or entry.stride is None:
        return None
    mark = len(writer.order)
    form = _neighbour(blocks, index, index + 1, writer)
    if form is None or form.width != entry.width:
        del writer.order[mark:]
        return None
    return _repeated(blocks, index + 1, form, writer)


def _neighbour(blocks: Listed[Block], first: int, other: int, writer: Writer) -> Form | None:
    """Return the form of a later block; None unless it has the first block's class and parent, and stride 1."""
    one, two = blocks[first], blocks[other]
    if one.kind != two.kind or one.parent != two.parent:
        return None
    form = writer.form(two.layers, two.path, two.kind)
    return form if form.stride == 1 else None


def _stage_name(blocks: Listed[Block], index: int, repeats: int, taken: Mapping[str, Any]) -> str:
    """Return a name from the author's paths: of the module that contains just this stage, else of the first block."""
    first = blocks[index]
    around = [path for path in (first.parent, _parent(first.path)) if path]
    alone = (path for path in around if sum(each.path.startswith(f"{path}.") for each in blocks) == repeats)
    name = re.sub(r"\W", "_", next(alone, first.path)) or "stage"
    name = name if name.isidentifier() else f"stage_{name}"
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _head(tail: tuple[Layer, ...], writer: Writer, classes: int) -> dict[str, Any]:
    """Return the head for the last layers, `tail`."""
    match tail:
        case (GlobalPool() as pool, Linear(out_features=outputs) as last) if outputs == classes:
            rate = {}
        case (GlobalPool() as pool, Dropout(channelwise=False) as drop, Linear(out_features=outputs) as last) if (
            outputs == classes
        ):
            rate = {"dropout": drop.rate}
        case (GlobalPool() as pool, *_, Conv() | Linear() as last) if _outputs(last) == classes:
            writer.order.append(int(pool.name))
            behind = writer.head_layers(tail[1:], classes)
            return {"pool": f"global_{pool.kind}", "classifier": behind, "classes": classes}
        case _:
            layers = {"layers": writer.head_layers(tail, classes)} if tail else {}
            return {**layers, "pool": "none", "linear": False, "classes": classes}
    writer.order += [int(each.name) for each in tail]
    return {"pool": f"global_{pool.kind}", **rate, **({} if last.bias else {"bias": False}), "classes": classes}


def _parent(path: str) -> str:
    return path.rpartition(".")[0]

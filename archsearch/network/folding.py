"""A traced network written as a design: its modules become stages of repeated blocks, its sizes expressions.

A block is a module of a class of the author's that merges maps itself (a residual block), or that recurs; what lies
between blocks is cut before each convolution. Consecutive blocks of one form fold into a stage with `repeats`. A size
is written as `out`, `in` or a multiple of them where that holds for every block of the stage, so that `arch.width=`,
fixes and sweeps act on an imported design; otherwise as a number.
Imports the design and the trace.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Listed
from dataclasses import dataclass, field
from typing import Any, assert_never

from archsearch.design.layers import Activation, Conv, Dropout, GlobalPool, Linear, Norm, Pool, Primitive
from archsearch.design.plan import Layer, Parallel, Sequence
from archsearch.errors import SpecError
from archsearch.network.trace import Step

MOST = 16  # largest factor between two sizes that is written as an expression
PLAIN = "torch.nn.modules."  # classes of torch itself, which are never blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The mapping of a design, and the steps of its layers in the order in which the design has them."""

    stages: dict[str, Any]
    head: dict[str, Any]
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """A number with the expressions that give it, best first, the number itself last."""

    texts: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Stride:
    """A stride, which only the first block of a stage may have."""

    value: int


@dataclass(slots=True, kw_only=True)
class Block:
    """Consecutive layers of one stage, before equal ones are folded."""

    path: str
    """Of the author's module; of the first layer where it is loose."""
    layers: list[Layer] = field(default_factory=list[Layer])
    loose: bool = False
    """Whether it was cut from layers between blocks."""


def written(layers: tuple[Layer, ...], steps: Listed[Step], classes: int) -> Written:
    """Return stages and head of the traced `layers`, named by the indices of their `steps`."""
    body, tail = _split_tail(layers)
    writer = _Writer(steps)
    stages = writer.stages(_blocks(body, steps))
    return Written(stages=stages, head=writer.head(tail, classes), order=tuple(writer.order))


def _split_tail(layers: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """Return the layers before the last global pool or dense layers, and those from there on."""
    for index, layer in enumerate(layers):
        rest = layers[index:]
        if getattr(layer, "is_global", False) and not any(isinstance(each, Parallel) for each in rest):
            return layers[:index], rest
    return layers, ()


def _blocks(layers: Iterable[Layer], steps: Listed[Step]) -> list[Block]:
    """Return the layers cut into blocks."""
    kinds = _block_classes(steps)
    found: list[Block] = []
    for layer in layers:
        modules = steps[int(layer.name)].modules
        path = next((path for path, kind in modules if kind in kinds), None)
        if path is not None:
            if not found or found[-1].loose or found[-1].path != path:
                found.append(Block(path=path))
        elif not found or not found[-1].loose or _begins(layer, found[-1]):
            found.append(Block(path=modules[-1][0] if modules else "", loose=True))
        found[-1].layers.append(layer)
    return found


def _begins(layer: Layer, block: Block) -> bool:
    """Return whether a layer between blocks begins a new one: a second convolution, or anything after a merge."""
    heavy = (Conv, Parallel)
    return isinstance(layer, heavy) and any(isinstance(each, heavy) for each in block.layers)


def _block_classes(steps: Listed[Step]) -> frozenset[str]:
    """Return the author's classes that are blocks: those that merge maps, and recurring ones without these inside."""
    paths: dict[str, set[str]] = {}
    inside: dict[str, set[str]] = {}
    merging: set[str] = set()
    for step in steps:
        if step.combine is not None and step.modules:
            merging.add(step.modules[-1][1])
        for place, (path, kind) in enumerate(step.modules):
            paths.setdefault(kind, set()).add(path)
            inside.setdefault(kind, set()).update(inner for _, inner in step.modules[place + 1 :])
    own = {kind for kind in paths if not kind.startswith(PLAIN)}
    recurring = {kind for kind in own if len(paths[kind]) > 1 and not inside[kind] & merging}
    return frozenset((merging & own) | recurring)


class _Writer:
    def __init__(self, steps: Listed[Step]) -> None:
        self._steps = steps
        self.order: list[int] = []

    def stages(self, blocks: list[Block]) -> dict[str, Any]:
        """Return the stages, equal neighbours folded."""
        stages: dict[str, Any] = {}
        index = 0
        while index < len(blocks):
            first = blocks[index]
            form, width, strides = self._form(first)
            repeats = 1
            while index + repeats < len(blocks) and not first.loose and len(strides) <= 1:
                following = blocks[index + repeats]
                if following.loose or _parent(following.path) != _parent(first.path):
                    break
                mark = len(self.order)
                other, other_width, other_strides = self._form(following)
                merged = _unified(form, other)
                if merged is None or other_width != width or other_strides:
                    del self.order[mark:]
                    break
                form = merged
                repeats += 1
            name = self._stage_name(first, blocks, stages, repeats)
            stages[name] = _stage(form, width, repeats, strides)
            index += repeats
        return stages

    def head(self, tail: tuple[Layer, ...], classes: int) -> dict[str, Any]:
        """Return the head for the layers at the end."""
        match tail:
            case (GlobalPool() as pool, *dropout, Linear(bias=True) as linear) if (
                linear.out_features == classes
                and all(isinstance(each, Dropout) and not each.channelwise for each in dropout[:1])
                and len(dropout) <= 1
            ):
                self.order += [int(each.name) for each in tail]
                rates = [each.rate for each in dropout if isinstance(each, Dropout)]
                rate = {"dropout": rates[0]} if rates else {}
                return {"pool": f"global_{pool.kind}", **rate, "classes": classes}
            case _:
                channels = self._channels_before(tail) if tail else 0
                items = [_literal(item) for item in self._items(tail, "", channels, channels, 0)]
                return {"layers": items, "pool": "none", "linear": False, "classes": classes}

    def _channels_before(self, layers: Listed[Layer]) -> int:
        return self._steps[self._steps[int(layers[0].name)].inputs[0]].shape[0] if layers else 0

    def _form(self, block: Block) -> tuple[dict[str, Any], int, set[int]]:
        """Return the form of a block with its sizes open, its width, and its strides other than 1."""
        before = self._input_channels(block.layers[0])
        out = self._steps[int(block.layers[-1].name)].shape[0]
        items = self._items(block.layers, block.path, before, before, out)
        strides = {each.value for each in _strides(items) if each.value > 1}
        return {"layers": items}, out, strides

    def _input_channels(self, layer: Layer) -> int:
        """Return the channels that enter a layer."""
        if isinstance(layer, Parallel):
            step = self._steps[int(layer.name)]
            for branch, index in zip(layer.branches, step.inputs, strict=True):
                if branch.layers:
                    return self._input_channels(branch.layers[0])
                return self._steps[index].shape[0]
        return self._steps[self._steps[int(layer.name)].inputs[0]].shape[0]

    def _items(self, layers: Listed[Layer], within: str, before: int, channels: int, out: int) -> list[Any]:
        """Return the YAML items of layers; `channels` enter the first, `before` entered the block, `out` leave it."""
        items: list[Any] = []
        names = Counter[str]()
        for layer in layers:
            step = self._steps[int(layer.name)]
            if isinstance(layer, Parallel):
                item = self._merge(layer, within, before, channels, out)
            else:
                assert not isinstance(layer, Sequence), "a trace has no nested sequences"
                self.order.append(int(layer.name))
                item = _item(layer, {"out": out, "in": channels, "block_in": before})
            name = _name(step.path, within)
            if name:
                names[name] += 1
                item["name"] = name if names[name] == 1 else f"{name}_{names[name]}"
            items.append(item)
            channels = step.shape[0]
        return items

    def _merge(self, layer: Parallel, within: str, before: int, channels: int, out: int) -> dict[str, Any]:
        branches = layer.branches
        if layer.combine == "add" and len(branches) == 2:
            mains = [branch for branch in branches if not _is_shortcut(branch)]
            if len(mains) == 1 and mains[0].layers:
                main = self._items(mains[0].layers, within, before, channels, out)
                shortcut = next(branch for branch in branches if branch is not mains[0])
                self.order += [int(each.name) for each in shortcut.layers]
                return {"residual": {"layers": main, "shortcut": "project"}}
        made = {branch.name: self._items(branch.layers, within, before, channels, out) for branch in branches}
        return {"parallel": {"combine": layer.combine, "branches": made}}

    def _stage_name(self, first: Block, blocks: list[Block], taken: Mapping[str, Any], repeats: int) -> str:
        """Return a name from the author's path: that of the parent where it holds this one stage, else its own."""
        parent = _parent(first.path)
        siblings = sum(_parent(each.path) == parent for each in blocks)
        path = parent if parent and siblings == repeats else first.path
        name = re.sub(r"\W", "_", path) or "stage"
        name = name if name.isidentifier() else f"stage_{name}"
        number, free = 2, name
        while free in taken:
            free, number = f"{name}_{number}", number + 1
        return free


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _name(path: str, within: str) -> str:
    """Return the name of a layer within its block: the rest of the author's path as an identifier; '' for none."""
    rest = path[len(within) :].lstrip(".") if path == within or path.startswith(f"{within}.") or not within else path
    name = re.sub(r"\W", "_", rest)
    return f"layer_{name}" if name[:1].isdigit() else name


def _is_shortcut(branch: Sequence) -> bool:
    """Return whether a branch is what a residual of the language has as its shortcut."""
    match branch.layers:
        case ():
            return True
        case (Conv(kernel=1, groups=1, bias=False, padding=(0, 0)), Norm(kind="batch")):
            return True
        case _:
            return False


def _size(value: int, known: Mapping[str, int]) -> Size:
    """Return the expressions over `known` sizes that give `value`."""
    texts: list[str | int] = [name for name, size in known.items() if size == value]
    for name, size in known.items():
        if size and value != size and value % size == 0 and value // size <= MOST:
            texts.append(f"{name} * {value // size}")
        if size and value != size and size % value == 0 and size // value <= MOST:
            texts.append(f"{name} // {size // value}")
    return Size((*texts, value))


def _item(layer: Primitive, known: Mapping[str, int]) -> dict[str, Any]:
    """Return the YAML of a layer, without what is the default."""
    match layer:
        case Conv():
            depthwise = layer.groups == layer.in_channels > 1
            fields: dict[str, Any] = {"out": _size(layer.out_channels, known), "kernel": layer.kernel}
            if depthwise and layer.out_channels == layer.in_channels:
                fields["out"] = Size(("in", layer.out_channels))
            fields |= {"stride": Stride(layer.stride), "dilation": layer.dilation}
            if layer.groups > 1:
                fields["groups"] = Size(("in", layer.groups)) if depthwise else Size((layer.groups,))
            fields |= _padding(layer.padding, layer.dilation * (layer.kernel - 1), "same")
            if layer.bias:
                fields["bias"] = True
            return {"conv": {name: value for name, value in fields.items() if (name, value) != ("dilation", 1)}}
        case Norm():
            return {"norm": {"kind": "group", "groups": layer.groups} if layer.kind == "group" else layer.kind}
        case Activation():
            return {"act": layer.kind}
        case Dropout():
            return {"dropout": {"rate": layer.rate, "channelwise": True} if layer.channelwise else layer.rate}
        case Pool():
            window = {"kind": layer.kind, "kernel": layer.kernel, "stride": Stride(layer.stride)}
            return {"pool": {**window, **_padding(layer.padding, layer.kernel - 1, "same")}}
        case GlobalPool():
            return {"pool": f"global_{layer.kind}"}
        case Linear():
            features = {} if layer.in_features == known["in"] else {"in": Size((*_multiples(layer, known),))}
            return {"linear": {**features, "out": layer.out_features, **({} if layer.bias else {"bias": False})}}
        case _:
            assert_never(layer)


def _multiples(layer: Linear, known: Mapping[str, int]) -> Iterator[str | int]:
    """Yield the expressions of a dense layer's inputs: the elements of the map are a multiple of its channels."""
    if layer.in_features % known["in"] == 0:
        yield f"in * {layer.in_features // known['in']}"
    yield layer.in_features


def _padding(padding: tuple[int, int], reach: int, default: str) -> dict[str, Any]:
    before, after = padding
    if padding == (reach // 2, reach - reach // 2):
        return {} if default == "same" else {"padding": "same"}
    if padding == (0, 0):
        return {"padding": "valid"}
    if before != after:
        raise SpecError("", f"a design cannot express padding of {before} px before and {after} px after")
    return {"padding": before}


def _strides(form: Any) -> Iterator[Stride]:
    if isinstance(form, Stride):
        yield form
    elif isinstance(form, dict):
        for value in form.values():
            yield from _strides(value)
    elif isinstance(form, list):
        for value in form:
            yield from _strides(value)


def _unified(one: Any, other: Any) -> Any:
    """Return the form of two blocks with the expressions that hold for both; None where their forms differ."""
    if isinstance(one, Size) and isinstance(other, Size):
        both = tuple(text for text in one.texts if text in other.texts)
        return Size(both) if both else None
    if isinstance(one, Stride) and isinstance(other, Stride):
        return one
    if isinstance(one, dict) and isinstance(other, dict):
        if list(one) != list(other):
            return None
        made = {key: _unified(one[key], other[key]) for key in one}
        return None if any(value is None for value in made.values()) else made
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return None
        made_list = [_unified(left, right) for left, right in zip(one, other, strict=True)]
        return None if any(value is None for value in made_list) else made_list
    return one if type(one) is type(other) and one == other else None


def _stage(form: dict[str, Any], width: int, repeats: int, strides: set[int]) -> dict[str, Any]:
    """Return a stage of the design."""
    layers = form["layers"]
    block: dict[str, Any] = {}
    option = len(strides) == 1
    if option:
        block["options"] = {"stride": 1}
    if len(layers) == 1 and list(layers[0]) in (["residual"], ["residual", "name"]):
        layers, block["residual"] = layers[0]["residual"]["layers"], layers[0]["residual"]["shortcut"]
    block["layers"] = [_literal(item, "stride" if option else None) for item in layers]
    stage: dict[str, Any] = {"block": block, "width": width}
    if option:
        stage["stride"] = next(iter(strides))
    if repeats > 1:
        stage["repeats"] = repeats
    return stage


def _literal(form: Any, stride: str | None = None) -> Any:
    """Return the form with the best expression of each size; strides other than 1 are `stride` where it is given."""
    match form:
        case Size():
            return form.texts[0]
        case Stride():
            return stride if stride is not None and form.value > 1 else form.value
        case dict():
            made = {key: _literal(value, stride) for key, value in form.items()}
            return {
                key: value for key, value in made.items() if not (key == "stride" and value == 1 and "kind" not in made)
            }
        case list():
            return [_literal(value, stride) for value in form]
        case _:
            return form

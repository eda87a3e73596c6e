"""Writes the layers of a trace as YAML of the design language, with the author's names.

Sizes are expressions in `out`, `in` and `block_in`: the channels that leave the block, enter the layer and enter the
block. Imports the design and this package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Listed
from typing import Any, assert_never

from archsearch.design.geometry import pool_padding
from archsearch.design.kinds import SIDES
from archsearch.design.layers import (
    Activation,
    BlurPool,
    ChannelPool,
    Clamp,
    Conv,
    Dropout,
    DropPath,
    GlobalPool,
    Linear,
    Narrow,
    Norm,
    Pad,
    PadChannels,
    Pool,
    Primitive,
    Scale,
    Shuffle,
    Upsample,
)
from archsearch.design.plan import Layer, Parallel, Sequence
from archsearch.design.pointwise import EPS
from archsearch.design.resize import Sides
from archsearch.importer.forms import Choice, Form, Option, literal
from archsearch.importer.steps import Step

SEQUENTIAL = "torch.nn.modules.container.Sequential"
MOST = 16  # largest ratio of two sizes that is written as an expression


class Writer:
    """Writes layers; `order` lists the steps of the layers written so far, in the order of the design's layers."""

    def __init__(self, steps: Listed[Step], projecting: frozenset[str]) -> None:
        """Create a writer of layers named by indices of `steps`; blocks of `projecting` classes project shortcuts."""
        self._steps, self._projecting = steps, projecting
        self.order: list[int] = []

    def form(self, layers: Listed[Layer], path: str, kind: str) -> Form:
        """Return the form of a block: the author's module at `path` of class `kind`, or loose layers (empty `kind`)."""
        before, last = self._channels_into(layers[0]), self._steps[int(layers[-1].name)]
        sizes = {"out": last.shape[0], "block_in": before}
        within = path if kind else path.rpartition(".")[0]
        shortcuts: tuple[str, ...] = ("project", "if_same_shape")
        if kind not in self._projecting:
            shortcuts = shortcuts[::-1]
        items = self._items(layers, within, before, sizes, shortcuts[0], loose=kind in ("", SEQUENTIAL))
        same = last.shape[0] == before and Sequence(name="", layers=tuple(layers)).total_stride == 1
        match items:
            case [{"residual": {"layers": main}}]:
                assert isinstance(layers[0], Parallel), "a residual is a merge"
                projected = all(branch.layers for branch in layers[0].branches)
                choice = Choice(("project",) if projected else shortcuts)
                return Form(layers=main, residual=choice, width=last.shape[0])
            case _:
                choice = Choice(("none",) if same else ("none", "if_same_shape"))
                return Form(layers=items, residual=choice, width=last.shape[0])

    def head_layers(self, layers: Listed[Layer], classes: int) -> list[Any]:
        """Return the layers of a head as YAML; sizes are numbers, except `classes` in the layer with that output."""
        if not layers:
            return []
        items = self._items(layers, "", self._channels_into(layers[0]), {}, "if_same_shape")
        for item in reversed(items):
            if (fields := item.get("conv") or item.get("linear")) is not None:
                if fields["out"] == Choice((classes,)):
                    fields["out"] = "classes"
                break
        return [literal(item) for item in items]

    def _channels_into(self, layer: Layer) -> int:
        """Return the number of channels that enter a layer."""
        step = self._steps[int(layer.name)]
        if isinstance(layer, Parallel):
            for branch, end in zip(layer.branches, step.inputs, strict=True):
                return self._channels_into(branch.layers[0]) if branch.layers else self._steps[end].shape[0]
        return self._steps[step.inputs[0]].shape[0]

    def _items(
        self,
        layers: Listed[Layer],
        within: str,
        channels: int,
        sizes: Mapping[str, int],
        shortcut: str,
        *,
        loose: bool = False,
    ) -> list[Any]:
        """Return the YAML of layers below the module `within`; `channels` enter the first.

        If `loose` (loose layers, or those of a `Sequential`), positions in a list do not serve as names: layers are
        then named by their kinds.
        """
        items: list[Any] = []
        taken: set[str] = set()
        for layer in layers:
            step = self._steps[int(layer.name)]
            if isinstance(layer, Parallel):
                item = self._merge(layer, within, channels, sizes, shortcut)
            else:
                assert not isinstance(layer, Sequence), "a trace has no nested sequences"
                self.order.append(int(layer.name))
                item = _item(layer, channels, sizes)
            name = _name(step.origin.path, within)
            if name and not (loose and name.removeprefix("layer_").isdigit()):
                item["name"] = _free(name, taken)
            taken.add(item.get("name") or _free(next(iter(item)), taken))
            items.append(item)
            channels = step.shape[0]
        return items

    def _merge(
        self, layer: Parallel, within: str, channels: int, sizes: Mapping[str, int], shortcut: str
    ) -> dict[str, Any]:
        branches = layer.branches
        if layer.combine == "add" and len(branches) == 2:
            mains = [branch for branch in branches if not _is_shortcut(branch)]
            if len(mains) == 1:
                main = self._items(mains[0].layers, within, channels, sizes, shortcut)
                others = next(branch for branch in branches if branch is not mains[0]).layers
                self.order += [int(each.name) for each in others]
                return {"residual": {"layers": main, "shortcut": "project" if others else shortcut}}
        prefixes = [self._prefix(branch.layers, within) for branch in branches]
        names = _branch_names([_name(prefix, within) for prefix in prefixes], layer)
        parts = _parts(branches, channels)
        made: dict[str, Any] = {}
        for name, prefix, branch in zip(names, prefixes, branches, strict=True):
            layers, inside = branch.layers, channels
            if parts:
                first, *layers = branch.layers
                self.order.append(int(first.name))
                inside = self._steps[int(first.name)].shape[0]
            made[name] = self._items(layers, prefix, inside, sizes, shortcut)
        if not parts:
            return {"parallel": {"combine": layer.combine, "branches": made}}
        known = {"in": channels, **sizes}
        each: dict[str, Any] = {name: _size(size, known) for name, size in zip(names, parts, strict=True)}
        split = "equal" if len(set(parts)) == 1 else each
        return {"parallel": {"combine": layer.combine, "split": split, "branches": made}}

    def _prefix(self, layers: Listed[Layer], within: str) -> str:
        """Return the path of the innermost module that contains all `layers`; `within` if that is not below it."""
        paths = [path.split(".") for path in self._paths(layers)]
        common: list[str] = []
        for parts in zip(*paths, strict=False):
            if len(set(parts)) > 1:
                break
            common.append(parts[0])
        path = ".".join(common)
        return path if not within or path.startswith(f"{within}.") else within

    def _paths(self, layers: Listed[Layer]) -> Iterator[str]:
        for layer in layers:
            yield self._steps[int(layer.name)].origin.path
            if isinstance(layer, Parallel):
                for branch in layer.branches:
                    yield from self._paths(branch.layers)


def _parts(branches: Listed[Sequence], channels: int) -> list[int]:
    """Return the channels of each branch if the branches split all `channels` in order; empty if they do not."""
    sizes: list[int] = []
    for branch in branches:
        first = branch.layers[0] if branch.layers else None
        if not isinstance(first, Narrow) or first.start != sum(sizes):
            return []
        sizes.append(first.out_channels)
    return sizes if sum(sizes) == channels else []


def _branch_names(found: list[str], layer: Parallel) -> list[str]:
    """Return the names of branches: the author's names `found`, `main` and `shortcut`, or numbered names."""
    light = [all(isinstance(each, Norm | Pool) or _is_pointwise(each) for each in one.layers) for one in layer.branches]
    if layer.combine == "add" and len(light) == 2 and sum(light) == 1:
        return ["shortcut" if each else "main" for each in light]
    names = [name if branch.layers else "identity" for name, branch in zip(found, layer.branches, strict=True)]
    if len({*names}) < len(names) or not all(names):
        return [branch.name for branch in layer.branches]
    return names


def _is_pointwise(layer: Layer) -> bool:
    return isinstance(layer, Conv) and layer.longest == 1


def _is_shortcut(branch: Sequence) -> bool:
    """Return whether a branch is a shortcut of a residual in the design language."""
    match branch.layers:
        case ():
            return True
        case (Conv(kernel=1, groups=1, bias=False, padding=(0, 0)) as conv, Norm(kind="batch", eps=eps)):
            changes = conv.stride > 1 or conv.in_channels != conv.out_channels  # only then does a residual project
            return eps == EPS and changes and type(conv) is Conv
        case _:
            return False


def _name(path: str, within: str) -> str:
    """Return the name of a layer within its block: the rest of the author's path as an identifier; '' if empty."""
    rest = path[len(within) :].lstrip(".") if not within or path == within or path.startswith(f"{within}.") else path
    name = re.sub(r"\W", "_", rest)
    return f"layer_{name}" if name[:1].isdigit() else name


def _free(name: str, taken: set[str]) -> str:
    """Return `name`, with a number if it is taken."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _size(value: int, known: Mapping[str, int]) -> Choice:
    """Return the expressions in `known` sizes that equal `value`, best first, the number itself last.

    The order follows usual designs: a layer has the block's output width, expands its input, or narrows the output
    width.
    """
    equal = [name for name, size in known.items() if size == value]
    larger = [f"{name} * {value // size}" for name, size in known.items() if _is_factor(size, value)]
    smaller = [f"{name} // {size // value}" for name, size in known.items() if _is_factor(value, size)]
    return Choice((*equal, *larger[::-1], *smaller, value))


def _is_factor(small: int, large: int) -> bool:
    return small < large <= small * MOST and large % small == 0


def _item(layer: Primitive, channels: int, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return the YAML of a layer without default values; `sizes` are those of its block, empty in a head."""
    known = {"out": sizes["out"], "block_in": sizes["block_in"], "in": channels} if sizes else {}
    match layer:
        case Conv():
            window = layer.longest > 1
            depthwise = layer.groups == layer.in_channels == layer.out_channels > 1
            fields: dict[str, Any] = {
                "out": Choice(("in", layer.out_channels)) if depthwise else _size(layer.out_channels, known),
                "kernel": _kernel(layer),
                "stride": Option("stride", layer.stride),
                "dilation": Option("dilation", layer.dilation) if window else layer.dilation,
            }
            if layer.groups > 1:
                each = layer.groups == layer.in_channels
                fields["groups"] = Choice(("in", layer.groups) if each else (layer.groups,))
            fields |= _conv_padding(layer)
            return {"conv": {**fields, "bias": True} if layer.bias else fields}
        case Norm():
            groups = {"groups": layer.groups} if layer.kind == "group" else {}
            eps = {} if layer.eps == EPS else {"eps": layer.eps}
            return {"norm": {"kind": layer.kind, **groups, **eps} if groups or eps else layer.kind}
        case Activation():
            return {"act": layer.kind}
        case Dropout():
            return {"dropout": {"rate": layer.rate, "channelwise": True} if layer.channelwise else layer.rate}
        case Pool():
            window = {"kind": layer.kind, "kernel": layer.kernel, "stride": Option("stride", layer.stride)}
            return {"pool": {**window, **_pool_padding(layer)}}
        case GlobalPool():
            return {"pool": f"global_{layer.kind}"}
        case Linear():
            features = {} if layer.in_features == channels else {"in": f"in * {layer.in_features // channels}"}
            bias = {} if layer.bias else {"bias": False}
            return {"linear": {**features, "out": _size(layer.out_features, known), **bias}}
        case _:
            return _plain_item(layer, known)


def _plain_item(
    layer: BlurPool | ChannelPool | Narrow | Shuffle | Pad | Upsample | PadChannels | Scale | Clamp | DropPath,
    known: Mapping[str, int],
) -> dict[str, Any]:
    """Return the YAML of a layer of a rarer kind."""
    match layer:
        case BlurPool():
            window = {"kind": "blur", "kernel": layer.kernel, "stride": Option("stride", layer.stride)}
            return {"pool": {**window, **_padding(layer.padding, layer.kernel - 1)}}
        case ChannelPool():
            return {"pool": f"channel_{layer.kind}"}
        case Narrow():
            return {"narrow": {"start": layer.start, "out": _size(layer.out_channels, known)}}
        case Shuffle():
            return {"shuffle": layer.groups}
        case Pad():
            mode = {} if layer.mode == "zeros" else {"padding_mode": layer.mode}
            return {"pad": {"padding": _sides((layer.rows, layer.columns)), **mode}}
        case Upsample():
            return {"upsample": {"factor": layer.factor, "mode": layer.mode}}
        case PadChannels():
            return {"pad_channels": {"out": _size(layer.out_channels, known), "before": layer.before}}
        case Scale():
            if not layer.learnt:
                return {"scale": {"init": layer.init, "learnt": False}}
            per = {} if layer.per == "channel" else {"per": layer.per}
            return {"scale": {"init": layer.init, **per, **({"bias": True} if layer.bias else {})}}
        case Clamp():
            return {"clamp": {"min": layer.low, "max": layer.high}}
        case DropPath():
            return {"drop_path": layer.rate}
        case _:
            assert_never(layer)


def _pool_padding(pool: Pool) -> dict[str, Any]:
    """Return the fields for the padding of a pool."""
    before, after = pool.padding
    counted = {"count_include_pad": True} if pool.counts_padding else {}
    padding = {} if before == after == 0 and pool.kernel <= pool.stride else {"padding": before or "valid"}
    return {**padding, **({"ceil_mode": True} if after > before else {}), **counted}


def _kernel(layer: Conv) -> Option | list[int] | int:
    """Return the field for the kernel of a convolution: an option of its block if it is square and larger than 1."""
    if layer.kernels != (layer.kernel, layer.kernel):
        return list(layer.kernels)
    return Option("kernel", layer.kernel) if layer.kernel > 1 else 1


def _conv_padding(layer: Conv) -> dict[str, Any]:
    """Return the fields for the padding of a convolution."""
    mode = {} if layer.mode == "zeros" else {"padding_mode": layer.mode}
    reaches = [layer.dilation * (kernel - 1) for kernel in layer.kernels]
    if list(layer.sides) == [(reach // 2, reach - reach // 2) for reach in reaches]:
        return mode  # 'same', the default
    rows, columns = layer.sides
    last = pool_padding(reaches[0] + 1, layer.stride, (rows[0], rows[0]), ceil_mode=True)
    if rows == columns == last and reaches[0] == reaches[1] and rows[0] < rows[1]:
        return {"padding": rows[0] or "valid", "ceil_mode": True, **mode}
    return {"padding": _sides(layer.sides) or "valid", **mode}


def _sides(sides: Sides) -> int | list[int] | dict[str, int]:
    """Return a border: a number if all sides are equal, two if opposite sides are, else each side that is not 0."""
    (top, bottom), (left, right) = sides
    if (top, left) == (bottom, right):
        return top if top == left else [top, left]
    return {side: size for side, size in zip(SIDES, (top, bottom, left, right), strict=True) if size}


def _padding(padding: tuple[int, int], reach: int) -> dict[str, Any]:
    """Return the field for the padding of a blur pool; `reach` is kernel - 1."""
    return {} if padding == (reach // 2, reach - reach // 2) else {"padding": padding[0] or "valid"}

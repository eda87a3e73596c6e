"""What torch finds of a plan: parameters, shapes and MACs, and the px that a unit sees, against the analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import takewhile
from math import ceil
from typing import get_args

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archsearch.analysis.measure import Footprint, LayerFootprint, rows
from archsearch.design.geometry import Shape
from archsearch.design.layers import (
    ChannelPool,
    Conv,
    Dropout,
    DropPath,
    GlobalPool,
    Linear,
    Narrow,
    Pad,
    PadChannels,
    Pool,
    Shuffle,
)
from archsearch.design.plan import Combine, Layer, Parallel, Plan, Sequence
from archsearch.errors import SpecError
from archsearch.network.assemble import assemble
from archsearch.network.modules import Branches, PaddedPool2d
from archsearch.network.pointwise import ChannelPool2d, Factor, Scale2d, TanhExp
from archsearch.network.pointwise import DropPath as DropPathModule
from archsearch.network.pointwise import PadChannels as PadChannelsModule


def count_disagreements(plan: Plan, footprint: Footprint) -> list[str]:
    """Return where torch counts other parameters, shapes or MACs than `footprint`."""
    network, counter = assemble(plan).eval(), FlopCounterMode(display=False)
    with torch.no_grad(), recorded(network) as outputs, counter:
        logits = network(torch.zeros(1, *plan.input_shape))
    leaves = dict(network.named_modules())
    found: list[str] = []
    if tuple(logits.shape[1:]) != footprint.output_shape[:1]:
        found.append(f"logits {tuple(logits.shape)}, not {footprint.output_shape}")
    for row in rows(plan):
        if tuple(outputs[row.name].shape[1:]) != row.output_shape:
            found.append(f"{row.name}: {tuple(outputs[row.name].shape)}, not {row.output_shape}")
        if row.kind not in get_args(Combine):
            count = sum(one.numel() for one in leaves[row.name].parameters())
            if count != row.parameters:
                found.append(f"{row.name}: {count} parameters, not {row.parameters}")
    if 2 * footprint.macs != counter.get_total_flops():
        found.append(f"{counter.get_total_flops()} flops, not twice {footprint.macs}")
    return found


def field_disagreements(plan: Plan, most: int) -> list[str]:
    """Return where the gradient of the input reaches other px than the analysis says, in images of `most` px at most.

    Empty for plans with gates or dense layers before the head, and for tied weights.
    """
    if not _is_local(plan.layers[:-1]) or not any(True for _ in _leaves(plan.layers[:-1])):
        return []
    large, unit = enlarge(plan)
    if large.input_shape[1] > most:
        return []
    network = positive(assemble(large))
    pixels = torch.ones(1, *large.input_shape, dtype=torch.float64, requires_grad=True)
    with recorded(network) as outputs:
        network(pixels)
    row = [one for one in rows(large) if not one.name.startswith("head.")][-1]
    if min(row.output_shape[1:]) <= unit:
        return []
    seen, expected = support(outputs[row.name], pixels, unit), intervals(row, unit)
    return [] if seen == expected else [f"{row.name}: unit {unit} sees {seen}, not {expected}"]


def _is_local(layers: Iterable[Layer]) -> bool:
    return all(
        not isinstance(layer, GlobalPool | Linear) and getattr(layer, "symmetry", "none") == "none"
        for layer in _leaves(layers)
    )


def _leaves(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield the layers, and the merges by which a branch can lose its gradient as global pools."""
    for layer in layers:
        if isinstance(layer, Sequence):
            yield from _leaves(layer.layers)
        elif isinstance(layer, Parallel):
            if layer.combine == "multiply":
                yield GlobalPool(name="gate", kind="max")
            for branch in layer.branches:
                yield from _leaves(branch.layers)
        else:
            yield layer


@contextmanager
def recorded(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Give the output of every module by its path, as the network runs."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: outputs.__setitem__(name, output)

    handles = [module.register_forward_hook(keep(name)) for name, module in network.named_modules()]
    yield outputs
    for handle in handles:
        handle.remove()


def enlarge(plan: Plan) -> tuple[Plan, int]:
    """Return the local part of `plan` on an input so large that no row's field at the unit returned leaves the image.

    It ends in front of the head's first global pool or dense layer.
    """
    own = list(takewhile(lambda layer: not isinstance(layer, GlobalPool | Linear), _head(plan)))
    end = GlobalPool(name="reduced", kind="average")
    body = (*plan.layers[:-1], Sequence(name="head", layers=(*own, end)))
    large = replace(plan, input_shape=(plan.input_shape[0], 4096, 4096), layers=body)
    table = rows(large)
    unit = 0
    while any(first < 0 for row in table for first, _ in intervals(row, unit)):
        unit += 1
    unit += len(table) % 2  # neighbours behind an upsampling see fields of other sizes
    side = max(end for row in table for _, end in intervals(row, unit)) + ceil(max(row.jump for row in table))
    while True:
        with suppress(SpecError):  # a border of reflected px needs a map larger than itself
            found = replace(large, input_shape=(plan.input_shape[0], side, side))
            rows(found)
            return found, unit
        side += 1


def _head(plan: Plan) -> tuple[Layer, ...]:
    head = plan.layers[-1]
    assert isinstance(head, Sequence)
    return head.layers


def last_local_convolution(plan: Plan) -> str | None:
    """Return the path of the last convolution before the map becomes one value per channel, as torch runs `plan`.

    Of one in a merge the path is that of the outermost merge; gates do not count. None where there is none.
    """
    network = assemble(plan).eval()
    order: list[tuple[str, nn.Module, tuple[int, ...], tuple[int, ...]]] = []

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, inputs, output: order.append(
            (name, module, tuple(inputs[0].shape[2:]), tuple(output.shape[2:]))
        )

    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(keep(name))
    with torch.no_grad():
        network(torch.zeros(1, *plan.input_shape))
    found: str | None = None
    for name, module, before, after in order:
        if ".gate." in name:
            continue
        whole = not isinstance(module, nn.Conv2d) or (
            module.kernel_size == before and set(module.padding) == {0} and not hasattr(module, "border")
        )
        changes = not isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d | nn.LayerNorm)
        if after == (1, 1) != before and whole and changes:
            break
        if isinstance(module, nn.Conv2d):
            found = name
    if found is None:
        return None
    parts = found.split(".")
    paths = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return next((path for path in paths if isinstance(network.get_submodule(path), Branches)), found)


def intervals(row: LayerFootprint, unit: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows and the columns that unit (`unit`, `unit`) of a row sees, by the analysis."""
    rows, columns = row.extent.axes
    return rows.interval(unit), columns.interval(unit)


def positive(network: nn.Module) -> nn.Module:
    """Return `network` as a linear map of positive weights: what a unit can see has a gradient above 0.

    Gates lose their gradient, as the analysis leaves them out; multiplied branches stay positive.
    """
    for name, module in list(network.named_modules()):
        parent = network.get_submodule(name.rpartition(".")[0])
        child = name.rpartition(".")[2]
        kind = type(module)
        passing = kind.__module__.endswith(("activation", "dropout")) or kind in (TanhExp, DropPathModule)
        if "norm" in kind.__name__.lower() or passing:
            setattr(parent, child, nn.Identity())
        elif isinstance(module, nn.MaxPool2d):
            kernel, stride, before = module.kernel_size, module.stride, module.padding
            assert isinstance(kernel, int)
            assert isinstance(stride, int)
            assert isinstance(before, int)
            average = PaddedPool2d("average", kernel, stride, before=before, after=before)
            setattr(parent, child, average)
        elif isinstance(module, PaddedPool2d | ChannelPool2d):
            module.kind = "average"
        elif isinstance(module, PadChannelsModule):  # a product with a zero has no gradient
            module.register_forward_hook(lambda _module, _inputs, output: output.where(output != 0, 1.0))
        elif isinstance(module, Factor):
            module.value = 1.0
        elif isinstance(module, Scale2d):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif child == "gate":
            module.register_forward_hook(lambda _module, _inputs, output: output.detach())
    return network.double()


def support(output: Tensor, pixels: Tensor, unit: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows and the columns of `pixels`, from and to, that output (`unit`, `unit`) depends on."""
    (gradient,) = torch.autograd.grad(output[0, :, unit, unit].sum(), pixels, retain_graph=True)
    rows, columns = (gradient[0].amax(dims).nonzero().flatten() for dims in ((0, 2), (0, 1)))
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def sees_its_corner(plan: Plan) -> bool:
    """Return whether the first output of every layer sees px of the map: no border is mirrored, or wide as a window."""
    return all(
        not isinstance(layer, Pad) and (not isinstance(layer, Conv) or (layer.mode == "zeros" and _is_narrow(layer)))
        for layer in _leaves(plan.layers)
    )


def _is_narrow(conv: Conv) -> bool:
    reaches = (conv.dilation * (kernel - 1) for kernel in conv.kernels)
    return all(max(side) <= reach for side, reach in zip(conv.sides, reaches, strict=True))


def idle_rows(plan: Plan) -> set[str]:
    """Return the paths of layers that do nothing, and of merges that are part of a merge of the same kind."""
    found: set[str] = set()

    def walk(layers: Iterable[Layer], prefix: str, shape: Shape) -> tuple[Shape, str | None]:
        """Return the shape behind `layers`, and the path of the one merge that they come to, if any."""
        real: list[str | None] = []
        for layer in layers:
            path = prefix + layer.name
            if isinstance(layer, Sequence):
                shape, inner = walk(layer.layers, f"{path}.", shape)
                real += [inner] if inner != "" else []
            elif isinstance(layer, Parallel):
                ends = [walk(branch.layers, f"{path}.{branch.name}.", shape) for branch in layer.branches]
                shape = layer.merged_shape([end for end, _ in ends], path)
                combined[path] = layer.combine
                if len(ends) == 1:
                    found.add(path)
                else:
                    found.update(one for _, one in ends if one and combined[one] == layer.combine != "mean")
                real.append(ends[0][1] if len(ends) == 1 else path)
            else:
                after = layer.output_shape(shape)
                idle = isinstance(layer, Pool | GlobalPool) and shape[1:] == after[1:] == (1, 1)
                counts = (
                    isinstance(layer, Pool) and layer.kind == "average" and layer.counts_padding and layer.kernel > 1
                )
                idle = idle and not counts
                idle = idle or (isinstance(layer, Pool) and layer.kernel == layer.stride == 1)
                idle = idle or (isinstance(layer, Narrow | PadChannels) and layer.in_channels == layer.out_channels)
                idle = idle or (isinstance(layer, Shuffle) and layer.groups in (1, layer.channels))
                idle = idle or (isinstance(layer, ChannelPool) and layer.channels == 1)
                if idle or (isinstance(layer, Dropout | DropPath) and not layer.rate):
                    found.add(path)
                else:
                    real.append(None)
                shape = after
        return shape, (real[0] if len(real) == 1 else None if real else "")

    combined: dict[str, str] = {}
    walk(plan.layers, "", plan.input_shape)
    return found

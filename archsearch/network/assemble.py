"""Assembly: the torch module of a plan, whose children are nested and named like the plan's layers.

Imports torch, the plan and the analysis, which rejects layers that do not fit before torch would.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, assert_never

import torch
from torch import nn

from archsearch.analysis.measure import measure
from archsearch.design.geometry import shape_text
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
    Scale,
    Shuffle,
    Symmetry,
    Upsample,
)
from archsearch.design.plan import Layer, Parallel, Plan, Sequence
from archsearch.design.pointwise import ActivationKind
from archsearch.errors import SpecError
from archsearch.network import pointwise
from archsearch.network.initialise import Scheme, initialise
from archsearch.network.modules import (
    BlurPool2d,
    Branches,
    DilatedDepthwiseConv2d,
    GlobalPool2d,
    MapLinear,
    Network,
    Pad2d,
    PaddedPool2d,
    UnevenConv2d,
)
from archsearch.network.symmetry import PairedBatchNorm2d, PairedGroupNorm, PairedInstanceNorm2d, tie, tie_values

ACTIVATIONS: Final[dict[ActivationKind, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
    "tanh": nn.Tanh,
    "tanh_exp": pointwise.TanhExp,
    "softplus": nn.Softplus,
}


def assemble(plan: Plan, *, scheme: Scheme = "kaiming", generator: torch.Generator | None = None) -> Network:
    """Return the network of `plan` on the CPU in float32, in training mode: (B, C, H, W) images to (B, K) logits.

    State-dict keys are the layers' paths (`stages.c2.1.conv.weight`). Weights are those of
    `initialise(network, scheme=scheme, generator=generator)`, without a generator those of seed 0;
    torch's global generators do not affect them and are not changed.

    Raises `SpecError` if a layer does not fit its input, a name is not valid for a torch module, or
    the output is not one value per class.
    """
    output_shape = measure(plan).output_shape
    if output_shape[1:] != (1, 1):
        where = plan.layers[-1].name if plan.layers else ""
        what = f"the network ends in {shape_text(output_shape)}, which must be one value per class"
        raise SpecError(where, what, "End it with a global pool, or with a linear layer.")
    with torch.random.fork_rng(devices=[]):  # constructors draw weights; on "meta", torch would import sympy
        network = Network(_children(plan.layers, "", Network({})))
    initialise(network, scheme=scheme, generator=generator or torch.Generator().manual_seed(0))
    return network


def _children(layers: Iterable[Layer], prefix: str, parent: nn.Module) -> OrderedDict[str, nn.Module]:
    """Return the modules of `layers` by name; raises `SpecError` for a name that a child of `parent` cannot have."""
    children: OrderedDict[str, nn.Module] = OrderedDict()
    for layer in layers:
        path = prefix + layer.name
        if hasattr(parent, layer.name):
            raise SpecError(path, f"the name '{layer.name}' is reserved by torch", f"Call it '{layer.name}_'.")
        if layer.name in children or not layer.name or "." in layer.name:
            raise SpecError(
                path, "is a duplicate or invalid layer name", "Give each layer in the list a unique name without dots."
            )
        children[layer.name] = _module(layer, path)
    return children


def _module(layer: Layer, path: str) -> nn.Module:
    match layer:
        case Conv():
            return _tied(_conv(layer), layer.symmetry)
        case Norm():
            return _norm(layer)
        case Activation():
            return ACTIVATIONS[layer.kind]()
        case Dropout():
            return nn.Dropout2d(layer.rate) if layer.channelwise else nn.Dropout(layer.rate)
        case Pool():
            return _pool(layer)
        case BlurPool():
            before, after = layer.padding
            return BlurPool2d(layer.kernel, layer.stride, before=before, after=after)
        case GlobalPool():
            return GlobalPool2d(layer.kind)
        case Pad():
            return Pad2d((*layer.columns, *layer.rows), layer.mode)
        case Upsample():
            return nn.Upsample(scale_factor=layer.factor, mode=layer.mode)
        case Clamp() | Scale() | DropPath() | ChannelPool() | Narrow() | Shuffle() | PadChannels():
            return _of_every_position(layer)
        case Linear():
            return _tied(MapLinear(layer.in_features, layer.out_features, bias=layer.bias), layer.symmetry)
        case Sequence():
            return nn.Sequential(_children(layer.layers, f"{path}.", nn.Sequential()))
        case Parallel():
            children = _children(layer.branches, f"{path}.", Branches({}, layer.combine))
            return Branches(children, layer.combine, pairs=layer.symmetry == "pairs")
        case _:
            assert_never(layer)


def _tied(module: nn.Conv2d | nn.Linear, symmetry: Symmetry) -> nn.Module:
    if symmetry != "none":
        tie(module, symmetry)
    return module


def _conv(conv: Conv) -> nn.Conv2d:
    (top, bottom), (left, right) = conv.sides
    channels = conv.in_channels, conv.out_channels, conv.kernels
    how = {"stride": conv.stride, "dilation": conv.dilation, "groups": conv.groups, "bias": conv.bias}
    if top != bottom or left != right:
        return UnevenConv2d(*channels, border=(left, right, top, bottom), mode=conv.mode, **how)
    depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
    plain = type(conv) is Conv and conv.stride == 1 and 2 * top == conv.dilation * (conv.kernel - 1)
    kind = DilatedDepthwiseConv2d if depthwise and plain and conv.dilation > 1 and conv.kernel % 2 else nn.Conv2d
    return kind(*channels, padding=(top, left), padding_mode=conv.mode, **how)


def _norm(norm: Norm) -> nn.Module:
    if norm.symmetry == "pairs":
        return _paired_norm(norm)
    match norm.kind:
        case "batch":
            return nn.BatchNorm2d(norm.channels, norm.eps)
        case "group":
            return nn.GroupNorm(norm.groups, norm.channels, norm.eps)
        case "layer":
            return nn.GroupNorm(1, norm.channels, norm.eps)
        case "instance":
            return nn.InstanceNorm2d(norm.channels, norm.eps, affine=True)
        case "channel":
            return pointwise.ChannelNorm2d(norm.channels, norm.eps)
        case _:
            assert_never(norm.kind)


def _paired_norm(norm: Norm) -> nn.Module:
    pairs = norm.channels // 2
    match norm.kind:
        case "batch":
            return PairedBatchNorm2d(pairs, norm.eps)
        case "group":
            return PairedGroupNorm(norm.groups, pairs, norm.eps)
        case "layer":
            return PairedGroupNorm(1, pairs, norm.eps)
        case "instance":
            return PairedInstanceNorm2d(pairs, norm.eps, affine=True)
        case "channel":
            module = pointwise.ChannelNorm2d(norm.channels, norm.eps)
            tie_values(module)
            return module
        case _:
            assert_never(norm.kind)


def _scale(scale: Scale) -> nn.Module:
    if not scale.learnt:
        return pointwise.Factor(scale.init)
    module = pointwise.Scale2d(scale.count, scale.init, bias=scale.bias)
    if scale.symmetry == "pairs":
        tie_values(module)
    return module


def _of_every_position(
    layer: Clamp | Scale | DropPath | ChannelPool | Narrow | Shuffle | PadChannels,
) -> nn.Module:
    match layer:
        case Clamp():
            return nn.Hardtanh(layer.low, layer.high)
        case Scale():
            return _scale(layer)
        case DropPath():
            return pointwise.DropPath(layer.rate)
        case ChannelPool():
            return pointwise.ChannelPool2d(layer.kind)
        case Narrow():
            return pointwise.Narrow(layer.start, layer.out_channels, pairs=layer.symmetry == "pairs")
        case Shuffle():
            return pointwise.ChannelShuffle(layer.groups, pairs=layer.symmetry == "pairs")
        case PadChannels():
            after = layer.out_channels - layer.in_channels - layer.before
            return pointwise.PadChannels(layer.before, after, pairs=layer.symmetry == "pairs")
        case _:
            assert_never(layer)


def _pool(pool: Pool) -> nn.Module:
    before, after = pool.padding
    # torch's own pools pad both sides equally, and by half a window at most.
    if before != after or before > pool.kernel // 2:
        counts = pool.counts_padding
        return PaddedPool2d(pool.kind, pool.kernel, pool.stride, before=before, after=after, counts_padding=counts)
    if pool.kind == "max":
        return nn.MaxPool2d(pool.kernel, pool.stride, before)
    return nn.AvgPool2d(pool.kernel, pool.stride, before, count_include_pad=pool.counts_padding)

"""The operations that become layers: convolutions, norms, activations, pools and others of torch's ATen.

Imports torch, the design's layers and this package.
"""

from __future__ import annotations

from dataclasses import replace
from math import comb
from typing import Any

import torch

from archsearch.design.channels import PoolKind
from archsearch.design.geometry import pool_padding
from archsearch.design.layers import (
    Activation,
    BlurPool,
    ChannelPool,
    Clamp,
    Conv,
    Dropout,
    GlobalPool,
    Linear,
    Norm,
    Pad,
    Pool,
    Upsample,
)
from archsearch.design.pointwise import ActivationKind
from archsearch.importer.registry import OPERATIONS, Reader, dimensions, operation, square
from archsearch.importer.steps import BORDERS, Form, Recorder


@operation("conv2d")
def _conv(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["input"], *BORDERS)
    border, fixed = recorder.border(index), recorder.value(given["weight"])
    if border is not None and fixed is not None:
        return _blur(recorder, given, index, border, fixed)
    weight = recorder.tensor(given["weight"])
    height, width = (int(size) for size in weight.shape[2:])
    stride, dilation = square(recorder, given["stride"], "stride"), square(recorder, given["dilation"], "dilation")
    match given["padding"]:
        case "valid":
            sides = (0, 0), (0, 0)
        case "same":
            rows, columns = (dilation * (kernel - 1) for kernel in (height, width))
            sides = (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
        case padding:
            rows, columns = int(padding[0]), int(padding[-1])
            sides = (rows, rows), (columns, columns)
    layer = Conv(
        name="conv",
        in_channels=int(weight.shape[1]) * int(given["groups"]),
        out_channels=int(weight.shape[0]),
        kernel=height,
        stride=stride,
        dilation=dilation,
        groups=int(given["groups"]),
        bias=given["bias"] is not None,
    ).with_windows(width, sides, "zeros")
    if border is not None:
        whole = layer.behind(border)
        if whole is None:
            recorder.surround(index)
        else:
            layer, index = whole, recorder.below(index)
    return recorder.layer(index, layer, keys=recorder.keys(weight=given["weight"], bias=given["bias"]))


def _blur(recorder: Recorder, given: dict[str, Any], index: int, border: Pad, weight: torch.Tensor) -> int:
    """Return the step of a blur pool: a fixed binomial filter over every channel of a feature map with a border."""
    channels, kernel = recorder.shape(index)[0], int(weight.shape[-1])
    taps = torch.tensor([comb(kernel - 1, tap) / 2 ** (kernel - 1) for tap in range(kernel)])
    plain = given["bias"] is None and int(given["groups"]) == channels and not any(given["padding"])
    if not plain or weight.shape != (channels, 1, kernel, kernel):
        recorder.refuse("a fixed filter that is no blur pool")
    if not torch.allclose(weight, (taps[:, None] * taps).expand_as(weight)) or set(given["dilation"]) != {1}:
        recorder.refuse("a fixed filter that is not binomial")
    reach, padding = kernel - 1, border.rows
    if border.mode == "reflect" and padding == border.columns in ((padding[0],) * 2, (reach // 2, reach - reach // 2)):
        index = recorder.below(index)
    else:
        recorder.surround(index)
        padding = 0, 0
    layer = BlurPool(name="pool", kernel=kernel, stride=square(recorder, given["stride"], "stride"), padding=padding)
    return recorder.layer(index, layer)


@operation("linear")
def _linear(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["input"], "last")
    if recorder.form(index) is not None:  # applied to the channels of each position
        outputs, inputs = (int(size) for size in recorder.tensor(given["weight"]).shape)
        conv = Conv(name="conv", in_channels=inputs, out_channels=outputs, kernel=1, bias=given["bias"] is not None)
        return recorder.layer(index, conv, keys=recorder.keys(weight=given["weight"], bias=given["bias"]))
    if dimensions(given["input"]) != 2:
        recorder.refuse("a dense layer over a map that is not flattened")
    outputs, inputs = (int(size) for size in recorder.tensor(given["weight"]).shape)
    layer = Linear(name="linear", in_features=inputs, out_features=outputs, bias=given["bias"] is not None)
    return recorder.layer(index, layer, keys=recorder.keys(weight=given["weight"], bias=given["bias"]))


def _norm(recorder: Recorder, given: dict[str, Any], kind: Any, groups: int, **buffers: Any) -> int:
    index = recorder.source(given["input"], *(("last",) if kind == "channel" else ()))
    if given["weight"] is None or given["bias"] is None:
        recorder.refuse(f"a norm of kind '{kind}' without a scale and a shift")
    channels = int(recorder.tensor(given["weight"]).shape[0])
    keys = recorder.keys(weight=given["weight"], bias=given["bias"], **buffers)
    layer = Norm(name="norm", kind=kind, channels=channels, groups=groups, eps=float(given["eps"]))
    return recorder.layer(index, layer, keys=keys)


@operation("batch_norm")
def _batch_norm(recorder: Recorder, given: dict[str, Any]) -> int:
    if given["running_mean"] is None:
        recorder.refuse("a batch norm without running statistics")
    if dimensions(given["input"]) == 2 and recorder.shape(recorder.source(given["input"]))[1:] != (1, 1):
        recorder.refuse("a batch norm over the features of a flattened map")
    if given["momentum"] != 0.1:
        recorder.note(f"batch norms have momentum {given['momentum']:g}, in the design 0.1")
    return _norm(recorder, given, "batch", 1, running_mean=given["running_mean"], running_var=given["running_var"])


@operation("group_norm")
def _group_norm(recorder: Recorder, given: dict[str, Any]) -> int:
    groups = int(given["num_groups"])
    return _norm(recorder, given, "group" if groups > 1 else "layer", groups)


@operation("layer_norm")
def _layer_norm(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["input"], "last")
    vector = dimensions(given["input"]) == 2 and recorder.shape(index)[1:] == (1, 1)
    if len(given["normalized_shape"]) != 1 or not (vector or recorder.form(index) is not None):
        recorder.refuse("a layer norm over anything but the channels of each position")
    return _norm(recorder, given, "channel", 1)


@operation("instance_norm")
def _instance_norm(recorder: Recorder, given: dict[str, Any]) -> int:
    if not given["use_input_stats"]:
        recorder.refuse("an instance norm with running statistics")
    return _norm(recorder, given, "instance", 1)


def _activation(kind: ActivationKind, **expected: Any) -> Reader:
    """Return the reader of an activation; it rejects arguments that differ from `expected`."""

    def read(recorder: Recorder, given: dict[str, Any]) -> int:
        for name, value in expected.items():
            if given[name] != value:
                recorder.refuse(f"'{kind}' with {name} {given[name]}")
        index = recorder.source(given.get("self", given.get("input")), "last")
        return recorder.layer(index, Activation(name="act", kind=kind))

    return read


OPERATIONS |= {
    "relu": _activation("relu"),
    "leaky_relu": _activation("leaky_relu", negative_slope=0.01),
    "elu": _activation("elu", alpha=1, scale=1, input_scale=1),
    "silu": _activation("silu"),
    "mish": _activation("mish"),
    "hardswish": _activation("hardswish"),
    "sigmoid": _activation("sigmoid"),
    "hardsigmoid": _activation("hardsigmoid"),
    "tanh": _activation("tanh"),
    "softplus": _activation("softplus", beta=1, threshold=20),
}


@operation("gelu")
def _gelu(recorder: Recorder, given: dict[str, Any]) -> int:
    kind: ActivationKind = "gelu_tanh" if given["approximate"] == "tanh" else "gelu"
    return recorder.layer(recorder.source(given["self"], "last"), Activation(name="act", kind=kind))


@operation("hardtanh", "clamp", "clamp_min", "relu6")
def _clamp(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"], "last", "plus_3")
    low, high = given.get("min_val", given.get("min")), given.get("max_val", given.get("max"))
    if "relu6" in str(recorder.node.target):
        low, high = 0, 6
    if any(hasattr(each, "op") for each in (low, high)) or low is None or (high is None and low != 0):
        recorder.refuse(f"values limited to those from {low} to {high}")
    form = recorder.form(index)
    if form is not None and form.kind == "plus_3":
        if (low, high) != (0, 6):
            recorder.refuse("arithmetic with a constant")
        below = recorder.below(index)
        return recorder.add(below, form=Form("relu6_plus_3", (below,)))
    if high is None or (low, high) == (0, 6):
        return recorder.layer(index, Activation(name="act", kind="relu" if high is None else "relu6"))
    return recorder.layer(index, Clamp(name="clamp", low=float(low), high=float(high)))


@operation("dropout", "feature_dropout")
def _dropout(recorder: Recorder, given: dict[str, Any]) -> int:
    index, rate = recorder.source(given.get("self", given.get("input")), "last"), float(given["p"])
    if given["train"] and rate:
        recorder.refuse("dropout that acts in inference too: give it training=self.training, or use nn.Dropout")
    channelwise = "feature" in str(recorder.node.target)
    if channelwise and recorder.form(index) is not None:
        recorder.refuse("dropout of whole channels that come last")
    return index if rate == 0 else recorder.layer(index, Dropout(name="drop", rate=rate, channelwise=channelwise))


@operation("max_pool2d", "avg_pool2d")
def _pool(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"])
    maximum = "max" in str(recorder.node.target)
    kernel = square(recorder, given["kernel_size"], "window")
    stride = square(recorder, given["stride"] or kernel, "stride")
    padding = square(recorder, given["padding"], "padding")
    if maximum and square(recorder, given["dilation"], "dilation") != 1:
        recorder.refuse("a dilated pool")
    if not maximum and given["divisor_override"] is not None:
        recorder.refuse("an average pool with a divisor of its own")
    inside = recorder.shape(index)[1:]
    if not padding and inside == (kernel, kernel):
        return recorder.layer(index, GlobalPool(name="pool", kind="max" if maximum else "average"))
    counts = not maximum and padding > 0 and bool(given["count_include_pad"])
    kind: PoolKind = "max" if maximum else "average"
    pool = Pool(name="pool", kind=kind, kernel=kernel, stride=stride, padding=(padding, padding), counts_padding=counts)
    wanted = tuple(int(size) for size in recorder.node.meta["val"].shape[2:])
    if given["ceil_mode"] and pool.output_shape(recorder.shape(index))[1:] != wanted:
        if counts:
            recorder.refuse("an average pool with ceil_mode that counts its padding")
        pool = replace(pool, padding=pool_padding(kernel, stride, (padding, padding), ceil_mode=True))
    if pool.output_shape(recorder.shape(index))[1:] != wanted:
        recorder.refuse(f"a pool with ceil_mode over a map of {inside[0]} x {inside[1]}")
    return recorder.layer(index, pool)


@operation("adaptive_avg_pool2d", "adaptive_max_pool2d")
def _adaptive(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"])
    kind = "max" if "max" in str(recorder.node.target) else "average"
    size = square(recorder, given["output_size"], "output size")
    _, height, width = recorder.shape(index)
    if size == 1:
        return recorder.layer(index, GlobalPool(name="pool", kind=kind))
    if height == width == size:
        return index
    if height != width or height % size:
        recorder.refuse(f"an adaptive pool from {height} x {width} to {size} x {size}, whose windows differ in size")
    window = height // size
    return recorder.layer(index, Pool(name="pool", kind=kind, kernel=window, stride=window))


@operation("upsample_nearest2d", "upsample_bilinear2d")
def _upsample(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["input"])
    (_, height, width), wanted = recorder.shape(index), [int(size) for size in recorder.node.meta["val"].shape[2:]]
    factor = max(1, wanted[0] // height)
    if [height * factor, width * factor] != wanted:
        recorder.refuse(f"a map of {height} x {width} made one of {wanted[0]} x {wanted[1]}")
    if given.get("align_corners"):
        recorder.refuse("upsampling with align_corners")
    mode = "bilinear" if "bilinear" in str(recorder.node.target) else "nearest"
    return index if factor == 1 else recorder.layer(index, Upsample(name="upsample", factor=factor, mode=mode))


@operation("mean", "amax", "max")
def _reduce(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"], "last")
    dim, count = given.get("dim"), dimensions(given["self"])
    axes = sorted(each % count for each in ([dim] if isinstance(dim, int) else dim or ()))
    last = recorder.form(index) is not None
    kind: PoolKind = "average" if "mean" in str(recorder.node.target) else "max"
    below = recorder.add(index) if last else index
    if count == 4 and axes == ([1, 2] if last else [2, 3]):
        if last and given["keepdim"]:
            recorder.refuse("this operation on a map whose channels come last")
        return recorder.layer(below, GlobalPool(name="pool", kind=kind))
    if count != 4 or axes != [1] or not given["keepdim"] or last:
        recorder.refuse("a reduction over other dimensions than height and width, or the channels")
    return recorder.layer(index, ChannelPool(name="pool", kind=kind, channels=recorder.shape(index)[0]))


@operation("log_softmax", "softmax")
def _softmax(recorder: Recorder, given: dict[str, Any]) -> int:
    users = {str(user.op) for user in recorder.node.users}
    if users != {"output"}:
        recorder.refuse("a softmax that is not the last operation")
    recorder.final = "log_softmax" if "log" in str(recorder.node.target) else "softmax"
    recorder.note(f"the output is that before {recorder.final}: a design gives logits")
    return recorder.source(given["self"])

"""The operations that the trace knows: what each of torch's ATen is as a layer or a merge of the plan.

Each reader takes the recorder and the arguments of the call by name, and returns the index of the step that holds the
result. It raises `SpecError` through `Recorder.refuse` for arguments that no layer has.
Imports the design's layers and this package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from archsearch.design.geometry import shape_text
from archsearch.design.layers import (
    Activation,
    Conv,
    Dropout,
    GlobalPool,
    Linear,
    Norm,
    Pool,
)
from archsearch.design.plan import Combine
from archsearch.design.pointwise import ActivationKind
from archsearch.importer.steps import Recorder

Reader = Callable[[Recorder, dict[str, Any]], int]
OPERATIONS: dict[str, Reader] = {}
"""The reader of each operation of torch's ATen by name, without the `_` of those in place."""


def _operation(*names: str) -> Callable[[Reader], Reader]:
    def register(reader: Reader) -> Reader:
        OPERATIONS.update(dict.fromkeys(names, reader))
        return reader

    return register


def _square(recorder: Recorder, values: Any, name: str) -> int:
    """Return the one value of a pair of equal numbers."""
    pair = [values] if isinstance(values, int) else list(values)
    if len(set(pair)) > 1:
        recorder.refuse(f"a {name} of {' x '.join(map(str, pair))}")
    return int(pair[0])


def _padding(recorder: Recorder, before: int, after: int, reach: int) -> tuple[int, int]:
    """Return the padding of a window, which a design gives as a number for all sides, or as 'same' for `reach`."""
    if before != after and (before, after) != (reach // 2, reach - reach // 2):
        recorder.refuse(f"padding of {before} px before and {after} px after")
    return before, after


def _dimensions(node: Any) -> int:
    """Return the number of dimensions of a node's tensor, the batch included."""
    return len(node.meta["val"].shape)


@_operation("conv2d")
def _conv(recorder: Recorder, given: dict[str, Any]) -> int:
    index, (before, after) = recorder.take_padding(recorder.source(given["input"]))
    weight = recorder.tensor(given["weight"])
    kernel = _square(recorder, list(weight.shape[2:]), "kernel")
    stride, dilation = _square(recorder, given["stride"], "stride"), _square(recorder, given["dilation"], "dilation")
    reach = dilation * (kernel - 1)
    match given["padding"]:
        case "valid":
            own = (0, 0)
        case "same":
            own = (reach // 2, reach - reach // 2)
        case padding:
            own = (_square(recorder, padding, "padding"),) * 2
    layer = Conv(
        name="conv",
        in_channels=int(weight.shape[1]) * int(given["groups"]),
        out_channels=int(weight.shape[0]),
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        groups=int(given["groups"]),
        padding=_padding(recorder, before + own[0], after + own[1], reach),
        bias=given["bias"] is not None,
    )
    return recorder.layer(index, layer, keys=recorder.keys(weight=given["weight"], bias=given["bias"]))


@_operation("linear")
def _linear(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["input"])
    if _dimensions(given["input"]) != 2:
        recorder.refuse("a dense layer over a map that is not flattened")
    outputs, inputs = (int(size) for size in recorder.tensor(given["weight"]).shape)
    layer = Linear(name="linear", in_features=inputs, out_features=outputs, bias=given["bias"] is not None)
    return recorder.layer(index, layer, keys=recorder.keys(weight=given["weight"], bias=given["bias"]))


def _norm(recorder: Recorder, given: dict[str, Any], kind: Any, groups: int, **buffers: Any) -> int:
    index = recorder.source(given["input"])
    if given["weight"] is None or given["bias"] is None:
        recorder.refuse(f"a norm of kind '{kind}' without a scale and a shift")
    channels = int(recorder.tensor(given["weight"]).shape[0])
    keys = recorder.keys(weight=given["weight"], bias=given["bias"], **buffers)
    layer = Norm(name="norm", kind=kind, channels=channels, groups=groups)
    return recorder.layer(index, layer, keys=keys, eps=float(given["eps"]))


@_operation("batch_norm")
def _batch_norm(recorder: Recorder, given: dict[str, Any]) -> int:
    if given["running_mean"] is None:
        recorder.refuse("a batch norm without running statistics")
    if _dimensions(given["input"]) == 2 and recorder.shape(recorder.source(given["input"]))[1:] != (1, 1):
        recorder.refuse("a batch norm over the features of a flattened map")
    for name, ours in (("momentum", 0.1), ("eps", 1e-5)):
        if given[name] != ours:
            recorder.note(f"batch norms have {name} {given[name]:g}, in the design {ours:g}")
    return _norm(recorder, given, "batch", 1, running_mean=given["running_mean"], running_var=given["running_var"])


@_operation("group_norm")
def _group_norm(recorder: Recorder, given: dict[str, Any]) -> int:
    groups = int(given["num_groups"])
    if float(given["eps"]) != 1e-5:
        recorder.refuse(f"a group norm with eps {given['eps']:g}")
    return _norm(recorder, given, "group" if groups > 1 else "layer", groups)


@_operation("instance_norm")
def _instance_norm(recorder: Recorder, given: dict[str, Any]) -> int:
    if not given["use_input_stats"]:
        recorder.refuse("an instance norm with running statistics")
    return _norm(recorder, given, "instance", 1)


def _activation(kind: ActivationKind, **expected: Any) -> Reader:
    """Return the reader of an activation whose arguments must be `expected`."""

    def read(recorder: Recorder, given: dict[str, Any]) -> int:
        for name, value in expected.items():
            if given[name] != value:
                recorder.refuse(f"'{kind}' with {name} {given[name]}")
        node = given.get("self", given.get("input"))
        return recorder.add(recorder.source(node), layer=Activation(name="act", kind=kind))

    return read


OPERATIONS |= {
    "relu": _activation("relu"),
    "relu6": _activation("relu6"),
    "hardtanh": _activation("relu6", min_val=0, max_val=6),
    "leaky_relu": _activation("leaky_relu", negative_slope=0.01),
    "elu": _activation("elu", alpha=1, scale=1, input_scale=1),
    "silu": _activation("silu"),
    "gelu": _activation("gelu", approximate="none"),
    "mish": _activation("mish"),
    "hardswish": _activation("hardswish"),
    "sigmoid": _activation("sigmoid"),
    "hardsigmoid": _activation("hardsigmoid"),
    "tanh": _activation("tanh"),
}


@_operation("dropout", "feature_dropout")
def _dropout(recorder: Recorder, given: dict[str, Any]) -> int:
    index, rate = recorder.source(given.get("self", given.get("input"))), float(given["p"])
    if given["train"] and rate:
        recorder.refuse("dropout that acts in inference too: give it training=self.training, or use nn.Dropout")
    channelwise = "feature" in str(recorder.node.target)
    return index if rate == 0 else recorder.add(index, layer=Dropout(name="drop", rate=rate, channelwise=channelwise))


@_operation("max_pool2d", "avg_pool2d")
def _pool(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"])
    maximum = "max" in str(recorder.node.target)
    kernel = _square(recorder, given["kernel_size"], "window")
    stride = _square(recorder, given["stride"] or kernel, "stride")
    padding = _square(recorder, given["padding"], "padding")
    if maximum and _square(recorder, given["dilation"], "dilation") != 1:
        recorder.refuse("a dilated pool")
    if not maximum and padding and given["count_include_pad"]:
        recorder.refuse("an average pool that counts its padding")
    if not maximum and given["divisor_override"] is not None:
        recorder.refuse("an average pool with a divisor of its own")
    wanted, inside = recorder.node.meta["val"].shape[2:], recorder.shape(index)[1:]
    missing = {max((int(w) - 1) * stride + kernel - (n + 2 * padding), 0) for w, n in zip(wanted, inside, strict=True)}
    if len(missing) > 1:
        recorder.refuse("a pool with ceil_mode over a map that is not square")
    if not padding and inside == (kernel, kernel):
        return recorder.layer(index, GlobalPool(name="pool", kind="max" if maximum else "average"))
    pool = Pool(
        name="pool",
        kind="max" if maximum else "average",
        kernel=kernel,
        stride=stride,
        padding=_padding(recorder, padding, padding + missing.pop(), kernel - 1),
    )
    return recorder.layer(index, pool)


@_operation("adaptive_avg_pool2d", "adaptive_max_pool2d")
def _adaptive(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"])
    kind = "max" if "max" in str(recorder.node.target) else "average"
    size = _square(recorder, given["output_size"], "output size")
    _, height, width = recorder.shape(index)
    if size == 1:
        return recorder.layer(index, GlobalPool(name="pool", kind=kind))
    if height == width == size:
        return index
    if height != width or height % size:
        recorder.refuse(f"an adaptive pool from {height} x {width} to {size} x {size}, whose windows differ in size")
    window = height // size
    return recorder.layer(index, Pool(name="pool", kind=kind, kernel=window, stride=window))


@_operation("mean", "amax")
def _reduce(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"])
    dims = sorted(dim % 4 for dim in given["dim"] or ())
    if _dimensions(given["self"]) != 4 or dims != [2, 3]:
        recorder.refuse("a reduction over other dimensions than height and width")
    kind = "max" if "amax" in str(recorder.node.target) else "average"
    return recorder.layer(index, GlobalPool(name="pool", kind=kind))


@_operation("flatten", "view", "reshape", "squeeze", "unsqueeze", "_unsafe_view")
def _view(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"])
    before, after = given["self"].meta["val"].shape, recorder.node.meta["val"].shape
    flat = (before[0], prod(before[1:]))
    if _without_ones(after) not in (_without_ones(before), _without_ones(flat)):
        recorder.refuse(f"a view of {list(before)} as {list(after)}")
    return index


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape without ones at its end: (B, C) for a (B, C, 1, 1)."""
    end = max((place for place, size in enumerate(shape, start=1) if size > 1), default=0)
    return tuple(shape[:end])


@_operation("contiguous", "alias", "detach", "to", "identity")
def _identity(recorder: Recorder, given: dict[str, Any]) -> int:
    return recorder.source(given.get("self", given.get("input")))


@_operation("clone", "lift_fresh_copy", "_to_copy")
def _copy(recorder: Recorder, given: dict[str, Any]) -> int:
    return recorder.add(recorder.source(given["self"]))  # a step of its own: what overwrites it leaves the original


@_operation("pad")
def _padded(recorder: Recorder, given: dict[str, Any]) -> int:
    index, borders = recorder.source(given["self"]), list(given["pad"])
    if given["mode"] != "constant" or (given["value"] or 0) != 0 or len(borders) != 4:
        recorder.refuse("padding other than zeros around height and width")
    if borders[:2] != borders[2:] or min(borders) < 0:
        recorder.refuse(f"padding of {borders} px that differs between the axes")
    return recorder.pad(index, (borders[0], borders[1]))


@_operation("log_softmax", "softmax")
def _softmax(recorder: Recorder, given: dict[str, Any]) -> int:
    users = {str(user.op) for user in recorder.node.users}
    if users != {"output"}:
        recorder.refuse("a softmax that is not the last operation")
    recorder.final = "log_softmax" if "log" in str(recorder.node.target) else "softmax"
    recorder.note(f"the output is that before {recorder.final}: a design gives logits")
    return recorder.source(given["self"])


@_operation("add", "mul")
def _merge(recorder: Recorder, given: dict[str, Any]) -> int:
    combine: Combine = "add" if ".add" in str(recorder.node.target) else "multiply"
    sides = [given["self"], given["other"]]
    if any(isinstance(side, int | float) for side in sides):
        recorder.refuse("arithmetic with a constant")
    if given.get("alpha", 1) != 1:
        recorder.refuse(f"a sum with alpha {given['alpha']}")
    inputs = [recorder.source(side) for side in sides]
    shapes = [recorder.shape(index) for index in inputs]
    largest = max(shapes, key=lambda shape: shape[1] * shape[2])
    spread = combine == "multiply" and all(shape in (largest, (largest[0], 1, 1)) for shape in shapes)
    if (len(set(shapes)) > 1 and not spread) or len(set(map(_dimensions, sides))) > 1:
        recorder.refuse(f"maps of {' and '.join(map(shape_text, shapes))} joined by broadcasting")
    return recorder.add(*inputs, combine=combine, shape=largest)


@_operation("cat", "concat")
def _concat(recorder: Recorder, given: dict[str, Any]) -> int:
    nodes: Sequence[Any] = given["tensors"]
    if given["dim"] % _dimensions(nodes[0]) != 1:
        recorder.refuse("a concatenation along another dimension than the channels")
    inputs = [recorder.source(node) for node in nodes]
    if len(inputs) == 1:
        return inputs[0]
    shapes = [recorder.shape(index) for index in inputs]
    if len({shape[1:] for shape in shapes}) > 1:
        recorder.refuse(f"maps of {' and '.join(map(shape_text, shapes))} joined after they were flattened")
    return recorder.add(*inputs, combine="concat", shape=(sum(shape[0] for shape in shapes), *shapes[0][1:]))

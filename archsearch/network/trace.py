"""A torch module read as layers of a plan: `torch.export` records its operations, and each becomes a layer or a merge.

What a plan cannot express is refused with the operation, the path of the module and the line of its file. Nothing is
approximated: an operation is either exactly a layer of the plan, or does nothing in inference, or is refused.
Imports torch, the design's layers and plan.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from archsearch.design.geometry import Shape, shape_text
from archsearch.design.layers import (
    Activation,
    ActivationKind,
    Conv,
    Dropout,
    GlobalPool,
    Linear,
    Norm,
    Pool,
    Primitive,
)
from archsearch.design.plan import Combine
from archsearch.errors import SpecError

BATCH = 3  # images of the traced batch; no other dimension of a small network is likely to be taken for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation: a layer of one input, a merge of several, or neither (it passes its input on)."""

    inputs: tuple[int, ...]
    """Indices of the steps that it reads; step 0 is the image."""
    modules: tuple[tuple[str, str], ...] = ()
    """Path and class of the author's modules around it, outermost first, the network itself (path "") left out."""
    shape: Shape
    """(C, H, W) of its output; a flattened map keeps its shape until a dense layer reads it."""
    layer: Primitive | None = None
    combine: Combine | None = None
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    """The author's state-dict key for each tensor of the layer: `weight`, `bias`, `running_mean`, `running_var`."""
    eps: float = 1e-5
    """The epsilon of a norm."""

    @property
    def path(self) -> str:
        """The path of the author's module that runs it; empty for the network itself."""
        return self.modules[-1][0] if self.modules else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The operations of a network in the order they run, and what is said about them."""

    steps: tuple[Step, ...]
    output: int
    """The index of the step that gives the logits."""
    parameters: int
    """Trainable numbers of the modules that inference uses, shared ones counted once."""
    notes: tuple[str, ...]
    """What differs from the author's network, one sentence each."""


def trace(network: nn.Module, input_shape: Shape) -> Trace:
    """Return the operations of `network` in inference on images of `input_shape` (C, H, W).

    Raises `SpecError` for a network that torch.export cannot read, or an operation that a plan cannot express.
    """
    training = network.training
    network.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(network, (torch.zeros(BATCH, *input_shape),))
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        fix = "It must run on one batch of images, without Python code that depends on their values."
        raise SpecError(type(network).__name__, f"torch.export cannot read it: {first}", fix) from error
    finally:
        network.train(training)
    return _Reader(network, program, input_shape).read()


class _Reader:
    """Reads the nodes of an exported program in order."""

    def __init__(self, network: nn.Module, program: Any, input_shape: Shape) -> None:
        self._network, self._program = network, program
        signature = program.graph_signature
        self._keys: dict[str, str] = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self._images = set(signature.user_inputs)
        self._input_shape = input_shape
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self._index: dict[Any, int] = {}  # of the step that holds the value of a node
        self._padding: dict[int, tuple[int, int]] = {}  # zeros that are put around a step's output
        self._used: dict[str, str] = {}  # state-dict key of a weight to the path of its module
        self._node: Any = None

    def read(self) -> Trace:
        output = -1
        for node in self._program.graph.nodes:
            self._node = node
            if node.op == "placeholder":
                if node.name in self._images:
                    self._index[node] = len(self.steps)
                    self.steps.append(Step(inputs=(), shape=self._input_shape))
            elif node.op == "output":
                output = self._output(node)
            elif node.op == "call_function":
                self._call(node)
            else:
                self._refuse(f"'{node.op}' in its graph")
        self._note_unused()
        known = dict(self._network.named_parameters())
        used = {id(known[key]): known[key].numel() for key in self._used if key in known}
        return Trace(steps=tuple(self.steps), output=output, parameters=sum(used.values()), notes=tuple(self.notes))

    # What the readers of operations use

    def modules(self) -> tuple[tuple[str, str], ...]:
        """Return path and class of the modules around the current operation, outermost first."""
        stack = (self._node.meta.get("nn_module_stack") or {}).values()
        return tuple((str(path), kind if isinstance(kind, str) else kind.__qualname__) for path, kind in stack if path)

    def path(self) -> str:
        """Return the path of the module that runs the current operation."""
        modules = self.modules()
        return modules[-1][0] if modules else ""

    def shape(self, index: int) -> Shape:
        return self.steps[index].shape

    def source(self, node: Any) -> int:
        """Return the step of a node that must be a map."""
        if node not in self._index:
            self._refuse("a value that is not computed from the image")
        return self._index[node]

    def add(self, *inputs: int, **step: Any) -> int:
        """Append a step and return its index."""
        for index in inputs:
            if index in self._padding:
                self._refuse("zeros padded around a map before anything but a convolution")
        step.setdefault("shape", self.shape(inputs[0]))
        self.steps.append(Step(modules=self.modules(), inputs=inputs, **step))
        return len(self.steps) - 1

    def pad(self, index: int, border: tuple[int, int]) -> int:
        """Return a step like `index` with zeros around it, for the convolution that reads it."""
        made = self.add(index)
        self._padding[made] = border
        return made

    def take_padding(self, index: int) -> tuple[int, tuple[int, int]]:
        """Return the step below padding, and the padding."""
        border = self._padding.get(index)
        return (index, (0, 0)) if border is None else (self.steps[index].inputs[0], border)

    def layer(self, index: int, layer: Primitive, **more: Any) -> int:
        """Append the step of a layer of one input."""
        try:
            shape = layer.output_shape(self.shape(index))
        except SpecError as error:
            self._refuse(error.what)
        return self.add(index, layer=layer, shape=shape, **more)

    def keys(self, **tensors: Any) -> dict[str, str]:
        """Return the state-dict key of each tensor, and remember that they are used."""
        found: dict[str, str] = {}
        for name, node in tensors.items():
            if node is None:
                continue
            key = self._keys.get(getattr(node, "name", ""))
            if key is None:
                self._refuse(f"a {name} that is computed, not stored")
            if key in self._used:
                self._refuse(f"weights that are used twice ('{key}', before in '{self._used[key]}')")
            self._used[key] = self.path()
            found[name] = key
        return found

    def weight(self, node: Any) -> torch.Tensor:
        """Return the (fake) tensor of a node."""
        return node.meta["val"]

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _refuse(self, what: str) -> NoReturn:
        node = self._node
        name = str(node.target).removesuffix(".default") if node is not None else ""
        place = _place(node.meta.get("stack_trace")) if node is not None else ""
        where = self.path() or type(self._network).__name__
        raise SpecError(where, f"{name}: a design cannot express {what}{place}")

    refuse = _refuse

    def _call(self, node: Any) -> None:
        if node.target is operator.getitem:
            self._refuse("one of several outputs of an operation")
        name = str(node.target).split(".")[1] if "." in str(node.target) else str(node.target)
        in_place = name.endswith("_") and not name.endswith("__")
        reader = OPERATIONS.get(name.rstrip("_"))
        if reader is None:
            self._refuse("this operation")
        arguments = _arguments(node)
        index = reader(self, arguments)
        self._index[node] = index
        if in_place:
            self._overwrite(node.args[0], index)

    def _overwrite(self, node: Any, index: int) -> None:
        """Let later readers of the overwritten value, and of what it is a view of, see the new one."""
        old = self._index[node]
        for other, held in self._index.items():
            if held == old:
                self._index[other] = index

    def _output(self, node: Any) -> int:
        outputs = node.args[0]
        if len(outputs) != 1:
            self._refuse(f"{len(outputs)} outputs")
        index = self.source(outputs[0])
        if self.shape(index)[1:] != (1, 1):
            self._refuse(f"an output of {shape_text(self.shape(index))}, not one value per class")
        return index

    def _note_unused(self) -> None:
        unused = [(name, each.numel()) for name, each in self._network.named_parameters() if name not in self._used]
        if unused:
            modules = sorted({name.rpartition(".")[0] for name, _ in unused})
            count = sum(size for _, size in unused)
            self.note(f"{count} parameters are not used in inference and left out: {', '.join(modules)}")


def _place(stack: str | None) -> str:
    """Return `, FILE, line N: code` of the author's line, from the innermost frame outside of torch."""
    lines = (stack or "").strip().splitlines()
    for index in range(len(lines) - 1, -1, -1):
        text = lines[index].strip()
        if text.startswith("File ") and "/torch/" not in text.replace("\\", "/"):
            file, _, rest = text.removeprefix("File ").partition(", line ")
            code = lines[index + 1].strip() if index + 1 < len(lines) else ""
            return f" ({Path(file.strip(chr(34))).name}, line {rest.partition(',')[0]}: {code})"
    return ""


def _arguments(node: Any) -> dict[str, Any]:
    """Return the arguments of a call by the names of its schema, defaults included."""
    schema = node.target._schema.arguments
    found = {each.name: each.default_value for each in schema if each.has_default_value()}
    found.update({each.name: value for each, value in zip(schema, node.args, strict=False)})
    return {**found, **node.kwargs}


Reader = Callable[[_Reader, dict[str, Any]], int]
OPERATIONS: dict[str, Reader] = {}
"""The reader of each operation of torch's ATen by name; in-place ones have the same."""


def _operation(*names: str) -> Callable[[Reader], Reader]:
    def register(reader: Reader) -> Reader:
        OPERATIONS.update(dict.fromkeys(names, reader))
        return reader

    return register


def _square(reader: _Reader, values: Any, name: str) -> int:
    """Return the one value of a pair of equal numbers."""
    pair = [values] if isinstance(values, int) else list(values)
    if len(set(pair)) > 1:
        reader.refuse(f"a {name} of {' x '.join(map(str, pair))}")
    return int(pair[0])


@_operation("conv2d")
def _conv(reader: _Reader, given: dict[str, Any]) -> int:
    index, (before, after) = reader.take_padding(reader.source(given["input"]))
    weight = reader.weight(given["weight"])
    kernel = _square(reader, list(weight.shape[2:]), "kernel")
    stride, dilation = _square(reader, given["stride"], "stride"), _square(reader, given["dilation"], "dilation")
    reach = dilation * (kernel - 1)
    match given["padding"]:
        case "valid":
            own = (0, 0)
        case "same":
            own = (reach // 2, reach - reach // 2)
        case padding:
            own = (_square(reader, padding, "padding"),) * 2
    layer = Conv(
        name="conv",
        in_channels=int(weight.shape[1]) * int(given["groups"]),
        out_channels=int(weight.shape[0]),
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        groups=int(given["groups"]),
        padding=(before + own[0], after + own[1]),
        bias=given["bias"] is not None,
    )
    return reader.layer(index, layer, keys=reader.keys(weight=given["weight"], bias=given["bias"]))


@_operation("linear")
def _linear(reader: _Reader, given: dict[str, Any]) -> int:
    index = reader.source(given["input"])
    if len(given["input"].meta["val"].shape) != 2:
        reader.refuse("a dense layer over a map that is not flattened")
    outputs, inputs = (int(size) for size in reader.weight(given["weight"]).shape)
    layer = Linear(name="linear", in_features=inputs, out_features=outputs, bias=given["bias"] is not None)
    return reader.layer(index, layer, keys=reader.keys(weight=given["weight"], bias=given["bias"]))


def _norm(reader: _Reader, given: dict[str, Any], kind: Any, groups: int, **buffers: Any) -> int:
    index = reader.source(given["input"])
    if given["weight"] is None or given["bias"] is None:
        reader.refuse(f"a norm of kind '{kind}' without a scale and a shift")
    channels = int(reader.weight(given["weight"]).shape[0])
    keys = reader.keys(weight=given["weight"], bias=given["bias"], **buffers)
    layer = Norm(name="norm", kind=kind, channels=channels, groups=groups)
    return reader.layer(index, layer, keys=keys, eps=float(given["eps"]))


@_operation("batch_norm")
def _batch_norm(reader: _Reader, given: dict[str, Any]) -> int:
    if given["running_mean"] is None:
        reader.refuse("a batch norm without running statistics")
    if len(given["input"].meta["val"].shape) == 2 and reader.shape(reader.source(given["input"]))[1:] != (1, 1):
        reader.refuse("a batch norm over the features of a flattened map")
    if given["momentum"] != 0.1:
        reader.note(f"batch norms have momentum {given['momentum']:g}, here 0.1")
    return _norm(reader, given, "batch", 1, running_mean=given["running_mean"], running_var=given["running_var"])


@_operation("group_norm")
def _group_norm(reader: _Reader, given: dict[str, Any]) -> int:
    groups = int(given["num_groups"])
    if float(given["eps"]) != 1e-5:
        reader.refuse(f"a group norm with eps {given['eps']:g}")
    return _norm(reader, given, "group" if groups > 1 else "layer", groups)


@_operation("instance_norm")
def _instance_norm(reader: _Reader, given: dict[str, Any]) -> int:
    if not given["use_input_stats"]:
        reader.refuse("an instance norm with running statistics")
    return _norm(reader, given, "instance", 1)


def _activation(kind: ActivationKind, **expected: Any) -> Reader:
    """Return the reader of an activation whose arguments must be `expected`."""

    def read(reader: _Reader, given: dict[str, Any]) -> int:
        for name, value in expected.items():
            if given[name] != value:
                reader.refuse(f"'{kind}' with {name} {given[name]}")
        node = given.get("self", given.get("input"))
        return reader.add(reader.source(node), layer=Activation(name="act", kind=kind))

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
def _dropout(reader: _Reader, given: dict[str, Any]) -> int:
    index, rate = reader.source(given.get("self", given.get("input"))), float(given["p"])
    channelwise = "feature" in str(reader._node.target)
    return index if rate == 0 else reader.add(index, layer=Dropout(name="drop", rate=rate, channelwise=channelwise))


@_operation("max_pool2d", "avg_pool2d")
def _pool(reader: _Reader, given: dict[str, Any]) -> int:
    index = reader.source(given["self"])
    maximum = "max" in str(reader._node.target)
    kernel = _square(reader, given["kernel_size"], "window")
    stride = _square(reader, given["stride"] or kernel, "stride")
    padding = _square(reader, given["padding"], "padding")
    if maximum and _square(reader, given["dilation"], "dilation") != 1:
        reader.refuse("a dilated pool")
    if not maximum and padding and given["count_include_pad"]:
        reader.refuse("an average pool that counts its padding")
    if not maximum and given["divisor_override"] is not None:
        reader.refuse("an average pool with a divisor of its own")
    wanted, inside = reader._node.meta["val"].shape[2:], reader.shape(index)[1:]
    missing = {max((int(w) - 1) * stride + kernel - (n + 2 * padding), 0) for w, n in zip(wanted, inside, strict=True)}
    if len(missing) > 1:
        reader.refuse("a pool with ceil_mode over a map that is not square")
    pool = Pool(
        name="pool",
        kind="max" if maximum else "average",
        kernel=kernel,
        stride=stride,
        padding=(padding, padding + missing.pop()),
    )
    return reader.layer(index, pool)


@_operation("adaptive_avg_pool2d", "adaptive_max_pool2d")
def _adaptive(reader: _Reader, given: dict[str, Any]) -> int:
    index = reader.source(given["self"])
    kind = "max" if "max" in str(reader._node.target) else "average"
    size = _square(reader, given["output_size"], "output size")
    _, height, width = reader.shape(index)
    if size == 1:
        return reader.layer(index, GlobalPool(name="pool", kind=kind))
    if height == width == size:
        return index
    if height != width or height % size:
        reader.refuse(f"an adaptive pool from {height} x {width} to {size} x {size}, whose windows differ in size")
    window = height // size
    return reader.layer(index, Pool(name="pool", kind=kind, kernel=window, stride=window))


@_operation("mean", "amax")
def _reduce(reader: _Reader, given: dict[str, Any]) -> int:
    index = reader.source(given["self"])
    dims = sorted(dim % 4 for dim in given["dim"] or ())
    if len(given["self"].meta["val"].shape) != 4 or dims != [2, 3]:
        reader.refuse("a reduction over other dimensions than height and width")
    kind = "max" if "amax" in str(reader._node.target) else "average"
    return reader.layer(index, GlobalPool(name="pool", kind=kind))


@_operation("flatten", "view", "reshape", "squeeze", "unsqueeze", "_unsafe_view")
def _view(reader: _Reader, given: dict[str, Any]) -> int:
    index = reader.source(given["self"])
    before, after = given["self"].meta["val"].shape, reader._node.meta["val"].shape
    flat = (before[0], prod(before[1:]))
    same = tuple(after) == tuple(before)
    spread = tuple(after) in ((*before, 1, 1), (*before[:2], 1, 1)) and prod(after) == prod(before)
    if not (same or tuple(after) == flat or spread):
        reader.refuse(f"a view of {list(before)} as {list(after)}")
    return index


@_operation("contiguous", "clone", "alias", "detach", "lift_fresh_copy", "to", "identity", "_to_copy")
def _identity(reader: _Reader, given: dict[str, Any]) -> int:
    return reader.source(given.get("self", given.get("input")))


@_operation("pad")
def _padded(reader: _Reader, given: dict[str, Any]) -> int:
    index, borders = reader.source(given["self"]), list(given["pad"])
    if given["mode"] != "constant" or (given["value"] or 0) != 0 or len(borders) != 4:
        reader.refuse("padding other than zeros around height and width")
    if borders[:2] != borders[2:] or min(borders) < 0:
        reader.refuse(f"padding of {borders} px that differs between the axes")
    return reader.pad(index, (borders[0], borders[1]))


@_operation("log_softmax", "softmax")
def _softmax(reader: _Reader, given: dict[str, Any]) -> int:
    users = {str(user.op) for user in reader._node.users}
    if users != {"output"}:
        reader.refuse("a softmax that is not the last operation")
    name = str(reader._node.target).split(".")[1]
    reader.note(f"the output is that before {name}: a design gives logits")
    return reader.source(given["self"])


@_operation("add", "mul")
def _merge(reader: _Reader, given: dict[str, Any]) -> int:
    combine: Combine = "add" if ".add" in str(reader._node.target) else "multiply"
    sides = [given["self"], given["other"]]
    if any(isinstance(side, int | float) for side in sides):
        reader.refuse("arithmetic with a constant")
    if given.get("alpha", 1) != 1:
        reader.refuse(f"a sum with alpha {given['alpha']}")
    inputs = [reader.source(side) for side in sides]
    shapes = [reader.shape(index) for index in inputs]
    largest = max(shapes, key=lambda shape: shape[1] * shape[2])
    spread = combine == "multiply" and all(shape in (largest, (largest[0], 1, 1)) for shape in shapes)
    if len(set(shapes)) > 1 and not spread:
        reader.refuse(f"maps of {' and '.join(map(shape_text, shapes))} joined by broadcasting")
    return reader.add(*inputs, combine=combine, shape=largest)


@_operation("cat", "concat")
def _concat(reader: _Reader, given: dict[str, Any]) -> int:
    nodes: Sequence[Any] = given["tensors"]
    if given["dim"] % len(nodes[0].meta["val"].shape) != 1:
        reader.refuse("a concatenation along another dimension than the channels")
    inputs = [reader.source(node) for node in nodes]
    if len(inputs) == 1:
        return inputs[0]
    shapes = [reader.shape(index) for index in inputs]
    return reader.add(*inputs, combine="concat", shape=(sum(shape[0] for shape in shapes), *shapes[0][1:]))

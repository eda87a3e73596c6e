"""The arithmetic operations: they combine feature maps, or a feature map with a constant or a stored weight.

Imports the design's layers and this package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from archsearch.design.geometry import shape_text
from archsearch.design.layers import Activation, Narrow, PadChannels, Scale
from archsearch.design.plan import Combine
from archsearch.importer.registry import dimensions, operation
from archsearch.importer.steps import Form, Recorder

_PARTS = ("plus_3", "relu6_plus_3", "x_relu6_plus_3")  # of a hard sigmoid or hard swish written as arithmetic


@operation("add", "sub", "mul", "div")
def _arithmetic(recorder: Recorder, given: dict[str, Any]) -> int:
    name = str(recorder.node.target).split(".")[1].rstrip("_")
    sides = [given["self"], given["other"]]
    factor = float(given.get("alpha", 1)) * (-1 if name == "sub" else 1)
    if factor != 1:  # the factor of the second operand of a sum
        if not all(map(recorder.is_computed, sides)):
            recorder.refuse("a difference from a weight or a constant")
        return _merge(recorder, "add", sides, factor)
    if given.get("rounding_mode"):
        recorder.refuse("a division with rounding")
    for one, other in (sides, sides[::-1]):
        if isinstance(other, int | float):
            return _with_constant(recorder, name, one, float(other))
    for one, other in (sides, sides[::-1]):
        if not recorder.is_computed(other):
            weight = recorder.stored(other)
            if weight is None or name == "div":
                recorder.refuse("a value that is computed from weights or constants alone")
            return _with_weight(recorder, name, one, other)
    if name == "div":
        recorder.refuse("a map divided by a map")
    return _merge(recorder, "add" if name == "add" else "multiply", sides)


def _with_constant(recorder: Recorder, name: str, node: Any, value: float) -> int:
    """Return the step of a feature map plus, times or divided by a constant.

    This is the feature map itself, a mean of two, a constant scale, or a part of a hard sigmoid or hard swish.
    """
    index = recorder.source(node, "last", *_PARTS)
    form = recorder.form(index)
    if value == (0 if name == "add" else 1):
        return index
    if name == "add" and value == 3 and form is None:
        return recorder.add(index, form=Form("plus_3"))
    factor = value if name == "mul" else 1 / value if name == "div" and value else math.nan
    if form is None and factor == 0.5 and recorder.make_mean(node, 2):
        return index
    if math.isfinite(factor) and (form is None or form.kind == "last"):
        return _times(recorder, index, factor)
    if not abs(6 * factor - 1) < 1e-6 or form is None or form.kind not in _PARTS[1:]:
        recorder.refuse("arithmetic with a constant")
    kind = "hardsigmoid" if form.kind == "relu6_plus_3" else "hardswish"
    return recorder.layer(form.values[0], Activation(name="act", kind=kind))


def _times(recorder: Recorder, index: int, factor: float) -> int:
    """Return the step of a feature map times a constant."""
    channels = recorder.shape(index)[0]
    return recorder.layer(index, Scale(name="scale", channels=channels, init=factor, per="layer", learnt=False))


def _with_weight(recorder: Recorder, name: str, node: Any, other: Any) -> int:
    """Return the step of a feature map times a stored weight, or plus one that is the bias of the preceding layer."""
    index = recorder.source(node, "last")
    weight = recorder.stored(other)
    channels = recorder.shape(index)[0]
    sizes = [int(size) for size in other.meta["val"].shape]
    last = recorder.form(index) is not None or dimensions(node) == 2
    if dimensions(node) == 2 and recorder.shape(index)[1:] != (1, 1):
        recorder.refuse("a weight for every px of a map")
    wanted = [channels] if last else [channels, 1, 1]
    while len(sizes) > len(wanted) and sizes[0] == 1:
        sizes = sizes[1:]
    single = all(size == 1 for size in sizes)
    if not single and sizes != wanted:
        recorder.refuse(f"a stored weight of {' x '.join(map(str, sizes))} with a map of {channels} channels")
    if name == "add":
        per = getattr(recorder.steps[index].layer, "per", "channel")
        if (single and channels > 1) != (per == "layer") or not recorder.add_bias(node, other):
            recorder.refuse("a stored shift that is not the bias of the layer before it")
        return index
    keys = recorder.keys(weight=other)
    per = "layer" if single else "channel"
    layer = Scale(name="scale", channels=channels, init=recorder.first_value(weight), per=per)
    return recorder.layer(index, layer, keys=keys)


def _merge(recorder: Recorder, combine: Combine, sides: list[Any], factor: float = 1.0) -> int:
    """Return the step of two feature maps merged, the second of them times `factor`."""
    inputs = [recorder.source(side, "last", "relu6_plus_3") for side in sides]
    for one, other in (inputs, inputs[::-1]):  # x * relu6(x + 3), before it is divided by 6
        form = recorder.form(other)
        if form is not None and form.kind == "relu6_plus_3":
            if combine != "multiply" or form.values != (one,):
                recorder.refuse("arithmetic with a constant")
            return recorder.add(one, form=Form("x_relu6_plus_3", (one,)))
    shapes = [recorder.shape(index) for index in inputs]
    largest = max(shapes, key=lambda shape: (shape[1] * shape[2], shape[0]))
    spread = combine == "multiply" and all(
        shape[0] in (1, largest[0]) and shape[1:] in ((1, 1), largest[1:]) for shape in shapes
    )
    forms = {recorder.form(index) for index in inputs}
    if (len(set(shapes)) > 1 and not spread) or len(set(map(dimensions, sides))) > 1 or len(forms) > 1:
        recorder.refuse(f"maps of {' and '.join(map(shape_text, shapes))} joined by broadcasting")
    if factor != 1:
        inputs[1] = _times(recorder, inputs[1], factor)
    return recorder.add(*inputs, combine=combine, shape=largest, form=forms.pop())


@operation("cat", "concat")
def _concat(recorder: Recorder, given: dict[str, Any]) -> int:
    nodes: Sequence[Any] = given["tensors"]
    inputs = [recorder.source(node, "last") for node in nodes]
    forms = {recorder.form(index) for index in inputs}
    if given["dim"] % dimensions(nodes[0]) != (1 if forms == {None} else 3) or len(forms) > 1:
        recorder.refuse("a concatenation along another dimension than the channels")
    if len(inputs) == 1:
        return inputs[0]
    shapes = [recorder.shape(index) for index in inputs]
    if len({shape[1:] for shape in shapes}) > 1:
        recorder.refuse(f"maps of {' and '.join(map(shape_text, shapes))} joined after they were flattened")
    whole = _sum_over_part(recorder, inputs)
    if whole is not None:
        return whole
    joined = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    return recorder.add(*inputs, combine="concat", shape=joined, form=forms.pop())


def _sum_over_part(recorder: Recorder, inputs: list[int]) -> int | None:
    """Return the step of the sum with zero-padded channels that a concatenation of `inputs` equals; None if it is none.

    ReXNet adds a feature map to the first channels of another and concatenates the sum with the remaining channels.
    """
    if len(inputs) != 2:
        return None
    first, rest = (recorder.steps[index] for index in inputs)
    tail = rest.layer
    if first.combine != "add" or len(first.inputs) != 2 or not isinstance(tail, Narrow):
        return None
    whole = rest.inputs[0]
    for one, other in (first.inputs, first.inputs[::-1]):
        step = recorder.steps[one]
        head = step.layer
        if not isinstance(head, Narrow) or step.inputs[0] != whole or head.start or tail.start != head.out_channels:
            continue
        channels = recorder.shape(whole)[0]
        if head.out_channels + tail.out_channels != channels:
            continue
        more = PadChannels(name="pad", in_channels=head.out_channels, out_channels=channels)
        padded = recorder.layer(other, more)
        return recorder.add(whole, padded, combine="add", shape=recorder.shape(whole), form=recorder.form(whole))
    return None

"""The operations that view a feature map in another form: views, permutations, parts, borders and zero channels.

Imports the design's layers and this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from archsearch.design.layers import Narrow, PadChannels, Pool, Shuffle
from archsearch.design.resize import PaddingMode
from archsearch.importer.registry import dimensions, operation
from archsearch.importer.steps import Form, Recorder


@operation("flatten", "view", "reshape", "squeeze", "unsqueeze", "_unsafe_view")
def _view(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"], "groups", "turns")
    before, after = tuple(given["self"].meta["val"].shape), tuple(recorder.node.meta["val"].shape)
    form = recorder.form(index)
    if form is not None:
        below = recorder.below(index)
        if after != (before[0], *recorder.shape(below)):
            recorder.refuse(f"a view of {list(before)} as {list(after)}")
        shuffle = Shuffle(name="shuffle", channels=recorder.shape(below)[0], groups=form.values[0])
        return below if form.kind == "groups" else recorder.layer(below, shuffle)
    flat = (before[0], prod(before[1:]))
    if _without_ones(after) in (_without_ones(before), _without_ones(flat)):
        return index
    if len(before) != 4 or (after[0], prod(after[1:3]), *after[3:]) != before:
        recorder.refuse(f"a view of {list(before)} as {list(after)}")
    return recorder.add(index, form=Form("groups", (int(after[1]),)))


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape without trailing ones: (B, C) for (B, C, 1, 1)."""
    end = max((place for place, size in enumerate(shape, start=1) if size > 1), default=0)
    return tuple(shape[:end])


@operation("permute", "transpose")
def _permute(recorder: Recorder, given: dict[str, Any]) -> int:
    index, count = recorder.source(given["self"], "last", "groups"), dimensions(given["self"])
    if "dims" in given:
        dims = [dim % count for dim in given["dims"]]
    else:
        dims = list(range(count))
        one, two = given["dim0"] % count, given["dim1"] % count
        dims[one], dims[two] = two, one
    form = recorder.form(index)
    if dims == sorted(dims):
        return index
    if form is None and dims == [0, 2, 3, 1]:
        return recorder.add(index, form=Form("last"))
    if form == Form("last") and dims == [0, 3, 1, 2]:
        return recorder.add(index)
    if form is None or form.kind != "groups" or dims != [0, 2, 1, 3, 4]:
        recorder.refuse(f"the dimensions in the order {dims}")
    return recorder.add(recorder.below(index), form=Form("turns", form.values))


@operation("contiguous", "alias", "detach", "to", "identity", "_assert_tensor_metadata")
def _identity(recorder: Recorder, given: dict[str, Any]) -> int:
    return recorder.source(given.get("self", given.get("input")), "last", "groups", "turns")


@operation("clone", "lift_fresh_copy", "_to_copy")
def _copy(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"], "last", "groups", "turns")
    form = recorder.form(index)
    if form is not None and form.kind != "last":
        return index
    return recorder.add(index, form=form)  # a step of its own, so that overwriting it does not change the original


@operation("expand", "expand_as")
def _expand(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"])
    if any(str(user.target).split(".")[1].rstrip("_") != "mul" for user in recorder.node.users):
        recorder.refuse("values spread over a map before anything but a multiplication")
    return index


@operation("chunk", "split", "split_with_sizes", "unsafe_chunk", "unsafe_split", "tensor_split")
def _split(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"], "last")
    _require_channels(recorder, index, given)
    axis = given.get("dim", 0) % dimensions(given["self"])
    sizes = [int(each.shape[axis]) for each in recorder.node.meta["val"]]
    recorder.parts[recorder.node] = [(sum(sizes[:place]), size) for place, size in enumerate(sizes)]
    return index


@operation("narrow")
def _narrow(recorder: Recorder, given: dict[str, Any]) -> int:
    index = recorder.source(given["self"], "last")
    _require_channels(recorder, index, given)
    return part(recorder, index, int(given["start"]), int(given["length"]))


@operation("slice")
def _slice(recorder: Recorder, given: dict[str, Any]) -> int:
    index, count = recorder.source(given["self"], "last", "rows"), dimensions(given["self"])
    before, after = given["self"].meta["val"].shape, recorder.node.meta["val"].shape
    axis, step, form = given["dim"] % count, int(given["step"]), recorder.form(index)
    length, start = int(before[axis]), int(given["start"] or 0)
    start = start if start >= 0 else start + length
    if before == after and step == 1:
        return index
    if count == 4 and start == 0 and int(after[axis]) == -(-length // step):  # every `step`-th row or column
        if axis == 2 and form is None:
            return recorder.add(index, form=Form("rows", (step,)))
        if axis == 3 and form == Form("rows", (step,)):
            return recorder.layer(recorder.below(index), Pool(name="pool", kind="max", kernel=1, stride=step))
    if step != 1 or (form is not None and form.kind == "rows"):
        recorder.refuse(f"a part of a map with step {step}")
    _require_channels(recorder, index, given)
    return part(recorder, index, start, int(after[axis]))


def part(recorder: Recorder, index: int, start: int, channels: int) -> int:
    """Return the step of `channels` channels of a step's feature map, from channel `start` on."""
    inputs = recorder.shape(index)[0]
    if channels == inputs:
        return index
    return recorder.layer(index, Narrow(name="narrow", in_channels=inputs, start=start, out_channels=channels))


def _require_channels(recorder: Recorder, index: int, given: dict[str, Any]) -> None:
    """Raise `SpecError` if a part of a feature map is not a range of its channels."""
    count = dimensions(given["self"])
    last = recorder.form(index) is not None
    whole = count == 4 or (count == 2 and recorder.shape(index)[1:] == (1, 1))
    if not whole or given.get("dim", 0) % count != (3 if last else 1):
        recorder.refuse("a part of a map that is not some of its channels")


@operation("pad", "constant_pad_nd")
def _padded(recorder: Recorder, given: dict[str, Any]) -> int:
    index, borders, mode = recorder.source(given["self"]), list(given["pad"]), given.get("mode", "constant")
    if not any(borders):
        return index
    if mode == "constant" and (given["value"] or 0) == 0 and len(borders) == 6 and not any(borders[:4]):
        channels, (before, after) = recorder.shape(index)[0], borders[4:]
        if min(before, after) >= 0:
            more = PadChannels(
                name="pad", in_channels=channels, out_channels=channels + before + after, before=int(before)
            )
            return recorder.layer(index, more)
    modes: dict[str, PaddingMode] = {"constant": "zeros", "reflect": "reflect"}
    modes |= {"replicate": "replicate", "circular": "circular"}
    if len(borders) not in (2, 4) or mode not in modes or (mode == "constant" and given["value"]):
        recorder.refuse("padding that is no border around height and width, or not of zeros or px of the map")
    if min(borders) < 0:
        recorder.refuse(f"padding of {borders} px that cuts px off")
    return recorder.add(index, form=Form(modes[mode], (*map(int, borders), *(4 - len(borders)) * (0,))))

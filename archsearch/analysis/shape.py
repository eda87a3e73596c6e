"""Shapes: the (C, H, W) that a layer makes of the (C, H, W) it is given, or why it cannot.

Every function takes the path of the layer as `prefix` (the names above it, each followed by a
dot), which costs nothing until a message needs it. Imports errors and the plan only.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import NoReturn

from archsearch.design.plan import Conv, Linear, Norm, Parallel, Pool
from archsearch.errors import SpecError

Shape = tuple[int, int, int]
"""Channels, height, width of one image's map."""


def conv_shape(shape: Shape, conv: Conv, prefix: str) -> Shape:
    """Return the shape after `conv`; raises `SpecError` where channels, groups or window do not fit."""
    channels, height, width = shape
    if conv.in_channels != channels:
        _refuse_channels(conv.in_channels, channels, prefix + conv.name)
    groups = conv.groups
    if groups != 1 and (channels % groups or conv.out_channels % groups):
        _refuse_groups(conv, prefix + conv.name)
    if conv.symmetry != "none":
        _check_pairs(conv, prefix + conv.name)
    stride, (before, after) = conv.stride, conv.padding
    # Positions of a window: floor((length + padding - span) / stride) + 1 (Dumoulin and Visin 2016, relationship 15).
    slack = before + after - conv.dilation * (conv.kernel - 1) - 1
    if height + slack < 0 or width + slack < 0:
        _refuse_window(shape, conv.kernel, conv.dilation, conv.padding, prefix + conv.name)
    return conv.out_channels, (height + slack) // stride + 1, (width + slack) // stride + 1


def pool_shape(shape: Shape, pool: Pool, prefix: str) -> Shape:
    """Return the shape after `pool`; raises `SpecError` where its window does not fit or could see padding alone."""
    channels, height, width = shape
    kernel, stride, (before, after) = pool.kernel, pool.stride, pool.padding
    if max(before, after) >= kernel:
        raise SpecError(
            prefix + pool.name,
            f"padding {before}+{after} lets a window of {kernel} px see nothing but padding",
            f"Use padding of at most {kernel - 1} on each side.",
        )
    slack = before + after - kernel
    if height + slack < 0 or width + slack < 0:
        _refuse_window(shape, kernel, 1, pool.padding, prefix + pool.name)
    return channels, (height + slack) // stride + 1, (width + slack) // stride + 1


def check_norm(shape: Shape, norm: Norm, prefix: str) -> None:
    """Raise `SpecError` where `norm` does not fit its input or would always give zeros."""
    channels, height, width = shape
    if norm.channels != channels:
        _refuse_channels(norm.channels, channels, prefix + norm.name)
    if norm.kind == "batch":
        return
    if norm.symmetry == "pairs":
        channels, width = channels // 2, width * 2
    groups = {"group": norm.groups, "layer": 1, "instance": channels}[norm.kind]
    if channels % groups:
        fix = f"Use {_nearest_multiple(channels, groups)} channels, or {gcd(channels, groups)} groups."
        raise SpecError(prefix + norm.name, f"{groups} groups do not divide {channels} channels", fix)
    if channels // groups * height * width == 1:
        raise SpecError(
            prefix + norm.name,
            f"a norm of kind '{norm.kind}' over one value a group ({tell(shape)}, {groups} groups) is always zero",
            "Use a batch norm here, fewer groups, or no norm.",
        )


def linear_shape(shape: Shape, linear: Linear, prefix: str) -> Shape:
    """Return (out_features, 1, 1); raises `SpecError` where the flattened map has another length than in_features."""
    channels, height, width = shape
    features = channels * height * width
    if linear.in_features != features:
        raise SpecError(
            prefix + linear.name,
            f"takes {linear.in_features} features, but its input has {tell(shape)} = {features}",
            f"Set in_features to {features}, or pool the map before it.",
        )
    if linear.symmetry not in ("none", "project") and linear.out_features % 2:
        _refuse_odd(linear.out_features, "out features", prefix + linear.name)
    return linear.out_features, 1, 1


def merge_shape(shapes: Sequence[Shape], parallel: Parallel, path: str) -> Shape:
    """Return the shape of the merged branches, given each one's; raises `SpecError` naming two that do not fit.

    `add` wants equal shapes, `concat` equal maps, `multiply` equal channels and maps that are
    equal or 1 x 1, which is spread.
    """
    if not shapes:
        raise SpecError(path, "has no branches", "Give it at least one.")
    first = shapes[0]
    if parallel.combine == "concat":
        for i, shape in enumerate(shapes):
            if shape[1:] != first[1:]:
                _refuse_branches(parallel, 0, i, shapes, path)
        return sum(shape[0] for shape in shapes), first[1], first[2]
    whole = 0
    if parallel.combine == "multiply":
        whole = max(range(len(shapes)), key=lambda i: shapes[i][1] * shapes[i][2])
        first = shapes[whole]
    for i, shape in enumerate(shapes):
        spread = parallel.combine == "multiply" and shape == (first[0], 1, 1)
        if shape != first and not spread:
            _refuse_branches(parallel, min(whole, i), max(whole, i), shapes, path)
    return first


def tell(shape: Shape) -> str:
    """Return `shape` as people write it: `64 x 16 x 16`."""
    return " x ".join(map(str, shape))


def _check_pairs(conv: Conv, where: str) -> None:
    """Raise where the weights of `conv` cannot be tied: its channels or its groups are not pairs."""
    if conv.symmetry != "project" and conv.out_channels % 2:
        _refuse_odd(conv.out_channels, "out channels", where)
    if conv.groups > 1 and (conv.symmetry != "pairs" or conv.groups % 2):
        what = f"with arch.symmetry=flip its {conv.groups} groups cannot be paired"
        plain = {"pairs": "an even number of groups, or one", "lift": "one group on images"}
        raise SpecError(where, what, f"Use {plain.get(conv.symmetry, 'one group before the classes')}.")


def _refuse_odd(count: int, called: str, where: str) -> NoReturn:
    what = f"with arch.symmetry=flip {called} come in pairs, and there are {count}"
    raise SpecError(where, what, f"Use {count + 1} of them, or arch.symmetry=none.")


def _refuse_channels(takes: int, given: int, where: str) -> NoReturn:
    raise SpecError(where, f"takes {takes} channels, but its input has {given}", f"Set its input channels to {given}.")


def _refuse_groups(conv: Conv, where: str) -> NoReturn:
    inputs, outputs, groups = conv.in_channels, conv.out_channels, conv.groups
    side, width = ("in", inputs) if inputs % groups else ("out", outputs)
    fitting = gcd(gcd(inputs, outputs), groups)
    fix = f"Use {_nearest_multiple(width, groups)} {side} channels, or {fitting} group{'s' if fitting > 1 else ''}."
    raise SpecError(where, f"{groups} groups do not divide {width} {side} channels", fix)


def _refuse_window(shape: Shape, kernel: int, dilation: int, padding: tuple[int, int], where: str) -> NoReturn:
    """Raise for a window larger than its padded input: the place where a map would shrink to nothing."""
    length, pad = min(shape[1:]), sum(padding)
    span = dilation * (kernel - 1) + 1
    spread = f" with dilation {dilation} (spanning {span} px)" if dilation > 1 else ""
    padded = f" with padding {padding[0]}+{padding[1]}" if pad else " without padding"
    largest = (length + pad - 1) // dilation + 1
    smaller = f"a kernel of at most {largest}, " if length + pad > 0 else ""
    raise SpecError(
        where,
        f"a kernel of {kernel}{spread} is larger than its input of {shape[1]} x {shape[2]} px{padded}: nothing is left",
        f"Use {smaller}padding of at least {-(-(span - length) // 2)} on each side, or fewer strides before it.",
    )


def _refuse_branches(parallel: Parallel, one: int, other: int, shapes: Sequence[Shape], path: str) -> NoReturn:
    verb = {"add": "added", "concat": "concatenated", "multiply": "multiplied"}[parallel.combine]
    names = parallel.branches[one].name, parallel.branches[other].name
    if shapes[one][1:] != shapes[other][1:]:
        fix = "Give both the same strides, and padding that keeps their maps equal."
    else:
        fix = f"End '{names[1]}' with a 1x1 convolution to {shapes[one][0]} channels."
    what = f"branches '{names[0]}' ({tell(shapes[one])}) and '{names[1]}' ({tell(shapes[other])}) cannot be {verb}"
    raise SpecError(path, what, fix)


def _nearest_multiple(number: int, factor: int) -> int:
    """Return the multiple of `factor` nearest to `number` and above 0; of two, the larger."""
    return max(factor, (2 * number + factor) // (2 * factor) * factor)

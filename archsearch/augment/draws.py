"""The random parameters of all transforms of a batch, drawn on the CPU; imports torch and the settings.

The generator is called once per batch, for a number of values that depends only on transforms and batch size: restoring
its state repeats the batch. The uniform numbers are converted to parameters on any device.

Legend: B batch, K draws per image, T draws per image of all transforms together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from archsearch.settings.augment import (
    Border,
    BrightnessContrast,
    CoarseDropout,
    Fill,
    HorizontalFlip,
    RandomCrop,
    ShiftScaleRotate,
    Transform,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Which images are mirrored (bool)."""

    chosen_B: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """Which images are warped, and the shift (px), factor and angle (degrees, anticlockwise) of each."""

    chosen_B: Tensor
    shift_x_B: Tensor
    shift_y_B: Tensor
    factor_B: Tensor
    angle_B: Tensor
    border: Border


@dataclass(frozen=True, slots=True, kw_only=True)
class Holes:
    """Which images get holes, and the top left corner (px) of each hole."""

    chosen_B: Tensor
    tops_KB: Tensor
    lefts_KB: Tensor
    height: int
    width: int
    fill: Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """Which images are cropped, and the top left corner (px) in the padded image."""

    chosen_B: Tensor
    top_B: Tensor
    left_B: Tensor
    padding: int
    border: Border


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """Which images change in brightness and contrast: level times `factor` plus `offset` (levels)."""

    chosen_B: Tensor
    factor_B: Tensor
    offset_B: Tensor


Draw = Flip | Warp | Holes | Crop | Light


def draw(
    steps: Sequence[Transform], *, count: int, height: int, width: int, generator: torch.Generator
) -> tuple[Draw, ...]:
    """Return the parameters of each of `steps` for `count` images of `height` x `width` px, as CPU tensors."""
    return parameters(steps, uniform(steps, count=count, generator=generator), height=height, width=width)


def uniform(steps: Sequence[Transform], *, count: int, generator: torch.Generator) -> Tensor:
    """Return the random numbers of `steps` for `count` images: float64 [T, B] in 0..1."""
    return torch.rand(sum(_draws_of(step) for step in steps), count, generator=generator, dtype=torch.float64)


def parameters(steps: Sequence[Transform], uniform_TB: Tensor, *, height: int, width: int) -> tuple[Draw, ...]:
    """Return the parameters of `steps` from `uniform_TB`, on its device, for images of `height` x `width` px."""
    rest = list(uniform_TB.unbind(0))
    drawn: list[Draw] = []
    for step in steps:
        own, rest = rest[: _draws_of(step)], rest[_draws_of(step) :]
        drawn.append(_parameters(step, own, height, width))
    return tuple(drawn)


def _draws_of(step: Transform) -> int:
    match step:
        case HorizontalFlip():
            return 1
        case ShiftScaleRotate():
            return 5
        case RandomCrop() | BrightnessContrast():
            return 3
        case CoarseDropout():
            return 1 + 2 * step.holes
        case _:
            assert_never(step)


def _parameters(step: Transform, uniform: list[Tensor], height: int, width: int) -> Draw:
    chosen, rest = uniform[0] < step.p, uniform[1:]
    match step:
        case HorizontalFlip():
            return Flip(chosen_B=chosen)
        case ShiftScaleRotate():
            return Warp(
                chosen_B=chosen,
                shift_x_B=_either_way(rest[0], step.shift * width),
                shift_y_B=_either_way(rest[1], step.shift * height),
                factor_B=1 + _either_way(rest[2], step.scale),
                angle_B=_either_way(rest[3], step.rotate),
                border=step.border,
            )
        case RandomCrop():
            places = 2 * step.padding + 1
            top, left = _whole(rest[0], places), _whole(rest[1], places)
            return Crop(chosen_B=chosen, top_B=top, left_B=left, padding=step.padding, border=step.border)
        case BrightnessContrast():
            factor, offset = 1 + _either_way(rest[0], step.contrast), _either_way(rest[1], 255 * step.brightness)
            return Light(chosen_B=chosen, factor_B=factor, offset_B=offset)
        case CoarseDropout():
            tall, wide = min(step.height, height), min(step.width, width)
            tops = [_whole(one, height - tall + 1) for one in rest[: step.holes]]
            lefts = [_whole(one, width - wide + 1) for one in rest[step.holes :]]
            return Holes(
                chosen_B=chosen,
                tops_KB=torch.stack(tops),
                lefts_KB=torch.stack(lefts),
                height=tall,
                width=wide,
                fill=step.fill,
            )
        case _:
            assert_never(step)


def _either_way(uniform: Tensor, limit: float) -> Tensor:
    return (2 * uniform - 1) * limit


def _whole(uniform: Tensor, places: int) -> Tensor:
    return (uniform * places).to(torch.int64).clamp_(max=places - 1)

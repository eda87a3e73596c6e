"""Draws done on all images of a batch and kept where they were chosen, for a GPU; imports torch and the draws.

What is computed in vain costs a GPU less than picking images out, and no shape depends on what was drawn: nothing waits
for the device, and a CUDA graph can record it.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from archsearch.augment.draws import Crop, Draw, Flip, Holes, Light, Warp
from archsearch.augment.pixels import crop, light, pad, punch_all, warp, warp_matrices
from archsearch.settings.augment import Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills:
    """The levels of what is filled, per channel: the training set's mean, and black."""

    mean_C: Tensor
    black_C: Tensor

    def of(self, name: Fill) -> Tensor:
        """Return the levels that are called `name`."""
        return self.mean_C if name == "mean" else self.black_C


def apply_everywhere(
    images_BHWC: Tensor, draws: Sequence[Draw], fills: Fills, mirrored_B: Tensor | None = None
) -> Tensor:
    """Return uint8 `images_BHWC`, of which `mirrored_B` are mirrored first, after `draws`, in order.

    All tensors lie on one device. The levels are those of `BatchedAugmenter.apply`, but for roundings of samples that
    lie halfway between two.
    """
    images = images_BHWC
    for one in draws:
        if isinstance(one, Flip):
            mirrored_B = one.chosen_B if mirrored_B is None else mirrored_B ^ one.chosen_B
        elif isinstance(one, Warp):
            images, mirrored_B = _warped(images, one, mirrored_B, fills), None
        else:
            images = _mirrored(images, mirrored_B)
            images, mirrored_B = _where(one.chosen_B, _local(images, one, fills), images), None
    return _mirrored(images, mirrored_B)


def _mirrored(images: Tensor, mirrored_B: Tensor | None) -> Tensor:
    return images if mirrored_B is None else _where(mirrored_B, images.flip(2), images)


def _warped(images: Tensor, one: Warp, mirrored_B: Tensor | None, fills: Fills) -> Tensor:
    """Return all images sampled, those not chosen at their own pixels."""
    height, width = images.shape[1:3]
    shift_x_B, shift_y_B, angle_B = (v * one.chosen_B for v in (one.shift_x_B, one.shift_y_B, one.angle_B))
    factor_B = torch.where(one.chosen_B, one.factor_B, 1.0)
    sides_B = torch.zeros_like(one.chosen_B) if mirrored_B is None else mirrored_B
    matrices_B23 = warp_matrices(shift_x_B, shift_y_B, factor_B, angle_B, sides_B, height=height, width=width)
    return warp(images, matrices_B23, one.border, fills.mean_C)


def _local(images: Tensor, one: Holes | Crop | Light, fills: Fills) -> Tensor:
    height, width = images.shape[1:3]
    match one:
        case Holes():
            return punch_all(images, one.tops_KB, one.lefts_KB, one.height, one.width, fills.of(one.fill))
        case Crop():
            padded = pad(images, one.padding, one.border, fills.mean_C)
            return crop(padded, one.top_B, one.left_B, height, width)
        case Light():
            return light(images, one.factor_B, one.offset_B)
        case _:
            assert_never(one)


def _where(chosen_B: Tensor, changed: Tensor, images: Tensor) -> Tensor:
    return torch.where(chosen_B.view(-1, 1, 1, 1), changed, images)

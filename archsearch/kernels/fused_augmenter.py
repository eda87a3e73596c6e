"""The batched executor with one kernel for flips, warp, holes and normalisation, in one pass over each image on a CPU.

Imports torch and the plain executor. Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from archsearch.augment.batched import BatchedAugmenter
from archsearch.augment.draws import Draw, Flip, Holes, Warp
from archsearch.augment.normalise import fill_levels
from archsearch.kernels.library import Kernels

DEPTH: Final = 4  # maximum number of channels, the same as in augment.c
_BORDERS: Final = {"reflect_101": 0, "replicate": 1, "black": 2, "mean": 2}


class FusedAugmenter(BatchedAugmenter):
    """Does the same as `plain`; one kernel applies flips, at most one warp and holes, if in this order."""

    def __init__(self, plain: BatchedAugmenter, kernels: Kernels) -> None:
        super().__init__(plain.policy, mean=plain.mean, std=plain.std, device=plain.device)
        self._kernels = kernels

    def applied(self, images_BCHW: Tensor, draws: Sequence[Draw]) -> Tensor:
        """Return uint8 `images_BCHW`, on the CPU, with `draws` applied in order, normalised."""
        together = fused(draws) if len(self.mean) <= DEPTH else None
        if together is None:
            return super().applied(images_BCHW, draws)
        return apply_fused(images_BCHW, *together, mean=self.mean, std=self.std, kernels=self._kernels)


def fused(draws: Sequence[Draw]) -> tuple[Tensor | None, Warp | None, Holes | None] | None:
    """Return the mirrored images, the warp and the holes of `draws`, or None if one kernel cannot apply them."""
    mirrored_B: Tensor | None = None
    warp: Warp | None = None
    holes: Holes | None = None
    for one in draws:
        if isinstance(one, Flip) and warp is None and holes is None:
            mirrored_B = one.chosen_B if mirrored_B is None else mirrored_B ^ one.chosen_B
        elif isinstance(one, Warp) and warp is None and holes is None:
            warp = one
        elif isinstance(one, Holes) and holes is None:
            holes = one
        else:
            return None
    return mirrored_B, warp, holes


def apply_fused(
    images_BCHW: Tensor,
    mirrored_B: Tensor | None,
    warp: Warp | None,
    holes: Holes | None,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    kernels: Kernels,
) -> Tensor:
    """Return uint8 `images_BCHW`, of at most four channels, augmented and normalised: float32 in channels_last memory.

    The levels equal those of `pixels.warp`, except for rounding of samples that lie halfway between two levels.
    Raises `MemoryError`.
    """
    images_BHWC = images_BCHW.permute(0, 2, 3, 1).contiguous()
    batch, height, width, channels = images_BHWC.shape
    out = images_BHWC.new_empty(images_BHWC.shape, dtype=torch.float32)
    tall, wide, count = (0, 0, 0) if holes is None else (holes.height, holes.width, len(holes.tops_KB))
    border = 0 if warp is None else _BORDERS[warp.border]
    outside = fill_levels(mean) if warp is not None and warp.border == "mean" else (0,) * channels
    hole = fill_levels(mean) if holes is not None and holes.fill == "mean" else (0,) * channels
    rows = (outside, hole, [1 / (255 * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)])
    levels = [value for row in rows for value in (*row, *(0,) * (DEPTH - channels))]
    bent: tuple[Tensor | None, ...] = (None,) * 5
    if warp is not None:
        bent = (warp.chosen_B, warp.shift_x_B, warp.shift_y_B, warp.factor_B, warp.angle_B)
    holed = (None,) * 3 if holes is None else (holes.chosen_B, holes.tops_KB, holes.lefts_KB)
    drawn = [None if one is None else one.contiguous() for one in (mirrored_B, *bent, *holed)]
    sizes = (batch, height, width, channels, border, count, tall, wide)
    given = ((ctypes.c_float * len(levels))(*levels), (ctypes.c_long * len(sizes))(*sizes))
    kernels("augment_images", out, images_BHWC, *drawn, *given)
    return out.permute(0, 3, 1, 2)

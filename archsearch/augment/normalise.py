"""Convert uint8 images to normalised floats in one multiply-add; imports torch only.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Normaliser:
    """Turns uint8 images into (value / 255 - mean) / std, the same way for training and evaluation."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device | str) -> None:
        """Hold `mean` and `std` of each channel, in 0..1, on `device`."""
        scale_C = [1 / (255 * s) for s in std]
        shift_C = [-m / s for m, s in zip(mean, std, strict=True)]
        self._scale_C = torch.tensor(scale_C, dtype=torch.float32, device=device)
        self._shift_C = torch.tensor(shift_C, dtype=torch.float32, device=device)
        self._tiles: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        """Return `images_BCHW` (uint8) as float32 of the same shape, in channels_last memory."""
        batch, channels, height, width = images_BCHW.shape
        scale, shift = self._tiled(height * width)
        # Flat, so that the inner loop runs over a whole image, not over three channels.
        flat = images_BCHW.permute(0, 2, 3, 1).reshape(batch, height * width * channels)
        flat = flat.to(torch.float32).mul_(scale).add_(shift)
        return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def undo(self, values_BCHW: Tensor) -> Tensor:
        """Return normalised `values_BCHW` as the uint8 images that they came from."""
        levels = (values_BCHW - self._shift_C.view(1, -1, 1, 1)) / self._scale_C.view(1, -1, 1, 1)
        return levels.round_().clamp_(0, 255).to(torch.uint8)

    def _tiled(self, pixels: int) -> tuple[Tensor, Tensor]:
        if pixels not in self._tiles:
            self._tiles[pixels] = (self._scale_C.repeat(pixels), self._shift_C.repeat(pixels))
        return self._tiles[pixels]


def normalise(images_BCHW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return uint8 `images_BCHW` normalised by `mean` and `std` (in 0..1) as float32, channels_last, for evaluation.

    Use a `Normaliser` for many batches: this function copies `mean` and `std` to the device at each call.
    """
    return Normaliser(mean, std, images_BCHW.device)(images_BCHW)


def fill_levels(mean: Sequence[float]) -> tuple[int, ...]:
    """Return `mean` (in 0..1) as uint8 levels: on uint8 images, floats would be truncated to 0, which is black."""
    return tuple(round(255 * m) for m in mean)

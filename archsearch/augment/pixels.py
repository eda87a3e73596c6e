"""The operations of the transforms on the pixels of a uint8 batch; imports torch and the settings.

Images are [B, H, W, C] and contiguous. `fill_C` fills holes, and the area outside the image with the border `mean`.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from archsearch.settings.augment import Border

_PADDING = {"reflect_101": "reflection", "replicate": "border", "black": "zeros", "mean": "zeros"}


def warp_matrices(
    shift_x_B: Tensor,
    shift_y_B: Tensor,
    factor_B: Tensor,
    angle_B: Tensor,
    mirrored_B: Tensor,
    *,
    height: int,
    width: int,
) -> Tensor:
    """Return [B, 2, 3] float32: maps an output pixel, relative to the centre, to its sampling position in -1..1.

    The inverse of "scale, then rotate about the centre (W-1)/2, (H-1)/2, then shift" (`cv2.getRotationMatrix2D` and
    `warpAffine`). A mirrored image was flipped before the warp: its first row changes sign.
    """
    angle = angle_B * (math.pi / 180)
    cos, sin = angle.cos() / factor_B, angle.sin() / factor_B
    across = torch.stack([cos, -sin, sin * shift_y_B - cos * shift_x_B], 1)
    down = torch.stack([sin, cos, -sin * shift_x_B - cos * shift_y_B], 1)
    across = across * (1.0 - 2.0 * mirrored_B.to(across.dtype)).unsqueeze(1)
    half_width, half_height = max(width - 1, 1) / 2, max(height - 1, 1) / 2
    return torch.stack([across / half_width, down / half_height], 1).to(torch.float32)


def warp(images: Tensor, matrices_B23: Tensor, border: Border, fill_C: Tensor) -> Tensor:
    """Return `images` sampled bilinearly at the positions given by `matrices_B23`, rounded to uint8.

    `grid_sample` reads channels_last floats, the fastest of the layouts tried on a CPU (benchmarks/training_notes.md).
    The coordinates are sums of a row's and a column's part: a matrix product might round to TF32 or bf16.
    """
    _, height, width, _ = images.shape
    x_W = torch.arange(width, device=images.device, dtype=torch.float32) - (width - 1) / 2
    y_H = torch.arange(height, device=images.device, dtype=torch.float32) - (height - 1) / 2
    along_x, along_y, constant = matrices_B23.unsqueeze(-1).unbind(2)
    grid_B2HW = (along_x * x_W).unsqueeze(2) + (along_y * y_H + constant).unsqueeze(3)
    grid = grid_B2HW.permute(0, 2, 3, 1)
    source = images.permute(0, 3, 1, 2).to(torch.float32)
    outside = fill_C.view(1, -1, 1, 1) if border == "mean" else None
    if outside is not None:
        source = source - outside
    warped = F.grid_sample(source, grid, mode="bilinear", padding_mode=_PADDING[border], align_corners=True)
    if outside is not None:
        warped = warped + outside
    # Stacked planes, because a permuted copy of uint8 takes three times as long.
    return torch.stack(warped.add_(0.5).to(torch.uint8).unbind(1), -1)


def pad(images: Tensor, padding: int, border: Border, fill_C: Tensor) -> Tensor:
    """Return `images` padded by `padding` px on each side: mirrored, replicated, black or with the mean."""
    batch, height, width, channels = images.shape
    p = padding
    padded = images.new_zeros(batch, height + 2 * p, width + 2 * p, channels)
    if border == "mean":
        padded[:] = fill_C.to(torch.uint8)
    inner = padded[:, p : p + height]
    inner[:, :, p : p + width] = images
    match border:
        case "reflect_101":
            left, right = _mirrored(-p, p, width, images.device), _mirrored(width, p, width, images.device)
            inner[:, :, :p] = images.index_select(2, left)
            inner[:, :, p + width :] = images.index_select(2, right)
            padded[:, :p] = inner.index_select(1, _mirrored(-p, p, height, images.device))
            padded[:, p + height :] = inner.index_select(1, _mirrored(height, p, height, images.device))
        case "replicate":
            inner[:, :, :p] = inner[:, :, p : p + 1]
            inner[:, :, p + width :] = inner[:, :, p + width - 1 : p + width]
            padded[:, :p] = padded[:, p : p + 1]
            padded[:, p + height :] = padded[:, p + height - 1 : p + height]
        case _:
            pass
    return padded


def crop(padded: Tensor, top_B: Tensor, left_B: Tensor, height: int, width: int) -> Tensor:
    """Return crops [B, height, width, C] of `padded`, each image at its own corner.

    Every row of a crop is contiguous: a view has all possible rows, and one selection copies those that are needed.
    """
    batch, tall, wide, channels = padded.shape
    runs = padded.as_strided((batch * tall * wide - width + 1, width * channels), (channels, 1))
    image = torch.arange(batch, device=padded.device).view(-1, 1) * tall
    row = top_B.view(-1, 1) + torch.arange(height, device=padded.device)
    starts = (image + row) * wide + left_B.view(-1, 1)
    return runs.index_select(0, starts.view(-1)).view(batch, height, width, channels)


def punch(images: Tensor, top_B: Tensor, left_B: Tensor, height: int, width: int, fill_C: Tensor) -> Tensor:
    """Return `images` with a hole of `height` x `width` px at the corner of each, filled with the levels `fill_C`.

    Bit operations, x ^ ((x ^ fill) & hole), because `torch.where` takes four times as long on uint8.
    """
    batch, tall, wide, channels = images.shape
    y = torch.arange(tall, device=images.device).view(1, -1, 1)
    x = torch.arange(wide, device=images.device).repeat_interleave(channels).view(1, 1, -1)
    top, left = top_B.view(-1, 1, 1), left_B.view(-1, 1, 1)
    rows = ((y >= top) & (y < top + height)).to(torch.uint8).neg_()
    columns = ((x >= left) & (x < left + width)).to(torch.uint8).neg_()
    flat = images.reshape(batch, tall, wide * channels)
    change = flat ^ fill_C.to(torch.uint8).repeat(wide)
    change &= rows & columns
    return change.bitwise_xor_(flat).view(batch, tall, wide, channels)


def punch_all(images: Tensor, tops_KB: Tensor, lefts_KB: Tensor, height: int, width: int, fill_C: Tensor) -> Tensor:
    """Return `images` with K holes each."""
    for top_B, left_B in zip(tops_KB, lefts_KB, strict=True):
        images = punch(images, top_B, left_B, height, width, fill_C)
    return images


def light(images: Tensor, factor_B: Tensor, offset_B: Tensor) -> Tensor:
    """Return `images` times `factor_B` plus `offset_B`, clipped to 0..255 and truncated to whole levels."""
    factor, offset = factor_B.to(torch.float32).view(-1, 1), offset_B.to(torch.float32).view(-1, 1)
    flat = images.reshape(images.shape[0], -1).to(torch.float32)
    return flat.mul_(factor).add_(offset).clamp_(0, 255).to(torch.uint8).view(images.shape)


def _mirrored(first: int, count: int, size: int, device: torch.device) -> Tensor:
    """Return the pixels of 0..size-1 at `first`, `first` + 1, ... if both ends mirror without repeating."""
    last = size - 1
    return last - ((torch.arange(first, first + count, device=device) % max(2 * last, 1)) - last).abs()

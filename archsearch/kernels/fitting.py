"""The feature maps that the kernels accept, and the base class of prepared modules; imports torch only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.kernels.library import LEAST_LANES, Kernels
from archsearch.kernels.maps import KINDS
from archsearch.network.modules import PaddedPool2d

# Elementwise modules that map zeros to zeros, and may run in bfloat16: torch computes in float32 and rounds the result.
VALUE_BY_VALUE = (nn.Dropout, nn.Dropout2d, nn.Identity, nn.LeakyReLU, nn.ELU, nn.GELU, nn.Mish, *KINDS)


class Prepared:
    """Mixin of a module that computes with the kernels; the module accepts bfloat16.

    With `_in_bf16`, feature maps are kept in bfloat16 while the module is in training mode.
    """

    _kernels: Kernels
    _in_bf16: bool

    def _usable(self) -> Kernels | None:
        """Return the kernels, or None while torch compiles the network or autocast is enabled."""
        traced = torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")
        return None if traced else self._kernels


def suited(images: Tensor, module: nn.Module) -> Tensor:
    """Return `images` in a dtype that `module` accepts: float32 unless it is prepared, pools or works elementwise."""
    takes_any = isinstance(module, (Prepared, PaddedPool2d, *VALUE_BY_VALUE))
    return images.float() if images.dtype == torch.bfloat16 and not takes_any else images


def filled(channels: int) -> int:
    """Return the smallest number of channels, at least `channels`, that the kernels accept."""
    return -(-channels // LEAST_LANES) * LEAST_LANES


def with_zeros(values: Tensor, count: int, dim: int = 1) -> Tensor:
    """Return `values` padded with zeros at the end to `count` along `dim`, which defaults to the channels."""
    missing = count - values.shape[dim]
    return F.pad(values, (0, 0) * (values.dim() - 1 - dim) + (0, missing)) if missing else values


def fitting(images: Tensor, kernels: Kernels, *channels: int) -> Kernels | None:
    """Return the variant of `kernels` that accepts `images`, and feature maps of `channels`, or None."""
    return kernels.of(images.shape[1], *channels) if is_map(images) else None


def is_map(images: Tensor) -> bool:
    """Return whether `images` are a feature map on the CPU of a dtype that the kernels support."""
    typed = images.dtype in (torch.float32, torch.bfloat16)
    return typed and images.dim() == 4 and images.device.type == "cpu" and images.numel() > 0

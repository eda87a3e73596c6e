"""Which maps the kernels take, and what a prepared module knows beside what it was; imports torch only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.kernels.library import LEAST_LANES, Kernels
from archsearch.kernels.maps import KINDS
from archsearch.network.modules import PaddedPool2d

# Compute in bfloat16 as well as in float32, since torch rounds what it has computed in float32, and zeros from zeros.
VALUE_BY_VALUE = (nn.Dropout, nn.Dropout2d, nn.Identity, nn.LeakyReLU, nn.ELU, nn.GELU, nn.Mish, *KINDS)


class Prepared:
    """What a module is beside its own class while it computes by the kernels; it takes maps in bfloat16.

    With `_in_bf16`, maps are kept in bfloat16 while the module is in training.
    """

    _kernels: Kernels
    _in_bf16: bool

    def _usable(self) -> Kernels | None:
        """Return the kernels where they may be called now: not while torch traces a network or casts maps."""
        traced = torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")
        return None if traced else self._kernels


def suited(images: Tensor, module: nn.Module) -> Tensor:
    """Return the map as `module` takes it: bfloat16 only where it is prepared for that, or computes value by value."""
    takes_any = isinstance(module, (Prepared, PaddedPool2d, *VALUE_BY_VALUE))
    return images.float() if images.dtype == torch.bfloat16 and not takes_any else images


def filled(channels: int) -> int:
    """Return the least number of channels, no less than `channels`, that kernels take."""
    return -(-channels // LEAST_LANES) * LEAST_LANES


def with_zeros(values: Tensor, count: int, dim: int = 1) -> Tensor:
    """Return `values` with zeros behind them up to `count` along `dim`, of a map along its channels."""
    missing = count - values.shape[dim]
    return F.pad(values, (0, 0) * (values.dim() - 1 - dim) + (0, missing)) if missing else values


def fitting(images: Tensor, kernels: Kernels, *channels: int) -> Kernels | None:
    """Return those of `kernels` that take the map `images`, and others of so many `channels`, or None."""
    return kernels.of(images.shape[1], *channels) if is_map(images) else None


def is_map(images: Tensor) -> bool:
    """Return whether `images` are a map on the CPU of a type that kernels know."""
    typed = images.dtype in (torch.float32, torch.bfloat16)
    return typed and images.dim() == 4 and images.device.type == "cpu" and images.numel() > 0

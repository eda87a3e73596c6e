"""Which modules compute by the kernels, and which maps the kernels take; imports torch only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.kernels.library import LEAST_LANES, Kernels
from archsearch.kernels.norm_act import KINDS

# Compute in bfloat16 as well as in float32, since torch rounds what it has computed in float32, and zeros from zeros.
VALUE_BY_VALUE = (nn.Dropout, nn.Dropout2d, nn.Identity, nn.LeakyReLU, nn.ELU, nn.GELU, nn.Mish, *KINDS)


class Equipped:
    """What a module derives from that uses `kernels` where they are set, and takes maps in bfloat16.

    With `in_bf16`, maps are kept in bfloat16 while the module is in training.
    """

    kernels: Kernels | None = None
    in_bf16: bool = False


def equip(network: nn.Module, kernels: Kernels | None, *, in_bf16: bool = False) -> None:
    """Let every module of `network` that can use `kernels`, or none where that is None."""
    for module in network.modules():
        if isinstance(module, Equipped):
            module.kernels, module.in_bf16 = kernels, in_bf16


def suited(images: Tensor, module: nn.Module) -> Tensor:
    """Return the map as `module` takes it: bfloat16 only where it looks after that, or has no arithmetic to lose."""
    takes_any = isinstance(module, (Equipped, *VALUE_BY_VALUE))
    return images.float() if images.dtype == torch.bfloat16 and not takes_any else images


def usable(kernels: Kernels | None) -> Kernels | None:
    """Return `kernels` where they may be called now: not while torch traces a network, nor where it casts maps."""
    return None if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") else kernels


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

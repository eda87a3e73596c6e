"""A sequence of modules that computes what it can by the kernels; imports torch only.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn

from archsearch.kernels.convolutions import depthwise_conv, images_conv, patches_conv, winograd_conv
from archsearch.kernels.equip import Equipped, fitting, suited, usable
from archsearch.kernels.folded import Folded
from archsearch.kernels.library import Kernels
from archsearch.kernels.norm_act import KINDS, NONE, norm_act, scale_act

_WIDEST = 7  # taps in a row that the depthwise kernel takes
_SMALLEST = 3  # px of a map: of a smaller one most of a tile would be padding


class Chain(nn.Sequential, Equipped):
    """`nn.Sequential`, which with `kernels` set uses them for maps on the CPU.

    A convolution goes by Winograd's filtering or as a product of matrices, a batch normalisation together with the
    activation behind it. With `in_bf16`, maps are kept in bfloat16 while the chain is in training; sums, weights and
    statistics are float32 always. Hooks on modules that are computed together are not called. What the kernels do not
    know goes as it always does.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Sequential gives it
        """Return the map that the last module makes of `input`."""
        kernels = usable(self.kernels)
        if kernels is None:
            return super().forward(input)
        modules = list(self)
        place, images = 0, input
        while place < len(modules):
            module = modules[place]
            place += 1
            if (own := _of_convolution(module, images, kernels)) is not None:
                images = _conv(module, images, self._kept, own)
            elif (own := _of_norm(module, images, kernels)) is not None:
                kind = KINDS.get(type(modules[place])) if place < len(modules) else None
                place += kind is not None
                images = _norm(module, images.to(self._kept), NONE if kind is None else kind, own)
            else:
                images = module(suited(images, module))
        return images

    @property
    def _kept(self) -> torch.dtype:
        """The type that this chain keeps maps in."""
        return torch.bfloat16 if self.in_bf16 and self.training else torch.float32


def _of_convolution(module: nn.Module, images: Tensor, kernels: Kernels) -> Kernels | None:
    """Return those of `kernels` that compute `module`, a convolution, or None where it stays with torch."""
    if not _is_known(module, images):
        return None
    own = fitting(images, kernels, module.out_channels) if _takes_map(module, images) else None
    if own is not None or not _takes_images(module, images):
        return own
    own = kernels.of(module.out_channels)
    return own if own is not None and module.in_channels < own.lanes else None


def _takes_map(module: nn.Conv2d, images: Tensor) -> bool:
    kernel = module.kernel_size[0]
    if module.groups == module.in_channels == module.out_channels:
        return kernel <= _WIDEST
    steps = kernel == 1 or module.stride[0] > 1
    return module.groups == 1 and (steps or (kernel == 3 and _is_winograd(module, images)))


def _takes_images(module: nn.Conv2d, images: Tensor) -> bool:
    """Return whether `module` is a convolution of images, which want no gradient; of few channels, less than lanes."""
    if images.requires_grad or images.device.type != "cpu" or images.dtype != torch.float32 or not images.numel():
        return False
    return module.groups == 1 and module.dilation[0] == 1


def _is_known(module: nn.Module, images: Tensor) -> TypeGuard[nn.Conv2d]:
    """Return whether `module` is a convolution of a form that the kernels know, or stands for one, over such a map."""
    if not isinstance(module, nn.Conv2d) or (type(module) is not nn.Conv2d and not hasattr(module, "is_conv2d")):
        return False
    if images.dim() != 4 or images.shape[1] != module.in_channels:
        return False  # torch refuses it, with a message
    (kernel, wide), (gap, gap_across), (stride, stride_across) = module.kernel_size, module.dilation, module.stride
    square = kernel == wide and gap == gap_across and stride == stride_across
    if not square or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return False
    return module.padding[0] == module.padding[1]


def _is_winograd(module: nn.Conv2d, images: Tensor) -> bool:
    """Return whether a convolution of 3x3 suits Winograd's filtering: stride 1, a map that keeps its size."""
    gap = module.dilation[0]
    keeps = module.stride[0] == 1 and module.padding == (gap, gap)
    return keeps and all(size % gap == 0 and size // gap >= _SMALLEST for size in images.shape[2:])


def _conv(module: nn.Module, images: Tensor, kept: torch.dtype, kernels: Kernels) -> Tensor:
    assert isinstance(module, nn.Conv2d)
    assert not isinstance(module.padding, str)
    how, gap = {"stride": module.stride[0], "padding": module.padding[0]}, module.dilation[0]
    if module.in_channels < kernels.lanes:
        convolved = images_conv(images, module.weight, **how, kept=kept, kernels=kernels)
    elif module.groups > 1:
        convolved = depthwise_conv(images.to(kept), module.weight, **how, dilation=gap, kernels=kernels)
    elif module.kernel_size == (3, 3) and _is_winograd(module, images):
        convolved = winograd_conv(images.to(kept), module.weight, gap, kernels)
    else:
        convolved = patches_conv(images.to(kept), module.weight, **how, dilation=gap, kernels=kernels)
    return convolved if module.bias is None else convolved + module.bias.view(1, -1, 1, 1)


def _of_norm(module: nn.Module, images: Tensor, kernels: Kernels) -> Kernels | None:
    """Return those of `kernels` that compute `module`, a batch normalisation, or None where it stays with torch."""
    if not isinstance(module, nn.BatchNorm2d) or not (type(module) is nn.BatchNorm2d or isinstance(module, Folded)):
        return None
    if not module.affine or not module.track_running_stats or module.momentum is None:
        return None
    shared = 2 if isinstance(module, Folded) else 1  # channels that share what the norm holds for one
    if images.dim() != 4 or images.shape[1] != shared * module.num_features:
        return None  # torch refuses it, with a message
    if not (images.numel() > module.num_features if module.training else not torch.is_grad_enabled()):
        return None  # torch refuses one value a channel, with a message
    return fitting(images, kernels, module.num_features)


def _norm(module: nn.Module, images: Tensor, kind: int, kernels: Kernels) -> Tensor:
    assert isinstance(module, nn.BatchNorm2d)
    if isinstance(module, Folded):
        return module.unfold(_normed(module, module.fold(images), kind, kernels))
    return _normed(module, images, kind, kernels)


def _normed(module: nn.BatchNorm2d, images: Tensor, kind: int, kernels: Kernels) -> Tensor:
    if module.training:
        return norm_act(images, module, kind, kernels)
    mean, variance = module.running_mean, module.running_var
    assert mean is not None
    assert variance is not None
    scale = module.weight * (variance + module.eps).rsqrt()
    return scale_act(images, scale, module.bias - mean * scale, kind, kernels)

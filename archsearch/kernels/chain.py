"""A sequence of modules that computes with the kernels if possible; imports torch only.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn

from archsearch.kernels.conv2d import computing, convolve, is_known, room_of
from archsearch.kernels.fitting import VALUE_BY_VALUE, Prepared, filled, fitting, is_map, suited, with_zeros
from archsearch.kernels.library import Kernels
from archsearch.kernels.maps import KINDS, NONE, dropout, norm_act, scale_act
from archsearch.network.symmetry import Folded


class Chain(Prepared, nn.Sequential):
    """`nn.Sequential` that uses the kernels for feature maps on the CPU.

    A convolution runs as Winograd's filtering, as a product of matrices or by the depthwise kernel; a batch
    normalisation is fused with the activation after it. torch computes modules that the kernels do not support. Between
    supported modules, feature maps whose channels do not fill whole vectors are padded with channels of zeros. The
    input and the output of the sequence have none.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Sequential gives it
        """Return the output of the last module."""
        kernels = self._usable()
        if kernels is None:
            return super().forward(input)
        modules = list(self)
        place, images, channels = 0, input, _channels(input)
        while place < len(modules):
            module = modules[place]
            place += 1
            if not isinstance(images, Tensor):  # third-party modules may pass other objects
                images = module(images)
                channels = _channels(images)
                continue
            following = modules[place] if place < len(modules) else None
            if is_known(module, images, channels):
                room = room_of(module, following)
                own = computing(module, images, room, self._kept, kernels)
                if own is not None:
                    images, channels = convolve(module, images, room, self._kept, own), module.out_channels
                    continue
            if (own := _of_norm(module, images, channels, kernels)) is not None:
                kind = NONE if following is None else KINDS.get(type(following), NONE)
                place += kind != NONE
                images = _norm(module, images.to(self._kept), kind, own)
                continue
            if _draws(module) and (own := fitting(images, kernels)) is not None:
                images = dropout(images, module.p, own)
                continue
            if isinstance(module, VALUE_BY_VALUE):
                images = module(suited(images, module))
                continue
            images = module(suited(_cut(images, channels), module))
            channels = _channels(images)
        return _cut(images, channels)

    @property
    def _kept(self) -> torch.dtype:
        """The dtype in which this chain keeps feature maps."""
        return torch.bfloat16 if self._in_bf16 and self.training else torch.float32


def _channels(images: object) -> int:
    return images.shape[1] if isinstance(images, Tensor) and images.dim() > 1 else 0


def _cut(images: Tensor, channels: int) -> Tensor:
    """Return the first `channels` channels of `images`, without the channels of zeros."""
    return images[:, :channels] if _channels(images) != channels else images


def _of_norm(module: nn.Module, images: Tensor, channels: int, kernels: Kernels) -> Kernels | None:
    """Return the variant of `kernels` that computes `module`, a batch normalisation, or None if torch computes it."""
    if not isinstance(module, nn.BatchNorm2d) or not (type(module) is nn.BatchNorm2d or isinstance(module, Folded)):
        return None
    if not module.affine or not module.track_running_stats or module.momentum is None:
        return None
    shared = 2 if isinstance(module, Folded) else 1  # channels that share the parameters and statistics of one
    if images.dim() != 4 or channels != shared * module.num_features:
        return None  # torch raises an error with a message
    if shared > 1 and images.shape[1] != channels:
        return None  # channels of zeros would be paired with others
    features = images.shape[1] // shared
    if not (images.numel() > features if module.training else not torch.is_grad_enabled()):
        return None  # with one value per channel, torch raises an error with a message
    room = filled(features) if shared == 1 else features
    return kernels.of(room) if is_map(images) else None


def _draws(module: nn.Module) -> TypeGuard[nn.Dropout]:
    """Return whether `module` drops single values in its current mode."""
    return type(module) is nn.Dropout and module.training and 0 < module.p < 1


def _norm(module: nn.Module, images: Tensor, kind: int, kernels: Kernels) -> Tensor:
    assert isinstance(module, nn.BatchNorm2d)
    if isinstance(module, Folded):
        return module.unfold(_normed(module, module.fold(images), kind, kernels))
    return _normed(module, with_zeros(images, filled(images.shape[1])), kind, kernels)


def _normed(module: nn.BatchNorm2d, images: Tensor, kind: int, kernels: Kernels) -> Tensor:
    if module.training:
        return norm_act(images, module, kind, kernels)
    mean, variance = module.running_mean, module.running_var
    assert mean is not None
    assert variance is not None
    scale = module.weight * (variance + module.eps).rsqrt()
    scale_C, offset_C = (with_zeros(one, images.shape[1], dim=0) for one in (scale, module.bias - mean * scale))
    return scale_act(images, scale_C, offset_C, kind, kernels)

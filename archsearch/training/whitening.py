"""Initialisation of the first convolution that whitens the training images' patches; imports torch, never a design.

The filters are the principal components of the patches, each scaled to give values of variance 1, and their negatives,
as in the CIFAR-10 speed runs of Page (2019) and Jordan (2024). Here they are trained further. If filters come in
mirrored pairs (`arch.symmetry: flip`), a filter is the sum of a symmetric component (equal to its mirror image) and an
antisymmetric one (the negative of its mirror image), so that a pair of filters distinguishes the two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from archsearch.training.evaluation import DeviceDataset, EvaluationInput

_IMAGES = 2000  # each has hundreds of patches: enough for a covariance of some dozens of values
_LEAST = 1e-3  # added to a component's variance (of normalised images) before the square root


@torch.no_grad()
def whiten_first(network: nn.Module, images: DeviceDataset, how: EvaluationInput, *, seed: int) -> None:
    """Set the filters of the first convolution of `network`, which sees the images, and set its bias to 0.

    If there are more filters than twice the values of a patch, the remaining filters do not change; if there are fewer,
    the components with the largest variance are used. Nothing changes if there is no convolution or the first one is
    grouped.
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.groups > 1:
        return
    chosen_N = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:_IMAGES]
    images_BCHW, _ = images.batch(chosen_N.to(images.labels_N.device))
    covariance_VV, weight = _covariance(how.normalise(images_BCHW), first), first.weight.detach().clone()
    if parametrize.is_parametrized(first, "weight"):
        half = weight[: len(weight) // 2]
        sides = [_components_of_side(covariance_VV, first, side) for side in (1, -1)]
        fewest = min(len(side_KV) for side_KV in sides)
        filters_KV = (sides[0][:fewest] + sides[1][:fewest]) / 2**0.5
        _with_negatives(filters_KV, half)
        first.weight = weight  # the parametrization keeps the half that it mirrors
    else:
        _with_negatives(_components(covariance_VV), weight)
        first.weight.copy_(weight)
    if parametrize.is_parametrized(first, "bias"):
        first.bias = torch.zeros_like(weight[:, 0, 0, 0])
    elif first.bias is not None:
        first.bias.zero_()


def _with_negatives(filters_KV: Tensor, weight_KCTT: Tensor) -> None:
    """Set half of the filters of `weight_KCTT` to the first of `filters_KV`, and the other half to their negatives."""
    filters_KV = filters_KV[: (len(weight_KCTT) + 1) // 2]
    both_KV = torch.cat([filters_KV, -filters_KV])[: len(weight_KCTT)]
    weight_KCTT[: len(both_KV)] = both_KV.view(-1, *weight_KCTT.shape[1:]).to(weight_KCTT)


def _covariance(images_BCHW: Tensor, like: nn.Conv2d) -> Tensor:
    """Return the mean product of every pair of values in the patches that `like` sees, in double precision."""
    products_VV, count = [], 0
    for some_BCHW in images_BCHW.cpu().split(100):
        patches_BVP = F.unfold(some_BCHW.contiguous(), like.kernel_size, dilation=like.dilation)
        patches_VP = patches_BVP.transpose(0, 1).flatten(1).double()
        products_VV.append(patches_VP @ patches_VP.T)
        count += patches_VP.shape[1]
    return torch.stack(products_VV).sum(0) / count


def _components(covariance_VV: Tensor) -> Tensor:
    """Return the principal components as rows, in order of decreasing variance, each scaled to whiten."""
    variances_V, components_VV = torch.linalg.eigh(covariance_VV)
    return (components_VV / (variances_V.clamp(min=0) + _LEAST).sqrt()).T.flip(0)


def _components_of_side(covariance_VV: Tensor, like: nn.Conv2d, side: int) -> Tensor:
    """Return the symmetric (`side` 1) or antisymmetric (`side` -1) components of the patches under mirroring."""

    def mirrored(patches_VX: Tensor) -> Tensor:
        return patches_VX.view(*like.weight.shape[1:], -1).flip(2).flatten(0, 2)

    part_VV = (covariance_VV + side * mirrored(covariance_VV)) / 2
    components_KV = _components((part_VV + side * mirrored(part_VV.T).T) / 2)
    belongs_K = (mirrored(components_KV.T).T - side * components_KV).norm(dim=1) < 1e-3 * components_KV.norm(dim=1)
    return components_KV[belongs_K]

"""The first convolution begun as a whitening of the training images' patches; imports torch, never a design.

Its filters are the principal components of the patches, each scaled to give values of variance 1, and their negatives,
as in the CIFAR-10 speed runs of Page (2019) and Jordan (2024). Here they go on being trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.training.evaluation import Resident, View

_IMAGES = 2000  # their patches, hundreds each, are plenty for a covariance of some dozens of values
_LEAST = 1e-3  # added to a component's variance, of normalised images, before its root


@torch.no_grad()
def whiten_first(network: nn.Module, images: Resident, view: View, *, seed: int) -> None:
    """Set the filters of the first convolution of `network`, which is the one that sees the images, and its bias to 0.

    With more filters than twice the values of a patch, the rest stay as they are; with fewer, the components of the
    largest variance are taken. A network without a dense convolution is left alone.
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.groups > 1:
        return
    chosen_N = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:_IMAGES]
    images_BCHW, _ = images.batch(chosen_N.to(images.labels_N.device))
    filters_KV = _components(view.shown(images_BCHW), first)[: (len(first.weight) + 1) // 2]
    both_KV = torch.cat([filters_KV, -filters_KV])[: len(first.weight)]
    first.weight[: len(both_KV)] = both_KV.view(-1, *first.weight.shape[1:]).to(first.weight)
    if first.bias is not None:
        first.bias.zero_()


def _components(images_BCHW: Tensor, like: nn.Conv2d) -> Tensor:
    """Return the principal components of the patches that `like` sees as rows, of falling variance, whitening each."""
    products_VV, count = [], 0
    for some_BCHW in images_BCHW.cpu().split(100):
        patches_BVP = F.unfold(some_BCHW.contiguous(), like.kernel_size, dilation=like.dilation)
        patches_VP = patches_BVP.transpose(0, 1).flatten(1).double()
        products_VV.append(patches_VP @ patches_VP.T)
        count += patches_VP.shape[1]
    variances_V, components_VV = torch.linalg.eigh(torch.stack(products_VV).sum(0) / count)
    return (components_VV / (variances_V + _LEAST).sqrt()).T.flip(0)

"""Batch norms' statistics taken anew at the end of a training; imports torch, never a design.

Running statistics lag behind the weights and are those of augmented images, which the test images are not. Taken anew
by the final weights over training images as they are, they fit both (Wu and Johnson, "Rethinking 'Batch' in
BatchNorm", 2021, who call it PreciseBN).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from archsearch.training.device import autocast
from archsearch.training.evaluation import Resident, View

_Norm = nn.modules.batchnorm._BatchNorm  # the common base of 1d, 2d and 3d, which has no public name


@torch.no_grad()
def recalibrate(network: nn.Module, images: Resident, view: View, *, count: int, seed: int) -> None:
    """Set every batch norm's running statistics to their mean over batches of `count` images, drawn without repetition.

    All images are taken where there are fewer. Weights, modes and momenta stay as they are, dropout is off.
    """
    norms = [module for module in network.modules() if isinstance(module, _Norm) and module.track_running_stats]
    if not norms:
        return
    device, training, momenta = images.labels_N.device, network.training, [norm.momentum for norm in norms]
    chosen_N = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count].to(device)
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches, each of which counts the same
        norm.train()
    for index_B in chosen_N.chunk(math.ceil(len(chosen_N) / view.batch_size)):
        images_BCHW, _ = images.batch(index_B)
        with autocast(device, view.precision):
            network(view.shown(images_BCHW))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(training)

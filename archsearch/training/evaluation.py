"""Data sets on the device, logits and scores of a network, and recalibration of its batch norms; imports torch.

Shapes: B batch, N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.augment.normalise import Normaliser
from archsearch.settings.training import Precision
from archsearch.training.device import autocast

if TYPE_CHECKING:
    from archsearch.data import Images

_Norm = nn.modules.batchnorm._BatchNorm  # the common base of 1d, 2d and 3d, which has no public name


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Accuracy from 0 to 1 and mean cross-entropy without label smoothing."""

    accuracy: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDataset:
    """Images (NHWC bytes) and labels that stay on the device for the whole training."""

    images_NHWC: Tensor
    labels_N: Tensor

    def batch(self, index_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images at `index_B` as B C H W (channels last in memory) and their labels."""
        images_BCHW = self.images_NHWC.index_select(0, index_B).permute(0, 3, 1, 2)
        return images_BCHW, self.labels_N.index_select(0, index_B)

    def __len__(self) -> int:
        return len(self.labels_N)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationInput:
    """How to feed images to a network in evaluation: the training set's mean and std, batch size and precision."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    batch_size: int
    precision: Precision

    def normalise(self, images_BCHW: Tensor) -> Tensor:
        """Return the uint8 images normalised, without augmentation."""
        return Normaliser(self.mean, self.std, images_BCHW.device)(images_BCHW)


def to_device(images: Images, device: torch.device) -> DeviceDataset:
    """Return `images` on `device`; on the CPU without a copy, even if the array is a read-only memory map."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nothing writes to it
        images_NHWC, labels_N = torch.from_numpy(images.images_BHWC), torch.from_numpy(images.labels_B)
    return DeviceDataset(images_NHWC=images_NHWC.to(device), labels_N=labels_N.to(device))


@torch.inference_mode()
def logits_of(network: nn.Module, images: DeviceDataset, how: EvaluationInput, *, mirrored: bool = False) -> Tensor:
    """Return the (N, K) float32 logits of `network` in evaluation mode, and restore its mode."""
    device, training = images.labels_N.device, network.training
    network.eval()
    found: list[Tensor] = []
    for start in range(0, len(images), how.batch_size):
        images_BCHW = how.normalise(images.images_NHWC[start : start + how.batch_size].permute(0, 3, 1, 2))
        with autocast(device, how.precision):
            found.append(network(images_BCHW.flip(3) if mirrored else images_BCHW).float())
    network.train(training)
    return torch.cat(found)


def score_of(logits_NK: Tensor, labels_N: Tensor) -> Score:
    """Return the score of `logits_NK` against the labels."""
    right = (logits_NK.argmax(1) == labels_N).sum()
    loss = F.cross_entropy(logits_NK, labels_N, reduction="sum")
    return Score(accuracy=right.item() / len(labels_N), loss=loss.item() / len(labels_N))


def mirrored_score(logits_NK: Tensor, network: nn.Module, images: DeviceDataset, how: EvaluationInput) -> Score:
    """Return the score of the mean of `logits_NK`, the logits of `images`, and the logits of their mirror images."""
    return score_of((logits_NK + logits_of(network, images, how, mirrored=True)) / 2, images.labels_N)


@torch.no_grad()
def recalibrate(network: nn.Module, images: DeviceDataset, how: EvaluationInput, *, count: int, seed: int) -> None:
    """Set the running statistics of every batch norm to their mean over batches of `count` images.

    Running statistics lag behind the weights and come from augmented images, unlike the test images. Statistics of the
    final weights over training images without augmentation avoid both problems (Wu and Johnson, "Rethinking 'Batch' in
    BatchNorm", 2021, who call it PreciseBN). The images are drawn without replacement; if there are fewer than `count`,
    all are used. Weights, modes and momenta do not change, and dropout is off.
    """
    norms = [module for module in network.modules() if isinstance(module, _Norm) and module.track_running_stats]
    if not norms:
        return
    device, training, momenta = images.labels_N.device, network.training, [norm.momentum for norm in norms]
    chosen_N = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count].to(device)
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the unweighted mean over batches
        norm.train()
    for index_B in chosen_N.chunk(math.ceil(len(chosen_N) / how.batch_size)):
        images_BCHW, _ = images.batch(index_B)
        with autocast(device, how.precision):
            network(how.normalise(images_BCHW))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(training)

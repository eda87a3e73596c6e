"""Images on the device, a network's logits on them, its score, and its norms' final statistics; imports torch.

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
    """Images and labels that lie on the device for a whole training; images as NHWC bytes."""

    images_NHWC: Tensor
    labels_N: Tensor

    def batch(self, index_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images `index_B` as B C H W (channels last in memory) and their labels."""
        images_BCHW = self.images_NHWC.index_select(0, index_B).permute(0, 3, 1, 2)
        return images_BCHW, self.labels_N.index_select(0, index_B)

    def __len__(self) -> int:
        return len(self.labels_N)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationInput:
    """How a network takes images outside its steps: the training set's mean and deviation, batches, and format."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    batch_size: int
    precision: Precision

    def normalise(self, images_BCHW: Tensor) -> Tensor:
        """Return the uint8 images normalised, not augmented."""
        return Normaliser(self.mean, self.std, images_BCHW.device)(images_BCHW)


def to_device(images: Images, device: torch.device) -> DeviceDataset:
    """Return `images` on `device`; on the CPU without a copy, also where the array is a read-only map of a file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nothing writes to it
        images_NHWC, labels_N = torch.from_numpy(images.images_BHWC), torch.from_numpy(images.labels_B)
    return DeviceDataset(images_NHWC=images_NHWC.to(device), labels_N=labels_N.to(device))


@torch.inference_mode()
def logits_of(network: nn.Module, images: DeviceDataset, how: EvaluationInput, *, mirrored: bool = False) -> Tensor:
    """Return the (N, K) logits of `network`, in evaluation mode, in float32; its mode is put back."""
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
    """Return the score of `logits_NK` against the right classes."""
    right = (logits_NK.argmax(1) == labels_N).sum()
    loss = F.cross_entropy(logits_NK, labels_N, reduction="sum")
    return Score(accuracy=right.item() / len(labels_N), loss=loss.item() / len(labels_N))


def mirrored_score(logits_NK: Tensor, network: nn.Module, images: DeviceDataset, how: EvaluationInput) -> Score:
    """Return the score of the mean of `logits_NK`, those of `images`, and of the logits of their mirror images."""
    return score_of((logits_NK + logits_of(network, images, how, mirrored=True)) / 2, images.labels_N)


@torch.no_grad()
def recalibrate(network: nn.Module, images: DeviceDataset, how: EvaluationInput, *, count: int, seed: int) -> None:
    """Set every batch norm's running statistics to their mean over batches of `count` images, drawn without repetition.

    Running statistics lag behind the weights and are those of augmented images, which the test images are not. Taken
    anew by the final weights over training images as they are, they fit both (Wu and Johnson, "Rethinking 'Batch' in
    BatchNorm", 2021, who call it PreciseBN). All images are taken where there are fewer. Weights, modes and momenta
    stay as they are, dropout is off.
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
    for index_B in chosen_N.chunk(math.ceil(len(chosen_N) / how.batch_size)):
        images_BCHW, _ = images.batch(index_B)
        with autocast(device, how.precision):
            network(how.normalise(images_BCHW))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(training)

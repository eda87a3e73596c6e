"""Accuracy and loss of a network on held images; imports torch, never a design.

Shapes: B batch, N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.augment.normalise import Normaliser
from archsearch.training.device import Precision, autocast

if TYPE_CHECKING:
    from archsearch.data import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Accuracy from 0 to 1 and mean cross-entropy without label smoothing."""

    accuracy: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
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
class View:
    """How a network is shown images outside its steps: the training set's mean and deviation, batches, and format."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    batch_size: int
    precision: Precision

    def shown(self, images_BCHW: Tensor) -> Tensor:
        """Return the uint8 images normalised, not augmented."""
        return Normaliser(self.mean, self.std, images_BCHW.device)(images_BCHW)


def reside(images: Images, device: torch.device) -> Resident:
    """Return `images` on `device`; on the CPU without a copy, also where the array is a read-only map of a file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nothing writes to it
        images_NHWC, labels_N = torch.from_numpy(images.images_BHWC), torch.from_numpy(images.labels_B)
    return Resident(images_NHWC=images_NHWC.to(device), labels_N=labels_N.to(device))


@torch.inference_mode()
def logits_of(network: nn.Module, images: Resident, view: View, *, mirrored: bool = False) -> Tensor:
    """Return the (N, K) logits of `network`, in evaluation mode, in float32; its mode is put back."""
    device, training = images.labels_N.device, network.training
    network.eval()
    found: list[Tensor] = []
    for start in range(0, len(images), view.batch_size):
        images_BCHW = view.shown(images.images_NHWC[start : start + view.batch_size].permute(0, 3, 1, 2))
        with autocast(device, view.precision):
            found.append(network(images_BCHW.flip(3) if mirrored else images_BCHW).float())
    network.train(training)
    return torch.cat(found)


def score_of(logits_NK: Tensor, labels_N: Tensor) -> Score:
    """Return the score of `logits_NK` against the right classes."""
    right = (logits_NK.argmax(1) == labels_N).sum()
    loss = F.cross_entropy(logits_NK, labels_N, reduction="sum")
    return Score(accuracy=right.item() / len(labels_N), loss=loss.item() / len(labels_N))


def mirrored_score(logits_NK: Tensor, network: nn.Module, images: Resident, view: View) -> Score:
    """Return the score of the mean of `logits_NK`, those of `images`, and of the logits of their mirror images."""
    return score_of((logits_NK + logits_of(network, images, view, mirrored=True)) / 2, images.labels_N)

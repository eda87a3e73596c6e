"""What the steps of a training are fed: which images, in which order, on which side; imports torch, never a design.

Shapes: B batch, N images, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.augment.make import Augmenter
from archsearch.kernels import Equipped, Kernels
from archsearch.training.evaluation import Resident


class Feed:
    """The training images as batches: a new order in every epoch, an incomplete last batch left out."""

    def __init__(
        self, images: Resident, augmenter: Augmenter, *, batch_size: int, seed: int, layout: torch.memory_format
    ) -> None:
        """Hold the images; `seed` decides which of them an alternating flip mirrors in the first epoch."""
        self._images, self._augmenter, self._layout = images, augmenter, layout
        self.batch_size = min(batch_size, len(images))
        self.steps = len(images) // self.batch_size
        self._epoch, self._epochs = 0, 1
        self._take(torch.arange(len(images)))
        share = augmenter.policy.alternating
        draws = torch.Generator().manual_seed(seed)
        self._mirrored_N = None if share is None else torch.rand(len(images), generator=draws) < share

    def equip(self, kernels: Kernels | None) -> None:
        """Let the augmenter compute by `kernels`, or without where that is None."""
        if isinstance(self._augmenter, Equipped):
            self._augmenter.kernels = kernels

    def begin(self, epoch: int, generator: torch.Generator, *, of: int) -> None:
        """Take a new order from `generator` for `epoch` `of` so many, 0 being the first."""
        self._take(torch.randperm(len(self._images), generator=generator))
        self._epoch, self._epochs = epoch, of

    def batch(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return batch `step` of the epoch, augmented by draws of `generator`, as B C H W, and its labels."""
        here = slice(step * self.batch_size, (step + 1) * self.batch_size)
        images_BCHW, labels_B = self._images.batch(self._order_on_device_N[here])
        turned = self._epoch % 2 == 1
        mirrored_B = None if self._mirrored_N is None else self._mirrored_N[self._order_N[here]] ^ turned
        progress = (self._epoch + step / self.steps) / self._epochs
        augmented_BCHW = self._augmenter(images_BCHW, generator, mirrored_B, progress=progress)
        return augmented_BCHW.contiguous(memory_format=self._layout), labels_B

    def _take(self, order_N: Tensor) -> None:
        """Hold an order on the CPU, where flips are chosen, and on the device: no step then waits for it."""
        self._order_N, self._order_on_device_N = order_N, order_N.to(self._images.labels_N.device)

"""The batches of a training: their order, alternating flips and augmentation; imports torch, never a design.

Shapes: B batch, N images, C channels, H height, W width, T draws per image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from archsearch.augment.batched import BatchedAugmenter, pinned
from archsearch.augment.draws import uniform
from archsearch.augment.make import Augmenter
from archsearch.settings.augment import Transform
from archsearch.training.evaluation import DeviceDataset


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBatch:
    """The input of `Batches.make`: tensors, and the transforms that they were drawn for.

    The tensors are on the device, or pinned on the CPU. Batches with the same transforms have tensors of the same
    shapes.
    """

    steps: tuple[Transform, ...]
    tensors: tuple[Tensor, ...]


class Batches:
    """The training images in batches: a new order in every epoch, without an incomplete last batch."""

    def __init__(
        self, images: DeviceDataset, augmenter: Augmenter, *, batch_size: int, seed: int, layout: torch.memory_format
    ) -> None:
        """Hold the images; `seed` determines which of them an alternating flip mirrors in the first epoch."""
        self._images, self.augmenter, self._layout = images, augmenter, layout
        self.batch_size = min(batch_size, len(images))
        self.steps = len(images) // self.batch_size
        self._epoch, self._epochs = 0, 1
        share = augmenter.policy.alternating
        draws = torch.Generator().manual_seed(seed)
        self._mirrored_N = None if share is None else torch.rand(len(images), generator=draws) < share
        self._take(torch.arange(len(images)))

    def begin_epoch(self, epoch: int, generator: torch.Generator, *, of: int) -> None:
        """Draw a new order from `generator` for `epoch`, counted from 0, `of` the total number of epochs."""
        self._epoch, self._epochs = epoch, of
        self._take(torch.randperm(len(self._images), generator=generator))

    def batch(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return batch `step` of the epoch, augmented with `generator`, as B C H W, and its labels."""
        here = self._here(step)
        images_BCHW, labels_B = self._images.batch(self._order_N[here])
        mirrored_B = None if self._sides_N is None else self._sides_N[here]
        augmented_BCHW = self.augmenter(images_BCHW, generator, mirrored_B, progress=self._progress(step))
        return augmented_BCHW.contiguous(memory_format=self._layout), labels_B

    def draw(self, step: int, generator: torch.Generator) -> DrawnBatch:
        """Return the input from which `make` returns the same as `batch`, without waiting for the device.

        An augmenter whose shapes on a GPU are not known in advance runs here already.
        """
        if not isinstance(self.augmenter, BatchedAugmenter):
            return DrawnBatch(steps=(), tensors=self.batch(step, generator))
        here, steps = self._here(step), self.augmenter.policy.drawn(self._progress(step))
        uniform_TB = uniform(steps, count=self.batch_size, generator=generator)
        drawn_TB = pinned(uniform_TB) if self._order_N.is_cuda else uniform_TB
        sides = () if self._sides_on_device_N is None else (self._sides_on_device_N[here],)
        return DrawnBatch(steps=steps, tensors=(self._order_N[here], drawn_TB, *sides))

    def make(self, steps: tuple[Transform, ...], tensors: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the batch and labels of a `DrawnBatch` whose tensors have all been moved to the device."""
        if not isinstance(self.augmenter, BatchedAugmenter):
            images_BCHW, labels_B = tensors
            return images_BCHW, labels_B
        index_B, uniform_TB, *sides = tensors
        images_BCHW, labels_B = self._images.batch(index_B)
        augmented_BCHW = self.augmenter.augmented(images_BCHW, steps, uniform_TB, sides[0] if sides else None)
        return augmented_BCHW.contiguous(memory_format=self._layout), labels_B

    def _here(self, step: int) -> slice:
        return slice(step * self.batch_size, (step + 1) * self.batch_size)

    def _progress(self, step: int) -> float:
        return (self._epoch + step / self.steps) / self._epochs

    def _take(self, order_N: Tensor) -> None:
        """Hold an order, and the alternating flips in that order, on the device, so that no step waits for them."""
        device = self._images.labels_N.device
        self._order_N = order_N.to(device)
        turned = self._epoch % 2 == 1
        self._sides_N = None if self._mirrored_N is None else self._mirrored_N[order_N] ^ turned
        self._sides_on_device_N = None if self._sides_N is None else self._sides_N.to(device)

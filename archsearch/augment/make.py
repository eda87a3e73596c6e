"""The interface of this package: from a policy to its executor; Albumentations is imported only if it is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from archsearch.augment.batched import BatchedAugmenter
from archsearch.settings.augment import AugmentPolicy, check_policy


class Augmenter(Protocol):
    """Augments and normalises a batch."""

    policy: AugmentPolicy

    def __call__(
        self,
        images_BCHW: Tensor,
        generator: torch.Generator,
        mirrored_B: Tensor | None = None,
        *,
        progress: float = 0.0,
    ) -> Tensor:
        """Return `images_BCHW` (uint8) augmented, as normalised float32 in channels_last memory.

        All random numbers come from `generator` (on the CPU): the same state gives the same batch. `mirrored_B` (bool,
        on the CPU) marks the images that an alternating flip mirrors in this epoch, before all other transforms.
        `progress`, from 0 to 1, is the finished share of the training.
        """
        ...


def make_augmenter(
    policy: AugmentPolicy, *, mean: Sequence[float], std: Sequence[float], device: torch.device | str
) -> Augmenter:
    """Return the executor of `policy` that the policy names, for batches on `device`.

    `mean` and `std` are those of the training set, one per channel (any number of channels), in 0..1. `auto` is the
    batched executor, the faster one everywhere. Raises `SpecError` if the policy is invalid.
    """
    check_policy(policy)
    if policy.executor == "albumentations":
        from archsearch.augment.reference import AlbumentationsAugmenter

        return AlbumentationsAugmenter(policy, mean=mean, std=std, device=device)
    return BatchedAugmenter(policy, mean=mean, std=std, device=device)

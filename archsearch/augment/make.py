"""The seam of the room: a policy in, a function of a batch out; imports Albumentations only where it is asked for."""

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

        All that is random comes from `generator` (on the CPU): the same state gives the same batch. `mirrored_B`
        (bool, on the CPU) names those that an alternating flip mirrors this time, before all other transforms.
        `progress`, from 0 to 1, is the share of the training that is done.
        """
        ...


def make_augmenter(
    policy: AugmentPolicy, *, mean: Sequence[float], std: Sequence[float], device: torch.device | str
) -> Augmenter:
    """Return the policy as a function of a batch on `device`, by the executor that it names.

    `mean` and `std` are the training set's, of each channel (any number of them), in 0..1. `auto` is the batched
    executor, the faster one everywhere. Raises `SpecError` where a value is out of its range.
    """
    check_policy(policy)
    if policy.executor == "albumentations":
        from archsearch.augment.reference import AlbumentationsAugmenter

        return AlbumentationsAugmenter(policy, mean=mean, std=std, device=device)
    return BatchedAugmenter(policy, mean=mean, std=std, device=device)

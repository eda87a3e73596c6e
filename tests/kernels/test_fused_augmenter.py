"""The kernel against the transforms one after another: the same images from the same draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from archsearch.augment.batched import BatchedAugmenter
from archsearch.augment.draws import Flip, Holes, draw
from archsearch.kernels import FusedAugmenter, Kernels
from archsearch.kernels.fused_augmenter import fused
from archsearch.settings.augment import (
    AugmentPolicy,
    BrightnessContrast,
    CoarseDropout,
    HorizontalFlip,
    ShiftScaleRotate,
    TransformChoice,
)

FLIP = TransformChoice(horizontal_flip=HorizontalFlip())
HOLES = TransformChoice(coarse_dropout=CoarseDropout(holes=2, height=5, width=30))
LIGHT = TransformChoice(brightness_contrast=BrightnessContrast())


def warp(**changes: Any) -> TransformChoice:
    return TransformChoice(shift_scale_rotate=ShiftScaleRotate(**{"shift": 0.3, "scale": 0.4, "p": 0.7, **changes}))


def smooth(batch: int, channels: int, height: int, width: int) -> Tensor:
    noise = 255 * torch.rand(batch, channels, height + 4, width + 4, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(noise, 5, 1).to(torch.uint8)


def augmented(policy: AugmentPolicy, images: Tensor, mirrored: Tensor | None, kernels: Kernels | None) -> Tensor:
    """Return the levels that come of it."""
    channels = images.shape[1]
    mean, std = (0.5, 0.4, 0.3)[:channels], (0.2, 0.25, 0.3)[:channels]
    augmenter = BatchedAugmenter(policy, mean=mean, std=std, device="cpu")
    if kernels is not None:
        augmenter = FusedAugmenter(augmenter, kernels)
    values = augmenter(images, torch.Generator().manual_seed(3), mirrored)
    assert values.dtype == torch.float32
    assert values.is_contiguous(memory_format=torch.channels_last)
    return 255 * (values * torch.tensor(std).view(1, -1, 1, 1) + torch.tensor(mean).view(1, -1, 1, 1))


@pytest.mark.parametrize("border", ["reflect_101", "replicate", "black", "mean"])
@pytest.mark.parametrize("shape", [(40, 3, 32, 32), (7, 3, 5, 31), (9, 1, 30, 9), (1, 3, 32, 32)])
def test_all_three_transforms_with_every_border(kernels: Kernels, shape: tuple[int, ...], border: Any) -> None:
    policy = AugmentPolicy(transforms=(FLIP, warp(border=border), HOLES))
    images, mirrored = smooth(*shape), torch.arange(shape[0]) % 3 == 0
    apart = (augmented(policy, images, mirrored, kernels) - augmented(policy, images, mirrored, None)).abs()
    assert apart.max() < 1.01  # a level, where a place lies on the edge between two
    assert (apart > 0.01).float().mean() < 1e-3


@pytest.mark.parametrize(
    "transforms", [(), (FLIP,), (HOLES,), (warp(p=1.0, rotate=180.0),), (warp(p=1.0), HOLES), (FLIP, FLIP, HOLES)]
)
def test_any_part_of_them(kernels: Kernels, transforms: tuple[TransformChoice, ...]) -> None:
    policy, images = AugmentPolicy(transforms=transforms), smooth(16, 3, 16, 20)
    apart = (augmented(policy, images, None, kernels) - augmented(policy, images, None, None)).abs()
    assert apart.max() < 1.01
    assert (apart > 0.01).float().mean() < 1e-3


@pytest.mark.parametrize(
    "transforms", [(HOLES, FLIP), (HOLES, warp()), (warp(), FLIP), (FLIP, LIGHT), (warp(), warp())]
)
def test_another_order_or_transform_goes_one_by_one(transforms: tuple[TransformChoice, ...]) -> None:
    steps = AugmentPolicy(transforms=transforms).drawn(0.0)
    assert fused(draw(steps, count=4, height=8, width=8, generator=torch.Generator())) is None


def test_what_is_fused_is_what_was_drawn() -> None:
    steps = AugmentPolicy(transforms=(FLIP, FLIP, HOLES)).drawn(0.0)
    draws = draw(steps, count=8, height=8, width=8, generator=torch.Generator().manual_seed(1))
    one, two, holes = draws
    assert isinstance(one, Flip)
    assert isinstance(two, Flip)
    assert isinstance(holes, Holes)
    together = fused(draws)
    assert together is not None
    assert together[0] is not None
    assert torch.equal(together[0], one.chosen_B ^ two.chosen_B)
    assert together[1:] == (None, holes)


def test_five_channels_go_one_by_one(kernels: Kernels) -> None:
    plain = BatchedAugmenter(AugmentPolicy(transforms=(FLIP,)), mean=(0.5,) * 5, std=(0.2,) * 5, device="cpu")
    augmenter = FusedAugmenter(plain, kernels)
    assert augmenter(smooth(2, 5, 8, 8), torch.Generator()).shape == (2, 5, 8, 8)

"""What the tests of augmentation share: images with structure, the assignment's numbers, small policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from archsearch.settings.augment import AugmentPolicy, decode_policy

MEAN, STD = (0.4914, 0.4822, 0.4471), (0.2469, 0.2433, 0.2615)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def statistics() -> dict[str, tuple[float, ...]]:
    return {"mean": MEAN, "std": STD}


@pytest.fixture
def everything() -> dict[str, dict[str, Any]]:
    """Return every transform, each for half of the images, in an order that `policy` takes."""
    return {
        "horizontal_flip": {"p": 0.5},
        "random_crop": {"padding": 4, "p": 0.5},
        "shift_scale_rotate": {"p": 0.5},
        "brightness_contrast": {"p": 0.5},
        "coarse_dropout": {"holes": 2, "p": 0.5},
    }


@pytest.fixture
def photos() -> Callable[..., Tensor]:
    """Return a maker of images that vary as photographs do: smooth patches with some grain."""

    def make(count: int, height: int = 32, width: int = 32, channels: int = 3) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        coarse = torch.rand(count, channels, 6, 6, generator=generator) * 255
        smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
        grain = torch.randn(count, channels, height, width, generator=generator) * 5
        images = (smooth + grain).clamp(0, 255).to(torch.uint8)
        return images.to(memory_format=torch.channels_last)

    return make


@pytest.fixture
def policy() -> Callable[..., AugmentPolicy]:
    """Return a maker of policies: `policy(horizontal_flip={"p": 1})`."""

    def make(executor: str = "auto", **transforms: dict[str, Any]) -> AugmentPolicy:
        return decode_policy({"executor": executor, "transforms": [{name: at} for name, at in transforms.items()]})

    return make

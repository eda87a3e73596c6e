"""The reference executor: applies a policy with Albumentations, image by image; the only module that imports it.

Import this module lazily: Albumentations takes seconds to import.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, assert_never

import numpy as np
import torch
from torch import Tensor

from archsearch.augment.normalise import Normaliser, fill_levels
from archsearch.errors import SpecError
from archsearch.settings.augment import (
    AugmentPolicy,
    Border,
    BrightnessContrast,
    CoarseDropout,
    HorizontalFlip,
    RandomCrop,
    ShiftScaleRotate,
    Transform,
)

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # before the import, which otherwise contacts a server

import albumentations as A
import cv2

_FILLED = 4  # most channels for which OpenCV accepts one fill value each
_BORDERS: dict[Border, int] = {
    "reflect_101": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
    "black": cv2.BORDER_CONSTANT,
    "mean": cv2.BORDER_CONSTANT,
}


class SimilarityWarp(A.Affine):
    """`ShiftScaleRotate` as in Albumentations 1.3; that of 2.0 truncates the shift to whole pixels.

    (That of 2.0 also draws a factor per axis, that of 1.3 one for both: use it with `keep_ratio`.)
    """

    def _get_translate_params(self, image_shape: tuple[int, int]) -> dict[str, float]:  # type: ignore[override]
        height, width = image_shape[:2]
        limits: dict[str, tuple[float, float]] = self.translate_percent
        x, y = (self.py_random.uniform(*limits[axis]) for axis in "xy")
        return {"x": x * width, "y": y * height}


class AlbumentationsAugmenter:
    """Applies a policy with Albumentations on the CPU; an `Augmenter`."""

    def __init__(
        self, policy: AugmentPolicy, *, mean: Sequence[float], std: Sequence[float], device: torch.device | str
    ) -> None:
        """Hold the policy, and `mean` and `std` of each channel of the training set (in 0..1); results are on `device`.

        Raises `SpecError` for a border that OpenCV cannot fill: the mean of more than four channels.
        """
        if len(mean) > _FILLED and any(getattr(step, "border", None) == "mean" for step in policy.steps):
            what = f"albumentations fills a border with the mean of at most {_FILLED} channels, images have {len(mean)}"
            raise SpecError("augment.executor", what, "Set augment.executor=batched.")
        self.policy = policy
        self._device = torch.device(device)
        self._normaliser = Normaliser(mean, std, self._device)
        self._fill = fill_levels(mean)
        self._composed: dict[tuple[int, int, tuple[Transform, ...]], A.Compose] = {}

    def __call__(
        self,
        images_BCHW: Tensor,
        generator: torch.Generator,
        mirrored_B: Tensor | None = None,
        *,
        progress: float = 0.0,
    ) -> Tensor:
        """Return the augmented, normalised batch: float32 [B, C, H, W] in channels_last memory."""
        if mirrored_B is not None:
            images_BCHW = torch.where(mirrored_B.view(-1, 1, 1, 1), images_BCHW.cpu().flip(3), images_BCHW.cpu())
        return self._normaliser(self.apply(images_BCHW, generator, progress).to(self._device))

    def apply(self, images_BCHW: Tensor, generator: torch.Generator, progress: float = 0.0) -> Tensor:
        """Return uint8 `images_BCHW` augmented, on the CPU, not normalised."""
        images_BHWC = images_BCHW.permute(0, 2, 3, 1).cpu().contiguous().numpy()
        _, height, width, _ = images_BHWC.shape
        compose = self.composed(height, width, progress)
        seed(compose, generator)
        augmented = np.empty_like(images_BHWC)
        for index, image in enumerate(images_BHWC):
            augmented[index] = compose(image=image)["image"]
        return torch.from_numpy(augmented).permute(0, 3, 1, 2)

    def composed(self, height: int, width: int, progress: float = 0.0) -> A.Compose:
        """Return the policy for images of `height` x `width` px, at `progress`, as one Albumentations transform."""
        steps = self.policy.drawn(progress)
        if (height, width, steps) not in self._composed:
            parts = [_translated(step, height, width, self._fill) for step in steps]
            self._composed[height, width, steps] = A.Compose(parts, strict=True)
        return self._composed[height, width, steps]


def seed(compose: A.Compose, generator: torch.Generator) -> None:
    """Seed every transform of `compose` with a different number.

    Albumentations gives all of them the same seed: after each seeding, the first image would be flipped exactly when it
    is warped and when it gets a hole.
    """
    nodes = list(_nodes(compose))
    numbers = torch.randint(2**62, (len(nodes),), generator=generator).tolist()
    for node, number in zip(nodes, numbers, strict=True):
        node.py_random.seed(number)
        node.random_generator = np.random.default_rng(number)


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for inner in getattr(node, "transforms", ()):
        yield from _nodes(inner)


def _translated(step: Transform, height: int, width: int, fill: tuple[int, ...]) -> Any:
    match step:
        case HorizontalFlip():
            return A.HorizontalFlip(p=step.p)
        case ShiftScaleRotate():
            return SimilarityWarp(
                scale=(1 - step.scale, 1 + step.scale),
                translate_percent={"x": (-step.shift, step.shift), "y": (-step.shift, step.shift)},
                rotate=(-step.rotate, step.rotate),
                shear=(0.0, 0.0),
                interpolation=cv2.INTER_LINEAR,
                keep_ratio=True,
                border_mode=_BORDERS[step.border],
                fill=fill if step.border == "mean" else 0,
                p=step.p,
            )
        case CoarseDropout():
            tall, wide = min(step.height, height), min(step.width, width)
            return A.CoarseDropout(
                num_holes_range=(step.holes, step.holes),
                hole_height_range=(tall, tall),
                hole_width_range=(wide, wide),
                fill=fill if step.fill == "mean" else 0,
                p=step.p,
            )
        case RandomCrop():
            padded = A.Pad(
                padding=step.padding,
                border_mode=_BORDERS[step.border],
                fill=fill if step.border == "mean" else 0,
                p=1,
            )
            return A.Sequential([padded, A.RandomCrop(height=height, width=width, p=1)], p=step.p)
        case BrightnessContrast():
            return A.RandomBrightnessContrast(
                brightness_limit=(-step.brightness, step.brightness),
                contrast_limit=(-step.contrast, step.contrast),
                brightness_by_max=True,
                ensure_safe_range=False,
                p=step.p,
            )
        case _:
            assert_never(step)

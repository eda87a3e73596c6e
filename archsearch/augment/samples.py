"""A picture of augmented images: the original and some draws of each; imports torch, and Pillow to write.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from archsearch.augment.make import make_augmenter
from archsearch.augment.normalise import Normaliser
from archsearch.errors import StorageError
from archsearch.settings.augment import AugmentPolicy


def augmented_samples(
    policy: AugmentPolicy,
    images_NHWC: np.ndarray,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    draws: int = 10,
    seed: int = 0,
    gap: int = 2,
) -> np.ndarray:
    """Return a uint8 [height, width, C] mosaic: one row per image, with the original and `draws` augmented versions.

    `images_NHWC` is uint8; `gap` px of white separate the images, with three times as much after the originals. The
    images pass through the executor and the normalisation of a training, and back; an alternating flip mirrors them in
    every other column.
    """
    originals = torch.from_numpy(np.ascontiguousarray(images_NHWC)).permute(0, 3, 1, 2)
    augment = make_augmenter(policy, mean=mean, std=std, device="cpu")
    undo = Normaliser(mean, std, "cpu").undo
    generator = torch.Generator().manual_seed(seed)
    sides = [torch.full((len(originals),), side, dtype=torch.bool) for side in (False, True)]
    turns = [None if policy.alternating is None else sides[turn % 2] for turn in range(draws)]
    columns = [originals, *(undo(augment(originals, generator, mirrored_B)) for mirrored_B in turns)]
    count, height, width, channels = images_NHWC.shape
    tall = count * height + (count + 1) * gap
    wide = len(columns) * width + (len(columns) + 1) * gap + (2 * gap if draws else 0)
    mosaic = np.full((tall, wide, channels), 255, dtype=np.uint8)
    for column, batch in enumerate(columns):
        left = gap + column * (width + gap) + (2 * gap if column else 0)
        for row, image in enumerate(batch.permute(0, 2, 3, 1).numpy()):
            top = gap + row * (height + gap)
            mosaic[top : top + height, left : left + width] = image
    return mosaic


def write_samples(
    path: Path,
    policy: AugmentPolicy,
    images_NHWC: np.ndarray,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    draws: int = 10,
    seed: int = 0,
    zoom: int = 3,
) -> None:
    """Write the mosaic of `augmented_samples`, enlarged by `zoom`, in the format of the suffix of `path`.

    Images of one or two channels show the first in grey; otherwise the first three channels are red, green and blue.
    Raises `StorageError` if the file cannot be written.
    """
    from PIL import Image

    mosaic = augmented_samples(policy, images_NHWC, mean=mean, std=std, draws=draws, seed=seed)
    drawn = mosaic[..., :3] if mosaic.shape[2] >= 3 else mosaic[..., 0]
    enlarged = drawn.repeat(zoom, axis=0).repeat(zoom, axis=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(enlarged).save(path)
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: the samples cannot be drawn ({error})") from error

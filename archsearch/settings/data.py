"""The settings of the data: which images, where from, what is held out. Imports `errors` only; no numpy, no torch.

The YAML twins are `conf/data/*.yaml`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from archsearch.errors import SpecError

DataName = Literal["auto", "cifar10", "cifar100", "folder", "shapes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapesSettings:
    """How the embedded images are drawn.

    `noise` is the largest change of a pixel's colour (0 to 127); another `seed` draws other images of the same classes.
    """

    train_images: int = 10_000
    test_images: int = 2_000
    noise: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise `SpecError` for a number out of its range."""
        for key, images in (("train_images", self.train_images), ("test_images", self.test_images)):
            if images < 10:
                raise SpecError(f"data.shapes.{key}", f"must be at least 10, is {images}", "There are ten classes.")
        if not 0 <= self.noise <= 127:
            raise SpecError("data.shapes.noise", f"must lie in 0 to 127, is {self.noise}")
        if self.seed < 0:
            raise SpecError("data.shapes.seed", f"must not be negative, is {self.seed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """Which images a network is trained and tested on; the fields' meaning is that of `conf/data/*.yaml`.

    `validation` is the fraction of the training images that is held out, class by class; `seed` decides which.
    `limit_train` and `limit_test` keep that many images, class by class, before anything is held out.
    `classes` is how many classes the data must have; null asks the data.
    """

    name: DataName = "auto"
    root: str | None = None
    cache: str = "outputs/cache"
    download: bool = True
    classes: int | None = None
    image_size: int = 32
    resize: bool = False
    validation: float = 0.1
    seed: int = 0
    limit_train: int | None = None
    limit_test: int | None = None
    shapes: ShapesSettings = field(default_factory=ShapesSettings)

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value out of its range, or values that do not go together."""
        if self.name == "folder" and not self.root:
            raise SpecError(
                "data.root",
                "data=folder needs a folder",
                "Give it: data.root=DIR, with DIR/train/CLASS/* and DIR/test/CLASS/*.",
            )
        if not self.cache:
            raise SpecError("data.cache", "must name a folder", "Give it: data.cache=outputs/cache.")
        if self.classes is not None and self.classes < 2:
            raise SpecError("data.classes", f"must be at least 2, is {self.classes}", "null takes what the data has.")
        if not 1 <= self.image_size <= 4096:
            raise SpecError("data.image_size", f"must lie in 1 to 4096 px, is {self.image_size}")
        if not math.isfinite(self.validation) or not 0 <= self.validation < 1:
            fix = "It is the fraction of the training images that is held out, such as 0.1."
            raise SpecError("data.validation", f"must be at least 0 and below 1, is {self.validation}", fix)
        if self.seed < 0:
            raise SpecError("data.seed", f"must not be negative, is {self.seed}")
        for key, limit in (("limit_train", self.limit_train), ("limit_test", self.limit_test)):
            if limit is not None and limit < 1:
                raise SpecError(f"data.{key}", f"must be at least 1, is {limit}", "null takes all images.")
        if self.name != "folder" and self.image_size != 32 and not self.resize:
            fix = "Set data.resize=true to have them resized."
            raise SpecError("data.image_size", f"data={self.name} has images of 32 px, not {self.image_size}", fix)

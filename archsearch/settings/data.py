"""The settings of the data (`conf/data/*.yaml`): the images, their source, the validation split; no numpy, no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from archsearch.decode import Range, check_ranges
from archsearch.errors import SpecError
from archsearch.plugins import DATASETS, load, require_name
from archsearch.settings.datasets import PUBLISHED

Count = Annotated[int, Range(at_least=1)]
Seed = Annotated[int, Range(at_least=0)]
Limit = Annotated[int, Range(at_least=1, fix="null uses all images.")]
Classes = Annotated[int, Range(at_least=2, fix="null is as in the data.")]
Size = Annotated[int, Range(at_least=1, at_most=4096, fix="It is the height and the width in px.")]
Images = Annotated[int, Range(at_least=10, fix="There are ten classes.")]
Noise = Annotated[int, Range(at_least=0, at_most=127)]
Fraction = Annotated[
    float, Range(at_least=0, below=1, fix="It is the fraction of the training images used for validation, such as 0.1.")
]

VALIDATION = 0.1
"""The fraction of the training images that is held out, unless the data set or the settings say otherwise."""
NAMES = ("auto", *PUBLISHED, "folder", "shapes")
"""The built-in data sets; installed packages add others."""


class ImageShape(NamedTuple):
    """The shape that a network must fit: channels, height and width in px, and the number of classes.

    `classes` is None if it has to be counted from the folders of the data.
    """

    channels: int
    image_size: int
    classes: int | None


_SHAPES: dict[str, ImageShape] = {
    "auto": ImageShape(3, 32, 10),
    "shapes": ImageShape(3, 32, 10),
    "folder": ImageShape(3, 32, None),
    **{name: ImageShape(one.channels, one.image_size, one.classes) for name, one in PUBLISHED.items()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapesSettings:
    """How the images of the embedded set are drawn.

    `noise` is the largest change of a colour value (0 to 127); another `seed` draws other images of the same classes.
    """

    train_images: Images = 10_000
    test_images: Images = 2_000
    noise: Noise = 16
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Raise `SpecError` for a number that is out of range."""
        check_ranges(self, "data.shapes")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """The images for training and test; `conf/data/*.yaml` explains the fields.

    `name` is one of `NAMES`, or an entry point of an installed package. If `channels`, `image_size` or `classes` is
    null, that of the data is used. `validation` is the fraction of the training images that is held out, class by
    class; `seed` selects them. If it is null, the images that the data set itself holds out are used, such as a
    folder's `val/`, or the fraction `VALIDATION` if it has none. `limit_train` and `limit_test` keep that many images,
    class by class, before any are held out.
    """

    name: str = "auto"
    root: str | None = None
    cache: str = "outputs/cache"
    download: bool = True
    channels: Count | None = None
    image_size: Size | None = None
    classes: Classes | None = None
    resize: bool = False
    validation: Fraction | None = None
    seed: Seed = 0
    limit_train: Limit | None = None
    limit_test: Limit | None = None
    shapes: ShapesSettings = field(default_factory=ShapesSettings)

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value that is out of range, or for values that are inconsistent."""
        require_name(self.name, NAMES, DATASETS, "data.name")
        check_ranges(self, "data")
        if self.name == "folder" and not self.root:
            raise SpecError(
                "data.root",
                "data=folder needs a folder",
                "Set it: data.root=DIR, with DIR/train/CLASS/* and DIR/test/CLASS/*.",
            )
        if not self.cache:
            raise SpecError("data.cache", "must name a folder", "Set it: data.cache=outputs/cache.")
        if self.channels not in (None, 1, 3) and self.name in NAMES:
            fix = "1 is grey, 3 is RGB, null is as in the data."
            raise SpecError("data.channels", f"must be 1 or 3, got {self.channels}", fix)
        if self.name in _SHAPES and self.name != "folder" and self.image_size is not None and not self.resize:
            size = _SHAPES[self.name].image_size
            if self.image_size != size:
                fix = "Set data.resize=true to resize them."
                raise SpecError(
                    "data.image_size", f"data={self.name} has images of {size} px, not {self.image_size}", fix
                )


def image_shape(settings: DataSettings) -> ImageShape:
    """Return the shape of the images and the number of classes, without reading an image.

    If `settings` has null, the value of the data set is used. Raises `SpecError` if the data set of a package has none.
    """
    shape = _SHAPES.get(settings.name)
    channels, image_size, classes = shape or (None, None, None)
    if shape is None:
        offered = load(DATASETS, settings.name, "data.name")
        channels, image_size, classes = (getattr(offered, key, None) for key in ImageShape._fields)
    channels, image_size = settings.channels or channels, settings.image_size or image_size
    classes = settings.classes or classes
    if channels is None or image_size is None or (shape is None and classes is None):
        missing = [
            key for key, value in zip(ImageShape._fields, (channels, image_size, classes), strict=True) if not value
        ]
        fix = f"Set {', '.join(f'data.{key}' for key in missing)}."
        raise SpecError(f"data.{missing[0]}", f"must be set: the data set '{settings.name}' has no such attribute", fix)
    return ImageShape(channels, image_size, classes)


def image_counts(settings: DataSettings) -> tuple[int, int] | None:
    """Return the numbers of training and validation images without reading any; None if they are unknown.

    They are known for published sets and the embedded one; `auto` counts as CIFAR-10. The rounding of the split of each
    class is ignored.
    """
    if settings.name == "shapes":
        images = settings.shapes.train_images
    elif (published := PUBLISHED.get("cifar10" if settings.name == "auto" else settings.name)) is not None:
        images = published.images
    else:
        return None
    images = min(images, settings.limit_train or images)
    held = round(images * (VALIDATION if settings.validation is None else settings.validation))
    return images - held, held

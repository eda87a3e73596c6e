"""Load the data set of the settings: in the requested size and channels, with its validation split.

Numpy and Pillow. torchvision is imported by `published` alone, and only to download or decode.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from archsearch import plugins
from archsearch.data import folder, published, shapes
from archsearch.data.dataset import Dataset, DatasetPlugin, Images, Samples, Source, some_of_each_class, source_of
from archsearch.data.split import divide
from archsearch.errors import ArchsearchError, DataError, SpecError
from archsearch.formatting import pluralize
from archsearch.settings.data import DataSettings, image_shape
from archsearch.settings.datasets import PUBLISHED

_NOTICE = (
    "data=auto: CIFAR-10 was not found and could not be downloaded; the embedded set 'shapes' is used instead. Its "
    "results cannot be compared with CIFAR-10. data=cifar10 shows what was tried, data=shapes selects the embedded "
    "set."
)


def load_dataset(settings: DataSettings) -> Dataset:
    """Return the data set of `settings`, with its validation split.

    The first call may download or decode, and creates a cache for later calls. Raises `DataError` if the data are
    missing, broken, or do not match `settings`, and `StorageError` if a published set cannot be downloaded or unpacked
    into the cache folder.
    """
    notice = None
    match settings.name:
        case "auto":
            try:
                source = published.load("cifar10", settings)
            except published.NotFound:
                source, notice = _drawn(settings), _NOTICE
        case "shapes":
            source = _drawn(settings)
        case "folder":
            source = folder.load(settings)
        case name if name in PUBLISHED:
            source = published.load(name, settings)
        case name:
            source = _from_package(name, settings)
    if settings.classes is not None and settings.classes != len(source.classes):
        what = f"data.classes is {settings.classes}, but {source.name} has {len(source.classes)} classes"
        raise DataError(f"{what}. Set data.classes={len(source.classes)}, or null to use all of them.")
    dataset = divide(_converted(source, settings), settings)
    return replace(dataset, notice="\n".join(text for text in (notice, dataset.notice) if text) or None)


def load_samples(settings: DataSettings, *, most: int, each: int) -> Samples:
    """Return at most `most` training images, at most `each` per class.

    From a folder, only these images are decoded, and mean and std are those of the samples. Raises like `load_dataset`.
    """
    if settings.name == "folder":
        return folder.load_samples(settings, most=most, each=each)
    dataset = load_dataset(settings)
    chosen = some_of_each_class(dataset.train.labels_B, most, each)
    return Samples(images=dataset.train.take(chosen), mean=dataset.mean, std=dataset.std)


def count_classes(settings: DataSettings) -> int:
    """Return the number of classes of the data, without decoding an image.

    It is `settings.classes` if that is set. Raises `DataError` if a folder's classes must be counted but it is missing.
    """
    classes = image_shape(settings).classes
    return len(folder.classes_of(folder.root_of(settings))) if classes is None else classes


def _from_package(name: str, settings: DataSettings) -> Source:
    """Return the data set `name` of an installed package."""
    load: DatasetPlugin = plugins.load(plugins.DATASETS, name, "data.name")
    try:
        source = load(settings)
    except ArchsearchError:
        raise
    except Exception as error:
        raise DataError(f"data.name: the data set '{name}' failed ({type(error).__name__}: {error})") from error
    if not isinstance(source, Source):
        what = f"the data set '{name}' must return a Source, got {type(source).__name__}"
        raise SpecError("data.name", what, "See docs/extending.md.")
    return source


def _drawn(settings: DataSettings) -> Source:
    wanted = settings.shapes
    drawn = (
        shapes.draw(images, seed=(wanted.seed, place), noise=wanted.noise)
        for place, images in enumerate((wanted.train_images, wanted.test_images))
    )
    train, test = (Images(images_BHWC=images, labels_B=labels) for images, labels in drawn)
    return source_of("shapes", shapes.CLASSES, train, test)


def _converted(source: Source, settings: DataSettings) -> Source:
    """Return `source` with the channels and size of `settings`; raise `DataError` if that is impossible."""
    height, width, found = source.train.images_BHWC.shape[1:]
    channels, size, _ = image_shape(settings)
    if (channels, size, size) == (found, height, width):
        return source
    if (height, width) != (size, size) and not settings.resize:
        what = f"{source.name} has images of {width}x{height} px, not {size}x{size}"
        raise DataError(f"{what}. Set data.resize=true to resize them, or data.image_size to their size.")
    if channels != found and not {channels, found} <= {1, 3}:
        what = f"{source.name} has images of {pluralize(found, 'channel')}, not {channels}"
        raise DataError(f"{what}. Set data.channels={found}.")
    validation = None if source.validation is None else _converted_images(source.validation, channels, size)
    train, test = (_converted_images(part, channels, size) for part in (source.train, source.test))
    return source_of(source.name, source.classes, train, test, validation)


def _converted_images(part: Images, channels: int, size: int) -> Images:
    images_BHWC = np.empty((len(part), size, size, channels), np.uint8)
    for place, image_HWC in enumerate(part.images_BHWC):
        images_BHWC[place] = _converted_image(image_HWC, channels, size)
    return Images(images_BHWC=images_BHWC, labels_B=part.labels_B)


def _converted_image(image_HWC: np.ndarray, channels: int, size: int) -> np.ndarray:
    """Return the image in grey or RGB, resized without cropping."""
    image = Image.fromarray(image_HWC[:, :, 0] if image_HWC.shape[2] == 1 else image_HWC)
    if channels != image_HWC.shape[2]:
        image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(size, size, channels)

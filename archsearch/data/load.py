"""The way from settings to a data set: one function a name, in a table. Numpy and Pillow; never torch.

The table is `_SOURCES`; where a data set comes from is each function's own matter, what is held out is `split`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from archsearch.data import cifar, folder, shapes
from archsearch.data.dataset import Dataset, Images, Source, source_of
from archsearch.data.split import divide
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings


def load_dataset(settings: DataSettings) -> Dataset:
    """Return the data set that `settings` ask for, its validation slice held out.

    The first call may fetch or decode, and leaves a cache behind for later ones. Raises `DataError` where the data is
    missing, broken, or not as `settings` say, and `StorageError` where the cache cannot be written.
    """
    source, notice = _SOURCES[settings.name](settings)
    if settings.classes is not None and settings.classes != len(source.classes):
        what = f"data.classes is {settings.classes}, but {source.name} has {len(source.classes)} classes"
        raise DataError(f"{what}. Set data.classes={len(source.classes)}, or null to take what is there.")
    if source.train.images_BHWC.shape[1] != settings.image_size:
        source = _resized(source, settings.image_size)
    return replace(divide(source, settings), notice=notice)


def count_classes(settings: DataSettings) -> int:
    """Return how many classes the data will have, without decoding an image.

    It is `settings.classes` where that is a number. Raises `DataError` where a folder must be counted and is not there.
    """
    if settings.classes is not None:
        return settings.classes
    if settings.name == "folder":
        return len(folder.classes_of(folder.root_of(settings)))
    return 100 if settings.name == "cifar100" else 10


def _auto(settings: DataSettings) -> tuple[Source, str | None]:
    try:
        return cifar.load(cifar.CIFAR10, settings), None
    except cifar.NotFound as missing:
        notice = (
            f"data=auto: {missing.archive.title} was not found and could not be fetched; the embedded set 'shapes' is "
            "used instead. Its figures say nothing about CIFAR-10. data=cifar10 tells what was tried, data=shapes "
            "chooses the embedded set on purpose."
        )
        return _drawn(settings), notice


def _cifar10(settings: DataSettings) -> tuple[Source, str | None]:
    return cifar.load(cifar.CIFAR10, settings), None


def _cifar100(settings: DataSettings) -> tuple[Source, str | None]:
    return cifar.load(cifar.CIFAR100, settings), None


def _folder(settings: DataSettings) -> tuple[Source, str | None]:
    return folder.load(settings), None


def _shapes(settings: DataSettings) -> tuple[Source, str | None]:
    return _drawn(settings), None


_SOURCES: dict[str, Callable[[DataSettings], tuple[Source, str | None]]] = {
    "auto": _auto,
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "folder": _folder,
    "shapes": _shapes,
}


def _drawn(settings: DataSettings) -> Source:
    wanted = settings.shapes
    train, train_labels = shapes.draw(wanted.train_images, seed=(wanted.seed, 0), noise=wanted.noise)
    test, test_labels = shapes.draw(wanted.test_images, seed=(wanted.seed, 1), noise=wanted.noise)
    return source_of(
        "shapes",
        shapes.CLASSES,
        Images(images_BHWC=train, labels_B=train_labels),
        Images(images_BHWC=test, labels_B=test_labels),
    )


def _resized(source: Source, size: int) -> Source:
    train, test = (
        Images(
            images_BHWC=np.stack([_scaled(image, size) for image in part.images_BHWC]),
            labels_B=part.labels_B,
        )
        for part in (source.train, source.test)
    )
    return source_of(source.name, source.classes, train, test)


def _scaled(image_HWC: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image_HWC).resize((size, size), Image.Resampling.BICUBIC))

"""Data sets in memory: images, labels, classes, statistics and a fingerprint. Numpy only; reads no files.

Legend: B images, H height, W width, C channels (1 grey; 3 red, green, blue).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from archsearch.settings.data import DataSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """Images as uint8 [B, H, W, C] in 0..255 with their labels as int64 [B]; both are read-only by convention."""

    images_BHWC: np.ndarray
    labels_B: np.ndarray

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels_B)

    def take(self, indices: np.ndarray) -> Images:
        """Return a copy of the images at `indices`, in that order."""
        return Images(images_BHWC=self.images_BHWC[indices], labels_B=self.labels_B[indices])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A data set as read, before the validation split.

    `mean` and `std` are over all pixels of all training images, per channel, in 0..1. `digest` is the SHA-256 of the
    contents: equal digests mean equal images, labels and classes. `validation` are the images that the data set itself
    holds out, or None if `data.validation` determines them.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    test: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    validation: Images | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Some training images, and the mean and std (per channel, in 0..1) for their normalisation."""

    images: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Training, validation and test images.

    `mean` and `std` (per channel, in 0..1) are those of the whole training set, so that they do not change with the
    validation fraction. `fingerprint` is the first part of a SHA-256 over contents, labels, classes and split. `notice`
    is a text for the user if another data set is used than the requested one, or a class has no validation image.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    validation: Images
    test: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    notice: str | None = None


class DatasetPlugin(Protocol):
    """A data set of an installed package, which an entry point of the group `archsearch.datasets` refers to.

    The attributes are the shape of the data. It is known without a call, because a network is checked before any image
    is read.
    """

    channels: int
    image_size: int
    classes: int

    def __call__(self, settings: DataSettings) -> Source:
        """Return the data set, for example from `source_of`; a slow one can use `archsearch.data.cache`."""
        ...


def statistics(images_BHWC: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and population standard deviation of each channel, in 0..1.

    The sums are exact integers, so the result does not depend on the machine. The deviation of a constant channel is
    reported as 1, because images are divided by it.
    """
    count = images_BHWC.shape[0] * images_BHWC.shape[1] * images_BHWC.shape[2]
    flat = images_BHWC.reshape(len(images_BHWC), -1)
    total = np.zeros(flat.shape[1], np.int64)
    squares = np.zeros(flat.shape[1], np.int64)
    for start in range(0, len(flat), 1024):
        part = flat[start : start + 1024]
        total += part.sum(axis=0, dtype=np.uint32)
        squares += np.square(part, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
    mean, std = [], []
    channels = images_BHWC.shape[3]
    for channel in range(channels):
        first, second = int(total[channel::channels].sum()), int(squares[channel::channels].sum())
        mean.append(first / count / 255)
        std.append(max(second * count - first * first, 0) ** 0.5 / count / 255 or 1.0)
    return tuple(mean), tuple(std)


def digest_of(parts: Iterable[bytes | np.ndarray]) -> str:
    """Return the hex SHA-256 of the parts and their lengths; arrays other than uint8 count as little-endian int64."""
    whole = hashlib.sha256()
    for part in parts:
        octets = _portable(part).reshape(-1).view(np.uint8).data if isinstance(part, np.ndarray) else part
        whole.update(len(octets).to_bytes(8, "little"))
        whole.update(octets)
    return whole.hexdigest()


def source_of(
    name: str, classes: tuple[str, ...], train: Images, test: Images, validation: Images | None = None
) -> Source:
    """Return the source of decoded images, with statistics and a digest computed from them."""
    mean, std = statistics(train.images_BHWC)
    splits = [train, test, *([] if validation is None else [validation])]
    shapes = repr(tuple(split.images_BHWC.shape for split in splits))
    arrays = (array for split in splits for array in (split.images_BHWC, split.labels_B))
    digest = digest_of(["\0".join(classes).encode(), shapes.encode(), *arrays])
    return Source(
        name=name, classes=classes, train=train, test=test, mean=mean, std=std, digest=digest, validation=validation
    )


def some_of_each_class(labels_B: np.ndarray, most: int, each: int) -> np.ndarray:
    """Return the indices of at most `most` images, at most `each` per class; the classes are evenly spread."""
    classes = np.unique(labels_B)
    chosen = classes[np.linspace(0, len(classes) - 1, min(len(classes), most)).astype(int)]
    places = [np.flatnonzero(labels_B == label) for label in chosen]
    rounds = [place[turn * len(place) // each] for turn in range(each) for place in places if turn < len(place)]
    return np.array(rounds[:most], np.int64)


def _portable(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array if array.dtype == np.uint8 else array.astype("<i8", copy=False))

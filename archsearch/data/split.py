"""The split of a data set: the images that are kept and the validation images, stratified. Numpy only.

Every choice ranks the images of a class by raw words of PCG64, whose stream numpy keeps over releases and machines.
"""

from __future__ import annotations

import numpy as np

from archsearch.data.dataset import Dataset, Source, digest_of
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings


def divide(source: Source, settings: DataSettings) -> Dataset:
    """Return `source` cut to the limits, with a stratified slice of its training images held out for validation.

    Raises `DataError` if a fraction above 0 gives no validation image, or no training image.
    """
    kept = subset(source.train.labels_B, settings.limit_train, settings.seed)
    tested = subset(source.test.labels_B, settings.limit_test, settings.seed)
    held = held_out(source.train.labels_B[kept], settings.validation, settings.seed)
    if settings.validation > 0 and not 0 < held.sum() < len(kept):
        what = f"data.validation={settings.validation} of {len(kept)} training images holds out {held.sum()} of them"
        raise DataError(f"{what}. Use more images, another fraction, or data.validation=0.")
    train, validation = kept[~held], kept[held]
    parts = [source.digest.encode(), train, validation, tested]
    return Dataset(
        name=source.name,
        classes=source.classes,
        train=source.train.take(train),
        validation=source.train.take(validation),
        test=source.test if len(tested) == len(source.test) else source.test.take(tested),
        mean=source.mean,
        std=source.std,
        fingerprint=digest_of(parts)[:16],
    )


def subset(labels_B: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """Return the ascending indices of at most `limit` images, dealt evenly to the classes; of all images for None.

    Where the limit is no multiple of the number of classes, the first classes have one image more.
    """
    if limit is None or limit >= len(labels_B):
        return np.arange(len(labels_B))
    rank_B = _ranks(labels_B, seed)
    order = np.lexsort((labels_B, rank_B))  # every class's first, then every class's second, ...
    return np.sort(order[:limit])


def held_out(labels_B: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return a mask of the images used for validation: of each class of n images round(n * fraction), but never all."""
    rank_B = _ranks(labels_B, seed)
    counts_K = np.bincount(labels_B) if len(labels_B) else np.zeros(0, np.int64)
    share_K = np.array([min(round(n * fraction), max(n - 1, 0)) for n in counts_K.tolist()], np.int64)
    return rank_B < share_K[labels_B] if len(labels_B) else np.zeros(0, bool)


def _ranks(labels_B: np.ndarray, seed: int) -> np.ndarray:
    """Return the rank of each image in a random order of its own class."""
    words = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(len(labels_B))
    order = np.lexsort((words, labels_B))
    starts_K = np.concatenate([[0], np.cumsum(np.bincount(labels_B))]) if len(labels_B) else np.zeros(1, np.int64)
    rank_B = np.empty(len(labels_B), np.int64)
    rank_B[order] = np.arange(len(labels_B)) - starts_K[labels_B[order]]
    return rank_B

"""The stratified split of a data set: the limits on its images, and the validation images. Numpy only.

Every choice ranks the images of a class by raw words of PCG64, whose stream is the same in all releases of numpy and on
all machines.
"""

from __future__ import annotations

import numpy as np

from archsearch.data.dataset import Dataset, Source, digest_of
from archsearch.errors import DataError
from archsearch.settings.data import VALIDATION, DataSettings


def divide(source: Source, settings: DataSettings) -> Dataset:
    """Return `source` reduced to the limits, with its own validation images or else a stratified held-out part.

    Raises `DataError` if fewer training images than classes are used, if a fraction above 0 yields no validation image
    or no training image, or if a fraction is set although `source` has validation images.
    """
    kept = subset(source.train.labels_B, settings.limit_train, settings.seed)
    tested = subset(source.test.labels_B, settings.limit_test, settings.seed)
    if len(kept) < len(source.classes):
        what = f"{source.name} has {len(source.classes)} classes, but only {len(kept)} training images are used"
        limit = f"data.limit_train={settings.limit_train}" if settings.limit_train else "data"
        raise DataError(f"{limit}: {what}. Use at least {len(source.classes)}.")
    train, held, validation = kept, kept[:0], source.validation
    if validation is None:
        fraction = VALIDATION if settings.validation is None else settings.validation
        mask_B = held_out(source.train.labels_B[kept], fraction, settings.seed)
        train, held = kept[~mask_B], kept[mask_B]
        if fraction > 0 and not (len(train) and len(held)):
            what = f"data.validation={fraction} of {len(kept)} training images holds out {len(held)} of them"
            raise DataError(f"{what}. Use more images, another fraction, or data.validation=0.")
        validation = source.train.take(held)
    elif settings.validation is not None:
        what = f"is {settings.validation}, but {source.name} itself has {len(validation)} validation images"
        raise DataError(f"data.validation: {what}. Set data.validation=null to use these.")
    parts = [source.digest.encode(), train, held, tested]
    return Dataset(
        name=source.name,
        classes=source.classes,
        train=source.train.take(train),
        validation=validation,
        test=source.test if len(tested) == len(source.test) else source.test.take(tested),
        mean=source.mean,
        std=source.std,
        fingerprint=digest_of(parts)[:16],
        notice=_unseen(source.classes, validation.labels_B),
    )


def _unseen(classes: tuple[str, ...], labels_B: np.ndarray) -> str | None:
    """Return a notice of the classes without a validation image; None if there are no such classes, or no images."""
    there = set(labels_B.tolist())
    lacking = [name for label, name in enumerate(classes) if label not in there]
    if not lacking or not len(labels_B):
        return None
    named = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
    what = f"{len(lacking)} of {len(classes)} classes have no validation image: {named}"
    return f"data: {what}. The validation accuracy does not count them. Use more images, or a larger data.validation."


def subset(labels_B: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """Return the ascending indices of at most `limit` images, evenly from all classes; of all images for None.

    If the limit is not a multiple of the number of classes, the first classes have one image more.
    """
    if limit is None or limit >= len(labels_B):
        return np.arange(len(labels_B))
    rank_B = _ranks(labels_B, seed)
    order = np.lexsort((labels_B, rank_B))  # every class's first, then every class's second, ...
    return np.sort(order[:limit])


def held_out(labels_B: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return a mask of the validation images: round(n * fraction) of the n images of each class, but never all."""
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

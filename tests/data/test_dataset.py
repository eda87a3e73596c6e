"""Statistics and digests of images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archsearch.data.dataset import Images, digest_of, source_of, statistics


def _images(count: int = 1500, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 4, 6, channels), np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_mean_and_deviation_are_numpys(channels: int) -> None:
    images = _images(channels=channels)
    images[..., -1] //= 3
    mean, std = statistics(images)
    assert mean == pytest.approx((images / 255).mean(axis=(0, 1, 2)), abs=1e-12)
    assert std == pytest.approx((images / 255).std(axis=(0, 1, 2)), abs=1e-12)


def test_one_colour_is_not_divided_by_zero() -> None:
    mean, std = statistics(np.full((3, 2, 2, 3), 255, np.uint8))
    assert mean == (1.0, 1.0, 1.0)
    assert std == (1.0, 1.0, 1.0)


def test_a_digest_tells_where_one_part_ends() -> None:
    assert digest_of([b"ab", b"c"]) != digest_of([b"a", b"bc"])
    assert digest_of([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_digest_does_not_depend_on_the_machines_whole_numbers() -> None:
    labels = np.array([1, 2, 300])
    assert digest_of([labels.astype(np.int32)]) == digest_of([labels.astype(">i8")])


@pytest.mark.parametrize("change", ["pixel", "label", "class", "test"])
def test_the_digest_of_a_source_tells_every_change(change: str) -> None:
    def made(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], tested: np.ndarray) -> str:
        train = Images(images_BHWC=images, labels_B=labels)
        return source_of("x", classes, train, Images(images_BHWC=tested, labels_B=labels[: len(tested)])).digest

    images, labels, classes = _images(10), np.arange(10) % 2, ("a", "b")
    before = made(images, labels, classes, images[:3])
    assert made(images.copy(), labels.copy(), classes, images[:3].copy()) == before
    match change:
        case "pixel":
            images[7, 0, 0, 0] ^= 1
        case "label":
            labels = 1 - labels
        case "class":
            classes = ("a", "c")
        case _:
            assert made(images, labels, classes, images[1:4]) != before
            return
    assert made(images, labels, classes, _images(10)[:3]) != before


def test_taking_images_keeps_their_labels() -> None:
    whole = Images(images_BHWC=_images(6), labels_B=np.arange(6))
    part = whole.take(np.array([4, 1]))
    assert len(part) == 2
    assert part.labels_B.tolist() == [4, 1]
    assert (part.images_BHWC[0] == whole.images_BHWC[4]).all()
    assert replace(whole, labels_B=np.zeros(6, np.int64)).labels_B.sum() == 0

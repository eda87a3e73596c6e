from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from archsearch.augment.samples import augmented_samples, write_samples
from archsearch.errors import StorageError


@pytest.fixture
def images(photos):
    return photos(3).permute(0, 2, 3, 1).numpy()


def test_a_row_opens_with_the_original(images, policy, statistics):
    flip = policy(horizontal_flip={"p": 1})
    mosaic = augmented_samples(flip, images, **statistics, draws=4, gap=2)
    assert mosaic.dtype == np.uint8
    assert mosaic.shape == (3 * 32 + 4 * 2, 5 * 32 + 6 * 2 + 4, 3)
    for row, image in enumerate(images):
        top = 2 + row * 34
        np.testing.assert_array_equal(mosaic[top : top + 32, 2:34], image)
        np.testing.assert_array_equal(mosaic[top : top + 32, 40:72], image[:, ::-1])
    assert (mosaic[:2] == 255).all()


def test_an_alternating_flip_turns_every_other_column(images, policy, statistics):
    flip = policy(horizontal_flip={"alternate": True})
    mosaic = augmented_samples(flip, images, **statistics, draws=3, gap=2)
    for row, image in enumerate(images):
        top = 2 + row * 34
        for left, expected in ((40, image), (74, image[:, ::-1]), (108, image)):
            np.testing.assert_array_equal(mosaic[top : top + 32, left : left + 32], expected)


def test_the_seed_decides_the_picture(images, policy, statistics):
    crop = policy(random_crop={"padding": 8})
    one, again, other = (augmented_samples(crop, images, **statistics, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_the_picture_is_written_enlarged(images, policy, statistics, tmp_path):
    path = tmp_path / "new" / "samples.png"
    write_samples(path, policy(), images, **statistics, draws=2, zoom=3)
    mosaic = augmented_samples(policy(), images, **statistics, draws=2)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture)[::3, ::3], mosaic)
        assert picture.size == (mosaic.shape[1] * 3, mosaic.shape[0] * 3)


@pytest.mark.parametrize("name", ["samples.unknown", "folder"])
def test_a_picture_that_cannot_be_written_is_named(images, policy, statistics, tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=f"{name}: the samples cannot be drawn"):
        write_samples(tmp_path / name, policy(), images, **statistics, draws=1)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (5, "RGB")])
def test_images_of_any_number_of_channels_are_drawn(photos, policy, tmp_path, channels, mode):
    images = photos(2, channels=channels).permute(0, 2, 3, 1).numpy()
    statistics = {"mean": (0.5,) * channels, "std": (0.2,) * channels}
    write_samples(tmp_path / "samples.png", policy(horizontal_flip={"p": 1}), images, **statistics, draws=1, zoom=1)
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.mode == mode
        np.testing.assert_array_equal(
            np.asarray(picture)[2:34, 2:34], images[0, ..., : 3 if mode == "RGB" else 1].squeeze()
        )

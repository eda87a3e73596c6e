"""Validation images that a data set itself has: the folder val/, and what does not go with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.data import folder
from archsearch.data.dataset import Images, source_of
from archsearch.data.load import load_dataset
from archsearch.data.split import divide
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings

Make = Callable[..., DataSettings]


@pytest.fixture(params=folder.HELD_OUT)
def held_out(request: pytest.FixtureRequest, pictures: Path) -> Path:
    """The folder of `pictures` with three validation images a class, of one colour each."""
    for place, name in enumerate(("cat", "dog")):
        (pictures / request.param / name).mkdir(parents=True)
        for index in range(3):
            Image.new("RGB", (8, 8), (100, 10 * place, 50 * index)).save(
                pictures / request.param / name / f"{index}.png"
            )
    return pictures


def test_its_images_are_the_validation_images_and_no_others(held_out: Path, settings_of: Make) -> None:
    settings = settings_of(held_out, validation=None)
    for turn in ("decoded", "from the cache"):
        dataset = load_dataset(settings)
        assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (10, 6, 4), turn
        assert dataset.validation.labels_B.tolist() == [0, 0, 0, 1, 1, 1]
        assert dataset.validation.images_BHWC[:, 0, 0].tolist()[3:] == [[100, 10, 0], [100, 10, 50], [100, 10, 100]]
        assert dataset.notice is None
    assert len(list((held_out.parent / "cache").iterdir())) == 1


def test_mean_and_deviation_are_those_of_the_training_images(held_out: Path, settings_of: Make) -> None:
    with_val = load_dataset(settings_of(held_out, validation=None))
    for name in folder.HELD_OUT:
        shutil.rmtree(held_out / name, ignore_errors=True)
    without = load_dataset(settings_of(held_out, validation=0))
    assert (with_val.mean, with_val.std) == (without.mean, without.std)
    assert (with_val.train.images_BHWC == without.train.images_BHWC).all()
    assert with_val.fingerprint != without.fingerprint


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5])
def test_a_fraction_beside_it_is_refused(held_out: Path, settings_of: Make, fraction: float) -> None:
    [name] = [name for name in folder.HELD_OUT if (held_out / name).is_dir()]
    with pytest.raises(DataError) as caught:
        load_dataset(settings_of(held_out, validation=fraction))
    what = f"data.validation: is {fraction}, but {held_out / name} has the validation images"
    assert str(caught.value) == f"{what}. Set data.validation=null to use these, or rename the folder."
    assert not (held_out.parent / "cache").exists(), "nothing was decoded"


def test_its_classes_must_be_those_of_the_others(held_out: Path, settings_of: Make) -> None:
    [name] = [name for name in folder.HELD_OUT if (held_out / name).is_dir()]
    shutil.rmtree(held_out / name / "dog")
    with pytest.raises(DataError, match=f"class dog is in train/ but missing from {name}/"):
        load_dataset(settings_of(held_out, validation=None))
    shutil.rmtree(held_out / name / "cat")
    with pytest.raises(DataError, match=f"{name}: contains no class folders"):
        load_dataset(settings_of(held_out, validation=None))


def test_two_such_folders_are_refused(pictures: Path, settings_of: Make) -> None:
    for name in ("val", "valid"):
        shutil.copytree(pictures / "test", pictures / name)
    with pytest.raises(DataError, match="contains val/ and valid/, but validation images are in one folder"):
        load_dataset(settings_of(pictures, validation=None))


def test_without_one_a_tenth_is_held_out(pictures: Path, settings_of: Make) -> None:
    for split in ("cat", "dog"):
        for index in range(5, 20):
            Image.new("RGB", (8, 8), (index, 99, 99)).save(pictures / "train" / split / f"{index}.png")
    dataset = load_dataset(settings_of(pictures, validation=None))
    assert (len(dataset.train), len(dataset.validation)) == (36, 4)
    assert dataset.fingerprint == load_dataset(settings_of(pictures, validation=0.1)).fingerprint


def test_a_package_may_hold_images_out_too() -> None:
    def images(count: int) -> Images:
        return Images(images_BHWC=np.full((count, 2, 2, 3), count, np.uint8), labels_B=np.arange(count) % 2)

    source = source_of("made", ("a", "b"), images(10), images(4), images(6))
    dataset = divide(source, DataSettings())
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (10, 6, 4)
    assert source.digest != source_of("made", ("a", "b"), images(10), images(4)).digest
    with pytest.raises(DataError, match=r"data.validation: is 0.1, but made itself has 6 validation images"):
        divide(source, DataSettings(validation=0.1))

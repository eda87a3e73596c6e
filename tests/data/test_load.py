"""From settings to a data set, by every name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archsearch import plugins
from archsearch.data import Dataset, count_classes, load_dataset
from archsearch.data.dataset import Images, Source, source_of
from archsearch.data.published import NotFound
from archsearch.errors import ArchsearchError, DataError
from archsearch.settings.data import DataSettings, ShapesSettings
from archsearch.settings.datasets import PUBLISHED

SMALL = ShapesSettings(train_images=60, test_images=20)


def _pixels(data: Dataset) -> list[np.ndarray]:
    return [part.images_BHWC for part in (data.train, data.validation, data.test)]


def test_shapes_are_drawn_alike_every_time() -> None:
    one, other = (load_dataset(DataSettings(name="shapes", classes=10, shapes=SMALL)) for _ in range(2))
    assert (one.name, one.notice, len(one.classes)) == ("shapes", None, 10)
    assert (len(one.train), len(one.validation), len(one.test)) == (50, 10, 20)
    assert all((a == b).all() for a, b in zip(_pixels(one), _pixels(other), strict=True))
    assert one.fingerprint == other.fingerprint == "7874ffbbfeb7fc9c"


def test_the_seed_of_the_split_draws_no_other_shapes() -> None:
    one, other = (load_dataset(DataSettings(name="shapes", seed=seed, shapes=SMALL)) for seed in (0, 1))
    assert (one.test.images_BHWC == other.test.images_BHWC).all()
    assert one.fingerprint != other.fingerprint
    drawn = load_dataset(DataSettings(name="shapes", shapes=replace(SMALL, seed=1)))
    assert (one.test.images_BHWC != drawn.test.images_BHWC).any()


def test_training_and_test_shapes_differ() -> None:
    data = load_dataset(DataSettings(name="shapes", validation=0, shapes=SMALL))
    seen = {image.tobytes() for image in data.train.images_BHWC}
    assert not seen & {image.tobytes() for image in data.test.images_BHWC}


def test_auto_falls_back_to_the_shapes_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = load_dataset(DataSettings(name="auto", classes=10, download=False, shapes=SMALL))
    assert data.name == "shapes"
    assert data.notice is not None
    assert data.notice.startswith(
        "data=auto: CIFAR-10 was not found and could not be downloaded; the embedded set 'shapes'"
    )
    assert data.fingerprint == load_dataset(DataSettings(name="shapes", shapes=SMALL)).fingerprint


def test_auto_does_not_hide_damaged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    batch = tmp_path / "data" / "cifar-10-batches-py" / "data_batch_1"
    batch.parent.mkdir(parents=True)
    batch.write_bytes(b"damaged")
    with pytest.raises(DataError, match="data_batch_1 is not the published file of CIFAR-10"):
        load_dataset(DataSettings(name="auto", download=False, shapes=SMALL))


@pytest.mark.parametrize(("name", "title"), [(name, one.title) for name, one in PUBLISHED.items()])
def test_a_named_data_set_has_no_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, title: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=f"data={name}: {title} was not found"):
        load_dataset(DataSettings(name=name, download=False))


@pytest.mark.parametrize(
    ("name", "classes"), [("auto", 10), ("cifar10", 10), ("cifar100", 100), ("emnist_letters", 26), ("shapes", 10)]
)
def test_classes_are_known_without_the_data(name: str, classes: int) -> None:
    assert count_classes(DataSettings(name=name)) == classes
    assert count_classes(DataSettings(name=name, classes=7)) == 7


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.classes is 7, but shapes has 10 classes"):
        load_dataset(DataSettings(name="shapes", classes=7, shapes=SMALL))


def test_shapes_of_another_size_are_resized() -> None:
    plain = load_dataset(DataSettings(name="shapes", shapes=SMALL))
    large = load_dataset(DataSettings(name="shapes", image_size=48, resize=True, shapes=SMALL))
    assert large.train.images_BHWC.shape == (50, 48, 48, 3)
    assert (large.train.labels_B == plain.train.labels_B).all()
    assert large.fingerprint != plain.fingerprint


def test_shapes_become_grey_where_one_channel_is_wanted() -> None:
    plain = load_dataset(DataSettings(name="shapes", shapes=SMALL))
    grey = load_dataset(DataSettings(name="shapes", channels=1, shapes=SMALL))
    assert grey.train.images_BHWC.shape == (50, 32, 32, 1)
    luma = plain.train.images_BHWC @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey.train.images_BHWC[..., 0] - luma).max() <= 1
    assert (len(grey.mean), len(grey.std)) == (1, 1)
    assert grey.fingerprint != plain.fingerprint


class _Plugin:
    """A data set of an installed package."""

    channels, image_size, classes = 1, 4, 2

    def __call__(self, settings: DataSettings) -> Source:
        pixels = np.arange(20 * 16, dtype=np.int64).reshape(20, 4, 4, 1).astype(np.uint8)
        part = Images(images_BHWC=pixels, labels_B=np.arange(20) % 2)
        return source_of("made", ("a", "b"), part, part)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Return a function that offers an object as the data set `made` of a package."""

    def offer(found: object) -> None:
        monkeypatch.setattr(plugins, "names", lambda group: ("made",))
        monkeypatch.setattr(plugins, "load", lambda group, name, where: found)
        monkeypatch.setattr("archsearch.settings.data.load", lambda group, name, where: found)

    return offer


def test_a_package_adds_a_data_set(plugin: Callable[[object], None]) -> None:
    plugin(_Plugin())
    data = load_dataset(DataSettings(name="made"))
    assert (data.name, data.classes, data.train.images_BHWC.shape) == ("made", ("a", "b"), (18, 4, 4, 1))
    assert count_classes(DataSettings(name="made")) == 2
    colour = load_dataset(DataSettings(name="made", channels=3, image_size=6, resize=True))
    assert colour.train.images_BHWC.shape == (18, 6, 6, 3)


def test_what_a_package_does_wrong_is_named(plugin: Callable[[object], None]) -> None:
    def fail(settings: DataSettings) -> Source:
        raise KeyError("x")

    shape = {"channels": 1, "image_size": 4, "classes": 2}
    for found, message in (
        (fail, r"data\.name: the data set 'made' failed \(KeyError: 'x'\)"),
        (lambda settings: 7, r"data\.name: the data set 'made' must return a Source, got int"),
    ):
        plugin(found)
        with pytest.raises(ArchsearchError, match=message):
            load_dataset(DataSettings(name="made", **shape))  # type: ignore[arg-type]
    plugin(fail)
    with pytest.raises(
        ArchsearchError, match=r"data\.channels: must be set: the data set 'made' has no such attribute\. Set "
    ):
        count_classes(DataSettings(name="made"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 8}, r"made has images of 4x4 px, not 8x8\. Set data\.resize=true"),
        ({"channels": 2}, r"made has images of 1 channel, not 2\. Set data\.channels=1"),
    ],
)
def test_a_shape_that_a_package_does_not_offer_is_refused(
    plugin: Callable[[object], None], changes: dict[str, int], message: str
) -> None:
    plugin(_Plugin())
    with pytest.raises(DataError, match=message):
        load_dataset(DataSettings(name="made", **changes))  # type: ignore[arg-type]


def test_a_folder_is_split_and_fingerprinted(pictures: Path, settings_of: Callable[..., DataSettings]) -> None:
    data = load_dataset(settings_of(pictures))
    again = load_dataset(settings_of(pictures))
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 2, 4)
    assert (data.name, data.fingerprint) == ("pets", again.fingerprint)


def test_the_room_starts_without_torch(printed_apart: Callable[[str], list[str]]) -> None:
    code = "import sys, archsearch.data; print({'torch', 'torchvision'} & set(sys.modules))"
    assert printed_apart(code) == ["set()"]


@pytest.mark.cifar10
def test_real_images_are_read_from_a_folder(tmp_path: Path) -> None:
    settings = DataSettings(name="folder", root=os.environ["ARCHSEARCH_CIFAR10"], cache=str(tmp_path))
    data = load_dataset(settings)
    assert (len(data.classes), len(data.train), len(data.validation), len(data.test)) == (10, 45_000, 5_000, 10_000)
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-4)
    assert data.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=1e-4)
    assert load_dataset(settings).fingerprint == data.fingerprint

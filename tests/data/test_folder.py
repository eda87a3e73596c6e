"""Image folders: what is read, what is refused and in which words."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.data import folder
from archsearch.data.load import count_classes, load_dataset, load_samples
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings

Make = Callable[..., DataSettings]


def test_images_and_labels_are_read_in_the_order_of_names(pictures: Path, settings_of: Make) -> None:
    source = folder.load(settings_of(pictures))
    assert source.name == "pets"
    assert source.classes == ("cat", "dog")
    assert source.train.labels_B.tolist() == [0] * 5 + [1] * 5
    assert source.test.images_BHWC.shape == (4, 8, 8, 3)
    for index, path in enumerate(sorted((pictures / "train" / "dog").iterdir())):
        assert (source.train.images_BHWC[5 + index] == np.asarray(Image.open(path))).all()


def test_classes_are_counted_without_decoding(pictures: Path, settings_of: Make) -> None:
    (pictures / "train" / "dog" / "0.png").write_bytes(b"no image")
    assert count_classes(settings_of(pictures)) == 2


def test_what_systems_leave_behind_is_ignored(pictures: Path, settings_of: Make) -> None:
    before = folder.load(settings_of(pictures)).digest
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png"):
        (pictures / "train" / "cat" / name).write_bytes(b"junk")
    (pictures / "train" / ".cache").mkdir()
    (pictures / "train" / "README.txt").write_text("a note beside the classes")
    after = folder.load(settings_of(pictures))
    assert after.digest == before
    assert len(after.train) == 10


@pytest.mark.parametrize(("suffix", "mode"), [("png", "L"), ("png", "RGBA"), ("png", "LA"), ("gif", "P"), ("png", "1")])
def test_other_modes_become_rgb(pictures: Path, settings_of: Make, suffix: str, mode: str) -> None:
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    path = pictures / "train" / "cat" / f"0.{suffix}"
    (pictures / "train" / "cat" / "0.png").unlink()
    grey.convert(mode).save(path)
    image = folder.load(settings_of(pictures)).train.images_BHWC[0]
    assert (image == np.asarray(grey.convert(mode).convert("RGB"))).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "1"])
def test_one_channel_holds_the_luma(pictures: Path, settings_of: Make, mode: str) -> None:
    colour = Image.fromarray(np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)).convert(mode)
    colour.save(pictures / "train" / "cat" / "0.png")
    grey = folder.load(settings_of(pictures, channels=1))
    assert grey.train.images_BHWC.shape == (10, 8, 8, 1)
    assert (grey.train.images_BHWC[0, :, :, 0] == np.asarray(colour.convert("L"))).all()
    assert (len(grey.mean), grey.digest) != (3, folder.load(settings_of(pictures)).digest)
    assert len(list((pictures.parent / "cache").iterdir())) == 2, "each form has its cache"


def _message(settings: DataSettings) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset(settings)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path, settings_of: Make) -> None:
    message = _message(settings_of(tmp_path / "nowhere"))
    expected = "no such folder. Set data.root to the folder that contains train/ and test/."
    assert message == f"data.root: {tmp_path / 'nowhere'}: {expected}"


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path, settings_of: Make) -> None:
    (tmp_path / "pets.zip").write_bytes(b"")
    assert "pets.zip: is a file." in _message(settings_of(tmp_path / "pets.zip"))


def test_an_empty_folder_says_what_was_expected(tmp_path: Path, settings_of: Make) -> None:
    (tmp_path / "empty").mkdir()
    message = _message(settings_of(tmp_path / "empty"))
    assert "train: no such folder;" in message
    assert message.endswith("contains nothing. Expected: train/CLASS/* below data.root.")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_split_is_named(pictures: Path, settings_of: Make, split: str) -> None:
    shutil.rmtree(pictures / split)
    message = _message(settings_of(pictures))
    assert message.startswith(f"{pictures / split}: no such folder;")
    assert message.endswith(f"Expected: {split}/CLASS/* below data.root.")


def test_a_split_without_classes_is_named(pictures: Path, settings_of: Make) -> None:
    shutil.rmtree(pictures / "train")
    (pictures / "train").mkdir()
    assert _message(settings_of(pictures)).startswith(f"{pictures / 'train'}: contains no class folders.")


def test_a_single_class_is_refused(pictures: Path, settings_of: Make) -> None:
    for split in ("train", "test"):
        shutil.rmtree(pictures / split / "dog")
    assert "contains only one class, cat." in _message(settings_of(pictures))


@pytest.mark.parametrize(("there", "lacking"), [("train", "test"), ("test", "train")])
def test_a_class_that_one_split_lacks_is_named(pictures: Path, settings_of: Make, there: str, lacking: str) -> None:
    shutil.rmtree(pictures / lacking / "dog")
    message = _message(settings_of(pictures))
    assert f"class dog is in {there}/ but missing from {lacking}/." in message
    assert f"add {pictures / lacking / 'dog'}" in message


def test_a_class_without_images_is_named(pictures: Path, settings_of: Make) -> None:
    for path in (pictures / "test" / "dog").iterdir():
        path.unlink()
    assert _message(settings_of(pictures)).startswith(f"{pictures / 'test' / 'dog'}: contains no images.")


def test_corrupt_images_are_counted_and_the_first_are_named(pictures: Path, settings_of: Make) -> None:
    broken = pictures / "train" / "dog" / "3.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (pictures / "train" / "cat" / "0.png").write_text("this is text")
    message = _message(settings_of(pictures))
    assert message.startswith("2 of 10 files cannot be read as images: ")
    assert f"{pictures / 'train' / 'cat' / '0.png'} (not an image in one of the formats PNG, " in message
    assert str(broken) in message
    assert message.endswith("Fix or remove them.")


def test_a_long_list_of_corrupt_images_is_cut(pictures: Path, settings_of: Make) -> None:
    for path in (pictures / "train").glob("*/*.png"):
        path.write_bytes(b"")
    message = _message(settings_of(pictures))
    assert message.startswith("10 of 10 files")
    assert " and 5 more. " in message


def test_a_file_that_may_not_be_read_is_named(
    pictures: Path, settings_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str = "r") -> object:
        raise PermissionError(13, "Permission denied", str(path))

    listed = settings_of(pictures, cache=str(pictures.parent / "other"))
    monkeypatch.setattr(Path, "open", refuse)
    assert "0.png (Permission denied)" in _message(listed)


def test_images_of_other_sizes_are_refused_by_name(pictures: Path, settings_of: Make) -> None:
    odd = pictures / "train" / "cat" / "1.png"
    Image.new("RGB", (12, 9)).save(odd)
    message = _message(settings_of(pictures))
    fix = "Set data.resize=true to resize them."
    assert message == f"1 of 10 images is not 8x8 px: {odd} (12x9). {fix}"
    resized = load_dataset(settings_of(pictures, resize=True))
    assert resized.train.images_BHWC.shape[1:] == (8, 8, 3)


def test_images_that_all_share_another_size_suggest_it(pictures: Path, settings_of: Make) -> None:
    message = _message(settings_of(pictures, image_size=16))
    assert message.startswith("10 of 10 images are not 16x16 px: ")
    assert message.endswith("or data.image_size=8 to keep their size.")
    assert len(load_dataset(settings_of(pictures, image_size=8)).test) == 4


def test_a_folder_among_images_is_refused(pictures: Path, settings_of: Make) -> None:
    (pictures / "train" / "cat" / "more").mkdir()
    assert "more: is a folder, expected an image." in _message(settings_of(pictures))


def test_the_number_of_classes_must_be_the_one_that_is_asked_for(pictures: Path, settings_of: Make) -> None:
    message = _message(settings_of(pictures, classes=10))
    assert message == "data.classes is 10, but pets has 2 classes. Set data.classes=2, or null to use all of them."


def test_a_second_load_reads_the_cache_and_a_changed_folder_is_read_anew(
    pictures: Path, settings_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(pictures)
    first = folder.load(settings)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "picture", lambda octets, channels: pytest.fail("an image was decoded again"))
        again = folder.load(settings)
    assert again.digest == first.digest
    assert (again.train.images_BHWC == first.train.images_BHWC).all()
    assert (again.mean, again.std, again.classes, again.name) == (first.mean, first.std, first.classes, first.name)
    changed = pictures / "train" / "cat" / "0.png"
    Image.new("RGB", (8, 8), (1, 2, 3)).save(changed)
    os.utime(changed, ns=(1, 1))
    third = folder.load(settings)
    assert third.digest != first.digest
    assert third.train.images_BHWC[0, 0, 0].tolist() == [1, 2, 3]
    assert len(list((pictures.parent / "cache").iterdir())) == 1


def test_the_digest_is_that_of_the_contents_and_not_of_the_place(
    pictures: Path, settings_of: Make, tmp_path: Path
) -> None:
    shutil.copytree(pictures, tmp_path / "moved" / "elsewhere")
    moved = folder.load(settings_of(tmp_path / "moved" / "elsewhere"))
    assert moved.digest == folder.load(settings_of(pictures)).digest
    assert moved.name == "elsewhere"


ODD_NAMES = [
    (b"caf\xe9", r"caf\xe9"),
    ("猫".encode(), "猫"),
    ("قطة".encode(), "قطة"),
    ("👩\u200d🚀".encode(), "👩\u200d🚀"),
    (b"red\x1b[31m", r"red\x1b[31m"),
    (b"two\nlines", r"two\nlines"),
    ("turned\u202e".encode(), r"turned\u202e"),
    (b"<b>&'\"", "<b>&'\""),
]


@pytest.mark.parametrize(("octets", "text"), ODD_NAMES)
def test_a_class_of_any_name_is_text_that_every_output_holds(
    pictures: Path, settings_of: Make, octets: bytes, text: str
) -> None:
    root = pictures.rename(pictures.with_name(os.fsdecode(octets.replace(b"\n", b" "))))
    for split in ("train", "test"):
        (root / split / "dog").rename(root / split / os.fsdecode(octets))
    settings = settings_of(root)
    for turn in ("decoded", "from the cache"):
        dataset = load_dataset(settings)
        assert set(dataset.classes) == {"cat", text}, turn
        assert (dataset.name + text).encode().decode().count("\x1b") == 0
        assert json.loads(json.dumps(dataset.classes, ensure_ascii=False).encode()) == list(dataset.classes)


def test_long_names_have_a_cache(tmp_path: Path, pictures: Path, settings_of: Make) -> None:
    root = pictures.rename(tmp_path / ("\N{SNOWMAN}" * 80))
    assert len(folder.load(settings_of(root)).train) == 10


def test_images_of_two_splits_that_are_equal_are_noticed(
    pictures: Path, settings_of: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(pictures / "train" / "dog" / "3.png", pictures / "test" / "dog" / "1.png")
    folder.load(settings_of(pictures))
    what = "notice: 1 of 4 images in test/ are training images too, byte for byte: "
    assert capsys.readouterr().err == f"{what}{pictures / 'test' / 'dog' / '1.png'}\n"


def test_samples_are_few_of_each_class_and_nothing_else_is_decoded(
    pictures: Path, settings_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    whole = folder.picture
    monkeypatch.setattr(folder, "picture", lambda octets, channels: decoded.append(octets) or whole(octets, channels))
    samples = load_samples(settings_of(pictures), most=8, each=2)
    assert samples.images.labels_B.tolist() == [0, 1, 0, 1]
    assert len(decoded) == len(set(decoded)) == 4
    assert not (pictures.parent / "cache").exists()
    assert all(0 < deviation <= 1 for deviation in samples.std)

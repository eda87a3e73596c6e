"""The settings of the data refuse what cannot be meant, and the files of conf/data decode."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from archsearch.cli.compose import Composer, compose_tree
from archsearch.decode import decode
from archsearch.errors import SpecError
from archsearch.settings.data import NAMES, VALIDATION, DataSettings, image_shape
from archsearch.settings.datasets import PUBLISHED

CONF = Path(__file__).parents[2] / "conf" / "data"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "folder"])
def test_the_yaml_of_each_set_holds_the_defaults(name: str) -> None:
    raw = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert decode(DataSettings, raw, "data") == DataSettings(name=name, validation=VALIDATION)


def test_the_yaml_of_a_folder_leaves_the_validation_images_to_it() -> None:
    assert yaml.safe_load((CONF / "folder.yaml").read_text())["validation"] is None


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_yaml_of_each_set_names_its_shape(name: str) -> None:
    text = (CONF / f"{name}.yaml").read_text()
    channels, size, classes = image_shape(DataSettings(name=name))
    for key, value in (("classes", classes), ("channels", channels), ("image_size", size)):
        (line,) = (line for line in text.splitlines() if line.startswith(f"{key}: "))
        assert re.search(rf"null: as in the data set, {value}(;|$)", line), line


def test_folder_yaml_asks_for_its_root() -> None:
    raw = yaml.safe_load((CONF / "folder.yaml").read_text())
    with pytest.raises(SpecError, match=r"data\.root: data=folder needs a folder\. Set it: data\.root=DIR"):
        decode(DataSettings, raw, "data")
    assert decode(DataSettings, {**raw, "root": "pictures"}, "data") == DataSettings(name="folder", root="pictures")


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_yaml_begins_with_the_command_that_uses_it(path: Path) -> None:
    assert path.read_text().startswith(f"# python -m archsearch.run data={path.stem} ")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"validation": 1.0}, "data.validation: must be at least 0 and below 1, got 1.0"),
        ({"validation": -0.1}, "data.validation: must be at least 0 and below 1"),
        ({"validation": float("nan")}, "data.validation: must be at least 0 and below 1"),
        ({"classes": 1}, "data.classes: must be at least 2, got 1"),
        ({"image_size": 0}, "data.image_size: must be from 1 to 4096, got 0. It is the height and the width in px."),
        ({"image_size": 48}, "data.image_size: data=auto has images of 32 px, not 48. Set data.resize=true"),
        (
            {"name": "mnist", "image_size": 32},
            "data.image_size: data=mnist has images of 28 px, not 32. Set data.resize",
        ),
        ({"channels": 2}, "data.channels: must be 1 or 3, got 2"),
        ({"limit_train": 0}, "data.limit_train: must be at least 1, got 0. null uses all images."),
        ({"limit_test": -5}, "data.limit_test: must be at least 1"),
        ({"seed": -1}, "data.seed: must be at least 0"),
        ({"cache": ""}, "data.cache: must name a folder"),
        ({"shapes": {"noise": 200}}, "data.shapes.noise: must be from 0 to 127, got 200"),
        ({"shapes": {"train_images": 3}}, "data.shapes.train_images: must be at least 10, got 3"),
        ({"shapes": {"seed": -1}}, "data.shapes.seed: must be at least 0"),
        ({"name": "cifar"}, "data.name: unknown value 'cifar'. Did you mean 'cifar10'?"),
        ({"name": "mnst"}, "data.name: unknown value 'mnst'. Did you mean 'mnist'?"),
        ({"name": 3}, "data.name: must be a string"),
        ({"validaton": 0.1}, "data.validaton: unknown key for data. Did you mean 'validation'?"),
        ({"limit_train": "100"}, "data.limit_train: must be an integer"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode(DataSettings, raw, "data")
    assert str(caught.value).startswith(message)


def test_another_size_is_allowed_where_images_are_resized() -> None:
    assert DataSettings(image_size=48, resize=True).image_size == 48
    assert DataSettings(name="folder", root="x", image_size=48).image_size == 48


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (DataSettings(), (3, 32, 10)),
        (DataSettings(name="mnist"), (1, 28, 10)),
        (DataSettings(name="mnist", channels=3, image_size=32, resize=True), (3, 32, 10)),
        (DataSettings(name="folder", root="x"), (3, 32, None)),
        (DataSettings(name="folder", root="x", channels=1, image_size=64, classes=5), (1, 64, 5)),
    ],
)
def test_the_shape_is_that_of_the_set_where_nothing_else_is_wanted(
    settings: DataSettings, shape: tuple[int, int, int | None]
) -> None:
    assert image_shape(settings) == shape


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("arch", ["c1c2c3c4", "quick", "assignment"])
def test_a_shipped_network_follows_the_shape_of_the_data(name: str, arch: str) -> None:
    channels, size, classes = image_shape(DataSettings(name=name))
    chosen = [f"data={name}", f"arch={arch}"]
    for tree in (Composer(chosen).compose({}), compose_tree(chosen)[0]):
        assert tree["arch"]["input"] == [channels, size, size]
        assert tree["arch"]["head"]["classes"] == classes


def test_the_shape_of_a_published_set_is_known_without_its_library(printed_apart: Callable[[str], list[str]]) -> None:
    code = "import sys; from archsearch.cli.compose import compose_tree; compose_tree(['data=mnist']); "
    assert printed_apart(f"{code}print({{'numpy', 'torch', 'torchvision'}} & set(sys.modules))") == ["set()"]

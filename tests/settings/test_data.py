"""The settings of the data refuse what cannot be meant, and their YAML twins decode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from archsearch.decode import decode
from archsearch.errors import SpecError
from archsearch.settings.data import DataSettings

CONF = Path(__file__).parents[2] / "conf" / "data"


@pytest.mark.parametrize("name", ["auto", "cifar10", "cifar100", "shapes"])
def test_yaml_twin_holds_the_defaults(name: str) -> None:
    raw = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    settings = decode(DataSettings, raw, "data")
    assert settings == DataSettings(name=settings.name, classes=100 if name == "cifar100" else 10)
    assert settings.name == name


def test_folder_yaml_asks_for_its_root() -> None:
    raw = yaml.safe_load((CONF / "folder.yaml").read_text())
    with pytest.raises(SpecError, match=r"data\.root: data=folder needs a folder\. Give it: data\.root=DIR"):
        decode(DataSettings, raw, "data")
    assert decode(DataSettings, {**raw, "root": "pictures"}, "data") == DataSettings(name="folder", root="pictures")


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_yaml_begins_with_the_command_that_uses_it(path: Path) -> None:
    assert path.read_text().startswith(f"# python -m archsearch.run data={path.stem} ")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"validation": 1.0}, "data.validation: must be at least 0 and below 1, is 1.0"),
        ({"validation": -0.1}, "data.validation: must be at least 0 and below 1"),
        ({"validation": float("nan")}, "data.validation: must be at least 0 and below 1"),
        ({"classes": 1}, "data.classes: must be at least 2, is 1"),
        ({"image_size": 0}, "data.image_size: must lie in 1 to 4096 px"),
        ({"image_size": 48}, "data.image_size: data=auto has images of 32 px, not 48. Set data.resize=true"),
        ({"limit_train": 0}, "data.limit_train: must be at least 1, is 0. null takes all images."),
        ({"limit_test": -5}, "data.limit_test: must be at least 1"),
        ({"seed": -1}, "data.seed: must not be negative"),
        ({"cache": ""}, "data.cache: must name a folder"),
        ({"shapes": {"noise": 200}}, "data.shapes.noise: must lie in 0 to 127, is 200"),
        ({"shapes": {"train_images": 3}}, "data.shapes.train_images: must be at least 10, is 3"),
        ({"shapes": {"seed": -1}}, "data.shapes.seed: must not be negative"),
        ({"name": "cifar"}, "data.name: 'cifar' is not a choice. Did you mean 'cifar10'?"),
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

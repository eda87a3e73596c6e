"""From what a user types to one plain mapping, and the messages on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.cli.compose import Composer, compose, plain, read_tree
from archsearch.config_files import ConfigSources, option_file, options_of, read_yaml
from archsearch.design.spec import decode_design
from archsearch.errors import SpecError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("block=nromal", "block: unknown option 'nromal'. Did you mean 'normal'?"),
        ("arch=c1c2", "arch: unknown option 'c1c2'. Did you mean 'c1c2c3c4'?"),
        ("sed=3", "sed: unknown key. Did you mean 'seed'?"),
        ("blok=normal", "blok: unknown key. Did you mean 'block'?"),
        ("a b", "a b: is not an override. Write KEY=VALUE, such as train.epochs=20."),
        ("seed", "seed: is not an override. Write KEY=VALUE"),
        ("arch.name=a: [b", """arch.name: Hydra cannot parse the value a: [b. Quote text that contains"""),
        ("arch.name=a: [b", """commas or =: 'arch.name="a: [b"'."""),
        ("arch.name='a", """commas or =: 'arch.name="'"'"'a"'."""),
        ("arch=null", "a group must be set to the name of one of its options. Write GROUP=OPTION (no limits: constr"),
        ("=3", "a group must be set to the name of one of its options"),
        ("block=normal,depthwise", "block: has several values, which needs -m. Add -m"),
        ("+seed=3", "Either remove + prefix: 'seed=3'"),
    ],
)
def test_messages(override: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        compose([override])
    assert message in str(caught.value)


def test_a_group_and_a_key_meet_in_the_tree() -> None:
    tree, blocks = read_tree(compose(["block=dilated", "arch.stages.c2.kernel=5"]))
    assert tree["arch"]["stages"]["c1"]["block"]["options"]["dilation"] == 2
    assert tree["arch"]["stages"]["c2"]["kernel"] == 5
    assert tree["arch"]["head"]["classes"] == 10
    assert blocks("strided")["options"]["stride"] == 2
    assert "hydra" not in tree


def _stages_with_a_chosen_block(arch: str) -> list[str]:
    stages = read_yaml(option_file("arch", arch)).get("stages", {})
    return [name for name, stage in stages.items() if stage.get("block") == "${block}"]


@pytest.mark.parametrize("arch", [name for name in options_of("arch") if _stages_with_a_chosen_block(name)])
def test_a_network_whose_block_can_be_chosen_takes_every_block(arch: str) -> None:
    composer = Composer([f"arch={arch}"])
    stages = _stages_with_a_chosen_block(arch)
    for block in options_of("block"):
        tree = composer.compose({f"block@arch.stages.{name}.block": block for name in stages})
        decode_design(tree["arch"], composer.blocks)


def test_an_interpolation_that_leads_nowhere_is_reported() -> None:
    with pytest.raises(SpecError, match="nowhere"):
        plain(compose(["arch.head.classes=${nowhere.at.all}"]))


def test_a_design_file_is_read_and_keys_are_laid_over_it(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nstages: {c1: {block: normal, width: 8}}\nhead: {classes: 10}\n")
    tree, _ = read_tree(compose(["arch=mine.yaml", "arch.width=2.0"]))
    assert (tree["arch"]["name"], tree["arch"]["width"]) == ("mine", 2.0)
    assert "file" not in tree["arch"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), ("[1, 2]", "must contain a mapping"), ("a: [1", "is not valid YAML")],
)
def test_files_that_are_no_design(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "mine.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SpecError, match=message) as caught:
        read_tree(compose(["arch=mine.yaml"]))
    assert str(caught.value).startswith(str(file))


def test_the_users_groups_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "mine.yaml").write_text("options: {kernel: 7, shortcut: none}\nlayers: [act]\n")
    tree, _ = read_tree(compose(["block=mine"], ConfigSources(folders=(str(tmp_path),))), [tmp_path])
    assert tree["block"]["options"]["kernel"] == 7


def test_classes_of_a_folder_are_counted_without_reading_an_image(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog", "eel"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            (tmp_path / "images" / split / name / "1.png").write_text("not an image")
    tree, _ = read_tree(compose(["data=folder", f"data.root={tmp_path / 'images'}"]))
    assert tree["arch"]["head"]["classes"] == 3


def test_the_composer_gives_what_hydra_gives() -> None:
    composer = Composer(["arch=resnet20"])
    assignments = {"arch.stages.c2.width": 48, "block": "dilated", "train.epochs": 3, "data.classes": 7}
    slow, _ = read_tree(compose(["arch=resnet20", *(f"{key}={value}" for key, value in assignments.items())]))
    assert composer.compose(assignments) == slow
    assert composer.compose({})["train"]["epochs"] != 3


def test_the_composer_refuses_what_cannot_be_set() -> None:
    with pytest.raises(SpecError, match=r"arch.name: is not a mapping, so it has no keys"):
        Composer().compose({"arch.name.inner": 3})

"""From what a user types to one plain mapping, and the messages on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.composition import Composer, block_lookup, compose, normalise, plain, read_tree, read_yaml
from archsearch.config_folder import config_folder
from archsearch.errors import SpecError


@pytest.mark.parametrize(
    ("given", "hydra"),
    [
        ("block=dilated", ["block=dilated"]),
        ("seed=3", ["seed=3"]),
        ("arch.stages.c2.dilation=2", ["++arch.stages.c2.dilation=2"]),
        ("+arch.x=2", ["+arch.x=2"]),
        ("~arch.stem", ["~arch.stem"]),
        ("block@arch.stages.c2.block=strided", ["++arch.stages.c2.block=strided"]),
        ("hydra.run.dir=x", ["hydra.run.dir=x"]),
        ("hydra/launcher=joblib", ["hydra/launcher=joblib"]),
        ("--cfg", ["--cfg"]),
        ("-m", ["-m"]),
        ("block=normal,dilated", ["block=normal,dilated"]),
        ("arch=a.yaml,b.yaml", ["arch=a.yaml,b.yaml"]),
    ],
)
def test_normalise(given: str, hydra: list[str]) -> None:
    assert normalise([given]) == hydra


def test_a_file_names_a_design(tmp_path: Path) -> None:
    assert normalise(["arch=mine.yaml"]) == ["arch=file", f"++arch.file='{tmp_path / 'mine.yaml'}'"]


def test_a_file_of_overrides_stands_for_those_that_are_not_given(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    file.write_text("overrides: [block=dilated, ++train.epochs=3, arch.width=0.5]\n")
    assert normalise([str(file), "-m", "train.epochs=9"]) == [
        "block=dilated",
        "++arch.width=0.5",
        "-m",
        "++train.epochs=9",
    ]
    assert plain(compose(["best.yaml", "seed=2"]))["arch"]["width"] == 0.5


@pytest.mark.parametrize("content", ["stages: {}", "overrides: block=dilated", "overrides: [1]"])
def test_a_file_without_overrides_is_told(tmp_path: Path, content: str) -> None:
    Path("design.yaml").write_text(content)
    with pytest.raises(SpecError, match=r"design.yaml: holds no list of overrides. .* arch=design.yaml"):
        normalise(["design.yaml"])
    with pytest.raises(SpecError, match=r"nowhere.yaml: there is no such file"):
        normalise(["nowhere.yaml"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("block=nromal", "block: there is no 'nromal'. Did you mean 'normal'?"),
        ("arch=c1c2", "arch: there is no 'c1c2'. Did you mean 'c1c2c3c4'?"),
        ("sed=3", "sed: unknown key. Did you mean 'seed'?"),
        ("blok=normal", "blok: unknown key. Did you mean 'block'?"),
        ("a b", "a b: cannot be read (LexerNoViableAltException). Write KEY=VALUE; put quotes around a value"),
        ("seed", "seed: cannot be read (missing EQUAL at '<EOF>')"),
        ("arch=null", "a group must be given one of its options by name. Write GROUP=OPTION (no limits: constr"),
        ("=3", "a group must be given one of its options by name"),
        ("block=normal,depthwise", "Ambiguous value for argument 'block=normal,depthwise'"),
        ("+seed=3", "Either remove + prefix: 'seed=3'"),
    ],
)
def test_messages(override: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        compose([override])
    assert said in str(caught.value)


def test_a_group_and_a_key_meet_in_the_tree() -> None:
    tree, blocks = read_tree(compose(["block=dilated", "arch.stages.c2.kernel=5"]))
    assert tree["arch"]["stages"]["c1"]["block"]["options"]["dilation"] == 2
    assert tree["arch"]["stages"]["c2"]["kernel"] == 5
    assert tree["arch"]["head"]["classes"] == 10
    assert blocks("strided")["options"]["stride"] == 2
    assert "hydra" not in tree


def test_an_interpolation_that_leads_nowhere_is_told() -> None:
    with pytest.raises(SpecError, match="nowhere"):
        plain(compose(["arch.head.classes=${nowhere.at.all}"]))


def test_a_design_file_is_read_and_keys_are_laid_over_it(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nstages: {c1: {block: normal, width: 8}}\nhead: {classes: 10}\n")
    tree, _ = read_tree(compose(["arch=mine.yaml", "arch.width=2.0"]))
    assert (tree["arch"]["name"], tree["arch"]["width"]) == ("mine", 2.0)
    assert "file" not in tree["arch"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no such file"), ("[1, 2]", "must hold a mapping"), ("a: [1", "is not YAML")],
)
def test_files_that_are_no_design(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "mine.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SpecError, match=said) as caught:
        read_tree(compose(["arch=mine.yaml"]))
    assert str(caught.value).startswith(str(file))


def test_the_users_folder_comes_first(tmp_path: Path) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "normal.yaml").write_text("layers: []\n")
    (tmp_path / "block" / "mine.yaml").write_text("layers: [act]\n")
    blocks = block_lookup([tmp_path, config_folder()])
    assert blocks("normal") == {"layers": []}
    assert blocks("mine") == {"layers": ["act"]}
    assert blocks("strided") == read_yaml(config_folder() / "block" / "strided.yaml")
    with pytest.raises(SpecError, match=r"there is no block 'mien'. Did you mean 'mine'?"):
        blocks("mien")
    with pytest.raises(SpecError, match="there is no block"):
        blocks("../arch/c1c2c3c4")


def test_the_users_groups_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "mine.yaml").write_text("options: {kernel: 7, shortcut: none}\nlayers: [act]\n")
    tree, _ = read_tree(compose(["block=mine"], [tmp_path]), [tmp_path])
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
    with pytest.raises(SpecError, match=r"arch.name: is not a mapping, nothing can be set below it"):
        Composer().compose({"arch.name.inner": 3})

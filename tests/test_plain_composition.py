"""Composition without Hydra: what Hydra gives, or the answer that only Hydra knows."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from archsearch.composition import compose, compose_tree, normalise, read_tree
from archsearch.config_folder import config_folder
from archsearch.errors import SpecError
from archsearch.plain_composition import compose_plainly, merge_plainly, resolve_plainly
from archsearch.plain_yaml import NotPlain

GROUPS = {
    folder.name: sorted(file.stem for file in folder.glob("*.yaml") if file.stem != "file")
    for folder in sorted(config_folder().iterdir())
    if folder.is_dir() and folder.name != "hydra"
}


def is_plain(*overrides: str, folders: tuple[Path, ...] = ()) -> bool:
    try:
        resolve_plainly(compose_plainly(normalise(overrides), [config_folder(), *folders]))
    except NotPlain:
        return False
    return True


def agree(*overrides: str, folders: tuple[Path, ...] = ()) -> None:
    """Check that `overrides` are composed without Hydra, into what Hydra composes, in the same order."""
    assert is_plain(*overrides, folders=folders), overrides
    ours, theirs = compose_tree(overrides, folders)[0], read_tree(compose(overrides, folders), folders)[0]
    assert repr(ours) == repr(theirs), overrides


@pytest.mark.parametrize("group", GROUPS)
def test_every_shipped_option_is_composed_as_hydra_does(group: str) -> None:
    for option in GROUPS[group]:
        agree(f"{group}={option}", "data.classes=10", "data.root=some/where")


@pytest.mark.parametrize("seed", range(8))
def test_options_and_keys_together_are_composed_as_hydra_does(seed: int) -> None:
    draw = random.Random(seed)
    chosen = draw.sample(sorted(GROUPS), 5)
    keys = [
        "seed=7",
        "arch.width=0.5",
        "arch.input=[3, 32,32]",
        "arch.name='my net: 2'",
        "block@arch.stages.c2.block=strided",
        "train.epochs=3",
        "optimizer.learning_rate=1e-3",
        "optimizer.weight_decay=0.0005",
        "data.root=/some/where/cifar10-jpeg",
        "data.classes=10",
        "data.download=false",
        "data.limit_train=null",
        "study.objectives=[accuracy,macs]",
        'study.name="one two"',
        "constraints.forbids=[]",
        "study.more.than.there.is=-2.5",
        "resume=null",
        "augment.transforms=[]",
    ]
    overrides = [f"{group}={draw.choice(GROUPS[group])}" for group in chosen] + draw.sample(keys, 8)
    draw.shuffle(overrides)
    agree(*overrides, "++data.classes=10" if not any("classes" in one for one in overrides) else "train.short=true")


def test_what_a_user_gives_wins_over_what_an_experiment_chooses() -> None:
    agree("experiment=brisk", "arch=resnet20", "train.epochs=2")
    assert compose_tree(["experiment=brisk", "arch=resnet20"])[0]["arch"]["name"] == "resnet20"


def test_the_users_folder_and_files_are_read(tmp_path: Path, write_files: Callable[[Mapping[str, str]], None]) -> None:
    texts = {
        "block/mine.yaml": "defaults_of: {kernel: 5}\nlayers: [{conv: {kernel: kernel}}]\n",
        "block/normal.yaml": "layers: [] # the shipped one comes first\n",
        "experiment/own.yaml": "# @package _global_\ndefaults:\n  - override /block: mine\ntrain: {epochs: 9}\n",
    }
    write_files(texts)
    agree("block=mine", folders=(tmp_path,))
    agree("block=normal", "experiment=own", folders=(tmp_path,))
    (tmp_path / "net.yaml").write_text("name: net\nstages: {a: {block: '${block}', width: 8}}\nhead: {classes: 3}\n")
    ours, _ = compose_tree([f"arch={tmp_path / 'net.yaml'}", "arch.stages.a.width=16"])
    assert repr(ours) == repr(read_tree(compose([f"arch={tmp_path / 'net.yaml'}", "arch.stages.a.width=16"]))[0])


@pytest.mark.parametrize(
    "override",
    [
        "block=nromal",
        "block=null",
        "sed=3",
        "+extra=1",
        "~arch.stem",
        "seed",
        "seed=",
        "arch.stages.c1.block.kernel=5",
        "arch.stages.c1=3",
        "arch.stages={}",
        "constraints.macs={below: 3}",
        "data.root=${oc.env:HOME}",
        "arch.name=a b",
        "arch.name=a\\,b",
        "arch.name=NULL",
        "arch.name=inf",
        "arch.width=007",
        "arch.width=.5",
        "arch.input=[[3],32]",
        "block=normal,dilated",
        "hydra.run.dir=x",
        "hydra/launcher=joblib",
        "arch.name=???",
        "arch=file",
        "arch.name=${arch.nothing}",
        "arch.name=${arch.name}",
    ],
)
def test_what_only_hydra_can_judge_is_left_to_it(override: str) -> None:
    assert not is_plain(override)


def test_twice_the_same_key_is_left_to_hydra() -> None:
    assert not is_plain("seed=1", "seed=2")
    assert not is_plain("block=normal", "block=dilated")


@pytest.mark.parametrize(
    "text",
    [
        "defaults: [/block@inner: normal]\nlayers: []\n",
        "# @package _global_\ndefaults: [override /block: normal]\nblock: {layers: []}\n",
        "# @package _group_.inner\nlayers: []\n",
        "\n# @package study\nlayers: []\n",
        "layers: [${oc.env:HOME}]\n",
        "layers: []\nlayers: []\n",
        "1: 2\n",
        "- a\n",
        "layers: [",
    ],
)
def test_an_option_of_unusual_form_is_left_to_hydra(tmp_path: Path, text: str) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "mine.yaml").write_text(text)
    assert not is_plain("block=mine", "experiment=brisk", folders=(tmp_path,))


def test_merging_copies_and_refuses_what_is_not_simple() -> None:
    below = {"a": {"b": 1, "c": [1, 2]}, "d": None}
    assert merge_plainly(below, {"a": {"b": 2}, "e": 3}) == {"a": {"b": 2, "c": [1, 2]}, "d": None, "e": 3}
    assert below == {"a": {"b": 1, "c": [1, 2]}, "d": None}
    for above in ({"a": 1}, {"d": {"x": 1}}, {"d": "???"}):
        with pytest.raises(NotPlain):
            merge_plainly(below, above)


def test_a_folder_that_is_missing_is_told_as_before(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such folder"):
        compose_tree([], [tmp_path / "nowhere"])


def test_a_design_is_shown_without_hydra(printed_apart: Callable[[str], list[str]]) -> None:
    code = (
        "import sys, archsearch.show as s\ns.main(['block=dilated', 'arch.width=0.5'])\n"
        "print(sorted({'hydra', 'omegaconf', 'antlr4'} & set(sys.modules)))"
    )
    assert printed_apart(code)[-1] == "[]"

"""The command line in Hydra's form: what is added to keys, and the files that stand for overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.cli.arguments import hydra_arguments, normalise
from archsearch.cli.compose import compose, plain
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
def test_a_file_without_overrides_is_reported(tmp_path: Path, content: str) -> None:
    Path("design.yaml").write_text(content)
    with pytest.raises(SpecError, match=r"design.yaml: contains no list of overrides. .* arch=design.yaml"):
        normalise(["design.yaml"])
    with pytest.raises(SpecError, match=r"nowhere.yaml: no such file"):
        normalise(["nowhere.yaml"])


def test_overrides_come_before_flags() -> None:
    given = ["-m", "block=normal,dilated", "--config-dir", "mine", "arch.width=2"]
    assert hydra_arguments(given) == ["block=normal,dilated", "++arch.width=2", "-m", "--config-dir", "mine"]

"""A refused command leaves no folder and no study."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.cli.output_folder import existing_part
from archsearch.cli.run import main
from archsearch.cli.show import main as show

SHAPES = ["data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20"]
REFUSED = [
    ["arch=resnet20"],
    ["train.epochs=0"],
    ["block=nromal"],
    ["train.epochs=[1"],
    ["data=folder", "data.root=nowhere"],
    ["hydra.run.dir=a/b/c", "arch=resnet20"],
    ["hydra.run.dir='a b/${now:%Y}'", "arch=resnet20"],
    ["hydra.output_subdir=null", "arch=resnet20"],
    [*SHAPES, "train.device=cuda:99"],
    [*SHAPES, "arch.head.classes=7"],
    ["-m", "seed=1,2", "data=folder", "data.root=nowhere", "constraints=none"],
    ["-m", "seed=1,2", *SHAPES, "arch.head.classes=7"],
    ["-m", "seed=1,2", "train.epochs=[1"],
    ["-m", "block=choice(normal,nromal)", *SHAPES],
    ["-m", "optimizer.weight_decay=interval(0,1)", "sampler=grid", *SHAPES],
]


@pytest.mark.parametrize("given", REFUSED, ids=" ".join)
def test_a_refused_command_leaves_nothing(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(given) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert [str(path) for path in Path().rglob("*") if path.suffix not in (".db", ".lock")] == []
    assert list(Path().rglob("*.db")) == []


def test_show_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(["arch=resnet20"]) == 2
    assert show(["data=folder", "data.root=nowhere"]) == 2
    assert list(Path().iterdir()) == []


def test_what_was_there_stays(capsys: pytest.CaptureFixture[str]) -> None:
    Path("outputs/runs").mkdir(parents=True)
    Path("kept").mkdir()
    assert main(["arch=resnet20"]) == 2
    assert list(Path("outputs/runs").iterdir()) == []
    assert main(["arch=resnet20", "hydra.run.dir=kept"]) == 2
    assert list(Path("kept").iterdir()) == []
    Path("kept/notes.txt").write_text("mine")
    assert main(["arch=resnet20", "hydra.run.dir=kept"]) == 2
    assert Path("kept/notes.txt").read_text() == "mine"


def test_the_innermost_folder_that_exists() -> None:
    Path("a").mkdir()
    assert existing_part(["seed=1"]) == Path.cwd()
    assert existing_part(["hydra.run.dir=a/b/c"]) == Path("a").absolute()
    assert existing_part(["hydra.run.dir=a/${now:%Y}/b"]) == Path("a").absolute()

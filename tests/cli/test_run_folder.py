"""The folder of a run as the command leaves it: one run, its log, nothing of what was refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from archsearch.run import main
from archsearch.study import main as study

TINY = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch.width=0.1", "constraints=none",
    "train.epochs=1", "train.batch_size=16", "train.compile=false", "train.kernels=torch", "train.device=cpu",
]  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_a_second_run_in_the_folder_of_a_first_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "hydra.run.dir=mine"]) == 0
    before = contents(Path("mine"))
    log = before["mine/run.log"].decode()
    assert "[archsearch][INFO] - epoch 1/1  loss" in log
    assert "[archsearch][INFO] - test accuracy" in log
    assert "DEBUG" not in log
    assert yaml.safe_load(before["mine/.hydra/overrides.yaml"])[0] == "data=shapes"
    capsys.readouterr()
    assert main([*TINY, "hydra.run.dir=mine", "seed=5"]) == 2
    assert "mine holds another run: it differs in seed. Choose another folder" in capsys.readouterr().err
    assert main([*TINY, "hydra.run.dir=mine", "arch.stages.c1.width=48"]) == 2
    assert "mine holds another run: it differs in arch.stages.c1.width" in capsys.readouterr().err
    assert contents(Path("mine")) == before


def test_an_export_of_a_folder_that_was_overwritten_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "hydra.run.dir=mine"]) == 0
    file = Path("mine/result.json")
    file.write_text(file.read_text().replace('"design_id": "', '"design_id": "f'))
    capsys.readouterr()
    assert study(["export", "--safetensors", "net.safetensors", "--trial", "0"]) == 2
    assert "holds another run: its design or seed differs" in capsys.readouterr().err
    assert not Path("net.safetensors").exists()


@pytest.mark.parametrize("override", ["arch.width=0", "arch.head.classes=7", "data.root=${oc.env:NOT_SET_AT_ALL}"])
def test_a_command_that_is_refused_leaves_no_folder(override: str) -> None:
    assert main([*TINY, override]) == 2
    assert not Path("outputs/runs").exists()
    assert not Path("outputs/studies.db").exists()


def test_in_the_folder_of_the_job_relative_paths_are_those_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["hydra.job.chdir=true", "hydra.run.dir=run", "study.storage=sqlite:///own.db", "hydra.verbose=true"]
    assert main([*TINY, *given]) == 0
    assert Path("own.db").is_file()
    assert "[archsearch][DEBUG] - train.epochs=1" in Path("run/run.log").read_text()
    assert "[archsearch][DEBUG] - train.epochs=1" in capsys.readouterr().err

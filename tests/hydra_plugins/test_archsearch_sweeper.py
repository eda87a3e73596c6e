"""The whole multirun as a user starts it, on a handful of drawn images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from archsearch.cli.run import main
from archsearch.config_files import config_folder
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import load_study, study_names
from hydra_plugins.archsearch_sweeper._grammar import read_request

SMALL = [
    "data=shapes",
    "data.shapes.train_images=60",
    "data.shapes.test_images=20",
    "train.epochs=1",
    "train.batch_size=20",
    "train.compile=false",
    "train.threads=1",
    "train.device=cpu",
]


def sweep(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "archsearch.run", "-m", "hydra/sweeper=archsearch", *SMALL, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=500, env=dict(os.environ))


def test_comma_lists_train_every_combination_once_and_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    command = [*SMALL, "block=normal,dilated", "arch.width=0.25"]
    first = sweep(*command[len(SMALL) :])
    assert first.returncode == 0, first.stderr
    assert main(["-m", *command]) == 0
    for printed in (first.stdout, capsys.readouterr().out):
        assert "2 complete" in printed
        assert "python -m archsearch.run" in printed
    store = open_store()
    trials = load_study(store, study_names(store)[0]).trials()
    assert [trial.params["block"] for trial in trials] == ["normal", "dilated"]
    folder = Path(trials[0].user_attrs["run_dir"])
    assert (folder / "result.json").is_file()
    assert "block=normal" in yaml.safe_load((folder / ".hydra/overrides.yaml").read_text())
    assert yaml.safe_load((folder.parent / "best.yaml").read_text())["overrides"]
    store.close()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_workers_share_a_device(device: str) -> None:
    space = ["block=choice(normal,dilated)", "arch.stages.c2.width=choice(32,64,96,128)", "constraints=none"]
    longer = ["data.shapes.train_images=1000", "train.epochs=2", "study.trials=8", "study.workers=2"]
    found = sweep(*space, *longer, "arch.width=0.25", f"train.device={device}")
    assert found.returncode == 0, found.stderr
    assert "8 complete" in found.stdout
    store = open_store()
    trials = load_study(store, study_names(store)[0]).trials()
    store.close()
    records = [json.loads(Path(trial.user_attrs["run_dir"], "result.json").read_text()) for trial in trials]
    assert [(record["epochs"], record["notices"]) for record in records] == [(2, [])] * 8
    assert len({record["device"] for record in records}) == 1
    assert device == "cpu" or records[0]["device"] == torch.cuda.get_device_name()
    assert len({trial.user_attrs["worker"] for trial in trials}) == 2
    assert len({record["design_id"] for record in records}) == 8


def test_what_cannot_be_swept_ends_with_exit_code_2() -> None:
    found = sweep("data=shapes,cifar10")
    assert found.returncode == 2
    assert "cannot differ between the trials of one study" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("file", sorted((config_folder() / "space").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_space_is_read(file: Path) -> None:
    request = read_request([], yaml.safe_load(file.read_text()))
    assert request.space.parameters
    assert not request.exhaustive

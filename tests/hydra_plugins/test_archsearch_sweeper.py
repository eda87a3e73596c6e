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
    longer = ["data.shapes.train_images=500", "train.epochs=2", "study.trials=4", "study.workers=2"]
    found = sweep(*space, *longer, "arch.width=0.25", f"train.device={device}")
    assert found.returncode == 0, found.stderr
    assert "4 complete" in found.stdout
    store = open_store()
    trials = load_study(store, study_names(store)[0]).trials()
    store.close()
    records = [json.loads(Path(trial.user_attrs["run_dir"], "result.json").read_text()) for trial in trials]
    assert [(record["epochs"], record["notices"]) for record in records] == [(2, [])] * 4
    assert len({record["device"] for record in records}) == 1
    assert device == "cpu" or records[0]["device"] == torch.cuda.get_device_name()
    assert len({trial.user_attrs["worker"] for trial in trials}) == 2
    assert len({record["design_id"] for record in records}) == 4


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


def test_a_budget_ends_a_search_and_its_trainings_wait_for_the_same_command() -> None:
    """The trainings are too long for the time: they are put back, and the command ends with a summary."""
    longer = ["space=training", "data.shapes.train_images=2000", "train.epochs=5000", "study.workers=2"]
    found = sweep(*longer, "study.budget=25s")
    assert found.returncode == 0, found.stderr
    assert "study.budget: the time is over" in found.stderr
    store = open_store()
    trials = load_study(store, study_names(store)[0]).trials()
    store.close()
    waiting = [trial for trial in trials if trial.state.name == "WAITING"]
    assert f"{len(waiting)} waiting for the same command" in found.stdout
    assert 1 <= len(waiting) <= 2
    assert {trial.user_attrs["worker"] for trial in waiting} == {""}
    refused = sweep("space=training", "study.budget=soon")
    assert refused.returncode == 2
    assert "study.budget: must be a time above 0" in refused.stderr


def test_a_search_rises_by_rungs_and_warms_the_next_one_up() -> None:
    space = ["arch.stages.c2.width=choice(32,64,96,128)", "constraints=none", "arch.width=0.25", "train.epochs=5"]
    found = sweep(*space, "study.trials=6", "study.name=first")
    assert found.returncode == 0, found.stderr
    assert "after 2 epochs" in found.stderr
    store = open_store()
    trials = load_study(store, "first").trials()
    by_rung = {rung: [one for one in trials if one.user_attrs.get("rung") == rung] for rung in (2, None)}
    assert [len(one) for one in by_rung.values()] == [4, 2]
    for rung, ran in by_rung.items():
        records = [json.loads(Path(trial.user_attrs["run_dir"], "result.json").read_text()) for trial in ran]
        assert [record["epochs"] for record in records] == [rung or 5] * len(ran)
    assert {trial.user_attrs["design_id"] for trial in by_rung[None]} <= {
        trial.user_attrs["design_id"] for trial in by_rung[2]
    }
    best = max(by_rung[None], key=lambda trial: trial.values[0])
    table = found.stdout.split("\n\n")[1].splitlines()
    assert table[0].split()[:2] == ["trial", "epochs"]
    assert table[1].split()[:2] == [str(best.number), "all"]
    again = yaml.safe_load(Path(best.user_attrs["run_dir"]).parent.joinpath("best.yaml").read_text())["overrides"]
    assert [one.lstrip("+") for one in again if "train.epochs" in one][-1] == "train.epochs=5"
    warmed = sweep(*space, "study.trials=1", "study.name=second", "study.warm_start=first", "study.rungs=null")
    assert warmed.returncode == 0, warmed.stderr
    assert "study.warm_start: the sampler learns from 6 designs of an earlier study" in warmed.stderr
    assert [trial.user_attrs.get("rung") for trial in load_study(store, "second").trials()] == [None]
    store.close()

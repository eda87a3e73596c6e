"""Trained networks given back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from archsearch import load
from archsearch.errors import DataError
from archsearch.runs.execute import execute
from archsearch.runs.load import read_trained
from archsearch.training.evaluation import EvaluationInput, logits_of, score_of, to_device

FLIP = ("arch.symmetry=flip", "train.whiten=true", "train.ema=0.9", "train.recalibrate=32", "augment=brisk")


@pytest.mark.parametrize("overrides", [(), FLIP])
def test_a_loaded_network_is_the_trained_one(
    tiny: Callable[..., Any], tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    experiment, checked, dataset = tiny(*overrides)
    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset)
    network = load(tmp_path / "run")
    assert not network.training
    images = to_device(dataset.test, torch.device("cpu"))
    how = EvaluationInput(mean=dataset.mean, std=dataset.std, batch_size=20, precision="fp32")
    score = score_of(logits_of(network, images, how), images.labels_N)
    assert score.accuracy == outcome.result.test_accuracy
    assert load(tmp_path / "run" / "model.safetensors").state_dict().keys() == network.state_dict().keys()


def test_what_is_no_run_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no weights: .* is not a run folder"):
        load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"half of it")
    with pytest.raises(DataError, match="is not a complete safetensors file"):
        load(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="contains no design; it was not written by archsearch"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, r"the run is not complete\. Continue with resume="),
        (
            '{"pruned": false}',
            r"the run is complete, and its weights were removed\. Train the design again: .* arch=.*design.yaml",
        ),
        ('{"pruned": true}', r"the run was pruned, and no weights were kept\. Train the design again: "),
    ],
)
def test_why_there_are_no_weights_is_reported(tmp_path: Path, result: str | None, why: str) -> None:
    (tmp_path / "design.yaml").touch()
    if result is not None:
        (tmp_path / "result.json").write_text(result)
    with pytest.raises(DataError, match=f"no weights: {why}"):
        load(tmp_path)


@pytest.mark.parametrize("design", ["a: [", "stages: {}", "stages: {c: {block: normal, width: 8}}\nhead: {classes: 2}"])
def test_a_design_that_does_not_fit_its_weights_is_reported(tmp_path: Path, design: str) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"design": design})
    with pytest.raises(DataError, match="its weights do not match its design"):
        load(tmp_path)


# A colleague has the file and the package: no run folder, and none of what trains.
COLLEAGUE = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("hydra", "optuna", "archsearch.training", "archsearch.data", "archsearch.search")):
            raise ImportError(f"{name} is not for using a network")

sys.meta_path.insert(0, Blocked())
import torch
from archsearch import load

network = load(sys.argv[1], takes="uint8")
images = torch.load(sys.argv[2])
print(json.dumps(network(images).argmax(1).tolist()))
"""


def test_one_file_is_enough_without_the_training_code(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny()
    execute(experiment, checked, tmp_path / "run", dataset=dataset)
    file = (tmp_path / "run" / "model.safetensors").rename(tmp_path / "sent.safetensors")
    images = torch.from_numpy(dataset.test.images_BHWC.copy()).permute(0, 3, 1, 2)
    torch.save(images, tmp_path / "images.pt")
    command = [sys.executable, "-c", COLLEAGUE, str(file), str(tmp_path / "images.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trained = read_trained(file)
    assert (trained.classes, trained.mean, trained.std) == (dataset.classes, dataset.mean, dataset.std)
    assert trained.plan == checked.plan
    normalised = (images / 255 - torch.tensor(dataset.mean).view(3, 1, 1)) / torch.tensor(dataset.std).view(3, 1, 1)
    assert json.loads(done.stdout) == load(file)(normalised).argmax(1).tolist()


def test_weights_without_statistics_load_but_take_no_bytes(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny()
    execute(experiment, checked, tmp_path / "run", dataset=dataset)
    text = (tmp_path / "run" / "design.yaml").read_text()
    save_file(load(tmp_path / "run").state_dict(), tmp_path / "old.safetensors", metadata={"design": text})
    assert not load(tmp_path / "old.safetensors").training
    with pytest.raises(DataError, match="contains no mean and standard deviation"):
        load(tmp_path / "old.safetensors", takes="uint8")

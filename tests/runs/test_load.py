"""Trained networks given back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from archsearch import load
from archsearch.errors import DataError
from archsearch.runs.execute import execute
from archsearch.training import evaluate, reside


def test_a_loaded_network_is_the_trained_one(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny()
    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset)
    network = load(tmp_path / "run")
    assert not network.training
    images = reside(dataset.test, torch.device("cpu"))
    score = evaluate(network, images, mean=dataset.mean, std=dataset.std, batch_size=20, precision="fp32")
    assert score.accuracy == outcome.result.test_accuracy
    assert load(tmp_path / "run" / "model.safetensors").state_dict().keys() == network.state_dict().keys()


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there are no weights: the run has not finished. Go on with resume="):
        load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"half of it")
    with pytest.raises(DataError, match="is not a whole safetensors file"):
        load(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="carries no design; it was not written by archsearch"):
        load(tmp_path)


@pytest.mark.parametrize("design", ["a: [", "stages: {}", "stages: {c: {block: normal, width: 8}}\nhead: {classes: 2}"])
def test_a_design_that_does_not_fit_its_weights_is_told(tmp_path: Path, design: str) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"design": design})
    with pytest.raises(DataError, match="its weights are not those of the design that it carries"):
        load(tmp_path)

"""`design.yaml` and `result.json`, and the images that they name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from archsearch.analysis.check import check_design
from archsearch.cli.compose import compose, read_tree
from archsearch.errors import DataError
from archsearch.runs.record import design_yaml, result_record, run_dataset, write_design, write_json
from archsearch.settings.augment import decode_policy
from archsearch.settings.experiment import decode_experiment
from archsearch.training.result import TrainResult


def test_the_design_of_a_run_runs_again(tiny: Callable[..., Any], tmp_path: Path) -> None:
    _, checked, _ = tiny("block=depthwise", "arch.width=fit", "constraints=advanced_convolution")
    text = write_design(tmp_path / "design.yaml", checked)
    assert text == design_yaml(checked) == (tmp_path / "design.yaml").read_text()
    assert "python -m archsearch.run arch=" in text.splitlines()[0]
    tree, blocks = read_tree(compose(["arch=design.yaml"]))
    experiment = decode_experiment(tree, blocks)
    assert check_design(experiment.design, experiment.limits).design_id == checked.design_id
    assert experiment.design.width == checked.design.width
    assert "&id" not in text
    assert isinstance(yaml.safe_load(text)["stages"]["c1"]["block"], dict)


def test_the_record_keeps_validation_and_test_apart(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny()
    result = TrainResult(
        epochs=2, validation_accuracy=0.5, validation_loss=1.5, best_validation_accuracy=0.6, best_epoch=1,
        test_accuracy=0.4, test_loss=1.6, test_accuracy_flip=None, images_per_second=9.0, seconds=3.0, device="x",
        precision="fp32", backend="eager", pruned=False, seed=0, data_fingerprint=dataset.fingerprint,
        versions={"torch": "2"}, notices=("n",), history=(),
    )  # fmt: skip
    record = result_record(experiment, checked, dataset, result)
    assert record["accuracy"] == {
        "validation": 0.5, "validation_best": 0.6, "validation_best_epoch": 1, "test": 0.4, "test_flip": None,
    }  # fmt: skip
    for key in ("parameters", "macs", "receptive_field", "epochs", "images_per_second", "seconds", "device"):
        assert record[key] is not None, key
    assert decode_policy(record["augment"]) == experiment.augment
    assert (record["seed"], record["data"], record["data_fingerprint"]) == (0, "shapes", dataset.fingerprint)
    write_json(tmp_path / "result.json", record)
    assert yaml.safe_load((tmp_path / "result.json").read_text()) == record


def recorded(tiny: Callable[..., Any], **changes: Any) -> tuple[dict[str, Any], Any]:
    experiment, _, dataset = tiny()
    record = {"data": "shapes", "data_fingerprint": dataset.fingerprint, "data_settings": asdict(experiment.data)}
    return {**record, **changes}, dataset


def test_the_images_are_those_of_the_run(tiny: Callable[..., Any], tmp_path: Path) -> None:
    record, dataset = recorded(tiny)
    for name in ("shapes", "auto"):
        write_json(tmp_path / "result.json", {**record, "data_settings": {**record["data_settings"], "name": name}})
        assert np.array_equal(run_dataset(tmp_path).test.images_BHWC, dataset.test.images_BHWC)


def test_other_images_and_no_result_are_errors(tiny: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not the folder of a finished run"):
        run_dataset(tmp_path)
    write_json(tmp_path / "result.json", recorded(tiny, data_fingerprint="f" * 16)[0])
    with pytest.raises(DataError, match="are not those of its training"):
        run_dataset(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match="is damaged"):
        run_dataset(tmp_path)

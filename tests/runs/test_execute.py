"""One run from a checked design to its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from archsearch import load
from archsearch.errors import DeviceMemoryError, LimitError, SpecError
from archsearch.runs.execute import execute

Make = Callable[..., Any]


def test_a_run_leaves_its_files(tiny: Make, tmp_path: Path) -> None:
    experiment, checked, dataset = tiny()
    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset)
    names = {file.name for file in (tmp_path / "run").iterdir()}
    drawn = {"curves.png", "design.png", "card.png", "card.json"}
    assert names == {"design.yaml", "metrics.jsonl", "result.json", "model.safetensors", *drawn}
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert record == outcome.record
    assert record["parameters"] == checked.footprint.parameters
    assert record["images"] == {"train": 50, "validation": 10, "test": 20}


def test_the_result_is_told_once_it_is_on_disk_and_before_anything_is_drawn(tiny: Make, tmp_path: Path) -> None:
    experiment, checked, dataset = tiny()
    heard: list[dict[str, Any]] = []

    def hear(record: dict[str, Any]) -> None:
        heard.append(json.loads((tmp_path / "run" / "result.json").read_text()))
        assert record == heard[0]
        assert not list((tmp_path / "run").glob("*.png"))

    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset, on_result=hear)
    assert heard == [outcome.record]


def test_two_runs_of_one_seed_are_one_run(tiny: Make, tmp_path: Path) -> None:
    weights: list[torch.Tensor] = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        experiment, checked, dataset = tiny(f"seed={seed}")
        execute(experiment, checked, tmp_path / name, dataset=dataset)
        weights.append(load(tmp_path / name).state_dict()["head.linear.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_broken_limit_trains_nothing(tiny: Make, tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("constraints.parameters={below: 10}")
    with pytest.raises(LimitError, match="must be below 10"):
        execute(experiment, checked, tmp_path / "run", dataset=dataset)
    assert not (tmp_path / "run").exists()


def test_a_device_that_others_have_filled_is_out_of_memory_too(tiny: Make, tmp_path: Path, monkeypatch: Any) -> None:
    """The augmentation is the first that asks for some of it."""

    def fail(*given: Any, **more: Any) -> None:
        raise RuntimeError("CUDA error: out of memory")

    experiment, checked, dataset = tiny()
    monkeypatch.setattr("archsearch.augment.make.make_augmenter", fail)
    with pytest.raises(DeviceMemoryError, match=r"\(CUDA error: out of memory\)\. Set train\.batch_size="):
        execute(experiment, checked, tmp_path / "run", dataset=dataset)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("arch.head.classes=7", "arch.head.classes: is 7, but shapes has 10. Set arch.head.classes=10."),
        ("arch.input=[3,16,16]", "arch.input: is [3, 16, 16], but images are 3 x 32 x 32. Set arch.input=[3,32,32]"),
    ],
)
def test_a_design_that_does_not_fit_the_images_is_refused(tiny: Make, tmp_path: Path, override: str, said: str) -> None:
    experiment, checked, dataset = tiny(override)
    with pytest.raises(SpecError) as caught:
        execute(experiment, checked, tmp_path / "run", dataset=dataset)
    assert said in str(caught.value)


def test_on_epoch_can_stop_it_and_the_test_set_can_be_left_alone(tiny: Make, tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("train.epochs=3")
    seen: list[tuple[int, float]] = []

    def on_epoch(epoch: int, accuracy: float) -> bool:
        seen.append((epoch, accuracy))
        return True

    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset, on_epoch=on_epoch, evaluate_test=False)
    assert len(seen) == 1
    assert outcome.result.pruned
    assert outcome.record["accuracy"]["test"] is None

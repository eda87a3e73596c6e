"""Benchmarks as modules, a few images of two classes, and trainings that take no time."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return the function that imports a benchmark by its name, as its script imports what lies beside it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of two classes with twelve training and four test images each."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for name in ("cat", "dog"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(generator.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "images"


def record_of(overrides: dict[str, str], **more: Any) -> dict[str, Any]:
    """Return what a training by `overrides` might give: a second an epoch, accuracy by the epochs and the seed."""
    epochs, seed = int(overrides["train.epochs"]), int(overrides.get("seed", 0))
    test = 1 - 1 / (2 + epochs + seed / 100)
    return {
        "accuracy": {"test": test, "test_flip": test, "validation": test},
        "epochs": epochs,
        "seconds": float(epochs),
        "images": {"train": 100},
        "images_per_second": 100.0,
        "parameters": 1000,
        "macs": 2000,
        "receptive_field": 45,
        "data": "images",
        "device": "cpu",
        "precision": "fp32",
        "versions": {},
        "history": [{"images_per_second": 100.0}],
        **more,
    }


@pytest.fixture
def trained(benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Have every training end at once; return the list of their overrides, which grows."""
    found: list[dict[str, str]] = []

    def run(training: Any) -> dict[str, Any]:
        given = dict(one.split("=", 1) for one in training.overrides)
        found.append(given)
        training.run_dir.mkdir(parents=True, exist_ok=True)
        (training.run_dir / "design.yaml").write_text(
            "stages: {c1: {block: normal, width: 8}}\nhead: {classes: 2}\nname: it\n"
        )
        count = int(given.get("data.limit_train", 100))
        return record_of(given, images={"train": count}, seconds=int(given["train.epochs"]) * count / 100 + 0.5)

    monkeypatch.setattr(benchmark("_trainings").Training, "run", run)
    return found

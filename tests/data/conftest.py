"""Small image folders and a small CIFAR-like archive, written afresh for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.settings.data import DataSettings


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two classes, 8x8 px, with 5 training and 2 test images a class."""
    root = tmp_path / "pets"
    shade = np.random.default_rng(0)
    for split, count in (("train", 5), ("test", 2)):
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(shade.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{index}.png")
    return root


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., DataSettings]:
    """A function that makes settings for a folder of 8x8 px; its keywords override."""

    def make(root: Path, **changes: object) -> DataSettings:
        values: dict[str, object] = {
            "name": "folder",
            "root": str(root),
            "cache": str(tmp_path / "cache"),
            "image_size": 8,
            "validation": 0.2,
        }
        return DataSettings(**{**values, **changes})  # type: ignore[arg-type]

    return make

"""A run to be tracked, and a library that is not installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from archsearch.tracking import base
from archsearch.tracking.base import Tracked


@pytest.fixture
def tracked(tmp_path: Path) -> Tracked:
    return Tracked(
        name="runs_a", run_dir=tmp_path / "runs" / "a", settings={"seed": 1, "train.ema": None, "design": "d"}
    )


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes a library one that is not installed."""

    def remove(name: str) -> None:
        real: Callable[..., ModuleType] = importlib.import_module

        def import_module(wanted: str) -> ModuleType:
            if wanted.partition(".")[0] == name:
                raise ModuleNotFoundError(wanted)
            return real(wanted)

        monkeypatch.setattr(base.importlib, "import_module", import_module)

    return remove


@pytest.fixture
def fake_library(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Return a function that gives trackers these modules in place of the real ones."""

    def give(modules: dict[str, Any]) -> None:
        monkeypatch.setattr(base.importlib, "import_module", lambda name: modules[name])

    return give

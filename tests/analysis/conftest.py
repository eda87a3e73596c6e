"""Small plans and designs for the tests of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from archsearch.config_files import config_folder
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design
from archsearch.errors import SpecError


@pytest.fixture
def shipped() -> BlockLookup:
    """Return the lookup of the shipped blocks."""

    def find(name: str) -> Mapping[str, Any]:
        file = config_folder() / "block" / f"{name}.yaml"
        if not file.is_file():
            raise SpecError("block", f"unknown block '{name}'")
        return yaml.safe_load(file.read_text())

    return find


@pytest.fixture
def make_design(shipped: BlockLookup) -> Callable[..., DesignSpec]:
    """Return a function from stages (and other keys of a network) to a design over the shipped blocks."""

    def make(stages: Mapping[str, Any] | None = None, **more: Any) -> DesignSpec:
        default = {
            "c1": {"block": "normal", "width": 16, "repeats": 2},
            "c2": {"block": "normal", "width": 32, "repeats": 2, "stride": 2},
            "c3": {"block": "normal", "width": 32, "repeats": 2, "stride": 2},
        }
        raw = {"name": "small", "stages": stages or default, "head": {"classes": 10}, **more}
        return decode_design(raw, shipped)

    return make

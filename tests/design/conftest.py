"""Blocks by name, as the tests of this package look them up."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from archsearch.design.spec import BlockLookup
from archsearch.errors import SpecError

PLAIN = {
    "options": {"kernel": 3, "stride": 1, "dilation": 1},
    "layers": [
        {"conv": {"out": "out", "kernel": "kernel", "stride": "stride", "dilation": "dilation"}},
        {"norm": "batch"},
        {"act": "relu"},
    ],
}

sys.path.insert(0, str(Path(__file__).parent))  # for the module that these tests share


@pytest.fixture
def blocks() -> BlockLookup:
    """Return a lookup that knows the block `plain`."""

    def find(name: str) -> Mapping[str, Any]:
        if name != "plain":
            raise SpecError("block", f"unknown block '{name}'", "Known: plain.")
        return PLAIN

    return find

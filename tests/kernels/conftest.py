"""The kernels, or a skip with the reason where this machine cannot build them; `kernel_values` is imported by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from archsearch.errors import RunError
from archsearch.kernels import Kernels, load_kernels

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def kernels() -> Kernels:
    try:
        return load_kernels()
    except RunError as error:
        pytest.skip(f"no kernels here: {error}")


@pytest.fixture(autouse=True, params=[1, 2], ids=["one-thread", "two-threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)

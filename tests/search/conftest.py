"""Studies to search in; what they search over is in `search_fakes`, which tests here import by that name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archsearch.search.storage.database import Store, open_store
from archsearch.search.storage.study import Study

sys.path.insert(0, str(Path(__file__).parent))
from search_fakes import make_study


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store()
    yield opened
    opened.close()


@pytest.fixture
def study(store: Store) -> Study:
    return make_study(store)

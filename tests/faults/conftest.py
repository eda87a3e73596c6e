"""One warm process and one undisturbed reference for all tests here; what they share lies beside this file."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from environment import Place, can_mount
from lab import ASKED, Lab, Reference, Warm, measure
from postgres_server import PostgresServer, programs

ASKED.update(search=2, workers=2)  # trials: the long form has more


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    process = Warm(tmp_path_factory.mktemp("warm"))
    yield process
    process.close()


@pytest.fixture(scope="session")
def reference(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Return what undisturbed commands come to, measured once for all processes that run these tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "reference.json").exists():
            measured = measure(warm, folder, ("run", "search"))
            (folder / "reference.json").write_text(json.dumps(asdict(measured)))
        else:
            warm.preload(folder / "modules.json")
    return Reference.read(folder / "reference.json")


@pytest.fixture
def place(warm: Warm, reference: Reference, tmp_path: Path) -> Place:
    return Place(warm, tmp_path / "lab", reference)


@pytest.fixture
def disk() -> None:
    if not can_mount():
        pytest.skip("a small disk can be mounted by root alone")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Return a server that a test may stop: not the one that other tests share."""
    if programs() is None:
        pytest.skip("no PostgreSQL server is installed")
    started = PostgresServer()
    yield started
    started.close()


@pytest.fixture
def make_lab(warm: Warm, tmp_path: Path) -> Callable[..., Lab]:
    def make(kind: str, name: str = "lab", storage: str = "sqlite:///outputs/studies.db") -> Lab:
        return Lab(warm, tmp_path / name, kind, storage)

    return make


@pytest.fixture
def shared_server() -> str:
    return os.environ["ARCHSEARCH_POSTGRES"]

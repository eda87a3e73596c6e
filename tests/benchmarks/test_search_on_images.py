"""The searches of real images: the best by trainings, and the pairs of equal seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

FAST = [
    "train.batch_size=8", "train.recalibrate=null", "train.whiten=false", "train.compile=false", "train.kernels=torch",
    "train.device=cpu", "train.threads=1", "train.epochs=1", "data.limit_train=null",
    "constraints.macs={below: 3000000}",
]  # fmt: skip


@pytest.fixture
def benched(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("search_on_images")


def test_the_tables(benched: ModuleType) -> None:
    found = {
        "footprint": [
            benched.Search((70.0, 71.0, 75.0, 74.0), (60.0,) * 4),
            benched.Search((60.0, 61.0, 62.0, 63.0), (15.0,) * 4),
        ],
        "random": [
            benched.Search((72.0, 71.0, 70.0, 74.0), (30.0,) * 4),
            benched.Search((60.0, 66.0, 62.0, 63.0), (30.0,) * 4),
        ],
    }
    lines = list(benched.tables(found, [0, 1], 4))
    assert lines[2:4] == [
        "| footprint | 65.00 +- 7.07 | 66.00 +- 7.07 | 69.00 +- 8.49 | 2 |",
        "| random | 66.00 +- 8.49 | 69.00 +- 4.24 | 70.00 +- 5.66 | 2 |",
    ]
    assert lines[-2:] == ["| 0 | 74.00 | 75.00 | 71.00 | 3 |", "| 1 | 66.00 | 63.00 | 63.00 | never |"]
    few = list(benched.tables(found, [0, 1], 2))
    assert few[0] == "| sampler | best of 1, % | best of 2, % | minutes per search |"
    assert few[3] == "| random | 66.00 +- 8.49 | 69.00 +- 4.24 | 2 |"


def test_a_search_is_run_once(
    benched: ModuleType, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benched, "SAMPLERS", ("random",))
    monkeypatch.setattr(benched, "tables", lambda found, *_: [repr(found)])
    command = ["--root", str(images), "--trials", "2", "--seeds", "3", "--at-once", "2", "--out", "found", *FAST]
    assert benched.main(command) == 0
    found = capsys.readouterr().out
    log = Path("found/random_3.log").read_text()
    assert log.count("2/2 done") == 1
    assert benched.main(command) == 0
    assert capsys.readouterr().out == found
    assert "trial 0" not in Path("found/random_3.log").read_text()[len(log) :]

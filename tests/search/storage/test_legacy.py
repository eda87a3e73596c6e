"""Studies of earlier versions: their old attribute names are read, with one notice, and a search on them is resumed."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from search_fakes import FakeTask, make_settings, make_study, make_sweep

from archsearch.notices import notice_once
from archsearch.search.loop import is_done, work
from archsearch.search.queue import TrialQueue, take_snapshot
from archsearch.search.storage import attributes
from archsearch.search.storage.database import open_store
from archsearch.search.storage.reader import open_reader
from archsearch.search.storage.study import load_study
from archsearch.search.sweep import Sweep
from archsearch.study import main

SHIPPED, SHIPPED_SWEEP = "cifar10-brisk", "5f8ad81a5519d4df"
FILE = Path("outputs/studies.db")


@pytest.fixture(autouse=True)
def fresh_notices() -> Iterator[None]:
    notice_once.cache_clear()
    yield
    notice_once.cache_clear()


@pytest.fixture
def shipped(checkout: Path) -> Path:
    """Return a copy of the shipped database as an earlier version would have written it."""
    FILE.parent.mkdir(exist_ok=True)
    shutil.copy(checkout / "outputs/examples/studies.db", FILE)
    age(FILE)
    with closing(sqlite3.connect(FILE)) as connection, connection:
        for key, old, new in (("margins", "mends", "fixes"), ("design", "defaults_of:", "options:")):
            change = "UPDATE trial_user_attributes SET value_json = replace(value_json, ?, ?) WHERE key = ?"
            connection.execute(change, (new, old, key))
    return FILE


def age(file: Path) -> None:
    """Replace the present names in a database by those of earlier versions."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for old, new in attributes.OLD_NAMES.items():
            connection.execute("UPDATE trial_user_attributes SET key = ? WHERE key = ?", (old, new))
        for old, new in attributes.OLD_STATES.items():
            change = "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'state_reason' AND value_json = ?"
            connection.execute(change, (f'"{old}"', f'"{new}"'))
        connection.execute("UPDATE study_user_attributes SET key = 'declared' WHERE key = 'declarations'")


def test_the_shipped_study_is_read_by_every_command_with_one_notice(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [main([command]) for command in ("ls", "show", "why", "best", "doctor")] == [0] * 5
    output = capsys.readouterr()
    assert output.err == f"notice: {attributes.NOTICE}\n"
    assert output.out.count(SHIPPED) >= 2
    assert "c1-c3 normal, c4 depthwise" in output.out
    trials = open_reader().study().trials
    assert [trial.state for trial in trials] == ["complete"] * 41
    assert all("heartbeat" in trial.attrs and "beat" not in trial.attrs for trial in trials)
    assert all("mends" in trial.attrs["margins"] and "defaults_of:" in trial.attrs["design"] for trial in trials)
    assert all("fixes" in margin and "mends" not in margin for trial in trials for margin in trial.margins)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedSweep(Sweep):
    @property
    def name(self) -> str:
        return SHIPPED_SWEEP


def test_the_trials_of_the_shipped_study_count_when_its_search_is_resumed(shipped: Path) -> None:
    store = open_store(slim=True)
    study = load_study(store, SHIPPED)
    plain = make_sweep(make_settings(trials=41))
    sweep = ShippedSweep(space=plain.space, settings=plain.settings)
    snapshot = take_snapshot(study.trials(), sweep.name)
    assert (len(snapshot.trained), len(snapshot.known), snapshot.running) == (41, 41, ())
    assert is_done(snapshot, sweep)
    candidate = FakeTask().check({"a": 1, "b": 2, "block": "normal"})
    assert TrialQueue(study, sweep, "w").claim_new(candidate, {}) is None, "41 trials are trained"
    store.close()


@pytest.mark.parametrize("slim", [False, True])
def test_a_search_on_an_aged_study_trains_only_what_is_missing(slim: bool, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store()
    work(make_study(store), make_sweep(), FakeTask(most=20), seed=1)
    store.close()
    before = open_reader().study()
    age(FILE)
    assert open_reader().study().trials == before.trials
    store = open_store(slim=slim)
    study, task = make_study(store), FakeTask(most=20)
    work(study, make_sweep(make_settings(trials=9)), task, seed=1)
    states = [trial.user_attrs["state_reason"] for trial in study.trials()]
    distributions = {repr(trial.distributions) for trial in study.trials()}
    store.close()
    assert len(task.trained) == 3
    assert states.count("complete") == 9
    assert set(states) <= {"complete", "infeasible"}
    assert len(distributions) == 1
    assert capsys.readouterr().err.count(attributes.NOTICE) == 1


def test_a_notice_is_given_for_old_attributes_only(capsys: pytest.CaptureFixture[str]) -> None:
    present = {"state_reason": "complete", "heartbeat": 1.0}
    assert attributes.present_attrs(present) == present
    assert attributes.present_state("failed") == "failed"
    assert capsys.readouterr().err == ""
    old = {"state_reason": "answered", "answered_by": 3, "beat": 1.0, "heartbeat": 2.0}
    assert attributes.present_attrs(old) == {"state_reason": "duplicate", "duplicate_of": 3, "heartbeat": 2.0}
    assert capsys.readouterr().err == f"notice: {attributes.NOTICE}\n"


@pytest.mark.parametrize("read", [attributes.present_attrs, attributes.present_study_attrs, attributes.present_margin])
def test_unknown_attributes_are_kept(read: Callable[[dict[str, int]], dict[str, int]]) -> None:
    assert read({"other": 1}) == {"other": 1}

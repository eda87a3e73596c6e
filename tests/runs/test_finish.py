"""A run that was killed after its result is finished by the next look at its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archsearch.report.figures import study as figures
from archsearch.runs import finish as finishing
from archsearch.runs import single
from archsearch.runs.execute import execute
from archsearch.runs.finish import finish
from archsearch.runs.record import read_result
from archsearch.runs.single import complete, run_single
from archsearch.runs.trial import Origin
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import load_study

Make = Callable[..., Any]
DRAWN = {"curves.png", "design.png", "card.json", "card.png"}


class Killed(BaseException):
    """In place of SIGKILL."""


def kill(*given: object, **more: object) -> None:
    raise Killed


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.mark.pictures
def test_what_was_killed_after_its_result_is_finished_once(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, checked, _ = tiny("arch.width=0.1")
    run_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(figures, "draw_training", kill)
        with pytest.raises(Killed):
            run_single(experiment, checked, run_dir, Origin())
    assert not DRAWN & names(run_dir)
    (run_dir / ".result.json.1.part").touch()
    record = read_result(run_dir)
    for _ in range(2):
        message = complete(experiment, checked, run_dir, Origin())
        assert message is not None
        assert message.startswith("test accuracy")
        assert names(run_dir) >= DRAWN
        assert not {"checkpoint.pt", ".result.json.1.part"} & names(run_dir)
        assert read_result(run_dir) == record
    store = open_store("sqlite:///outputs/studies.db")
    (trial,) = load_study(store, "shapes-none").trials()
    store.close()
    assert trial.state.name == "COMPLETE"
    assert trial.user_attrs["run_dir"] == str(run_dir)
    assert list(trial.intermediate_values) == [1]


def test_a_picture_that_cannot_be_drawn_is_a_notice(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **more: object) -> None:
        raise ValueError("no such backend")

    monkeypatch.setattr(figures, "draw_training", fail)
    experiment, checked, dataset = tiny("arch.width=0.1")
    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset)
    notice = "the picture of the curves cannot be written (ValueError: no such backend)"
    assert outcome.record["notices"] == [notice]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["notices"] == [notice]
    assert finish(experiment, checked, dataset, tmp_path / "run") == []  # it is known already
    monkeypatch.undo()
    assert finish(experiment, checked, dataset, tmp_path / "run") == []
    assert (tmp_path / "run" / "curves.png").is_file()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"design": 1}', "[" * 100_000])
def test_a_damaged_result_is_kept_aside_and_the_run_goes_on(tiny: Make, tmp_path: Path, text: str) -> None:
    experiment, checked, _ = tiny("arch.width=0.1")
    (tmp_path / "result.json").write_text(text)
    assert complete(experiment, checked, tmp_path, Origin()) is None
    assert names(tmp_path) == {"result.damaged.json"}


def test_the_environment_fails_no_design(tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from archsearch.errors import StorageError

    def fail(*given: object, **more: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(single, "execute", fail)
    experiment, checked, _ = tiny("arch.width=0.1")
    with pytest.raises(StorageError):
        run_single(experiment, checked, tmp_path / "run", Origin())
    store = open_store("sqlite:///outputs/studies.db")
    assert load_study(store, "shapes-none").trials() == []
    store.close()


def test_pictures_of_an_earlier_result_are_drawn_anew(tmp_path: Path) -> None:
    for name in DRAWN:
        (tmp_path / name).touch()
    finishing.discard_pictures(tmp_path)
    assert names(tmp_path) == set()

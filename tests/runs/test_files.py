"""Where the files of a trial are: in its folder, on another machine, or as copies that all machines reach."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from archsearch.errors import RunError, SpecError
from archsearch.runs.files import run_folder
from archsearch.search.storage.dashboard import attach_files
from archsearch.search.storage.read import StudyRead, TrialRead
from archsearch.search.storage.url import parse_address

STUDY = StudyRead(name="shapes", objectives=("accuracy",), directions=("maximize",), attrs={}, trials=())
DATABASE = parse_address("sqlite:///outputs/studies.db")
ELSEWHERE = "alpha:/data/outputs/sweeps/s/0003"
RUN_DIR = "outputs/sweeps/s/0003"


def trial(**attrs: Any) -> TrialRead:
    known = {"run_dir": RUN_DIR, "location": ELSEWHERE, "seconds": 2.25, "design_id": "d1"} | attrs
    return TrialRead(
        number=3, state="complete", values=(0.5,), assignments={}, constraints={}, history={},
        attrs={name: value for name, value in known.items() if value is not None}, started=None, finished=None,
    )  # fmt: skip


def leave(seconds: float = 2.25, design: str = "d1") -> Path:
    folder = Path(RUN_DIR)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"seconds": seconds, "design_id": design}))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "design.yaml").write_text("a design")
    return folder


def test_files_that_are_here_are_used_also_of_another_host_through_a_shared_folder() -> None:
    folder = leave()
    assert run_folder(STUDY, trial()) == folder
    assert run_folder(STUDY, trial(seconds=2.2504)) == folder, "single runs are recorded to the millisecond"
    assert run_folder(STUDY, trial(location=None, seconds=None, design_id=None)) == folder, (
        "recorded by an earlier version"
    )


def test_files_on_another_host_are_named_with_host_and_folder() -> None:
    with pytest.raises(RunError, match=r"trial 3 are on alpha in /data/outputs/sweeps/s/0003, not on this") as caught:
        run_folder(STUDY, trial())
    assert caught.value.exit_code == 1
    assert f"scp -r {ELSEWHERE} outputs/sweeps/s/." in str(caught.value)


@pytest.mark.parametrize("other", [{"seconds": 9.0}, {"design": "d2"}])
def test_the_same_folder_here_with_another_training_is_not_taken_for_it(other: dict[str, Any]) -> None:
    leave(**other)
    with pytest.raises(RunError, match="0003 on this machine holds another training"):
        run_folder(STUDY, trial())
    here = f"{socket.gethostname()}:{Path(RUN_DIR).absolute()}"
    with pytest.raises(SpecError, match="0003, holds the files of another training"):
        run_folder(STUDY, trial(location=here))


def test_what_a_lost_worker_left_unfinished_is_not_taken_for_it() -> None:
    Path(RUN_DIR).mkdir(parents=True)
    Path(RUN_DIR, "checkpoint.pt").touch()
    assert trial().folder() is None
    assert trial().place == ELSEWHERE


def test_a_folder_is_found_from_anywhere_on_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = leave().absolute()
    monkeypatch.chdir("/")
    assert run_folder(STUDY, trial(location=f"{socket.gethostname()}:{folder}")) == folder


def test_a_folder_that_is_gone_and_none_at_all() -> None:
    for location in (None, f"{socket.gethostname()}:/gone"):
        with pytest.raises(SpecError, match=f"the folder of trial 3, {RUN_DIR}, does not exist"):
            run_folder(STUDY, trial(location=location))
    with pytest.raises(SpecError, match="trial 3 names no folder"):
        run_folder(STUDY, trial(run_dir=None, location=None))


def test_copies_that_all_machines_reach_are_fetched(tmp_path: Path) -> None:
    store = tmp_path / "shared"
    _, attrs = attach_files(leave(), DATABASE, str(store))
    moved = Path(RUN_DIR).rename("elsewhere")
    fetched = run_folder(STUDY, trial(**attrs))
    assert fetched == Path("outputs/fetched/shapes/0003")
    assert {file.name for file in fetched.iterdir()} == {"result.json", "model.safetensors", "design.yaml"}
    assert all((fetched / file.name).read_bytes() == file.read_bytes() for file in moved.iterdir())


def test_copies_out_of_reach_are_an_error_with_their_host_and_folder(tmp_path: Path) -> None:
    _, attrs = attach_files(leave(), DATABASE, str(tmp_path / "shared"))
    Path(RUN_DIR).rename("elsewhere")
    (tmp_path / "shared").rename(tmp_path / "unmounted")
    with pytest.raises(
        RunError, match=f"are on {ELSEWHERE}, and their copies in .*shared cannot be read here: No such"
    ):
        run_folder(STUDY, trial(**attrs))


@pytest.mark.parametrize("name", ["../../outside", "/etc/hostname", 7])
def test_a_database_cannot_name_other_files(name: object, tmp_path: Path) -> None:
    stored = {"folder": str(tmp_path), "files": {"model.safetensors": name, "../../../hostile": "x"}}
    with pytest.raises(RunError, match="cannot be read here"):
        run_folder(STUDY, trial(artifacts=stored))
    assert not list(tmp_path.rglob("hostile"))


def test_copies_that_could_not_be_made_are_said_with_the_cause() -> None:
    Path("file").touch()
    system, attrs = attach_files(leave(), DATABASE, str(Path("file").absolute()))
    assert system == {}
    Path(RUN_DIR).rename("elsewhere")
    with pytest.raises(RunError, match=r"could not be copied to .*file: File exists"):
        run_folder(STUDY, trial(**attrs))


def test_without_the_setting_only_pictures_are_copied() -> None:
    folder = leave()
    (folder / "curves.png").write_bytes(b"picture")
    system, attrs = attach_files(folder, DATABASE, None)
    assert attrs == {}
    assert [json.loads(entry)["filename"] for entry in system.values()] == ["curves.png"]
    assert len(list(Path("outputs/artifacts").iterdir())) == 1

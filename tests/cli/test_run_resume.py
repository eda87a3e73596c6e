"""`resume=RUN_DIR`: a stopped run goes on in its folder, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from archsearch.errors import InterruptedRun
from archsearch.run import main

TINY = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch.width=0.25",
    "train.epochs=2", "train.batch_size=16", "train.compile=false", "train.device=cpu",
]  # fmt: skip


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return the folder `a run`, stopped as by Ctrl-C after its first epoch; a user's own block is in it."""
    from archsearch import signals

    Path("mine/block").mkdir(parents=True)
    Path("mine/block/own.yaml").write_text("options: {kernel: 3, shortcut: none}\nlayers: [{conv: {kernel: 3}}]\n")
    with monkeypatch.context() as patch:
        patch.setattr(signals.StopRequest, "__enter__", _asked)
        code = main([*TINY, "--config-dir", "mine", "block=own", "constraints=none", "hydra.run.dir='a run'"])
    assert code == 130
    assert "Traceback" not in capsys.readouterr().err
    assert Path("a run/checkpoint.pt").is_file()
    return Path("a run")


def _asked(request: object) -> object:
    request.asked = True  # type: ignore[attr-defined]
    return request


def test_it_goes_on_with_all_that_it_was_given(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"resume='{stopped}'"]) == 0
    assert (stopped / "result.json").is_file()
    assert not (stopped / "checkpoint.pt").exists()
    overrides = yaml.safe_load((stopped / ".hydra" / "overrides.yaml").read_text())
    assert set(TINY) <= {one.lstrip("+") for one in overrides}
    assert list(Path("outputs").rglob("result.json")) == []
    capsys.readouterr()
    assert main([f"++resume={stopped}"]) == 0
    message = capsys.readouterr().out
    assert "a run is already complete: test accuracy" in message


def test_the_folder_of_groups_may_have_moved(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("mine").absolute()
    Path("mine").rename("moved")
    assert main([f"resume={stopped}"]) == 2
    assert capsys.readouterr().err == (
        f"resume={stopped}: folder '{before}' not found. If it has moved, give the new folder: --config-dir FOLDER.\n"
    )
    assert main([f"resume={stopped}", "--config-dir", "moved"]) == 0
    assert (stopped / "result.json").is_file()


def test_settings_that_would_make_another_run_are_refused(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"resume={stopped}", "optimizer.learning_rate=0.001"]) == 2
    assert "optimizer.learning_rate (" in capsys.readouterr().err
    assert (stopped / "checkpoint.pt").is_file()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "train.epochs=5",
            "train.epochs (2, now 5). Leave that out, or start a new run without resume. Only a run with",
        ),
        ("optimizer.learning_rate=0.001", "optimizer.learning_rate ("),
        ("seed=7", "seed (0, now 7). Leave that out, or start a new run without resume.\n"),
        ("augment=none", "augment.transforms ("),
        ("data.shapes.train_images=70", "was trained on other images than shapes has now"),
    ],
)
def test_a_finished_run_does_not_change(
    stopped: Path, override: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"resume={stopped}"]) == 0
    before = {file: file.stat().st_mtime_ns for file in stopped.rglob("*")}
    capsys.readouterr()
    assert main([f"resume={stopped}", override]) == 2
    caught = capsys.readouterr()
    assert f"resume: {stopped.absolute()} is complete, and" in caught.err
    assert message in caught.err
    assert {file: file.stat().st_mtime_ns for file in stopped.rglob("*")} == before


def test_a_finished_run_takes_settings_that_change_no_result(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"resume={stopped}"]) == 0
    same = ["train.threads=2", "train.epochs=2", "optimizer.learning_rate=0.1", "study.name=other"]
    assert main([f"resume={stopped}", *same]) == 0
    assert "is already complete" in capsys.readouterr().out


def test_a_run_without_a_checkpoint_begins_anew(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (stopped / "checkpoint.pt").unlink()
    assert main([f"resume={stopped}"]) == 0
    assert f"no checkpoint in {stopped}: the run starts from the beginning" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_reported(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (stopped / "checkpoint.pt").read_bytes()
    (stopped / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    assert main([f"resume={stopped}"]) != 0
    caught = capsys.readouterr().err
    assert "the checkpoint is damaged or cut short. Delete it to start this run" in caught
    assert "Traceback" not in caught


def test_a_password_that_was_not_stored_is_asked_for(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = stopped / ".hydra" / "overrides.yaml"
    given = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump([*given, "++study.storage=postgresql://me:***@host/db"]))
    assert main([f"resume={stopped}"]) == 2
    assert "resume: the password of study.storage was not stored. Give it again" in capsys.readouterr().err
    file.write_text(yaml.safe_dump([*given, "++study.storage=postgresql://me:${oc.env:ARCHSEARCH_PASSWORD}@host/db"]))
    assert main([f"resume={stopped}"]) == 2
    assert "the environment variable 'ARCHSEARCH_PASSWORD' is not set" in capsys.readouterr().err
    file.write_text(yaml.safe_dump([*given, "++tracking.address=http://me:${oc.env:ARCHSEARCH_PASSWORD}@host"]))
    assert main([f"resume={stopped}", "study.storage=postgresql://me:other@host/db"]) == 2  # not sent to that host
    assert "resume: the password of tracking.address was not stored. Give it again" in capsys.readouterr().err
    file.write_text(yaml.safe_dump([*given, "++study.storage=postgresql://me:${oc.env:ARCHSEARCH_PASSWORD}@host/db"]))
    assert main([f"resume={stopped}", "study.storage=sqlite:///other.db"]) == 0


@pytest.mark.parametrize("text", ["a: b\n", "[1, 2]\n", "- [\n"])
def test_a_folder_whose_overrides_are_damaged(capsys: pytest.CaptureFixture[str], text: str) -> None:
    Path("run/.hydra").mkdir(parents=True)
    Path("run/.hydra/overrides.yaml").write_text(text)
    assert main(["resume=run"]) == 2
    assert "run/.hydra/overrides.yaml is damaged: expected a list of overrides" in capsys.readouterr().err


def test_many_runs_do_not_go_on_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "resume=run"]) == 2
    assert "resume: continues a single run, got -m. Leave out -m" in capsys.readouterr().err


def test_resume_from_a_file_of_settings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "on.yaml").write_text("# @package _global_\nresume: run\n")
    assert main([*TINY, "--config-dir", "mine", "experiment=on"]) == 2
    assert "resume: must be given on the command line. Write resume=RUN_DIR" in capsys.readouterr().err


def test_an_interrupted_run_is_no_failed_trial(stopped: Path) -> None:
    from archsearch.search.storage.database import open_store
    from archsearch.search.storage.study import load_study, study_names

    assert InterruptedRun.exit_code == 130
    store = open_store("sqlite:///outputs/studies.db")
    assert [load_study(store, name).trials() for name in study_names(store)] == [[]]
    store.close()

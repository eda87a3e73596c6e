"""Passwords of addresses: none reaches the terminal, a run's folder, or the study database."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from archsearch.cli.passwords import mask_yaml
from archsearch.errors import SpecError
from archsearch.run import main
from archsearch.show import main as show
from archsearch.study import main as study

SMALL = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch.width=0.25",
    "train.epochs=1", "train.batch_size=16", "train.compile=false", "train.device=cpu",
]  # fmt: skip

# Every part of the password in them is one of these.
PARTS = ("hunter22", "open sesame", "a'b", 'a"b', "a\\'b")
FORMS = [
    "study.storage='postgresql://me:hunter22@localhost:1/db'",
    r"study.storage='postgresql://me:open sesame a\'b hunter22@localhost:1/db'",
    r'study.storage="postgresql://me:open sesame a\"b, hunter22@localhost:1/db"',
    "study.storage=postgresql://me:hunter22@localhost:1/db",
    r"study.storage='postgresql:/me:open sesame a\'b@localhost:1/db'",
    r"study.storage='postgresql://localhost:1/db;password=open sesame a\' hunter22'",
    r"study.storage='postgresql://localhost:1/db?user=me&password=open sesame a\' hunter22'",
    "study.storage='postgresql://me:hunter@hunter22:hunter22@localhost:1/db'",
    "study.storage=[postgresql://me:hunter22@localhost:1/db]",
    "tracking.address='http://me:hunter22 open sesame@localhost:1'",
]
WAYS = [
    (["-m", "block=normal,dilated"], 2),
    (["-cjob", "--resolve"], 0),
    (["hydra.output_subdir=settings"], 2),
    (["hydra.run.dir='outputs/runs/${hydra.job.override_dirname}'"], 2),
    (["--frobnicate"], 2),
]


def assert_hidden(capsys: pytest.CaptureFixture[str], folder: Path = Path()) -> str:
    """Check that no part of a password was printed, or written below `folder`; return what was printed."""
    caught = capsys.readouterr()
    printed = caught.out + caught.err
    for part in PARTS:
        assert part not in printed
        for file in folder.rglob("*"):
            assert part not in str(file)
            assert file.is_dir() or part.encode() not in file.read_bytes(), file
    return printed


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run get as far as its configuration on disk, and no further."""
    from archsearch.runs import single
    from archsearch.search.storage import url

    def refuse(*given: object, **more: object) -> None:
        raise SpecError("here", "the training would begin")

    monkeypatch.setattr(url, "parse_address", lambda address: None)
    monkeypatch.setattr(single, "prepare_study", lambda *given: None)
    monkeypatch.setattr(single, "execute", refuse)


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("form", [form for form in FORMS if form.startswith(("study.storage='", 'study.storage="'))])
def test_a_password_is_not_in_the_files_of_a_run(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, form]) == 2
    assert "the training would begin" in assert_hidden(capsys)
    assert list(Path("outputs/runs").rglob("overrides.yaml"))


@pytest.mark.parametrize("form", FORMS)
def test_a_password_is_neither_printed_nor_written(
    form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert main([*SMALL, form]) == 2
    assert "Traceback" in assert_hidden(capsys)
    assert not Path("outputs/runs").exists()
    assert main([*SMALL, form, "--cfg", "all"]) == 0
    assert "localhost:1" in assert_hidden(capsys)
    assert "ARCHSEARCH_PASSWORD" not in os.environ


@pytest.mark.parametrize(("way", "code"), WAYS, ids=str)
def test_other_ways_to_run_hide_it_too(way: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, FORMS[1], *way]) == code
    assert_hidden(capsys)
    assert "ARCHSEARCH_PASSWORD" not in os.environ


@pytest.mark.parametrize(
    "way", [["--info", "all"], ["--inf=config"], ["hydra.verbose=true", "hydra/hydra_logging=default"]], ids=" ".join
)
def test_what_hydra_logs_hides_it_too(way: list[str], tmp_path: Path) -> None:
    """In processes of their own: Hydra's handlers keep the first output that they saw."""
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    secret = "# @package _global_\ntracking: {address: 'http://me:hunter22@localhost:1'}\n"
    (tmp_path / "mine" / "experiment" / "secret.yaml").write_text(secret)
    given = [*SMALL, FORMS[1], "--config-dir", "mine", "experiment=secret", *way]
    done = subprocess.run([sys.executable, "-m", "archsearch.run", *given], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr
    assert not [part for part in PARTS if part in done.stdout + done.stderr]


@pytest.mark.parametrize("form", ["{}", "study.storage=({}", "study.storage=x y{}", "--jsn={}", "plot={}"])
def test_show_prints_no_password(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    for address in ("postgresql://me:hunter22}hunter22@h/d", "postgresql://h/d?password=hunter22}hunter22"):
        with contextlib.suppress(SystemExit):
            show([form.format(address)])
        assert_hidden(capsys)


@pytest.mark.parametrize(
    "address",
    ["postgresql://me:hunter22@hunter22:hunter22@h/d", "postgresql:/me:hunter22@h/d", "mysql://h/d;password=hunter22"],
)
def test_study_prints_no_password(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["ls", "--storage", address], ["ls", f"--storag={address}"], [address], ["show", "x", address]):
        assert study(arguments) == 2
        assert_hidden(capsys)


def test_an_address_in_two_parts_by_an_at_sign_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "study.storage='postgresql://me:hunter22@open sesame:1/x@localhost:1/db'"]) == 2
    assert "has an '@' in its user or password. Write %40 for it." in assert_hidden(capsys)


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("flags", [["--cfg", "job"], ["--cfg", "all", "-p", "study"], []])
def test_a_long_password_in_a_file_of_settings_is_masked(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """YAML folds a long text at its blanks, so that its password may begin on one line and end on another."""
    long = "postgresql://me:open sesame a'b open sesame hunter22 open sesame open sesame hunter22 x@localhost:1/db"
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    settings = {"study": {"storage": long}}
    secret = f"# @package _global_\n{yaml.safe_dump(settings)}"
    (tmp_path / "mine" / "experiment" / "secret.yaml").write_text(secret)
    code = main([*SMALL, "--config-dir", "mine", "experiment=secret", "hydra.run.dir=run", *flags])
    assert code == (0 if flags else 2)
    Path("run").mkdir(exist_ok=True)
    printed = assert_hidden(capsys, Path("run"))
    if flags:
        assert "://me:***@localhost:1/db" in printed
    else:
        stored = yaml.safe_load(Path("run/.hydra/config.yaml").read_text())
        assert stored["study"]["storage"] == "postgresql://me:***@localhost:1/db"
        assert stored["arch"]["stages"]["c1"]["block"] == "${block}"


@pytest.mark.usefixtures("begun")
def test_a_password_in_a_file_of_overrides_is_hidden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("overrides: [\"study.storage='postgresql://me:hunter22@localhost:1/db'\"]\n")
    assert main([*SMALL, "mine.yaml", "hydra.run.dir=run"]) == 2
    assert_hidden(capsys, Path("run"))
    assert "${oc.env:ARCHSEARCH_PASSWORD}" in Path("run/.hydra/overrides.yaml").read_text()


def test_an_error_that_names_an_address_is_recorded_without_its_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsearch.runs import execute, single

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no answer from http://me:hunter22@localhost:1")

    monkeypatch.setattr(execute, "execute", fail)
    monkeypatch.setattr(single, "execute", fail)
    assert main(SMALL) == 1
    assert main([*SMALL, "-m", "seed=1"]) == 1
    assert assert_hidden(capsys).count("no answer from http://me:***@localhost:1") > 1
    assert Path("outputs/studies.db").is_file()


def test_a_tracker_that_is_not_installed_names_no_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert main([*SMALL, "tracking=mlflow", "tracking.address=http://me:hunter22@localhost:1"]) == 2
    assert main([*SMALL, "tracking=mlflow", "tracking.address=http://me:hunter22@localhost:1", "-m", "seed=1,2"]) == 2
    assert_hidden(capsys)


def test_text_that_is_no_yaml_is_masked_as_text() -> None:
    assert mask_yaml("a: [ x://me:pw@h") == "a: [ x://me:***@h"
    assert mask_yaml("# @package study\nstorage: x://me:pw@h\n") == "# @package study\nstorage: x://me:***@h\n"
    assert mask_yaml("no password: 1\n") == "no password: 1\n"


@pytest.mark.usefixtures("begun")
def test_a_password_is_neither_printed_nor_stored(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHSEARCH_TEST_SECRET", "hunter22")
    given = "study.storage='postgresql://me:hunter22@localhost:1/db'"
    code = main([*SMALL, given])
    caught = capsys.readouterr()
    assert code != 0
    assert "hunter22" not in caught.out + caught.err
    written = [file for file in Path("outputs").rglob("*") if file.is_file() and file.suffix in (".yaml", ".json")]
    assert written
    for file in written:
        assert "hunter22" not in file.read_text(), file


def test_an_environment_variable_stays_unresolved_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHSEARCH_TEST_DB", "elsewhere.db")
    assert main([*SMALL, "study.storage=sqlite:///${oc.env:ARCHSEARCH_TEST_DB}"]) == 0
    assert Path("elsewhere.db").is_file()
    stored = yaml.safe_load((next(Path("outputs/runs").iterdir()) / ".hydra" / "config.yaml").read_text())
    assert stored["study"]["storage"] == "sqlite:///${oc.env:ARCHSEARCH_TEST_DB}"


def test_a_password_in_a_shown_configuration_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    for flags in (["--cfg", "job"], ["--cfg", "job", "--resolve"]):
        assert main([*flags, "study.storage=postgresql://me:hunter22@localhost/db"]) == 0
        shown = capsys.readouterr().out
        assert "postgresql://me:" in shown
        assert "hunter22" not in shown


@pytest.mark.usefixtures("begun")
def test_a_password_in_a_file_of_settings_is_masked_on_disk(tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nstudy: {storage: 'postgresql://me:hunter22@localhost:1/db'}\n"
    (tmp_path / "mine" / "experiment" / "secret.yaml").write_text(text)
    assert main([*SMALL, "--config-dir", "mine", "experiment=secret", "hydra.run.dir=run"]) == 2
    written = "".join(file.read_text() for file in Path("run/.hydra").iterdir())
    assert "hunter22" not in written
    assert "postgresql://me:***@localhost:1/db" in written
    assert "ARCHSEARCH_PASSWORD" not in os.environ


def test_a_password_of_many_runs_is_neither_printed_nor_stored(capsys: pytest.CaptureFixture[str]) -> None:
    given = "study.storage='postgresql://me:hunter22@localhost:1/db'"
    assert main(["-m", *SMALL, "block=normal,dilated", given]) == 2
    caught = capsys.readouterr()
    assert "hunter22" not in caught.out + caught.err
    assert "localhost:1" in caught.err
    for file in Path().rglob("*"):
        assert file.is_dir() or b"hunter22" not in file.read_bytes(), file
    assert "ARCHSEARCH_PASSWORD" not in os.environ

"""Databases that somebody else sends: no SQL of theirs runs, no file is read for them, no command runs code."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
import yaml

from archsearch.search.storage.database import open_store
from archsearch.study import main as study

STORAGE = "sqlite:///studies.db"
EVIL = "++arch.x={_target_: os.system}"


def made(**attrs: object) -> None:
    """Make a study of one complete trial with these attributes."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    one = optuna.create_study(study_name="theirs", storage=STORAGE)
    one.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={"sweep": "s", "key": "k", **attrs}))


def printed(capsys: pytest.CaptureFixture[str], arguments: Sequence[str], code: int = 0) -> str:
    assert study([*arguments, "--storage", STORAGE]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out + err


ENDLESS = """DROP TABLE studies; CREATE VIEW studies AS WITH RECURSIVE c(study_id) AS
(SELECT 1 UNION ALL SELECT study_id + 1 FROM c) SELECT study_id, 'x' AS study_name FROM c"""
TRIGGER = "CREATE TRIGGER t AFTER INSERT ON trials BEGIN DELETE FROM trials; END"


@pytest.mark.parametrize(("statements", "name"), [(ENDLESS, "view 'studies'"), (TRIGGER, "trigger 't'")])
def test_a_file_with_views_or_triggers_is_no_study_database(
    statements: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made()
    with sqlite3.connect("studies.db") as connection:
        connection.executescript(statements)
    connection.close()
    for command in ("ls", "show", "report", "export", "doctor"):
        assert f"studies.db: not a study database: it holds the {name}" in printed(capsys, [command], 2)


def test_the_schema_is_not_trusted_wherever_a_file_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    from archsearch.search.storage import readonly
    from archsearch.search.storage.url import parse_address

    made()
    trusted = readonly.run_query(parse_address(STORAGE), lambda query: query("PRAGMA trusted_schema", {}))
    assert trusted == [(0,)]
    store = open_store(STORAGE)
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA trusted_schema").scalar() == 0
    store.close()


@pytest.mark.parametrize(
    "attrs",
    [
        {"base": ["data=shapes", EVIL], "assignments": {"seed": 1}},
        {"base": ["--config-dir=/tmp/theirs"], "assignments": {"seed": 1}},
        {"base": ["-m"], "assignments": {"seed": 1}},
        {"base": ["arch.name=${oc.env:A_SECRET}"], "assignments": {"seed": 1}},
        {"base": [], "assignments": {"++hydra.callbacks.x._target_": "os.system"}},
        {"base": [], "assignments": {"arch.name": "${oc.env:A_SECRET}"}},
        {"base": [], "assignments": {"seed": 1}, "repairs": {"hydra/launcher": "x"}},
        {"assignments": {"arch.x._target_": "os.system"}},
        {"run_dir": "theirs", "assignments": {"seed": 1}},
    ],
    ids=str,
)
def test_a_command_that_would_run_code_is_not_shown(
    attrs: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("theirs/.hydra").mkdir(parents=True)
    Path("theirs/.hydra/overrides.yaml").write_text(yaml.safe_dump(["data=shapes", EVIL]))
    made(**attrs)
    for command in (["best"], ["trial", "0"]):
        shown = printed(capsys, command)
        assert "command  not shown: trial 0: " in shown
        assert "python -m archsearch.run" not in shown
        assert json.loads(printed(capsys, [*command, "--json"]))["command"] is None
    printed(capsys, ["export"])
    printed(capsys, ["report"])
    [exported] = Path("outputs/exports").rglob("study.json")
    assert json.loads(exported.read_text())["trials"][0]["command"] is None
    assert "python -m archsearch.run" not in next(Path("outputs/reports").glob("*.html")).read_text()


def test_a_command_that_is_harmless_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    made(base=["data=shapes", "data.root=${hydra:runtime.cwd}/x"], assignments={"arch.stages.c2.width": 16})
    words = shlex.split(printed(capsys, ["best"]).partition("command  ")[2])
    assert words[:3] == ["python", "-m", "archsearch.run"]
    assert words[3:] == ["data=shapes", "data.root=${hydra:runtime.cwd}/x", "arch.stages.c2.width=16"]


def test_the_logs_of_another_folder_are_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("logs").mkdir()
    Path("logs/auth.log").write_text("a secret line\n")
    made(run_dir="logs")
    for command in (["trial", "0"], ["trial", "0", "--json"], ["report"]):
        shown = printed(capsys, command)
        assert "a secret line" not in shown
        assert "auth.log" not in shown
    printed(capsys, ["export", "--json", "all.json"])
    assert "a secret line" not in Path("all.json").read_text()
    Path("logs/.hydra").mkdir()
    assert "a secret line" in printed(capsys, ["trial", "0"])


@pytest.mark.parametrize("name", ["metrics.jsonl", "card.json", "design.yaml", ".hydra/overrides.yaml", "run.log"])
def test_a_pipe_in_a_run_folder_is_not_waited_for(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run/.hydra").mkdir(parents=True)
    os.mkfifo(Path("run", name))
    made(run_dir="run")
    for command in (["show"], ["best"], ["trial", "0"], ["report"]):
        printed(capsys, command)

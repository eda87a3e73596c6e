"""Studies whose attributes hold anything, as of a colleague or another program: every command reads them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from archsearch.search.storage.attributes import DEEPEST, plain, present_attrs, present_study_attrs
from archsearch.search.storage.read import excess_of
from archsearch.study import main

STORAGE = "sqlite:///s.db"
NAMES = (
    "run_dir", "location", "key", "design_id", "design", "sweep", "worker", "state_reason", "cause", "traceback",
    "device", "parameters", "macs", "receptive_field", "seconds", "heartbeat", "duplicate_of", "accuracy",
    "test_accuracy", "seed", "epochs", "assignments", "repairs", "versions", "unused", "base", "notices", "screened",
    "margins", "batch", "deaths", "data",
)  # fmt: skip
NESTED: Any = "deep"
for _ in range(200):
    NESTED = [NESTED]
VALUES: tuple[Any, ...] = (
    None, True, -1, 1e308, float("nan"), float("-inf"), 10**400, "", "\0bad", "\ud800", "[red]<b>x\x1b[31m", "x" * 5000,
    [], [1, [2]], {}, {"a": {"b": [1]}}, {"proposed": "many"}, {"proposed": 1, "by_limit": {"macs": "x"}}, NESTED,
    [{"limit": ["a"], "kept": 3}], '[{"limit": "macs", "bound": 1, "found": "x", "kept": [], "slack": {}, "fixes": 3}]',
    ["\ud800"], {"arch.width": float("inf"), "block": 10**400, "seed": [1]}, "stages: {c1: [1]}", "&a [*a]",
)  # fmt: skip


def run(*arguments: str) -> int:
    return main([*arguments, "--storage", STORAGE])


def write_study(name: str, values: tuple[Any, ...], names: tuple[str, ...]) -> None:
    """Write a study with a trial for each of `names` and `values`, in every state."""
    storage = optuna.storages.RDBStorage(STORAGE)
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    usual = {"state_reason": "complete", "sweep": "x", "assignments": {"arch.width": 0.5}}
    ends = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING)
    trials = []
    for place, attr in enumerate(names):
        for number, value in enumerate(values):
            state = ends[(place + number) % len(ends)] if number % 2 else TrialState.COMPLETE
            attrs = {**usual, "key": f"{place}-{number}", attr: value}
            value = 0.5 if state == TrialState.COMPLETE else None
            trials.append(create_trial(state=state, value=value, user_attrs=attrs))
    study.add_trials(trials)
    storage.engine.dispose()


@pytest.mark.parametrize("first", range(0, len(NAMES), 8))
def test_every_command_reads_trials_with_strange_attributes(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    write_study("s", VALUES, NAMES[first : first + 8])
    for command in (["ls"], ["show", "--limit", "999"], ["best"], ["why"], ["report"], ["export"], ["doctor"]):
        assert run(*command) == 0, command
        if command[0] in ("ls", "show", "best", "why"):
            capsys.readouterr()
            assert run(*command, "--json") == 0, command
            assert json.loads(capsys.readouterr().out)
    for number in range(0, 8 * len(VALUES), 7):
        assert run("trial", str(number)) == 0, number


STUDY_NAMES = (
    "data",
    "data_fingerprint",
    "limits",
    "limits_hash",
    "limits_text",
    "objectives",
    "data_settings",
    "token",
)


def test_every_command_reads_studies_with_strange_attributes(capsys: pytest.CaptureFixture[str]) -> None:
    write_study("plain", (None,), ("note",))
    names = []
    for attr in STUDY_NAMES:
        for number, value in enumerate(VALUES):
            name = f"{attr}-{number}"
            with sqlite3.connect("s.db") as connection:
                insert = connection.execute
                study = insert("INSERT INTO studies (study_name) VALUES (?)", (name,)).lastrowid
                if number % 3:
                    ways = "INSERT INTO study_directions (direction, study_id, objective) VALUES ('MAXIMIZE', ?, 0)"
                    insert(ways, (study,))
                attrs = "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (?, ?, ?)"
                insert(attrs, (study, attr, json.dumps(value)))
                trials = "INSERT INTO trials (number, study_id, state) VALUES (0, ?, 'COMPLETE')"
                values = "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, 0, 1, 'FINITE')"
                insert(values, (insert(trials, (study,)).lastrowid,))
            names.append(name)
    for command in (["ls"], ["ls", "--json"]):
        assert run(*command) == 0
    assert "limits_text-3" in capsys.readouterr().out
    for name in names[::3]:
        for command in ("show", "best", "why", "export", "report"):
            assert run(command, name) == 0, (command, name)


def test_a_trial_of_fewer_values_does_not_hide_the_other_studies(capsys: pytest.CaptureFixture[str]) -> None:
    storage = optuna.storages.RDBStorage(STORAGE)
    study = optuna.create_study(study_name="two", storage=storage, directions=["minimize", "maximize"])
    study.add_trials([create_trial(values=[1.0, 2.0]), create_trial(values=[0.5, 1.0])])
    with sqlite3.connect("s.db") as connection:
        connection.execute("DELETE FROM trial_values WHERE trial_id = 1 AND objective = 1")
    for command in (["ls"], ["show"], ["best"], ["report"], ["export"], ["why"]):
        assert run(*command) == 0, command
    assert "two" in capsys.readouterr().out


def test_strange_constraints_are_left_out() -> None:
    found = {"constraints:macs": 10**400, "constraints:parameters": 0.5, "constraints:x": "y", "constraints": ["z", 1]}
    assert excess_of(found) == {"parameters": 0.5}
    assert excess_of({"constraints": ["z", 1, True]}) == {"constraint 1": 1.0}


def test_text_that_is_no_unicode_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    write_study("s", ("x",), ("note",))
    with sqlite3.connect("s.db") as connection:
        connection.execute("UPDATE trial_user_attributes SET value_json = CAST(X'22FF22' AS TEXT) WHERE key = 'note'")
    assert run("trial", "0") == 0
    assert run("ls") == 0
    assert "s " in capsys.readouterr().out


def test_values_of_an_unexpected_kind_are_kept_under_another_name() -> None:
    found = present_attrs({"run_dir": ["a"], "seconds": 3.0, "note": "x", "sweep": None})
    assert found == {"unexpected value of run_dir": ["a"], "seconds": 3.0, "note": "x", "sweep": None}
    assert present_study_attrs({"limits_text": {"macs": {"below": {"x": 1}}}}).keys() == {
        "unexpected value of limits_text"
    }


def test_every_value_can_be_written_by_every_output() -> None:
    found: Any = plain({"\ud800": [NESTED, 10**400, "caf\u00e9"]})
    text = json.dumps(found, ensure_ascii=False).encode()
    assert b"?" in text
    assert text.count(b"[") <= DEEPEST
    assert "caf\u00e9".encode() in text


def test_the_limits_of_this_version_are_as_expected(checkout: Path) -> None:
    from archsearch.cli.compose import Composer
    from archsearch.runs.trial import limits_record
    from archsearch.settings.experiment import decode_experiment

    for file in sorted((checkout / "conf/constraints").glob("*.yaml")):
        composer = Composer([f"constraints={file.stem}"])
        experiment = decode_experiment(composer.compose({}), composer.blocks)
        record = json.loads(json.dumps(limits_record(experiment.limits)))
        assert present_study_attrs({"limits_text": record}) == {"limits_text": record}, file

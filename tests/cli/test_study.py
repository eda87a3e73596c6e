"""`study`: every command on every kind of database, exit codes, and messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archsearch.library import check, load_design
from archsearch.runs.record import design_yaml
from archsearch.search.heartbeat import worker_name
from archsearch.search.storage.database import Store, open_store
from archsearch.search.storage.rows import Row, RunRecord, run_row
from archsearch.search.storage.study import open_study
from archsearch.study import main

STORAGES = ["sqlite:///outputs/studies.db", "journal:outputs/studies.journal"]


def fill(store: Store, name: str = "shapes-tiny", trials: int = 12) -> None:
    checked = check(load_design("c1c2c3c4", block="dilated"))
    study = open_study(store, name, data="shapes", fingerprint="f00d", limits="advanced_convolution")
    rows = [
        run_row(
            RunRecord(
                params={"block": "dilated", "arch.width": 0.5 + number / 100, "seed": number % 3},
                state="complete",
                values=[0.5 + number / 100],
                key=f"key{number}",
                design_id=checked.design_id,
                design_yaml=design_yaml(checked),
                margins=checked.margins,
                parameters=checked.footprint.parameters + number,
                macs=checked.footprint.macs,
                receptive_field=checked.footprint.receptive_field,
                run_dir=f"outputs/runs/{number}",
                seconds=3.0,
                history={1: 0.25, 2: 0.5 + number / 100},
            )
        )
        for number in range(trials)
    ]
    gone = worker_name().rpartition(":")[0] + ":1"
    rows += [
        Row(state="pruned", params={"seed": 1}, attrs={"state_reason": "infeasible"}, constraints={"macs": 0.5}),
        Row(state="fail", params={"seed": 2}, attrs={"state_reason": "failed", "cause": "[b]odd", "traceback": "T"}),
        Row(state="running", params={"seed": 3}, attrs={"worker": gone, "run_dir": "outputs/runs/14"}),
    ]
    study.write(rows)


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest) -> str:
    store = open_store(request.param)
    fill(store)
    store.close()
    return request.param


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments, "--json"))


@pytest.mark.pictures
def test_the_commands_that_read(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = {path: path.read_bytes() for path in Path("outputs").iterdir()}
    of = ("--storage", storage)
    [listed] = as_json(capsys, "ls", *of)
    assert (listed["study"], listed["best"]["trial"], listed["trials"]) == ("shapes-tiny", 11, 15)
    assert "shapes-tiny" in run(capsys, "ls", *of)

    shown = as_json(capsys, "show", "--limit", "2", "--by", "parameters", *of)
    assert [row["trial"] for row in shown["trials"]] == [0, 1]
    assert "2 of 12 are shown" in run(capsys, "show", "shapes-tiny", "--limit", "2", *of)
    failed = as_json(capsys, "show", "--state", "failed", "--state", "infeasible", *of)
    assert [row["state"] for row in failed["trials"]] == ["infeasible", "failed"]

    best = as_json(capsys, "best", *of)
    assert (best["trial"], best["values"]) == (11, {"accuracy": 0.61})
    assert best["command"].startswith("python -m archsearch.run data=shapes")
    assert "kept   parameters" in run(capsys, "best", *of)

    trial = as_json(capsys, "trial", "shapes-tiny", "13", *of)
    assert (trial["cause"], trial["traceback"]) == ("[b]odd", "T")
    assert "curve" in run(capsys, "trial", "3", *of)

    compared = as_json(capsys, "compare", "3", "4", "--plot", "new/curves.png", *of)
    assert compared["assignments"]["seed"] == [0, 1]
    assert Path("new/curves.png").read_bytes().startswith(b"\x89PNG")
    for arguments in (["shapes-tiny", "3", "4"], ["3", "4", "--study", "shapes-tiny"]):
        assert "The layers are the same." in run(capsys, "compare", *arguments, *of)

    why = as_json(capsys, "why", *of)
    assert why["refused_by"] == {"macs": 1}
    assert next(iter(why["importance"])) == "arch.width"
    assert "Importance" in run(capsys, "why", *of)

    found = as_json(capsys, "doctor", *of)
    assert [one["kind"] for one in found["findings"]] == ["left_running", "files"]
    assert {path: path.read_bytes() for path in Path("outputs").iterdir()} == files


def test_an_export(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(
        capsys,
        "export",
        "--csv",
        "a.csv",
        "--json",
        "a.json",
        "--design",
        "a.yaml",
        "--trial",
        "3",
        "--storage",
        storage,
    )
    assert len(Path("a.csv").read_text().splitlines()) == 16
    assert len(json.loads(Path("a.json").read_text())["trials"]) == 15
    assert main(["export", "--trial", "13", "--design", "b.yaml", "--storage", storage]) == 2
    assert "has no design" in capsys.readouterr().err
    message = run(capsys, "export", "--storage", storage).splitlines()
    assert [line.split(" (")[0] for line in message] == [
        f"outputs/exports/shapes-tiny/{name}" for name in ("trials.csv", "study.json", "design.yaml")
    ]


def test_the_network_of_a_trial_is_exported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsearch.runs import export

    asked: list[tuple[Path, dict[str, Path | None]]] = []

    def remember(run_dir: Path, **files: Path | None) -> list[str]:
        asked.append((run_dir, files))
        return ["compared"]

    monkeypatch.setattr(export, "export_network", remember)
    store = open_store()
    fill(store)
    store.close()
    assert main(["export", "--onnx", "a.onnx"]) == 2
    assert "the folder of trial 11, outputs/runs/11, does not exist" in capsys.readouterr().err
    for number in (3, 11):
        Path(f"outputs/runs/{number}").mkdir(parents=True)
    assert run(capsys, "export", "--onnx", "a.onnx") == "compared\n"
    message = run(capsys, "export", "--safetensors", "b.safetensors", "--csv", "a.csv", "--trial", "3")
    assert [line.split(" (")[0] for line in message.splitlines()] == ["compared", "a.csv"]
    none = {"onnx": None, "torch_export": None, "safetensors": None}
    assert asked == [
        (Path("outputs/runs/11"), {**none, "onnx": Path("a.onnx")}),
        (Path("outputs/runs/3"), {**none, "safetensors": Path("b.safetensors")}),
    ]


def test_the_doctor_fixes(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "doctor", "--fix", "--storage", storage)
    assert found["fixed"] == ["shapes-tiny: trial 14 put back into the queue; the same command as before resumes them"]
    assert as_json(capsys, "ls", "--storage", storage)[0]["states"]["waiting"] == 1


@pytest.mark.pictures
def test_the_report_and_the_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(STORAGES[0])
    fill(store)
    store.close()
    assert run(capsys, "report").strip() == "outputs/reports/shapes-tiny.html"
    assert "shapes-tiny" in Path("outputs/reports/shapes-tiny.html").read_text()
    drawn = as_json(capsys, "plot", "--format", "svg", "--folder", "pictures")["files"]
    assert drawn
    assert all(Path(file).suffix == ".svg" and Path(file).stat().st_size for file in drawn)


@pytest.mark.parametrize("directions", [["minimize"], ["minimize", "maximize"]])
def test_studies_of_other_programs_break_nothing(directions: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    import optuna

    store = open_store()
    for name in ("[red]<b>", "empty"):
        made = optuna.create_study(storage=store.storage, study_name=name, directions=directions)
    made = optuna.load_study(study_name="[red]<b>", storage=store.storage)
    for number in range(12):
        trial = made.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        trial.set_user_attr("margins", [number])
        if number < 11:
            made.tell(trial, [trial.params["x"], float("inf")][: len(directions)])
    store.close()
    assert [one["states"] for one in as_json(capsys, "ls")] == [{"complete": 11, "running": 1}, {}]
    for command in ("show", "best", "why", "report", "plot", "export"):
        assert run(capsys, command, "[red]<b>")
    for arguments in (["trial", "[red]<b>", "0"], ["trial", "[red]<b>", "11"], ["compare", "[red]<b>", "0", "11"]):
        assert "\x1b" not in run(capsys, *arguments)
    for command in ("show", "why", "report", "plot", "export"):
        run(capsys, command, "empty")
    assert main(["best", "empty"]) == 2
    assert "running by another program" in run(capsys, "doctor")


def test_what_a_writer_has_not_closed_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(STORAGES[0])
    fill(store, "one", trials=1)
    assert [one["study"] for one in as_json(capsys, "ls")] == ["one"]
    fill(store, "two", trials=2)
    assert [one["trials"] for one in as_json(capsys, "ls")] == [4, 5]
    store.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "study: the database has 2 studies. Name one of them: one, tow"),
        (["show", "two"], "study: there is no 'two'. Did you mean 'tow'?"),
        (["best", "tow", "--storage", "nowhere.db"], "--storage: no study database at nowhere.db"),
        (["ls", "--storage", "mysql://me:geheim@x/y"], "--storage: 'mysql://me:***@x/y' is not the address"),
        (["trial", "tow", "99"], "trial: study 'tow' has no trial 99. The last trial is 3."),
        (["trial", "tow", "x"], "trial: expected a trial number, got 'tow x'. Write [STUDY] NUMBER."),
        (["compare", "1"], "trial: expected 2 trial numbers, got '1'. Write [STUDY] NUMBER NUMBER."),
        (["compare", "one", "0", "1", "--study", "one"], "expected 2 trial numbers, got 'one 0 1'"),
        (["show", "one", "--by", "acuracy"], "--by: no trial has a numeric value 'acuracy'. Did you mean 'accuracy'?"),
        (["show", "one", "--limit", "0"], "--limit"),
        (["shwo"], "No such command 'shwo'"),
        (["show", "one", "--nothing"], "--nothing"),
        (["compare", "one", "0", "1", "--plot", "x.docx"], "which is not a picture format"),
        (["export", "one", "--csv", "file/a.csv"], "cannot be written"),
        (["ls", "--storage", "sqlite:///file"], "not a study database"),
    ],
)
def test_what_cannot_be_used_ends_with_2_and_one_message(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    store = open_store()
    for name in ("one", "tow"):
        fill(store, name, trials=1)
    store.close()
    Path("file").write_text("")
    before = sorted(Path().rglob("*"))
    assert main(arguments) == 2
    caught = capsys.readouterr()
    assert message in caught.err
    assert caught.out == ""
    assert "Traceback" not in caught.err
    assert "geheim" not in caught.err
    assert sorted(Path().rglob("*")) == before


def test_a_study_without_a_best_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store()
    fill(store, trials=0)
    store.close()
    assert main(["best"]) == 2
    message = "study: 'shapes-tiny' has no complete trial (1 failed, 1 infeasible, 1 running)"
    assert message in capsys.readouterr().err
    assert "No trials to show." in run(capsys, "show")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["show", "-h"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "Usage: python -m archsearch.study" in run(capsys, *arguments)


def test_listing_and_showing_load_no_optuna_and_no_torch(printed_apart: Callable[[str], list[str]]) -> None:
    store = open_store()
    fill(store)
    store.close()
    code = (
        "import sys, archsearch.study as s; c = [s.main([n]) for n in ('ls', 'show')]; "
        "print(c, sorted({'torch', 'optuna', 'sqlalchemy', 'matplotlib'} & set(sys.modules)))"
    )
    assert printed_apart(code)[-1] == "[0, 0] []"


@pytest.mark.postgres
def test_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    import os

    url = os.environ["ARCHSEARCH_POSTGRES"]
    store = open_store(url)
    name = "shown by the commands"
    try:
        fill(store, name)
        of = ("--storage", url)
        assert name in [one["study"] for one in as_json(capsys, "ls", *of)]
        assert as_json(capsys, "best", name, *of)["trial"] == 11
        assert as_json(capsys, "trial", name, "13", *of)["traceback"] == "T"
    finally:
        store.storage.delete_study(store.storage.get_study_id_from_name(name))
        store.close()


@pytest.mark.parametrize("arguments", [("best",), ("trial", "30"), ("compare", "0", "4"), ("show",), ("why",)])
def test_the_json_of_the_shipped_study_can_be_read(
    arguments: tuple[str, ...], checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = as_json(capsys, *arguments, "--storage", f"sqlite:///{checkout}/outputs/examples/studies.db")
    assert found["study"] == "cifar10-brisk"
    if "design" in found:
        assert found["design"].rstrip().endswith("symmetry: flip")
        assert found["more"]["device"] == "Intel(R) Xeon(R) Processor @ 2.80GHz, 1 threads"

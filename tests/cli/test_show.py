"""`show`: tables, the contract's JSON, pictures, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from archsearch.show import main


def test_json_has_the_contracts_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arch=assignment", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record.keys() >= {
        "design_id", "parameters", "macs", "receptive_field", "output_shape", "width", "margins", "layers",
    }  # fmt: skip
    assert (record["parameters"], record["receptive_field"]) == (159552, 101)
    assert record["output_shape"] == [10, 1, 1]
    for margin in record["margins"]:
        assert margin.keys() >= {"limit", "bound", "found", "kept", "fixes"}
    for layer in record["layers"]:
        keys = {"name", "kind", "output_shape", "receptive_field", "jump", "parameters", "macs"}
        assert layer.keys() >= keys
    assert sum(layer["parameters"] for layer in record["layers"]) == record["parameters"]
    assert sum(layer["macs"] for layer in record["layers"]) == record["macs"]


def test_a_broken_limit_ends_with_2_and_shows_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arch=resnet20"]) == 2
    out = capsys.readouterr().out
    assert "BROKEN parameters       272 474, must be below 200 000" in out
    assert "fix: arch.width=" in out
    assert "stages.c3.2.residual.main.conv_2" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["arch.stages.c2.blok=3"], "arch.stages.c2.blok: unknown key for a stage. Did you mean 'block'?"),
        (["arch.stages.c2.block=nromal"], "arch.stages.c2.block: unknown block 'nromal'. Did you mean 'normal'?"),
        (["block=nromal"], "block: unknown option 'nromal'. Did you mean 'normal'?"),
        (["arch.stages.c2.width='64'"], "arch.stages.c2.width: must be an integer, got the string '64'"),
        (["train.epoch=3"], "train.epoch: unknown key for train. Did you mean 'epochs'?"),
        (["arch.input=[3,2,2]", "arch.stages.c1.entry.block=normal", "stem=1"], "stem"),
        (["arch=nowhere.yaml"], "no such file"),
        (["plot=x.docx"], "plot"),
        (["plto=x.png"], "plto: unknown key. Did you mean 'plot'?"),
        (["--jsn"], "unrecognized arguments: --jsn. Did you mean '--json'?"),
        (["data=folder"], "data.root"),
        (["data=folder", "data.root=nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_used_ends_with_2_and_one_message(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    caught = capsys.readouterr()
    assert message in caught.err
    assert "Traceback" not in caught.err


@pytest.mark.pictures
def test_pictures_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"plot={tmp_path / 'net.png'}", "--json"]) == 0
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")
    json.loads(capsys.readouterr().out)


@pytest.mark.pictures
def test_augmented_samples_are_written(tmp_path: Path) -> None:
    small = ["data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20"]
    assert main([f"samples={tmp_path / 'samples.png'}", "augment=assignment", *small]) == 0
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_a_users_folder_adds_blocks_and_networks(
    tmp_path: Path, write_files: Callable[[Mapping[str, str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {
        "block/mine.yaml": "options: {kernel: 5}\nlayers: [{conv: {kernel: kernel}}]\n",
        "arch/net.yaml": "name: net\nstages: {c1: {block: mine, width: 8}}\nhead: {classes: 10}\n",
        "constraints/loose.yaml": "receptive_field: {above: 3}\n",
    }
    write_files(texts)
    assert main(["--config-dir", str(tmp_path), "arch=net", "constraints=loose", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["receptive_field"] == 5


def test_the_design_that_is_written_holds_the_blocks_that_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "arch").mkdir()
    (tmp_path / "block" / "twice.yaml").write_text(
        "options: {stride: 1, name: ''}\n"
        "layers: [{use: {block: separable, stride: stride, padding: 0}}, {use: {block: normal, width: 1}}]\n"
    )
    (tmp_path / "arch" / "mine.yaml").write_text(
        "stages: {c1: {block: twice, width: 8, stride: 2}, c2: {block: {layers: [{conv: 1}]}}}\n"
        "head: {classifier: [{linear: 6}, {linear: {out: classes, bias: false}}], classes: 4}\n"
    )
    records: list[dict[str, object]] = []
    written = f"design={tmp_path / 'design.yaml'}"
    for command in (["arch=mine", written, "--config-dir", str(tmp_path)], [f"arch={tmp_path / 'design.yaml'}"]):
        assert main([*command, "constraints=none", "--json"]) == 0
        records.append(json.loads(capsys.readouterr().out))
    assert records[0] == records[1]
    assert records[0]["output_shape"] == [4, 1, 1]


def test_it_starts_without_torch(printed_apart: Callable[[str], list[str]]) -> None:
    code = (
        "import sys, archsearch.show as s; s.main(['--json']); "
        "print(sorted({'torch', 'optuna', 'numpy', 'rich', 'click', 'sqlalchemy', 'matplotlib'} & set(sys.modules)))"
    )
    assert printed_apart(code)[-1] == "[]"


def test_the_effective_field_of_no_run_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erf=nowhere"]) == 2
    assert "no weights" in capsys.readouterr().err
    assert main(["erf="]) == 2
    assert "erf: needs a folder. Write erf=RUN_DIR." in capsys.readouterr().err


def test_the_card_of_no_run_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card=nowhere"]) == 2
    assert "nowhere/result.json: no result" in capsys.readouterr().err
    assert main(["card="]) == 2
    assert "card: needs a folder. Write card=RUN_DIR." in capsys.readouterr().err

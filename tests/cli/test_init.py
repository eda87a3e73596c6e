"""`archsearch init`: a folder of one's own in which every file works as it is."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from archsearch.cli.init import STARTER, write_starter
from archsearch.cli.main import main
from archsearch.config_files import groups
from archsearch.decode import suggest

FILES = sorted(one.relative_to(STARTER).as_posix() for one in STARTER.rglob("*.yaml"))
TINY = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "train.epochs=1",
    "train.batch_size=16", "train.compile=false", "train.device=cpu", "study.trials=1",
]  # fmt: skip


def test_there_is_a_block_a_network_limits_and_a_space() -> None:
    assert FILES == ["arch/mine.yaml", "block/mine.yaml", "constraints/mine.yaml", "space/mine.yaml"]
    assert {file.partition("/")[0] for file in FILES} <= set(groups())


@pytest.mark.parametrize("folder", ["my_conf", "of my own"])
def test_each_file_works_by_the_command_in_its_first_line(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *([] if folder == "my_conf" else [folder])]) == 0
    printed = capsys.readouterr().out
    for name in FILES:
        text = Path(folder, name).read_text()
        command = text.partition("\n")[0].removeprefix("# ")
        assert f"{Path(folder, name)}\n  {command}\n" in printed
        assert sum(line.startswith("#") or " # " in line for line in text.splitlines()) >= 5
        _, _, module, *arguments = shlex.split(command)
        assert folder in arguments
        small = [one for one in arguments if not one.startswith("study.budget=")]
        tiny = TINY if "-m" in arguments else []
        assert main([module.removeprefix("archsearch."), *small, *tiny]) == 0, capsys.readouterr().err
    caught = capsys.readouterr()
    assert "1 complete" in caught.out
    assert "space mine: 6 keys, 108 designs, and 1 in continuous ranges; " in caught.err
    assert "0 of 1 trial trained; the time of a trial is unknown until the first one ends" in caught.err


def test_the_network_keeps_the_limits_that_stand_beside_it() -> None:
    write_starter("my_conf")
    assert main(["show", "--config-dir", "my_conf", "arch=mine", "constraints=mine"]) == 0


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my_conf/space").mkdir(parents=True)
    Path("my_conf/space/mine.yaml").write_text("arch.width: fit\n")
    assert main(["init"]) == 2
    assert capsys.readouterr().err == (
        "init: my_conf/space/mine.yaml exists. Name another folder: archsearch init FOLDER.\n"
    )
    assert [one.name for one in Path("my_conf").iterdir()] == ["space"]
    assert Path("my_conf/space/mine.yaml").read_text() == "arch.width: fit\n"


def test_the_help_names_the_folder_that_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", "--help"])
    assert ended.value.code == 0
    assert "folder to write to (default: my_conf)" in capsys.readouterr().out
    assert not Path("my_conf").exists()


def test_a_misspelt_flag_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--versoin"]) == 2
    assert suggest("--versoin", ["--version"]) in capsys.readouterr().err
    assert not Path("my_conf").exists()

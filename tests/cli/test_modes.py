"""One run or a search: a command that asks for the other one is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.cli.run import main


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["space=cifar"], ("space=cifar: a space is searched with -m; without it one design is trained. "
         "Search it: python -m archsearch.run -m space=cifar\n")),
        (["space.arch.width=2"], "space.arch.width=2: a space is searched with -m; without it one design is trained."),
        (["study.trials=5"], ("study.trials: is a setting of a search, and without -m one design is trained. "
         "A search has -m and a space: python -m archsearch.run -m space=cifar study.trials=5 (spaces: blocks, bri")),
        (["sampler=tpe", "seed=3"], "-m space=cifar sampler=tpe seed=3 (spaces"),
        (["study.workers=2", "space=widths"], "Search it: python -m archsearch.run -m study.workers=2 space=widths"),
        (["-m", "block=normal"], ("-m: there is nothing to search over: no space, and no key with several values. "
         "Train one design: python -m archsearch.run block=normal or search a space: "
         "python -m archsearch.run -m space=cifar block=normal (spaces: ")),
        (["-m"], "Train one design: python -m archsearch.run or search"),
        (["block=normal,dilated"], "block: has several values, which needs -m. Add -m"),
        (["arch.width=interval(1,2)"], "arch.width: has several values, which needs -m. Add -m"),
    ],
)  # fmt: skip
def test_the_command_that_was_meant_is_suggested(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == 2
    assert message in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_a_space_that_a_file_sets_is_searched_or_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/experiment/e.yaml").write_text("# @package _global_\ndefaults:\n  - override /space: widths\n")
    assert main(["--config-dir", "mine", "experiment=e"]) == 2
    message = capsys.readouterr().err
    assert "space: is set by a file, and searched only with -m" in message
    assert "--config-dir" in message
    assert message.endswith("or train the default design: space=null\n")


@pytest.mark.parametrize("text", ["", "{}\n", "arch.stages.c1.width: 16\n", "arch.width: null\n"])
def test_a_space_without_several_values_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine/space").mkdir(parents=True)
    Path("mine/space/s.yaml").write_text(text)
    assert main(["-m", "--config-dir", "mine", "space=s", "data=shapes"]) == 2
    assert "space=s: contains nothing to search over: no key has several values." in capsys.readouterr().err
    assert {path.name for path in Path().iterdir()} == {"mine"}

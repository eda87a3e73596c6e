"""The help: the groups and options that Hydra lists, each with a line of its own, without Hydra."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from archsearch.cli.help import groups_text, help_asked, help_text
from archsearch.cli.main import main as archsearch
from archsearch.config_files import config_folder, groups
from archsearch.config_files.summaries import GROUPS, LONGEST, option_files, summary
from archsearch.run import main


def test_it_has_the_options_that_hydra_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in ("block/mine.yaml", "extra/inner/one.yaml", "config.yaml", "hydra/launcher/own.yaml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("# python -m archsearch.run\n# What it is for. More.\nx: 1\n")
    for flags in ([], ["--config-dir", str(tmp_path)]):
        assert main(["--help", *flags]) == 0
        ours = capsys.readouterr().out
        assert main(["--help", *flags, "hydra.job.name=run"]) == 0  # a setting of Hydra's: it answers itself
        header, _, rest = capsys.readouterr().out.partition("choose one of each: group=option) ==\n\n")
        listed, _, examples = rest.partition("\n\n== Examples ==")
        assert ours.startswith(header)
        assert ours.endswith(examples)
        names = [(group, name) for group, _, text in (line.partition(": ") for line in listed.splitlines())
                 for name in text.split(", ")]  # fmt: skip
        assert [one for one in names if one != ("arch", "file")] == options_in(ours)
    assert re.search(r"^    mine +What it is for$", ours, re.MULTILINE)
    assert ("extra/inner", "one") in options_in(ours)
    assert "launcher" not in ours


def options_in(text: str) -> list[tuple[str, str]]:
    group, found = "", []
    for line in text.partition("== Examples")[0].splitlines():
        if line.startswith(("    ", "  * ")):
            found.append((group, line[4:].split()[0]))
        else:
            group = line.partition(":")[0]
    return found


def test_every_group_and_option_has_a_line_that_says_what_it_is() -> None:
    assert set(groups()) == set(GROUPS)
    files = [file for options in option_files([config_folder()]).values() for file in options.values()]
    short = [str(file) for file in files if not 9 <= len(summary(file)) <= LONGEST + 4]
    assert len(files) > 100
    assert short == []
    cut = {str(file): summary(file) for file in files}
    assert [file for file, text in cut.items() if text.endswith("...") or text.count("(") != text.count(")")] == []


def test_the_default_option_of_a_group_is_marked() -> None:
    marked = re.findall(r"^  \* (\w+) ", groups_text(), re.MULTILINE)
    assert {"c1c2c3c4", "normal", "advanced_convolution", "auto"} <= set(marked)
    assert len(marked) == len(groups()) - 2  # space and experiment have none


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("# python -m archsearch.run\n# One thing. Another.\nx: 1\n", "One thing"),
        ("# @package _global_\n# python -m archsearch.run\n# One\n# thing (Doe et al. 2020).\n",
         "One thing (Doe et al. 2020)"),
        ("x: 1\n# Not at the top.\n", ""),
        (f"# A name of more than 20 letters: {'word ' * 30}\n", "A name of more than 20 letters"),
        (f"# A name of more than 20 letters (Doe: 2020; Roe: 2021) {'word ' * 30}: more\n",
         f"A name of more than 20 letters (Doe: 2020; Roe: 2021) {'word ' * 6}..."),
        (f"# {'word ' * 30}\n", f"{'word ' * 17}..."),
    ],
)  # fmt: skip
def test_a_summary_is_the_first_sentence_of_a_file(comment: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(comment)
    assert summary(file) == expected


@pytest.mark.parametrize("command", ["run", "show"])
def test_the_help_of_a_command_lists_groups_and_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        archsearch([command, "--help"])
    assert groups_text() in capsys.readouterr().out


def test_the_help_of_study_has_a_whole_line_for_each_command_and_a_text_for_each_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from archsearch.cli.study import commands

    archsearch(["study", "--help"])
    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]
    silent = [
        f"{name} {option.name}"
        for name, command in commands.commands.items()
        for option in command.params
        if isinstance(option, click.Option) and option.help is None
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("arguments", "folders"),
    [
        ([], None),
        (["block=dilated"], None),
        (["--help"], []),
        (["-h", "-m", "block=dilated"], []),
        (["--config-dir=.", "--help"], ["."]),
        (["-cd", ".", "-h"], ["."]),
        (["--help", "--config-dir", "nowhere"], None),
        (["--help", "--info"], None),
        (["--hydra-help"], None),
        (["--help", "hydra/help=default"], None),
        (["--help", "+hydra.searchpath=[x]"], None),
    ],
)
def test_what_is_answered_here(arguments: list[str], folders: list[str] | None) -> None:
    assert help_asked(arguments) == (None if folders is None else [Path(one) for one in folders])


def test_hidden_folders_hold_no_groups(tmp_path: Path) -> None:
    (tmp_path / "runs" / ".hydra").mkdir(parents=True)
    (tmp_path / "runs" / ".hydra" / "config.yaml").write_text("x: 1\n")
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "README.md").write_text("no option\n")
    assert help_text([tmp_path]) == help_text()


def test_it_loads_no_hydra(printed_apart: Callable[[str], list[str]]) -> None:
    code = (
        "import sys, archsearch.run as r\nr.main(['--help'])\n"
        "print(sorted({'hydra', 'omegaconf', 'argparse'} & set(sys.modules)))"
    )
    assert printed_apart(code)[-1] == "[]"

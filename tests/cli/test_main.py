"""`archsearch` and `python -m archsearch`: what there is, the version, and the start of a command."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from archsearch.cli.main import COMMANDS, main
from archsearch.config_files.summaries import GROUPS


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_commands_are_listed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in COMMANDS)
    assert set(COMMANDS) == {"run", "show", "study", "init"}
    assert all(re.search(rf"^  {group} +\d+  {about}$", printed, re.MULTILINE) for group, about in GROUPS.items())


@pytest.mark.parametrize("command", [[], ["run"], ["show"], ["study"], ["init"]])
def test_the_version_is_that_of_the_package(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):  # argparse prints a version so
        assert main([*command, "--version"]) == 0
    assert capsys.readouterr().out == f"archsearch {version('archsearch')}\n"


def test_a_command_gets_what_stands_behind_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "arch=resnet20", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["name"] == "resnet20"
    assert main(["run", "--help"]) == 0
    assert "Groups (choose one of each" in capsys.readouterr().out
    assert main(["study", "ls"]) == 2
    assert "no study database" in capsys.readouterr().err


def test_an_unknown_command_ends_with_2_and_the_likeliest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shwo"]) == 2
    assert capsys.readouterr().err == "archsearch: unknown command 'shwo'. Did you mean 'show'?\n"


def test_the_script_and_the_package_start_it(checkout: Path, printed_apart: Callable[[str], list[str]]) -> None:
    scripts = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"archsearch": "archsearch.cli.main:start"}
    done = subprocess.run([sys.executable, "-m", "archsearch", "shwo"], capture_output=True, text=True, check=False)
    assert (done.returncode, "Did you mean 'show'?" in done.stderr) == (2, True)
    code = "import sys, archsearch.cli.main as m; m.main([]); print({'hydra', 'click', 'torch'} & set(sys.modules))"
    assert printed_apart(code)[-1] == "set()"

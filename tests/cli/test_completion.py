"""Completion in a shell, by the script that Hydra prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from archsearch.cli.completion import candidates
from archsearch.cli.main import COMMANDS, main

BASH = shutil.which("bash")
TRY = """
eval "$(archsearch run -sc install=bash)"
complete -p archsearch
complete_line() {
    COMP_LINE=$1 COMP_POINT=${#1} COMP_CWORD=$2; COMPREPLY=(); hydra_bash_completion; echo "${COMPREPLY[@]}"
}
complete_line "archsearch r" 1
complete_line "archsearch run block=di" 2
complete_line "archsearch study ex" 2
"""


@pytest.mark.skipif(BASH is None, reason="no bash")
def test_in_a_real_bash(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "archsearch"
    script.parent.mkdir()
    start = f"import sys; sys.argv[0] = '{script}'; from archsearch.cli.main import start; start()"
    script.write_text(f'#!{BASH}\nexec {sys.executable} -c "{start}" "$@"\n')
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([str(BASH), "-c", TRY], capture_output=True, text=True, check=False, env=environment)
    rule, *completed = done.stdout.splitlines()
    assert rule.endswith("-F hydra_bash_completion archsearch"), done.stderr
    assert completed == ["run", "block=dilated", "export"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([""], ["run", "show", "study", "init", "--help", "--version"]),
        (["init", "--h"], ["--help"]),
        (["sh"], ["show"]),
        (["run", "--config-"], ["--config-name", "--config-dir"]),
        (["run", "block=dep"], ["block=depthwise"]),
        (["run", "-m", "arch.stages.c2.dilation=2", "train.ep"], ["train.epochs="]),
        (["show", "sampl"], ["sampler=", "samples="]),
        (["study", "b"], ["best"]),
        (["study", "show", "--st"], ["--state", "--storage"]),
        (["nosuch", "b"], []),
        (["run", "'a", "b="], []),
    ],
)
def test_candidates(words: list[str], found: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert candidates(words, "bash", COMMANDS) == found
    assert capfd.readouterr() == ("", "")


def test_the_groups_of_a_folder_are_offered() -> None:
    Path("mine/block").mkdir(parents=True)
    Path("mine/block/own.yaml").write_text("layers: [act]\n")
    assert candidates(["run", "--config-dir", "mine", "block=ow"], "bash", COMMANDS) == ["block=own"]


def test_fish_gets_a_line_for_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COMP_LINE", "archsearch s")
    assert main(["-sc", "query=fish"]) == 0
    assert capsys.readouterr().out == "show\nstudy\n"
    assert main(["run", "-sc", "install=fish"]) == 0
    assert "complete -c archsearch -x -a '(hydra_fish_completion)'" in capsys.readouterr().out

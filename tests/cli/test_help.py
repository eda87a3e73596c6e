"""The help: the same words as Hydra's, without Hydra."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archsearch.cli.help import help_asked, help_text
from archsearch.run import main


def test_it_is_what_hydra_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in ("block/mine.yaml", "extra/inner/one.yaml", "config.yaml", "hydra/launcher/own.yaml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("x: 1\n")
    for flags in ([], ["--config-dir", str(tmp_path)]):
        assert main(["--help", *flags]) == 0
        ours = capsys.readouterr().out
        assert main(["--help", *flags, "hydra.job.name=run"]) == 0  # a setting of Hydra's: it answers itself
        assert capsys.readouterr().out == ours
    assert "max_pooled, mine, mobilenet_v3" in ours
    assert "extra/inner: one" in ours
    assert "launcher" not in ours


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

"""All benchmarks by one command: each is among them, its tables reach the file, and a failure stops nothing."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def runner() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARKS / "__main__.py"))


def test_every_benchmark_is_run(runner: dict[str, Any]) -> None:
    scripts = {file.stem for file in BENCHMARKS.glob("[!_]*.py")}
    assert {job.split()[0] for job in runner["JOBS"]} == scripts


@pytest.mark.parametrize("script", sorted(BENCHMARKS.glob("*.py")), ids=lambda script: script.stem)
def test_none_asks_for_an_argument_that_the_one_command_does_not_give(script: Path) -> None:
    assert "required=True" not in script.read_text(encoding="utf-8")


def test_one_that_fails_is_named_and_the_others_run(
    runner: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = "import os, sys\nprint('| images |')\nprint('|---|')\nprint(f'| {os.environ[\"GIVEN\"]}{sys.argv[1]} |')\n"
    (tmp_path / "good.py").write_text(f'"""Claim: it\nruns.\n\nMore of it."""\n{given}')
    (tmp_path / "bad.py").write_text("import sys\nprint('half')\nprint('in vain', file=sys.stderr)\nsys.exit(3)\n")
    out = tmp_path / "outputs" / "all.md"
    failed = runner["run_all"](["bad", "good 7"], tmp_path, out, {**os.environ, "GIVEN": "DIR"})
    assert failed == ["bad"]
    text = out.read_text()
    assert "Python 3." in text.partition("\n## ")[0]
    assert "## bad\n\n    python benchmarks/bad.py\n\n\n\nhalf\n\n**Failed** with exit code 3 after " in text
    assert "```\nin vain\n```" in text
    good = text.partition("## good 7\n\n")[2]
    assert good.startswith(
        "    python benchmarks/good.py 7\n\nClaim: it\nruns.\n\n| images |\n|---|\n| DIR7 |\n\nTook "
    )
    said = capfd.readouterr()
    assert "| DIR7 |" in said.out
    assert "== bad" in said.err

"""Standard output that cannot be written never ends a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
from archsearch.process import run_as_process
def command():
    for line in range(3000):
        print("line", line, "\\u2713 \\udcff", flush=True)
        print("note", line, "\\u2713", file=sys.stderr)
    Path("done").write_text("yes")
    return 0
run_as_process(command, brief={brief})
"""


def shell(line: str, folder: Path, *, brief: bool = False, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run `line` in a shell, in which $P is a program that writes much."""
    (folder / "program.py").write_text(PROGRAM.format(brief=brief))
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "P": f"{sys.executable} program.py", "PYTHONPATH": path, **more}
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, check=False, env=variables)


@pytest.mark.parametrize(
    "line",
    [
        "set -o pipefail; $P 2>/dev/null | head -n 1",
        "set -o pipefail; $P 2>&1 | head -n 1",
        "$P >&- 2>&-",
        "$P <&- >&- 2>&-",
        "$P >/dev/full 2>/dev/full",
    ],
)
def test_a_reader_that_is_gone_ends_nothing(line: str, tmp_path: Path) -> None:
    done = shell(line, tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "done").read_text() == "yes"
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict", "utf-8:strict"])
def test_a_letter_that_an_encoding_lacks_is_escaped(encoding: str, tmp_path: Path) -> None:
    done = shell("$P | tail -n 1", tmp_path, PYTHONIOENCODING=encoding)
    assert b"\\udcff" in done.stdout
    assert (b"\\u2713" in done.stdout) is ("utf" not in encoding)
    assert (tmp_path / "done").exists()


def test_a_terminal_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(brief=False))
    ours, theirs = os.openpty()
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "program.py"]
    variables = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs, env=variables)
    os.close(theirs)
    assert os.read(ours, 4)
    os.close(ours)
    assert process.wait(60) == 0
    assert (tmp_path / "done").exists()


def test_a_short_command_says_that_its_output_is_cut_short_by_a_full_disk(tmp_path: Path) -> None:
    done = shell("$P >/dev/full", tmp_path, brief=True)
    assert done.returncode == 2
    assert done.stderr.endswith(b"standard output: cannot be written: No space left on device\n")
    assert shell("set -o pipefail; $P | head -n 1", tmp_path, brief=True).returncode == 0


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    program = (
        "from archsearch.process import protect_output; protect_output(); "
        "open('numbers', 'w').write(str(open('other', 'w').fileno() > 2))"
    )
    (tmp_path / "other.py").write_text(program)
    shell(f"{sys.executable} other.py <&- >&- 2>&-", tmp_path)
    assert (tmp_path / "numbers").read_text() == "True"

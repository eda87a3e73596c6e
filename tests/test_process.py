"""A command as a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, gc, sys
from archsearch.process import run_as_process
atexit.register(lambda: print("handled", gc.get_freeze_count() > 0, gc.isenabled()))
def command():
    print("ran", gc.isenabled())
    if {fails}:
        raise RuntimeError("no")
    return 3
run_as_process(command, brief={brief})
"""


@pytest.mark.parametrize(("brief", "fails", "code"), [(False, False, 3), (True, False, 3), (False, True, 1)])
def test_it_ends_with_the_commands_code_and_its_handlers_run(brief: bool, fails: bool, code: int) -> None:
    program = PROGRAM.format(brief=brief, fails=fails)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.splitlines() == [f"ran {not brief}", f"handled True {not brief}"]
    assert ("RuntimeError: no" in done.stderr) is fails

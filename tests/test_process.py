"""A command as a process of its own."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archsearch.process import give_freed_memory_back, keep_freed_memory

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


RARELY = """
import gc
usual = gc.get_threshold()
from archsearch.process import run_as_process
from archsearch.search.loop import _deferred_garbage_collection
def command():
    print(gc.get_threshold()[0] > 10 * usual[0], gc.get_threshold()[1:] == usual[1:])
    with _deferred_garbage_collection() as freeze:
        freeze()
        print(gc.get_threshold() == usual)
    return 0
run_as_process(command)
"""


def test_it_looks_for_garbage_rarely_until_a_search_settles() -> None:
    done = subprocess.run([sys.executable, "-c", RARELY], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True True", "True"]


@pytest.mark.parametrize(("brief", "fails", "code"), [(False, False, 3), (True, False, 3), (False, True, 1)])
def test_it_ends_with_the_commands_code_and_its_handlers_run(brief: bool, fails: bool, code: int) -> None:
    program = PROGRAM.format(brief=brief, fails=fails)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.splitlines() == [f"ran {not brief}", f"handled True {not brief}"]
    assert ("RuntimeError: no" in done.stderr) is fails


LARGE = 64 * 2**20


def test_freed_memory_is_kept_and_given_back() -> None:
    glibc = platform.libc_ver()[0] == "glibc"
    try:
        assert keep_freed_memory() is glibc
        first = np.ones(LARGE, np.uint8)
        address = first.ctypes.data
        del first
        again = np.ones(LARGE, np.uint8)
        assert again.ctypes.data == address or not glibc
        del again
    finally:
        assert give_freed_memory_back() is glibc


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert keep_freed_memory() is False
    assert give_freed_memory_back() is False


ENDED = """
import sys, time
from archsearch.process import run_as_process
def command():
    {body}
    return 0
run_as_process(command)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize("body", ["print('here', flush=True)", "import slow"])
def test_a_signal_ends_it_with_130_and_one_line(name: str, body: str, tmp_path: Path) -> None:
    """Also within an import, which then goes to its end first."""
    (tmp_path / "slow.py").write_text(
        "import time\nfrom pathlib import Path\nprint('here', flush=True)\n"
        "end = time.monotonic() + 1\n"
        "while time.monotonic() < end: time.sleep(0.01)\n"
        "Path('imported').touch()\n"
    )
    (tmp_path / "program.py").write_text(ENDED.format(body=body + "; time.sleep(60)"))
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "interrupted\n")
    assert (tmp_path / "imported").exists() is ("slow" in body)

"""Points at which a command can die: before and after every change of a file and every commit; not a test itself.

The functions of `os` and `open`, and the commit of SQLAlchemy, are wrapped from outside, so that the program holds no
trace of it. A point is a label, such as `after replace model.safetensors`, and how often it was passed.
"""

from __future__ import annotations

import builtins
import io
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

TWO_PATHS = ("replace", "rename")
ONE_PATH = ("unlink", "remove", "mkdir", "rmdir")
_NUMBER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{2,}|(?<=\.)\w{8}(?=\.part)")
_WRITES = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)", re.IGNORECASE)


class CrashPoints:
    """Counts the points that a process passes below `folder`; acts at one of them, and writes all into a file."""

    def __init__(self, folder: Path, log: str | None, act_at: list[Any] | None, act: Callable[[], object]) -> None:
        self.folder, self.act_at, self.act = folder.resolve(), tuple(act_at or ()), act
        self.passed: Counter[str] = Counter()
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else None

    def at(self, label: str) -> None:
        """Pass the point `label`."""
        self.passed[label] += 1
        if self.log is not None:
            os.write(self.log, f"{self.passed[label]} {label}\n".encode())
        if self.act_at == (label, self.passed[label]):
            self.act()

    def name(self, path: Any) -> str | None:
        """Return what a path below the folder is called in a label, without numbers; None for one elsewhere."""
        if isinstance(path, int):
            try:
                path = Path(f"/proc/self/fd/{path}").readlink()
            except OSError:
                return None
        file = Path(os.fsdecode(path))
        file = file if file.is_absolute() else Path.cwd() / file
        if not file.is_relative_to(self.folder) or file.is_relative_to(self.folder / "harness"):
            return None
        within = file.relative_to(self.folder).parts
        if within[-2:-1] == ("sweeps",):
            return "the sweep's folder"
        return _NUMBER.sub("N", "/".join(within[-2:] if within[-2:-1] == (".hydra",) else within[-1:]))


def install(folder: Path, log: str | None = None, kill_at: list[Any] | None = None, hook: str | None = None) -> None:
    """Wrap the operations of this process; nothing is wrapped where there is neither a log nor a point to act at.

    At the point the process is killed, or the file `hook` is made and the process goes on once it is gone.
    """
    if log is None and kill_at is None:
        return
    points = CrashPoints(folder, log, kill_at, die if hook is None else lambda: pause(Path(hook)))
    for name in (*TWO_PATHS, *ONE_PATH):
        setattr(os, name, _around(getattr(os, name), name, points, last=name in TWO_PATHS))
    os.fsync = _around(os.fsync, "fsync", points)
    opened = _opening(io.open, points)
    io.open = builtins.open = opened
    _wrap_commits(points)


def die() -> NoReturn:
    """End this process as a power cut does: nothing runs after it."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL returns to nobody")


def pause(file: Path) -> None:
    """Wait until somebody has removed `file`, which this makes."""
    import time

    os.close(os.open(file, os.O_CREAT))
    while file.exists():
        time.sleep(0.005)


def _around(function: Callable[..., Any], name: str, points: CrashPoints, *, last: bool = False) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **options: Any) -> Any:
        place = None if options.get("dir_fd") is not None else points.name(arguments[1 if last else 0])
        if place is None:
            return function(*arguments, **options)
        points.at(f"before {name} {place}")
        result = function(*arguments, **options)
        points.at(f"after {name} {place}")
        return result

    return wrapped


def _opening(function: Callable[..., Any], points: CrashPoints) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        found = function(file, mode, *arguments, **options)
        place = points.name(file) if set(mode) & set("wax+") and not isinstance(file, int) else None
        if place is None:
            return found
        points.at(f"after open {place}")
        return _Torn(found, place, points)

    return opened


class _Torn:
    """A file whose first write can be cut in half."""

    def __init__(self, file: Any, place: str, points: CrashPoints) -> None:
        self.__dict__.update(_file=file, _place=place, _points=points, _first=True)

    def write(self, content: Any) -> Any:
        if not self._first or len(content) < 2:
            return self._file.write(content)
        self.__dict__["_first"] = False
        half = len(content) // 2
        written = self._file.write(content[:half])
        self._file.flush()
        self._points.at(f"within write {self._place}")
        return (written or 0) + (self._file.write(content[half:]) or 0)

    def __enter__(self) -> _Torn:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._file.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._file, name, value)


def _wrap_commits(points: CrashPoints) -> None:
    import sqlalchemy.event
    from sqlalchemy.engine import Engine
    from sqlalchemy.engine.default import DefaultDialect

    last = ["nothing"]

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if match := _WRITES.match(statement):
            last[0] = f"{match[1].upper()} {match[2]}"

    sqlalchemy.event.listen(Engine, "before_cursor_execute", note)
    commit = DefaultDialect.do_commit

    def do_commit(self: Any, connection: Any) -> None:
        what, last[0] = last[0], "nothing"
        if what == "nothing":
            commit(self, connection)
            return
        points.at(f"before commit of {what}")
        commit(self, connection)
        points.at(f"after commit of {what}")

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]

"""Recognises faults of the machine, such as a full disk or a database that does not answer, and waits until they pass.

A fault is not a result of the design: its training is repeated afterwards. Imports the standard library, `errors`,
`formatting` and `masking`; database errors are recognised by their names.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

from archsearch.errors import DataError, DeviceMemoryError, RunError, StorageError
from archsearch.formatting import duration
from archsearch.masking import mask

T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds
_DATABASES = ("sqlalchemy", "sqlite3", "psycopg", "psycopg2")
_OF_CALLER = ("IntegrityError", "DataError", "ProgrammingError", "NotSupportedError", "ArgumentError")
"""Database errors that the request causes, not the state of the database."""
_FOR_GOOD = ("malformed", "not a database", "no such table", "no such column")
"""Parts of messages about a database that does not recover with time."""
_DEVICE = ("busy or unavailable", "uncorrectable ECC", "fallen off the bus", "system not yet initialized")
"""Parts of CUDA messages about a device that no design can use at present."""
_SIZE = r"([\d.]+) ([KMGT]?i?B)"
_OUT_OF_MEMORY = re.compile(rf"Tried to allocate {_SIZE}.*total capacity of {_SIZE}.*this process has {_SIZE} memory")
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class FaultLasted(RunError):
    """A fault of the machine that lasted longer than the search may wait."""


def fault_of(error: BaseException) -> str | None:
    """Return the fault of the machine behind `error` in one line; None if the design or the program is at fault."""
    text = ""
    match error:
        case StorageError() | DataError():
            text = str(error).partition(". ")[0]  # without the fix, which is for a single run
        case DeviceMemoryError():
            text = "other processes fill the memory of the device" if is_filled_by_others(str(error)) else ""
        case OSError():
            name = f"{error.filename}: " if error.filename is not None else ""
            text = f"{name}{error.strerror or error or type(error).__name__}"
        case RuntimeError() if any(words in str(error) for words in _DEVICE):
            text = str(error)
        case _:
            text = _database_fault(error)
    return mask((text.strip().splitlines() or [""])[0]) or None


def is_of_database(error: BaseException) -> bool:
    """Return whether `error` comes from a database driver, SQLAlchemy or Optuna; not every such error is a fault."""
    return type(error).__module__.partition(".")[0] in (*_DATABASES, "optuna")


def _database_fault(error: BaseException) -> str:
    """Return why a database does not answer; empty if `error` has another cause."""
    if type(error).__name__ == "StorageInternalError":  # Optuna's wrapper of the driver's error
        error = error.__cause__ or error
    elif type(error).__module__.partition(".")[0] not in _DATABASES or type(error).__name__ in _OF_CALLER:
        return ""
    return f"the study database does not answer: {getattr(error, 'orig', None) or error}"


def is_filled_by_others(message: str) -> bool:
    """Return whether, by torch's message, the allocation would fit if no other process used the device."""
    if (found := _OUT_OF_MEMORY.search(message)) is None:
        return False
    sizes = [float(found[place]) * _UNITS.get(found[place + 1], 1) for place in (1, 3, 5)]
    wanted, total, own = sizes
    return wanted + own <= 0.95 * total  # the driver needs the rest


class Patience:
    """Pauses while a fault of the machine lasts: from 1 s, doubled up to 60 s, and at most `seconds` in total."""

    def __init__(
        self,
        seconds: float,
        note: Callable[[str], None] = lambda text: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start without a fault; `note` receives a line when a fault begins and when it has passed."""
        self.seconds, self._note, self._sleep = seconds, note, sleep
        self._paused, self._pause = 0.0, FIRST_PAUSE

    @property
    def is_over(self) -> bool:
        """Whether the total pause for the present fault has reached `seconds`."""
        return self._paused >= self.seconds

    def wait(self, fault: str) -> None:
        """Pause; raises `FaultLasted` if the fault has lasted too long, or does not pass with time."""
        if self.is_over or any(words in fault for words in _FOR_GOOD):
            waited = f", after {duration(self._paused)} of waiting (study.patience)" if self._paused else ""
            raise FaultLasted(f"{fault}{waited}. Fix it and repeat the command: no trial is lost.")
        if not self._paused:
            limit = duration(self.seconds)
            self._note(f"waiting: {fault}; tried again with growing pauses for {limit} at most (study.patience)")
        pause = min(self._pause, self.seconds - self._paused)
        self._sleep(pause)
        self._paused, self._pause = self._paused + pause, min(2 * self._pause, LONGEST_PAUSE)

    def end_fault(self) -> None:
        """Forget the fault: it has passed."""
        if self._paused:
            self._note(f"going on after {duration(self._paused)} of waiting: the fault has passed")
        self._paused, self._pause = 0.0, FIRST_PAUSE

    def call(self, operation: Callable[[], T]) -> T:
        """Return the result of `operation`, which is repeated after pauses while a fault of the machine stops it."""
        while True:
            try:
                found = operation()
            except Exception as error:
                if (fault := fault_of(error)) is None:
                    raise
                cause = fault
            else:
                self.end_fault()
                return found
            self.wait(cause)  # outside of the handler: the error's frames may hold a connection

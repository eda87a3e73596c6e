"""The log lines of a run, for Python's logging: to `run.log` in the run directory or as `hydra/job_logging` sets.

Terminal output does not pass through this module. The logger is `archsearch`; without a configuration, as in a library,
its lines are dropped.
"""

from __future__ import annotations

import contextlib
import io
import logging
import logging.config
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archsearch.errors import InterruptedRun
from archsearch.masking import mask
from archsearch.training.progress import Lines

LOGGER = logging.getLogger("archsearch")
LOGGER.addHandler(logging.NullHandler())  # without any handler, Python would print warnings
FOLDER = "{run_dir}"
"""The placeholder for the run directory in a `JobLogging`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLogging:
    """A configuration for `logging.config.dictConfig` (None for no logging), and loggers to set to level DEBUG.

    In `verbose` the empty name is the root logger.
    """

    settings: Mapping[str, Any] | None = None
    verbose: Sequence[str] = ()


NO_LOGGING = JobLogging()


def log(text: str, level: int = logging.INFO) -> None:
    """Log lines of a run with passwords masked; ignore a log that cannot be written."""
    with contextlib.suppress(OSError):
        for line in mask(text).splitlines():
            LOGGER.log(level, "%s", line)


def log_error(error: BaseException) -> None:
    """Log why a run ended."""
    stopped = isinstance(error, InterruptedRun | KeyboardInterrupt)
    log(str(error) or type(error).__name__, logging.WARNING if stopped else logging.ERROR)


class LoggedProgress(Lines):
    """A `Progress` that logs a line for every epoch and notice."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())

    def note(self, text: str) -> None:
        log(text)


@contextlib.contextmanager
def logged(how: JobLogging, run_dir: Path) -> Iterator[None]:
    """Log the run in `run_dir`, one of several in this process, as configured by `how`, until the block ends."""
    if how.settings is None or how.settings.get("root") is None:
        yield
        return
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with contextlib.suppress(OSError):  # the log file cannot be opened
        run_dir.mkdir(parents=True, exist_ok=True)
        logging.config.dictConfig(_placed(how.settings, str(run_dir.resolve())))
    for name in how.verbose:
        logging.getLogger(name or None).setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)


def _placed(value: Any, run_dir: str) -> Any:
    """Return plain values with `FOLDER` replaced by the run directory."""
    match value:
        case str():
            return value.replace(FOLDER, run_dir)
        case Mapping():
            return {key: _placed(each, run_dir) for key, each in value.items()}
        case list():
            return [_placed(each, run_dir) for each in value]
        case _:
            return value

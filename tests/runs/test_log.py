"""The lines of a run in Python's logging."""

from __future__ import annotations

import logging
from pathlib import Path

from archsearch.runs.log import FOLDER, JobLogging, log, logged

SETTINGS = {
    "version": 1,
    "formatters": {"plain": {"format": "%(levelname)s %(message)s"}},
    "handlers": {
        "file": {"class": "logging.FileHandler", "formatter": "plain", "filename": f"{FOLDER}/run.log", "delay": True}
    },
    "root": {"level": "INFO", "handlers": ["file"]},
    "disable_existing_loggers": False,
}


def test_each_run_of_a_process_has_its_own_log(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    for name, verbose in (("a", ()), ("b", ("archsearch",))):
        with logged(JobLogging(settings=SETTINGS, verbose=verbose), tmp_path / name):
            log(f"this is {name}\nat postgresql://me:secret@host/db")
            log("in detail", logging.DEBUG)
        assert (list(root.handlers), root.level) == before
        logging.getLogger("archsearch").setLevel(logging.NOTSET)
    lines = "INFO this is {}\nINFO at postgresql://me:***@host/db\n"
    assert (tmp_path / "a" / "run.log").read_text() == lines.format("a")
    assert (tmp_path / "b" / "run.log").read_text() == lines.format("b") + "DEBUG in detail\n"


def test_without_a_configuration_there_is_none(tmp_path: Path) -> None:
    for settings in (None, {"version": 1, "root": None}):
        with logged(JobLogging(settings=settings), tmp_path / "run"):
            log("nothing")
    assert not (tmp_path / "run").exists()


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "run" / "run.log").mkdir(parents=True)
    with logged(JobLogging(settings=SETTINGS), tmp_path / "run"):
        log("nothing")

"""A study as files for other programs: CSV, JSON, and the best design as YAML. Each is written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archsearch.errors import SpecError, StorageError
from archsearch.formatting import number
from archsearch.report.records import COLUMNS, strict, trial_record
from archsearch.report.series import value_of
from archsearch.search.storage.read import StudyRead, TrialRead

FILES = {"csv": "trials.csv", "json": "study.json", "design": "design.yaml"}
"""The files of an export into one folder."""


def export_study(study: StudyRead, files: Mapping[str, Path], *, trial: TrialRead | None = None) -> list[str]:
    """Write the `files` that are named (csv, json, design) and return a line for each.

    The design is that of `trial`, by default of the best. Raises `SpecError` if there is none, before anything is
    written, and `StorageError` if a file cannot be written.
    """
    wanted = {"csv": csv_text, "json": json_text, "design": lambda one: design_text(one, trial)}
    # What is no letter, such as half of a pair in a name from elsewhere, is written as its code.
    contents = {file: wanted[kind](study).encode(errors="backslashreplace") for kind, file in files.items()}
    return [f"{_write(file, content)} ({number(len(content))} bytes)" for file, content in contents.items()]


def folder_files(study: StudyRead, folder: Path) -> dict[str, Path]:
    """Return the files of an export into one folder; the design only where there is one."""
    best = next(iter(study.ranked()), None)
    there = best is not None and isinstance(best.attrs.get("design"), str)
    return {kind: folder / name for kind, name in FILES.items() if kind != "design" or there}


def csv_text(study: StudyRead) -> str:
    """Return one line per trial: state, values, figures, one column per assignment, its files."""
    keys = list(dict.fromkeys(name for trial in study.trials for name in trial.assignments))
    columns = [name for name in (*COLUMNS, "test_accuracy") if name not in study.objectives]
    head = ["trial", "state", *study.objectives, *columns, "started", "finished", "design_id", "run_dir", "cause"]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(map(_cell, (*head, *(f"set:{name}" for name in keys))))
    for trial in study.trials:
        values: Sequence[Any] = trial.values or [None] * len(study.objectives)
        row = [trial.number, trial.state, *values, *(value_of(study, trial, name) for name in columns)]
        row += [when.isoformat(timespec="seconds") if when else None for when in (trial.started, trial.finished)]
        row += [trial.attrs.get("design_id"), trial.attrs.get("run_dir"), trial.cause]
        writer.writerow(map(_cell, (*row, *(trial.assignments.get(name) for name in keys))))
    return written.getvalue()


def _cell(value: object) -> object:
    """Return `value` for a spreadsheet: a quote is put before text that it would compute as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def json_text(study: StudyRead) -> str:
    """Return the study with all attributes of its trials."""
    front = study.front()
    record = {
        "study": study.name,
        "objectives": list(study.objectives),
        "directions": list(study.directions),
        "attributes": dict(study.attrs),
        "states": study.counts(),
        "trials": [trial_record(study, trial, front) for trial in study.trials],
    }
    return json.dumps(strict(record), indent=1, allow_nan=False) + "\n"


def design_text(study: StudyRead, trial: TrialRead | None = None) -> str:
    """Return the YAML of the trial's design, by default of the best; raises `SpecError` if there is none."""
    chosen = trial or next(iter(study.ranked()), None)
    if chosen is None:
        raise SpecError("study", f"'{study.name}' has no complete trial")
    text = chosen.attrs.get("design")
    if not isinstance(text, str):
        raise SpecError(
            "study", f"trial {chosen.number} of '{study.name}' has no design: it was made by another program"
        )
    return text


def _write(file: Path, content: bytes) -> Path:
    from archsearch.training.storage import write_whole

    try:
        write_whole(file, content)
    except StorageError as error:
        cause = getattr(error.__cause__, "strerror", None) or error.__cause__
        raise StorageError(f"{file}: cannot be written: {cause}. Choose another file.") from error
    return file

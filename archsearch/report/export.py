"""Export of a study for other programs: CSV, JSON, and the best design as YAML. Each file is written atomically."""

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
"""The file names of an export to one folder, by kind."""


def export_study(study: StudyRead, files: Mapping[str, Path], *, trial: TrialRead | None = None) -> list[str]:
    """Write `files`, by kind (csv, json, design), and return one line of output for each.

    The design is that of `trial`, by default of the best trial. Raises `SpecError` if there is none, before anything is
    written, and `StorageError` if a file cannot be written.
    """
    wanted = {"csv": csv_text, "json": json_text, "design": lambda one: design_text(one, trial)}
    # A lone surrogate, for example in a name from another program, is written as an escape sequence.
    contents = {file: wanted[kind](study).encode(errors="backslashreplace") for kind, file in files.items()}
    return [f"{_write(file, content)} ({number(len(content))} bytes)" for file, content in contents.items()]


def folder_files(study: StudyRead, folder: Path) -> dict[str, Path]:
    """Return the files of an export to `folder`, by kind; a design only if the best trial has one."""
    best = next(iter(study.ranked()), None)
    there = best is not None and isinstance(best.attrs.get("design"), str)
    return {kind: folder / name for kind, name in FILES.items() if kind != "design" or there}


def csv_text(study: StudyRead) -> str:
    """Return the trials as CSV, one row each: state, values, metrics, run directory, one column per assignment."""
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
    """Return `value`, with a quote before text that a spreadsheet would evaluate as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def json_text(study: StudyRead) -> str:
    """Return the study as JSON, with all attributes of its trials."""
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
    """Return the YAML of the design of `trial`, by default of the best; raise `SpecError` if there is none."""
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

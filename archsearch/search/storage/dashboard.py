"""Attributes for optuna-dashboard: margins, constraints, a note and pictures; archsearch itself does not need them.

The dashboard lists, sorts and plots attributes that are single numbers, reads constraints in the format before Optuna
5, and shows a note in Markdown with the study. Imports neither optuna nor the dashboard.
"""

from __future__ import annotations

import json
import mimetypes
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from archsearch.analysis.limits import Margin, bound_text
from archsearch.search.storage.url import Address

MARGIN = "Margin "
"""Prefix of the names of margins; the capital letter sorts them before the other attributes."""
OLDER = "constraints"
"""The system attribute of constraints before Optuna 5: a list without names."""


def margin_attrs(margins: Sequence[Margin]) -> dict[str, float]:
    """Return the slack of each limit, to four significant digits, by an attribute name of limit and bound."""
    return {
        f"{MARGIN}{one.limit} ({bound_text(one.limit, one.bound)})": float(f"{one.slack or 0.0:.4g}") for one in margins
    }


def older_constraints(excess: Mapping[str, float]) -> dict[str, list[float]]:
    """Return the system attribute from which the dashboard reads feasibility: only the largest excess."""
    return {OLDER: [max(excess.values())]} if excess else {}


def limits_note(limits: str, bounds: object) -> dict[str, Any]:
    """Return the system attributes for a study's note: a table of the limits, and an explanation of margins."""
    if not isinstance(bounds, Mapping) or not bounds:
        return {}
    lines = [f"| {limit} | {bound_text(limit, bound)} |" for limit, bound in bounds.items()]
    text = "\n".join([f"## Limits: {limits}", "", "| limit | bound |", "|---|---|", *lines, "", _HOW])
    return {"dashboard:note_ver": 1, "dashboard:note_str:0": text}


_HOW = (
    f"Every trial has a `{MARGIN}...` for each limit, relative to its bound: 0.25 is kept by a quarter of the bound, "
    "a negative one is broken. With a margin as the y axis of *History*, infeasible designs are the grey points. "
    "`python -m archsearch.study why` counts the designs that break each limit."
)


PICTURES = ("curves.png", "card.png", "design.png")
"""Files in a run directory that are attached if they exist."""
FILES = ("design.yaml", "model.safetensors", "card.json", "metrics.jsonl", *PICTURES, "result.json")
"""Files of a run that `study.artifacts` keeps; the result is last, so that a copy with a result is complete."""


def artifact_folder(address: Address) -> Path:
    """Return the folder for a database's artifacts: `artifacts` next to its file, or in `outputs` for a server."""
    return (Path("outputs") if address.path is None else address.path.parent) / "artifacts"


def attach_files(run_dir: Path, address: Address, artifacts: str | None) -> tuple[dict[str, str], dict[str, Any]]:
    """Copy the files of a finished run and return the system and user attributes that refer to the copies.

    Without `artifacts` (`study.artifacts`), only the pictures are copied, for the dashboard; with it, all of `FILES`
    are copied into that folder. If copying fails, there are no system attributes, the user attribute `artifacts` holds
    the error if `artifacts` is set, and the run keeps its own files.
    """
    folder = artifact_folder(address) if artifacts is None else Path(artifacts)
    try:
        system = attach((run_dir / name for name in (PICTURES if artifacts is None else FILES)), folder)
    except OSError as error:
        cause = {"folder": str(folder), "error": error.strerror or str(error)}
        return {}, {} if artifacts is None else {"artifacts": cause}
    if artifacts is None:
        return system, {}
    entries = [json.loads(entry) for entry in system.values()]
    files = {entry["filename"]: entry["artifact_id"] for entry in entries}
    return system, {"artifacts": {"folder": str(folder), "files": files}}


def attach(files: Iterable[Path], folder: Path) -> dict[str, str]:
    """Copy the `files` that exist into `folder` and return the system attributes that link a trial to them.

    The attributes are those of `optuna.artifacts.upload_artifact` (Optuna 5). Raises `OSError` if the folder cannot
    be written.
    """
    attrs: dict[str, str] = {}
    for file in files:
        if not file.is_file():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        name = str(uuid.uuid4())
        try:
            shutil.copyfile(file, folder / name)
        except OSError:  # leave no partial copy on a full disk
            (folder / name).unlink(missing_ok=True)
            raise
        kind, encoding = mimetypes.guess_type(file.name)
        entry = {"artifact_id": name, "filename": file.name, "mimetype": kind, "encoding": encoding}
        attrs[f"artifacts:{name}"] = json.dumps(entry)
    return attrs

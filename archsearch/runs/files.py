"""The files of a trial, for commands that need them: from its run directory, or copies kept by `study.artifacts`."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Mapping
from pathlib import Path

from archsearch.errors import ArchsearchError, RunError, SpecError
from archsearch.formatting import folder_name
from archsearch.search.storage.dashboard import FILES
from archsearch.search.storage.read import StudyRead, TrialRead


def run_folder(study: StudyRead, trial: TrialRead) -> Path:
    """Return a folder with the trial's files: its run directory if it is on this machine, else a folder of copies.

    Raises `RunError`, with host and folder, if the files are only on another machine or their copies cannot be read,
    and `SpecError` if the trial has no folder or its folder is missing.
    """
    if trial.place is None:
        raise SpecError("trial", f"trial {trial.number} names no folder: it was made by another program")
    if (folder := trial.folder()) is not None:
        return folder
    stored = trial.attrs.get("artifacts")
    if isinstance(stored, Mapping) and isinstance(stored.get("files"), Mapping):
        return _fetch(study, trial, Path(str(stored.get("folder"))), stored["files"])
    host, _, place = trial.place.partition(":")
    run_dir = str(trial.attrs.get("run_dir"))
    if "location" not in trial.attrs or host == socket.gethostname():
        found = "does not exist" if not Path(run_dir).is_dir() else "holds the files of another training"
        fix = "Run the command in the folder in which the search was started, or train the design again."
        raise SpecError("trial", f"the folder of trial {trial.number}, {run_dir}, {found}", fix)
    why = f" {run_dir} on this machine holds another training of it." if Path(run_dir).is_dir() else ""
    if isinstance(stored, Mapping):
        why += f" They could not be copied to {stored.get('folder')}: {stored.get('error')}."
    raise RunError(
        f"the files of trial {trial.number} are on {host} in {place}, not on this machine ({socket.gethostname()})."
        f"{why} "
        f"Run the command there, or copy them: scp -r {trial.place} {Path(run_dir).parent}/. "
        "With study.artifacts=FOLDER a search keeps copies in a folder that all machines reach."
    )


def _fetch(study: StudyRead, trial: TrialRead, folder: Path, files: Mapping[str, object]) -> Path:
    """Copy the trial's files from the artifacts in `folder` and return the folder of the copies."""
    from archsearch.training.storage import write_whole

    target = Path("outputs/fetched", folder_name(study.name), f"{trial.number:04d}")
    try:
        for name in FILES:  # only known names, and only artifact ids in Optuna's form (a UUID)
            if name in files:
                write_whole(target / name, (folder / str(uuid.UUID(str(files[name])))).read_bytes())
    except (OSError, ValueError, ArchsearchError) as error:
        raise RunError(
            f"the files of trial {trial.number} are on {trial.place}, and their copies in {folder} cannot be read "
            f"here: {getattr(error, 'strerror', None) or error}. Mount that folder, or run the command there."
        ) from error
    return target

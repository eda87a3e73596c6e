"""Artifacts: pictures of a training that the study database names, so that optuna-dashboard shows them with the trial.

Optuna's own call writes to trials that still run; rows that are written whole carry the same attribute from the start.
"""

from __future__ import annotations

import json
import mimetypes
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from archsearch.search.address import Address

PICTURES = ("curves.png", "card.png", "design.png")
"""Files of a run's folder that are attached where they are there."""


def artifact_folder(address: Address) -> Path:
    """Return the folder of a database's artifacts: `artifacts` beside its file, or below `outputs` for a server."""
    return (Path("outputs") if address.path is None else address.path.parent) / "artifacts"


def attach_pictures(run_dir: Path, address: Address) -> dict[str, str]:
    """Return what `attach` returns for a run's pictures; none where they cannot be copied."""
    try:
        return attach((run_dir / name for name in PICTURES), artifact_folder(address))
    except OSError:
        return {}


def attach(files: Iterable[Path], folder: Path) -> dict[str, str]:
    """Copy the `files` that exist into `folder` and return the system attributes by which a trial names them.

    It is the attribute of `optuna.artifacts.upload_artifact` (Optuna 5). Raises `OSError` where nothing can be written.
    """
    attrs: dict[str, str] = {}
    for file in files:
        if not file.is_file():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        name = str(uuid.uuid4())
        shutil.copyfile(file, folder / name)
        kind, encoding = mimetypes.guess_type(file.name)
        said = {"artifact_id": name, "filename": file.name, "mimetype": kind, "encoding": encoding}
        attrs[f"artifacts:{name}"] = json.dumps(said)
    return attrs

"""The folder that Hydra creates for a run before the run is checked: removed again if the run is rejected."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from archsearch.overrides import key_of, text_of

_DEFAULT = "outputs/runs/"
_OF_HYDRA = frozenset({"config.yaml", "hydra.yaml", "overrides.yaml"})


def existing_part(given: Sequence[str]) -> Path:
    """Return the innermost existing folder on the path of the run folder that the command line `given` will create."""
    named = [text_of(one) for one in given if key_of(one) == "hydra.run.dir"]
    path = Path((named[-1] if named else _DEFAULT).partition("${")[0]).expanduser().absolute()
    while not path.is_dir():
        path = path.parent
    return path


def discard_folder(existing: Path) -> None:
    """Remove the current run's folder if it holds only Hydra's files, and its empty parents up to `existing`."""
    from hydra.core.hydra_config import HydraConfig

    config = HydraConfig.get()
    folder = Path(config.runtime.output_dir)
    inner = folder / (config.output_subdir or "")
    ours = {*(inner / name for name in _OF_HYDRA), folder / f"{config.job.name}.log"}
    if {file for file in folder.rglob("*") if not file.is_dir()} - ours:
        return
    with contextlib.suppress(OSError):  # only a clean-up, so a failure does not matter
        for file in ours:
            file.unlink(missing_ok=True)
        for empty in dict.fromkeys((inner, folder, *folder.parents)):
            if existing.is_relative_to(empty):
                break
            empty.rmdir()

"""The folder that Hydra makes for a run before the run is checked: removed again where the run is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from archsearch.overrides import key_of, text_of

_DEFAULT = "outputs/runs/"
_OF_HYDRA = frozenset({"config.yaml", "hydra.yaml", "overrides.yaml"})


def existing_part(given: Sequence[str]) -> Path:
    """Return the innermost folder that exists already of the one that a run of the command line `given` will make."""
    named = [text_of(one) for one in given if key_of(one) == "hydra.run.dir"]
    path = Path((named[-1] if named else _DEFAULT).partition("${")[0]).expanduser().absolute()
    while not path.is_dir():
        path = path.parent
    return path


def discard_folder(existing: Path) -> None:
    """Remove the present run's folder, and those around it up to `existing`, if they hold only what Hydra wrote."""
    from hydra.core.hydra_config import HydraConfig

    config = HydraConfig.get()
    folder = Path(config.runtime.output_dir)
    inner = folder / (config.output_subdir or "")
    ours = {*(inner / name for name in _OF_HYDRA), folder / f"{config.job.name}.log"}
    if {file for file in folder.rglob("*") if not file.is_dir()} - ours:
        return
    with contextlib.suppress(OSError):  # it is no more than tidying up
        for file in ours:
            file.unlink(missing_ok=True)
        for empty in dict.fromkeys((inner, folder, *folder.parents)):
            if existing.is_relative_to(empty):
                break
            empty.rmdir()

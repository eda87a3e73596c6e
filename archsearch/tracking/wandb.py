"""Weights & Biases: a run of a project; an offline run stays in a folder until `wandb sync` uploads it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.base import End, Tracked, library


class WandbTracker:
    """Logs to one run, identified by its run directory, so that a resumed run continues it."""

    def __init__(self, settings: TrackingSettings, tracked: Tracked) -> None:
        """Start or resume the run of `tracked`; raises `SpecError` without wandb, and whatever wandb raises."""
        wandb = library("wandb", tracker="wandb")
        folder = Path(settings.folder)
        folder.mkdir(parents=True, exist_ok=True)  # if it is missing, wandb uses a temporary folder
        self._run = wandb.init(
            project=settings.project,
            name=tracked.name,
            id=hashlib.sha256(str(tracked.run_dir.resolve()).encode()).hexdigest()[:16],
            dir=str(folder),
            mode=settings.mode,
            resume="allow",
            config=dict(tracked.settings),
            # No source code, installed packages or machine name: only the values logged here are sent.
            settings=wandb.Settings(silent=True, disable_git=True, save_code=False),
        )

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=number)

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        self._run.summary.update(dict(values))
        for file in files:
            self._run.save(str(file), base_path=str(file.parent), policy="now")

    def close(self, end: End) -> None:
        self._run.finish(exit_code=0 if end == "finished" else 1)

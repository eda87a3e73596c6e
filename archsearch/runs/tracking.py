"""A run followed by a tracker: what is tracked of it, and the progress that passes the epochs on. Knows no hydra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.errors import InterruptedRun
from archsearch.tracking.guarded import GuardedTracker
from archsearch.tracking.tracker import Scalar, Tracked
from archsearch.training.progress import Progress, Silent

if TYPE_CHECKING:
    from archsearch.analysis.check import Checked
    from archsearch.data.dataset import Dataset
    from archsearch.settings.experiment import Experiment
    from archsearch.training.result import EpochRecord


class Followed:
    """A `Progress` that shows what `shown` does and tells a tracker of every epoch."""

    def __init__(self, shown: Progress | None, tracker: GuardedTracker) -> None:
        self._shown: Progress = Silent() if shown is None else shown
        self._tracker = tracker
        self._told = 0
        self._tell()

    def begin(self, *, epochs: int, steps: int, epoch: int, step: int) -> None:
        self._shown.begin(epochs=epochs, steps=steps, epoch=epoch, step=step)

    def advance(self) -> None:
        self._shown.advance()

    def end_epoch(self, record: EpochRecord, best: EpochRecord | None) -> None:
        self._shown.end_epoch(record, best)
        values = {name: float(value) for name, value in asdict(record).items() if value is not None}
        del values["epoch"]
        self._tracker.epoch(record.epoch, values)
        self._tell()

    def note(self, text: str) -> None:
        self._shown.note(text)

    def close(self) -> None:
        self._shown.close()

    def finish(self, record: Mapping[str, Any], files: Sequence[Path]) -> list[str]:
        """Hand the tracker the result of `record` and those of `files` that are there; return its notices."""
        self._tracker.result(result_values(record), [file for file in files if file.is_file()])
        self._tracker.close("finished")
        self._tell()
        return list(self._tracker.notices)

    def fail(self, error: BaseException) -> None:
        """Tell the tracker that the run ended with `error`."""
        self._tracker.close("stopped" if isinstance(error, InterruptedRun | KeyboardInterrupt) else "failed")
        self._tell()

    def _tell(self) -> None:
        for notice in self._tracker.notices[self._told :]:
            self._shown.note(notice)
        self._told = len(self._tracker.notices)


def follow(
    experiment: Experiment, checked: Checked, dataset: Dataset, run_dir: Path, shown: Progress | None
) -> Followed:
    """Return the progress of a run that the chosen tracker follows; raises `SpecError` where it is not installed."""
    tracked = Tracked(
        name="_".join(run_dir.resolve().parts[-2:]),  # of a search: the study's folder and the trial's number
        run_dir=run_dir,
        set=settings_of(experiment, checked, dataset),
    )
    return Followed(shown, GuardedTracker(experiment.tracking, tracked))


def settings_of(experiment: Experiment, checked: Checked, dataset: Dataset) -> dict[str, Scalar]:
    """Return what was set and what analysis says, flat; nothing of study and tracker, which may hold passwords."""
    found: dict[str, Scalar] = {
        "design": checked.design.name,
        "design_id": checked.design_id,
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "parameters": checked.footprint.parameters,
        "macs": checked.footprint.macs,
        "receptive_field": checked.footprint.receptive_field,
        "seed": experiment.seed,
        "augment": str(experiment.augment),
    }
    for name in ("train", "optimizer", "schedule"):
        found |= {f"{name}.{key}": value for key, value in asdict(getattr(experiment, name)).items()}
    return found


def result_values(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of `result.json` that a tracker compares runs by."""
    values = {
        f"final/{split}_{kind}": number for kind in ("accuracy", "loss") for split, number in record[kind].items()
    }
    values |= {f"final/{name}": record[name] for name in ("parameters", "macs", "receptive_field", "seconds")}
    return {name: float(value) for name, value in values.items() if value is not None}

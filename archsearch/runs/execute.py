"""One run from a checked design to its files: network, training, tracker, result. Imports neither Hydra nor Optuna.

A single run calls `execute` once, a search once per trial.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import Checked, require
from archsearch.errors import InterruptedRun
from archsearch.report.vocabulary import record_of
from archsearch.runs.finish import discard_pictures, finish
from archsearch.runs.fit import require_fit
from archsearch.runs.folder import refuse_links
from archsearch.runs.log import LoggedProgress, log, log_error
from archsearch.runs.record import RESULT, result_record, weights_metadata, write_design, write_json
from archsearch.settings.experiment import Experiment
from archsearch.settings.objectives import added_objectives
from archsearch.tracking.base import Scalar, Tracked
from archsearch.tracking.guarded import GuardedTracker
from archsearch.training.storage import remove_parts

if TYPE_CHECKING:
    from torch import nn

    from archsearch.augment.make import Augmenter
    from archsearch.data.dataset import Dataset
    from archsearch.training.progress import Progress
    from archsearch.training.result import EpochRecord, TrainResult

TRACKED_FILES = ("design.yaml", "design.png", "curves.png", "card.png")
"""The files of a run that are uploaded to a tracker."""
_FOOTPRINT = ("parameters", "macs", "receptive_field")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """The input of an objective from an installed package: a trained network, its design, data and record so far."""

    network: nn.Module
    checked: Checked
    dataset: Dataset
    record: Mapping[str, Any]
    run_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """The outcome of a run: the training's result, the record in `result.json`, and the run directory."""

    result: TrainResult
    record: dict[str, Any]
    run_dir: Path


def execute(
    experiment: Experiment,
    checked: Checked,
    run_dir: Path,
    *,
    dataset: Dataset,
    progress: Progress | None = None,
    on_epoch: Callable[[int, float], bool] | None = None,
    on_result: Callable[[dict[str, Any]], None] | None = None,
    resume: bool = False,
    evaluate_test: bool = True,
    notices: Sequence[str] = (),
) -> RunOutcome:
    """Train the checked design and write its files to `run_dir`.

    `on_result` receives the content of `result.json` as soon as it is written, before the pictures are drawn.
    `notices` from before the training are stored with the result. Raises `LimitError` if the design breaks a limit,
    `SpecError` if the network does not fit the images, and the errors of `archsearch.training.loop.train`.
    """
    require(checked)
    require_fit(checked, dataset, experiment.train)
    import torch

    from archsearch.augment.make import make_augmenter
    from archsearch.network.assemble import assemble
    from archsearch.network.weights import load_weights
    from archsearch.training.device import choose_device, freed_after
    from archsearch.training.loop import train

    run_dir.mkdir(parents=True, exist_ok=True)
    refuse_links(run_dir)
    remove_parts(run_dir)
    design_text = write_design(run_dir / "design.yaml", checked)
    network = assemble(
        checked.plan, scheme=experiment.train.initialise, generator=torch.Generator().manual_seed(experiment.seed)
    )
    if experiment.train.weights is not None:
        load_weights(network, Path(experiment.train.weights), "train.weights")
    device = choose_device(experiment.train.device)

    def augmenter() -> Augmenter:  # the first use of the device, whose memory other processes may have filled
        return make_augmenter(experiment.augment, mean=dataset.mean, std=dataset.std, device=device)

    for key, value in settings_of(experiment, checked, dataset).items():
        log(f"{key}={value}", logging.DEBUG)
    tracked = track(experiment, checked, dataset, run_dir, progress)
    for notice in notices:
        tracked.note(notice)
    try:
        result = train(
            network,
            dataset,
            settings=experiment.train,
            optimizer=experiment.optimizer,
            schedule=experiment.schedule,
            augmenter=freed_after(augmenter, device, batch_size=experiment.train.batch_size),
            seed=experiment.seed,
            run_dir=run_dir,
            on_epoch=on_epoch,
            resume=resume,
            progress=tracked,
            evaluate_test=evaluate_test,
            metadata=weights_metadata(design_text, dataset),
        )
        record = result_record(experiment, checked, dataset, result)
        record["notices"] = [*notices, *record["notices"]]
        if not result.pruned:
            trained = TrainedRun(network=network, checked=checked, dataset=dataset, record=record, run_dir=run_dir)
            added = added_objectives(experiment.study.objectives)
            record["objectives"] = {name: float(measure(trained)) for name, measure in added.items()}
        discard_pictures(run_dir)
        write_json(run_dir / RESULT, record)
        if on_result is not None:
            on_result(record)

        def follow_up(finished: dict[str, Any]) -> list[str]:
            for notice in finished["notices"][len(record["notices"]) :]:
                tracked.note(notice)
            return tracked.finish(finished, [run_dir / name for name in TRACKED_FILES])

        probabilities_NK = result.probabilities_NK
        record["notices"] += finish(
            experiment, checked, dataset, run_dir, network=network, probabilities_NK=probabilities_NK, then=follow_up
        )
    except BaseException as error:
        tracked.fail(error)
        log_error(error)
        raise
    return RunOutcome(result=result, record=record, run_dir=run_dir)


class TrackedProgress:
    """A `Progress` that passes everything to `shown`, each line to the log, and each epoch to a tracker."""

    def __init__(self, shown: Progress, tracker: GuardedTracker) -> None:
        self._shown, self._logged = shown, LoggedProgress()
        self._tracker = tracker
        self._noted = 0
        self._note()

    def begin(self, *, epochs: int, steps: int, epoch: int, step: int) -> None:
        for each in (self._shown, self._logged):
            each.begin(epochs=epochs, steps=steps, epoch=epoch, step=step)

    def advance(self) -> None:
        self._shown.advance()

    def end_epoch(self, record: EpochRecord, best: EpochRecord | None) -> None:
        for each in (self._shown, self._logged):
            each.end_epoch(record, best)
        values = {name: float(value) for name, value in asdict(record).items() if value is not None}
        del values["epoch"]
        self._tracker.epoch(record.epoch, values)
        self._note()

    def note(self, text: str) -> None:
        for each in (self._shown, self._logged):
            each.note(text)

    def close(self) -> None:
        self._shown.close()

    def finish(self, record: Mapping[str, Any], files: Sequence[Path]) -> list[str]:
        """Pass the result in `record` and the existing `files` to the tracker; return the tracker's notices."""
        self._tracker.result(result_values(record), [file for file in files if file.is_file()])
        self._tracker.close("finished")
        self._note()
        return list(self._tracker.notices)

    def fail(self, error: BaseException) -> None:
        """Close the tracker of a run that `error` ended."""
        self._tracker.close("stopped" if isinstance(error, InterruptedRun | KeyboardInterrupt) else "failed")
        self._note()

    def _note(self) -> None:
        for notice in self._tracker.notices[self._noted :]:
            self.note(notice)
        self._noted = len(self._tracker.notices)


def track(
    experiment: Experiment, checked: Checked, dataset: Dataset, run_dir: Path, shown: Progress | None
) -> TrackedProgress:
    """Return a progress that also feeds the selected tracker; raises `SpecError` if the tracker is not installed."""
    from archsearch.training.progress import Silent

    tracked = Tracked(
        name="_".join(run_dir.resolve().parts[-2:]),  # in a search: the study's folder and the trial's number
        run_dir=run_dir,
        settings=settings_of(experiment, checked, dataset),
    )
    return TrackedProgress(shown or Silent(), GuardedTracker(experiment.tracking, tracked))


def settings_of(experiment: Experiment, checked: Checked, dataset: Dataset) -> dict[str, Scalar]:
    """Return the settings and the footprint by dotted key, except study and tracking, which may hold passwords."""
    found: dict[str, Scalar] = {
        "design": checked.design.name,
        "design_id": checked.design_id,
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        **record_of(checked.footprint, _FOOTPRINT),
        "seed": experiment.seed,
        "augment": str(experiment.augment),
    }
    for name in ("train", "optimizer", "schedule"):
        found |= {f"{name}.{key}": value for key, value in asdict(getattr(experiment, name)).items()}
    return found


def result_values(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of `result.json` by which a tracker compares runs."""
    values = {f"final/{split}_{kind}": value for kind in ("accuracy", "loss") for split, value in record[kind].items()}
    values |= {f"final/{name}": record[name] for name in (*_FOOTPRINT, "seconds")}
    return {name: float(value) for name, value in values.items() if value is not None}

"""One run from a checked design to its files: network, training, tracker, result. Imports neither Hydra nor Optuna.

A single run calls `execute`, and a search for each of its trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import Checked, require
from archsearch.errors import InterruptedRun, SpecError
from archsearch.formatting import number
from archsearch.report.vocabulary import record_of
from archsearch.runs.record import result_record, weights_metadata, write_design, write_json
from archsearch.settings.experiment import Experiment
from archsearch.settings.objectives import added_objectives
from archsearch.tracking.base import Scalar, Tracked
from archsearch.tracking.guarded import GuardedTracker

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from archsearch.augment.make import Augmenter
    from archsearch.data.dataset import Dataset
    from archsearch.report.card import Split
    from archsearch.training.progress import Progress
    from archsearch.training.result import EpochRecord, TrainResult

TRACKED_FILES = ("design.yaml", "design.png", "curves.png", "card.png")
"""The files of a run that a tracker keeps."""
_FOOTPRINT = ("parameters", "macs", "receptive_field")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """What the objective of an installed package measures: a trained network, its design, data and record so far."""

    network: nn.Module
    checked: Checked
    dataset: Dataset
    record: Mapping[str, Any]
    run_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """The outcome of a run: the training's result, the record in `result.json`, and the folder."""

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
) -> RunOutcome:
    """Train the checked design and write its files to `run_dir`.

    `on_result` receives the content of `result.json` as soon as it is written; the pictures are drawn later. Raises
    `LimitError` for a design that breaks a limit, `SpecError` if the network does not fit the images, and what
    `archsearch.training.loop.train` raises.
    """
    require(checked)
    require_fit(checked, dataset)
    import torch

    from archsearch.augment.make import make_augmenter
    from archsearch.network.assemble import assemble
    from archsearch.report.figures.design import draw_design
    from archsearch.report.figures.study import draw_training
    from archsearch.training.checkpoint import discard_checkpoint
    from archsearch.training.device import choose_device, freed_after
    from archsearch.training.loop import train

    run_dir.mkdir(parents=True, exist_ok=True)
    design_text = write_design(run_dir / "design.yaml", checked)
    network = assemble(
        checked.plan, scheme=experiment.train.initialise, generator=torch.Generator().manual_seed(experiment.seed)
    )
    device = choose_device(experiment.train.device)

    def augmenter() -> Augmenter:  # the first that touches the device, which other processes may have filled
        return make_augmenter(experiment.augment, mean=dataset.mean, std=dataset.std, device=device)

    tracked = track(experiment, checked, dataset, run_dir, progress)
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
        if not result.pruned:
            trained = TrainedRun(network=network, checked=checked, dataset=dataset, record=record, run_dir=run_dir)
            added = added_objectives(experiment.study.objectives)
            record["objectives"] = {name: float(measure(trained)) for name, measure in added.items()}
        write_json(run_dir / "result.json", record)
        if on_result is not None:
            on_result(record)
        title = f"{checked.design.name} on {dataset.name}"
        _draw(lambda file: draw_training(result.history, file, title=title), run_dir / "curves.png")
        if not result.pruned:
            _draw(lambda file: draw_design(checked, file), run_dir / "design.png")
        notices = []
        split: Split = "test" if evaluate_test else "validation"
        if not result.pruned and len(dataset.test if evaluate_test else dataset.validation) > 0:
            notices += _card(experiment, checked, dataset, network, run_dir, device, split, result.probabilities_NK)
        for notice in notices:
            tracked.note(notice)
        if notices := [*notices, *tracked.finish(record, [run_dir / name for name in TRACKED_FILES])]:
            record["notices"] += notices
            write_json(run_dir / "result.json", record)
        discard_checkpoint(run_dir, experiment.train)  # only now: before, a kill would have lost the result
    except BaseException as error:
        tracked.fail(error)
        raise
    return RunOutcome(result=result, record=record, run_dir=run_dir)


def _draw(draw: Callable[[Path], object], file: Path) -> None:
    from archsearch.training.storage import cannot_write

    try:
        draw(file)
    except OSError as error:
        raise cannot_write(file, error) from error


def _card(
    experiment: Experiment,
    checked: Checked,
    dataset: Dataset,
    network: nn.Module,
    run_dir: Path,
    device: torch.device,
    split: Split,
    probabilities_NK: np.ndarray | None,
) -> list[str]:
    """Write the report card; return its failure as a notice, which is no reason to lose the run.

    A trial of a search gets the values alone: the report draws the best one's, and `show card=RUN_DIR` any.
    """
    from archsearch.runs.card import write_card
    from archsearch.training.device import evaluation_precision

    try:
        write_card(
            run_dir,
            network,
            dataset,
            experiment.augment,
            split=split,
            title=f"{checked.design.name} on {dataset.name}",
            device=device,
            precision=evaluation_precision(experiment.train, device),
            batch_size=experiment.train.eval_batch_size,
            picture=run_dir / "card.png" if split == "test" else None,
            probabilities_NK=probabilities_NK,
        )
    except Exception as error:  # noqa: BLE001  (the run has succeeded)
        return [f"the report card cannot be written ({type(error).__name__}: {error})"]
    return []


def batch_notice(experiment: Experiment, dataset: Dataset) -> str | None:
    """Return the notice that a batch is larger than the training images, None where it is not."""
    batch, images = experiment.train.batch_size, len(dataset.train)
    if batch <= images:
        return None
    return f"train.batch_size={batch} is more than the {number(images)} training images: every batch has all of them"


def require_fit(checked: Checked, dataset: Dataset) -> None:
    """Raise `SpecError` unless the network takes the data's images and has an output for each class."""
    require_shapes(checked.footprint.output_shape[0], checked.plan.input_shape, dataset)


def require_shapes(classes: int, wanted: tuple[int, int, int], dataset: Dataset) -> None:
    """Raise `SpecError` unless `classes` outputs, and images of the `wanted` shape, are those of the data."""
    if classes != len(dataset.classes):
        fix = f"Set arch.head.classes={len(dataset.classes)}."
        raise SpecError("arch.head.classes", f"is {classes}, but {dataset.name} has {len(dataset.classes)}", fix)
    height, width, channels = dataset.train.images_BHWC.shape[1:]
    if wanted != (channels, height, width):
        fix = f"Set arch.input=[{channels},{height},{width}]"
        if wanted[0] in (1, 3) and wanted[1] == wanted[2]:
            keys = {"channels": (wanted[0], channels), "image_size": (wanted[1], height)}
            changes = [f"data.{key}={value}" for key, (value, found) in keys.items() if value != found]
            fix += f", or {' '.join(changes)}{' data.resize=true' if wanted[1] != height else ''}"
        what = f"is {list(wanted)}, but images are {channels} x {height} x {width}"
        raise SpecError("arch.input", what, f"{fix}.")


class TrackedProgress:
    """A `Progress` that passes everything to `shown`, and every epoch to a tracker too."""

    def __init__(self, shown: Progress, tracker: GuardedTracker) -> None:
        self._shown = shown
        self._tracker = tracker
        self._noted = 0
        self._note()

    def begin(self, *, epochs: int, steps: int, epoch: int, step: int) -> None:
        self._shown.begin(epochs=epochs, steps=steps, epoch=epoch, step=step)

    def advance(self) -> None:
        self._shown.advance()

    def end_epoch(self, record: EpochRecord, best: EpochRecord | None) -> None:
        self._shown.end_epoch(record, best)
        values = {name: float(value) for name, value in asdict(record).items() if value is not None}
        del values["epoch"]
        self._tracker.epoch(record.epoch, values)
        self._note()

    def note(self, text: str) -> None:
        self._shown.note(text)

    def close(self) -> None:
        self._shown.close()

    def finish(self, record: Mapping[str, Any], files: Sequence[Path]) -> list[str]:
        """Give the tracker the result in `record` and those of `files` that exist; return its notices."""
        self._tracker.result(result_values(record), [file for file in files if file.is_file()])
        self._tracker.close("finished")
        self._note()
        return list(self._tracker.notices)

    def fail(self, error: BaseException) -> None:
        """Close the tracker of a run that ended with `error`."""
        self._tracker.close("stopped" if isinstance(error, InterruptedRun | KeyboardInterrupt) else "failed")
        self._note()

    def _note(self) -> None:
        for notice in self._tracker.notices[self._noted :]:
            self._shown.note(notice)
        self._noted = len(self._tracker.notices)


def track(
    experiment: Experiment, checked: Checked, dataset: Dataset, run_dir: Path, shown: Progress | None
) -> TrackedProgress:
    """Return the progress of a run, passed to the selected tracker; raises `SpecError` if that is not installed."""
    from archsearch.training.progress import Silent

    tracked = Tracked(
        name="_".join(run_dir.resolve().parts[-2:]),  # of a search: the study's folder and the trial's number
        run_dir=run_dir,
        settings=settings_of(experiment, checked, dataset),
    )
    return TrackedProgress(shown or Silent(), GuardedTracker(experiment.tracking, tracked))


def settings_of(experiment: Experiment, checked: Checked, dataset: Dataset) -> dict[str, Scalar]:
    """Return the settings and the footprint, flat; nothing of study and tracker, which may hold passwords."""
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
    """Return the numbers of `result.json` that a tracker compares runs by."""
    values = {f"final/{split}_{kind}": value for kind in ("accuracy", "loss") for split, value in record[kind].items()}
    values |= {f"final/{name}": record[name] for name in (*_FOOTPRINT, "seconds")}
    return {name: float(value) for name, value in values.items() if value is not None}

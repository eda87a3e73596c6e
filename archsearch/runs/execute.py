"""One run from a checked design to its files: data, network, training, result; knows no hydra and no optuna.

`execute` is what a single run calls, and what a search calls for each of its trials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import Checked, require
from archsearch.errors import SpecError
from archsearch.runs.record import result_record, weights_metadata, write_design, write_json
from archsearch.settings.experiment import Experiment

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from archsearch.augment.make import Augmenter
    from archsearch.data.dataset import Dataset
    from archsearch.report.card import Split
    from archsearch.training.progress import Progress
    from archsearch.training.result import TrainResult

SHOWN = ("design.yaml", "design.png", "curves.png", "card.png")
"""What a tracker keeps of a run's files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """What a run came to: the training's result, the record that `result.json` holds, and its folder."""

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
    """Train the checked design and leave its files in `run_dir`.

    `on_result` hears what `result.json` holds as soon as it is written; the pictures are drawn after that.

    Raises `LimitError` for a design that breaks a limit, `SpecError` where the network and the images do
    not fit, and what `train` raises.
    """
    require(checked)
    _fit_together(checked, dataset)
    import torch

    from archsearch.augment.make import make_augmenter
    from archsearch.network.assemble import assemble
    from archsearch.report.curves import draw_curves
    from archsearch.report.plots import draw_design
    from archsearch.runs.tracking import follow
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

    followed = follow(experiment, checked, dataset, run_dir, progress)
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
            progress=followed,
            evaluate_test=evaluate_test,
            metadata=weights_metadata(design_text, dataset),
        )
        record = result_record(experiment, checked, dataset, result)
        write_json(run_dir / "result.json", record)
        if on_result is not None:
            on_result(record)
        title = f"{checked.design.name} on {dataset.name}"
        _draw(lambda file: draw_curves(result.history, file, title=title), run_dir / "curves.png")
        if not result.pruned:
            _draw(lambda file: draw_design(checked, file), run_dir / "design.png")
        notices = []
        split: Split = "test" if evaluate_test else "validation"
        if not result.pruned and len(dataset.test if evaluate_test else dataset.validation) > 0:
            notices += _card(experiment, checked, dataset, network, run_dir, device, split, result.probabilities_NK)
        for notice in notices:
            followed.note(notice)
        if notices := [*notices, *followed.finish(record, [run_dir / name for name in SHOWN])]:
            record["notices"] += notices
            write_json(run_dir / "result.json", record)
        discard_checkpoint(run_dir, experiment.train)  # only now: before, a kill would have lost the result
    except BaseException as error:
        followed.fail(error)
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
    """Write the report card; return what went wrong with it, which is no reason to lose the run.

    A trial of a search has it as values alone: the report draws the best one's, and `show card=RUN_DIR` any.
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
        return [f"there is no report card ({type(error).__name__}: {error})"]
    return []


def _fit_together(checked: Checked, dataset: Dataset) -> None:
    """Raise `SpecError` unless the design takes the data's images and tells its classes apart."""
    classes = checked.footprint.output_shape[0]
    if classes != len(dataset.classes):
        fix = f"Set arch.head.classes={len(dataset.classes)}."
        raise SpecError("arch.head.classes", f"is {classes}, but {dataset.name} has {len(dataset.classes)}", fix)
    height, width = dataset.train.images_BHWC.shape[1:3]
    if checked.plan.input_shape != (3, height, width):
        fix = f"Set arch.input=[3,{height},{width}], or data.image_size with data.resize=true."
        raise SpecError(
            "arch.input", f"is {list(checked.plan.input_shape)}, but images are 3 x {height} x {width}", fix
        )

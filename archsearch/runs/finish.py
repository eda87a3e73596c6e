"""The last step of a run, after its result: curves, drawing and report card, and the removal of its checkpoint.

It can be repeated: resuming a killed run finishes it. The result is safe by then, so a picture that cannot be drawn is
a notice and does not fail the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import Checked
from archsearch.runs.record import RESULT, read_result, write_json
from archsearch.settings.experiment import Experiment
from archsearch.training.storage import read_metrics, remove_parts

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from archsearch.data.dataset import Dataset
    from archsearch.report.card import Split

PICTURES = ("curves.png", "design.png", "card.json", "card.png")
"""The files drawn from a result, in this order."""


def discard_pictures(run_dir: Path) -> None:
    """Remove the pictures of an earlier result, before a new one is written."""
    for name in PICTURES:
        (run_dir / name).unlink(missing_ok=True)


def finish(
    experiment: Experiment,
    checked: Checked,
    dataset: Dataset,
    run_dir: Path,
    *,
    network: nn.Module | None = None,
    probabilities_NK: np.ndarray | None = None,
    then: Callable[[dict[str, Any]], Sequence[str]] = lambda record: (),
) -> list[str]:
    """Draw the missing pictures of the run in `run_dir`, whose result is written, and remove its checkpoint.

    `network` is the trained network, read from the folder if None; `probabilities_NK` are its outputs on the images
    that it was evaluated on. `then` is called with the record at the end and may return further notices. All notices
    are added to the result, and returned. Raises `StorageError` if the result cannot be written; the checkpoint is then
    kept.
    """
    from archsearch.training.checkpoint import discard_checkpoint

    record = read_result(run_dir)
    assert record is not None, "a run is finished after its result"
    remove_parts(run_dir)
    title = f"{checked.design.name} on {dataset.name}"
    split: Split = "validation" if record["accuracy"]["test"] is None else "test"
    notices: list[str] = []

    def attempt(label: str, name: str, draw: Callable[[Path], object]) -> None:
        if (run_dir / name).is_file():
            return
        try:
            draw(run_dir / name)
        except Exception as error:  # noqa: BLE001  (the run has succeeded)
            notices.append(f"{label} cannot be written ({type(error).__name__}: {error})")

    attempt("the picture of the curves", "curves.png", lambda file: _draw_curves(run_dir, file, title))
    if not record["pruned"]:
        attempt("the picture of the design", "design.png", lambda file: _draw_design(checked, file))
        if len(dataset.test if split == "test" else dataset.validation):
            attempt(
                "the report card",
                "card.png" if split == "test" else "card.json",
                lambda _: _write_card(experiment, dataset, run_dir, split, title, network, probabilities_NK),
            )
    notices += then({**record, "notices": [*record["notices"], *notices]})
    if notices := [one for one in notices if one not in record["notices"]]:
        write_json(run_dir / RESULT, {**record, "notices": [*record["notices"], *notices]})
    discard_checkpoint(run_dir, experiment.train)  # last, because until then it marks the run as unfinished
    return notices


def _draw_curves(run_dir: Path, file: Path, title: str) -> None:
    from archsearch.report.figures.study import draw_training
    from archsearch.training.loop import METRICS

    draw_training(read_metrics(run_dir / METRICS), file, title=title)


def _draw_design(checked: Checked, file: Path) -> None:
    from archsearch.report.figures.design import draw_design

    draw_design(checked, file)


def _write_card(
    experiment: Experiment,
    dataset: Dataset,
    run_dir: Path,
    split: Split,
    title: str,
    network: nn.Module | None,
    probabilities_NK: np.ndarray | None,
) -> None:
    """Write the report card; for a trial of a search only its values, which `show card=RUN_DIR` draws."""
    import torch

    from archsearch.runs.card import write_card
    from archsearch.runs.load import load_network
    from archsearch.training.device import choose_device, evaluation_precision

    device = torch.device("cpu") if network is None else choose_device(experiment.train.device)
    write_card(
        run_dir,
        load_network(run_dir) if network is None else network,
        dataset,
        experiment.augment,
        split=split,
        title=title,
        device=device,
        precision=evaluation_precision(experiment.train, device),
        batch_size=experiment.train.eval_batch_size,
        picture=run_dir / "card.png" if split == "test" else None,
        probabilities_NK=probabilities_NK,
    )

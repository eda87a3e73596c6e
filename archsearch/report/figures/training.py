"""The figures of trainings: loss and accuracy over the epochs of one, and the learning curves of two trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.errors import SpecError
from archsearch.formatting import percent
from archsearch.report.figures.chart import Chart, Curve, Datum, Figure, Points, count_axis, value_axis
from archsearch.report.figures.layout import sheet
from archsearch.report.figures.picture import picture_format, write_drawing
from archsearch.report.series import finite_history
from archsearch.search.reading import StudyRead, TrialRead

if TYPE_CHECKING:
    from archsearch.training.result import EpochRecord

_LOOKS = ("first", "second")
_MOST_MARKS = 40  # epochs; with more the marks run into each other
_DPI = 100


def draw_training(records: Sequence[EpochRecord], file: Path, *, title: str) -> None:
    """Write to `file` (PNG, SVG or PDF) the loss and the accuracy of every epoch.

    Raises `SpecError` for another ending, `StorageError` where the file cannot be written.
    """
    write_drawing(sheet(training_figure(records, title)), file, dpi=_DPI)


def training_figure(records: Sequence[EpochRecord], title: str) -> Figure:
    """Return the loss and the accuracy over the epochs, of the training and of the validation images."""
    seen = [record for record in records if record.validation_accuracy is not None]
    losses = [(record.epoch, record.validation_loss) for record in seen]
    accuracies = [(record.epoch, record.validation_accuracy) for record in seen]
    names = ("training (augmented)", "validation")
    loss = _chart("Loss", "Cross entropy", names, [[(r.epoch, r.train_loss) for r in records], losses])
    best = max(seen, key=lambda record: record.validation_accuracy or 0.0, default=None)
    notes = () if best is None else (
        f"Best validation accuracy {percent(best.validation_accuracy or 0.0, 1)}, in epoch {best.epoch}.",
    )  # fmt: skip
    curves = [[(r.epoch, r.train_accuracy) for r in records], accuracies]
    return Figure(title=title, panels=(loss, _chart("Accuracy", "Accuracy", names, curves, notes)))


def draw_comparison(study: StudyRead, trials: Sequence[TrialRead], file: Path) -> None:
    """Write to `file` (PNG, SVG or PDF) the learning curves of two trials in one chart.

    Raises `SpecError` for another ending or where neither has a curve, `StorageError` where it cannot be written.
    """
    picture_format(file)
    write_drawing(sheet(comparison_figure(study, trials)), file)


def comparison_figure(study: StudyRead, trials: Sequence[TrialRead]) -> Figure:
    """Return the learning curves of two trials in one chart; raises `SpecError` where neither has one."""
    curves = [finite_history(trial) for trial in trials]
    if not any(curves):
        raise SpecError("--plot", "neither trial has recorded a learning curve")
    is_accuracy = all(0 <= value <= 1 for curve in curves for _, value in curve)
    names: list[str] = []
    for trial, curve in zip(trials, curves, strict=True):
        last = f", last {percent(curve[-1][1])}" if curve and is_accuracy else ""
        names.append(f"trial {trial.number} ({trial.state}{last})")
    title = f"Trials {trials[0].number} and {trials[1].number} of {study.name}"
    name = "Validation accuracy" if is_accuracy else "Reported value"
    panel = _chart("Learning curves", name, names, curves)
    return Figure(title=title, panels=(panel,))


def _chart(
    title: str,
    axis: str,
    names: Sequence[str],
    curves: Sequence[Sequence[tuple[int, float | None]]],
    notes: tuple[str, ...] = (),
) -> Chart:
    """Return a chart of two curves over the epochs; a value that is None leaves a gap in its line."""
    epochs = [epoch for curve in curves for epoch, _ in curve] or [1]
    values = [value for curve in curves for _, value in curve if value is not None] or [0.0, 1.0]
    lines: list[Curve] = []
    marks: list[Points] = []
    for look, name, curve in zip(_LOOKS, names, curves, strict=True):
        parts: list[list[tuple[float, float]]] = [[]]
        for epoch, value in curve:
            if value is None:
                parts.append([])
            else:
                parts[-1].append((epoch, value))
        lines += [Curve(look=look, points=tuple(part), label="" if place else name) for place, part in enumerate(parts)]
        known = [point for part in parts for point in part]
        if known and len(curve) <= _MOST_MARKS:
            marks.append(Points(look=f"{look}-point", data=tuple(Datum(x=x, y=y) for x, y in known), size=2.6))
    description = f"Line chart: {title.lower()} by epoch"
    x = count_axis("Epoch", min(epochs), max(epochs))
    y = replace(value_axis(axis.lower(), min(values), max(values)), label=axis)
    return Chart(title=title, description=description, x=x, y=y, curves=tuple(lines), points=tuple(marks), notes=notes)

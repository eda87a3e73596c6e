"""Learning curves as a picture: loss and accuracy over the epochs. Imports matplotlib lazily; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.report.picture import BLUE, MUTED, RULE, VERMILLION, blank, fitted, style, write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from archsearch.training.result import EpochRecord

TRAIN, HELD_OUT = BLUE, VERMILLION
_WIDTH, _HEIGHT, _DPI = 10.0, 4.2, 120


def draw_curves(history: Sequence[EpochRecord], file: Path, *, title: str) -> None:
    """Write to `file` (PNG, SVG or PDF) the loss and accuracy of every epoch; accuracies in percent.

    Raises `SpecError` for another ending, `StorageError` where the file cannot be written.
    """
    seen = [record for record in history if record.validation_accuracy is not None]
    with style():
        figure = blank(_WIDTH, _HEIGHT)
        loss, accuracy = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.07, right=0.985, bottom=0.135, top=0.8, wspace=0.2)
        text, size = fitted(title, 0.915 * _WIDTH, 14, least=8, bold=True)
        figure.text(0.07, 0.92, text, fontsize=size, fontweight="bold")
        epochs, later = [r.epoch for r in history], [r.epoch for r in seen]
        _curve(loss, epochs, [r.train_loss for r in history], is_held_out=False)
        # A loss that was not measured leaves a gap in the line.
        held_out_losses = [float("nan") if r.validation_loss is None else r.validation_loss for r in seen]
        _curve(loss, later, held_out_losses, is_held_out=True)
        loss.set(xlabel="epoch", ylabel="cross entropy")
        _curve(accuracy, epochs, [100 * r.train_accuracy for r in history], is_held_out=False)
        _curve(accuracy, later, [100 * (r.validation_accuracy or 0.0) for r in seen], is_held_out=True)
        accuracy.set(xlabel="epoch", ylabel="accuracy, %")
        best = max(seen, key=lambda record: record.validation_accuracy or 0.0, default=None)
        if best is not None:
            said = f"best held out {100 * (best.validation_accuracy or 0.0):.1f} %, epoch {best.epoch}"
            accuracy.set_title(said, fontsize=10, color=MUTED, loc="right")
        for axes in (loss, accuracy):
            _finish(axes)
        write_picture(figure, file, dpi=_DPI)


def _curve(axes: Axes, epochs: Sequence[int], values: Sequence[float], *, is_held_out: bool) -> None:
    few = len(epochs) <= 40  # beyond that markers run into each other
    axes.plot(
        epochs,
        values,
        color=HELD_OUT if is_held_out else TRAIN,
        linestyle="--" if is_held_out else "-",
        marker=("s" if is_held_out else "o") if few else None,
        markersize=3.5,
        linewidth=1.6,
        label="held out" if is_held_out else "training (augmented)",
    )


def _finish(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.grid(color=RULE, alpha=0.5, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False, fontsize=9)

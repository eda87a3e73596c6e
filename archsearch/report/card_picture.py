"""The report card of a trained network as a picture. Imports matplotlib lazily; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from archsearch.report.card import Card
from archsearch.report.picture import BLUE, INK, MUTED, ORANGE, RULE, SHADE, blank, fitted, panel, style, write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _DPI = 13.0, 11.4, 110
_NAMED = 24  # classes that are told by name; of more the worst are
_COUNTED = 14  # classes up to which a square of the matrix holds its number
_ACROSS = 10  # mistakes in a row


def draw_card(
    card: Card, mistakes: Sequence[np.ndarray], samples: np.ndarray | None, file: Path, *, title: str
) -> None:
    """Write to `file` (PNG, SVG or PDF) the card, with the image of each mistake and a mosaic of augmented samples.

    Without `samples` that panel says that they are not known.

    Raises `SpecError` for another ending, `StorageError` where the file cannot be written.
    """
    with style():
        figure = blank(_WIDTH, _HEIGHT)
        text, size = fitted(title, _WIDTH - 1.0, 14, least=8, bold=True)
        figure.text(0.5 / _WIDTH, 1 - 0.42 / _HEIGHT, text, fontsize=size, fontweight="bold")
        said = f"{card.images} {card.whose}, {100 * card.accuracy:.2f} % right"
        figure.text(0.5 / _WIDTH, 1 - 0.68 / _HEIGHT, said, fontsize=10, color=MUTED)
        _confusion(figure, card)
        _classes(figure, card)
        _reliability(figure, card)
        _mistakes(panel(figure, 0.5, 2.65, 12.0, 2.35, "the most confident mistakes"), card, mistakes)
        below = panel(figure, 0.5, 0.2, 12.0, 1.9, "what augmentation did: training images, and draws of each")
        if samples is None:
            below.text(0, 1.6, "not known: the run does not say how its images were augmented", fontsize=9, color=MUTED)
        else:
            _samples(below, samples)
        write_picture(figure, file, dpi=_DPI)


def _box(figure: Figure, left: float, bottom: float, width: float, height: float, title: str) -> Axes:
    """Return axes with ticks and scales, at inches, below `title`."""
    axes = figure.add_axes((left / _WIDTH, bottom / _HEIGHT, width / _WIDTH, height / _HEIGHT))
    axes.set_title(title, fontsize=11, fontweight="bold", loc="left")
    axes.tick_params(labelsize=7.5)
    return axes


def _confusion(figure: Figure, card: Card) -> None:
    axes = _box(figure, 1.6, 6.45, 3.8, 3.8, "is (row), taken for (column)")
    counts = np.array(card.confusion, float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    few = len(card.classes) <= _NAMED
    names = [fitted(name, 0.95, 7.5, least=7.5)[0] for name in card.classes] if few else []
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    if len(card.classes) <= _COUNTED:
        for row, column in np.argwhere(counts > 0):
            ink = "white" if shares[row, column] > 0.55 else INK
            axes.text(column, row, str(card.confusion[row][column]), ha="center", va="center", fontsize=6.5, color=ink)
    axes.tick_params(length=0)


def _classes(figure: Figure, card: Card) -> None:
    known = [(recall, name) for recall, name in zip(card.recalls(), card.classes, strict=True) if recall is not None]
    worst = sorted(known)[:_NAMED]
    title = "accuracy of each class, %" if len(worst) == len(known) else f"accuracy of the {_NAMED} worst classes, %"
    axes = _box(figure, 6.75, 6.45, 2.1, 3.8, title)
    values, places = [100 * recall for recall, _ in worst], range(len(worst))
    axes.barh(places, values, color=BLUE, height=0.72)
    axes.set_yticks(places, [fitted(name, 1.1, 7.5, least=7.5)[0] for _, name in worst])
    axes.invert_yaxis()
    axes.set_xlim(0, 119)
    axes.set_xticks([0, 50, 100])
    for place, value in zip(places, values, strict=True):
        axes.text(value + 2, place, f"{value:.1f}", va="center", fontsize=7.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _reliability(figure: Figure, card: Card) -> None:
    axes = _box(figure, 9.6, 7.35, 2.9, 2.9, f"calibration: expected error {100 * card.calibration_error:.1f} %")
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle="--", zorder=3)
    wide = [100 * (one.high - one.low) for one in card.bins]
    left = [100 * one.low for one in card.bins]
    axes.bar(left, [100 * b.accuracy for b in card.bins], wide, align="edge", color=BLUE, edgecolor="white")
    axes.plot(
        [100 * one.confidence for one in card.bins],
        [100 * one.accuracy for one in card.bins],
        color=ORANGE,
        marker="o",
        markersize=3.5,
        linewidth=1.2,
        zorder=4,
    )
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.set_ylabel("accuracy, %", fontsize=8.5)
    axes.tick_params(labelbottom=False)
    axes.grid(color=RULE, alpha=0.5, linewidth=0.7)
    axes.set_axisbelow(True)
    below = figure.add_axes((9.6 / _WIDTH, 6.45 / _HEIGHT, 2.9 / _WIDTH, 0.75 / _HEIGHT))
    below.bar(
        left, [100 * b.images / card.images for b in card.bins], wide, align="edge", color=MUTED, edgecolor="white"
    )
    below.set(xlim=(0, 100))
    below.set_xlabel("confidence, % (dashed: as sure as right)", fontsize=8.5)
    below.set_ylabel("images, %", fontsize=8.5)
    below.tick_params(labelsize=7.5)


def _mistakes(axes: Axes, card: Card, images: Sequence[np.ndarray]) -> None:
    if not images:
        axes.text(0, 1.9, "none", fontsize=9, color=MUTED)
    pitch, side = 1.2, 0.72
    for index, (mistake, image) in enumerate(zip(card.mistakes[: 2 * _ACROSS], images, strict=False)):
        left, bottom = pitch * (index % _ACROSS), 1.45 - 1.22 * (index // _ACROSS)
        axes.imshow(image, extent=(left, left + side, bottom, bottom + side), interpolation="nearest", zorder=2)
        for line, text in enumerate(
            (card.classes[mistake.label], f"as {card.classes[mistake.guess]}", f"{100 * mistake.confidence:.0f} %")
        ):
            said, size = fitted(text, pitch - 0.16, 7, least=6)
            axes.text(left, bottom - 0.1 - 0.12 * line, said, fontsize=size, va="center", color=MUTED if line else INK)
    _back(axes, 12.0, 2.35)


def _samples(axes: Axes, samples: np.ndarray) -> None:
    height, width = samples.shape[:2]
    scale = min(1.85 / height, 11.9 / width)
    axes.imshow(samples, extent=(0, width * scale, 1.85 - height * scale, 1.85), interpolation="nearest", zorder=2)
    axes.set_facecolor(SHADE)
    _back(axes, 12.0, 1.9)


def _back(axes: Axes, width: float, height: float) -> None:
    """Put the scale in inches back, which `imshow` takes for its image."""
    axes.set(xlim=(0, width), ylim=(0, height), aspect="auto")

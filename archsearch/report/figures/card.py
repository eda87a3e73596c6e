"""The figures of a report card: confusion, accuracy of each class and calibration, and the whole card as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from archsearch.formatting import percent, pluralize
from archsearch.report.card import Card
from archsearch.report.figures.charts import (
    MOST_NAMES,
    Bar,
    BarChart,
    Chart,
    Curve,
    Datum,
    Figure,
    HeatMap,
    Limit,
    Points,
    moved,
    share_axis,
    sheet,
)
from archsearch.report.figures.drawing import Drawing, Line, Part, Picture, Text, fitted
from archsearch.report.figures.render import write_drawing

_ACROSS, _ROWS = 10, 2  # mistakes per row, and number of rows
_DPI = 75


def draw_card(
    card: Card, mistakes: Sequence[np.ndarray], samples: np.ndarray | None, file: Path, *, title: str
) -> None:
    """Write the card to `file` (PNG, SVG or PDF), with images of the mistakes and a mosaic of augmented samples.

    Raises `SpecError` for any other extension, `StorageError` if the file cannot be written.
    """
    write_drawing(card_drawing(card, mistakes, samples, title), file, dpi=_DPI)


def card_drawing(card: Card, mistakes: Sequence[np.ndarray], samples: np.ndarray | None, title: str) -> Drawing:
    """Return the drawing of the card: its charts, the mistakes below them, and last the samples, if known."""
    top = sheet(Figure(title=title, panels=card_charts(card), subtitle=card_summary(card)))
    width = top.width - 40
    parts = [*top.parts, *moved(_section("Most confident mistakes", width), 20, top.height + 12)]
    parts += moved(_mistakes(card, mistakes, width), 20, top.height + 34)
    y = top.height + 34 + 150 * (1 + (len(card.mistakes) > _ACROSS))
    parts += moved(_section("Augmentation: training images, then random augmentations of each", width), 20, y)
    if samples is None:
        parts.append(Text(x=20, y=y + 34, text="no data: the run does not record its augmentation", color="muted"))
        return Drawing(width=top.width, height=y + 54, parts=tuple(parts), label=top.label)
    tall, wide = samples.shape[:2]
    scale = min(width / wide, 230 / tall)
    parts.append(Picture(x=20, y=y + 22, width=wide * scale, height=tall * scale, pixels_HWC=samples))
    return Drawing(width=top.width, height=y + 42 + tall * scale, parts=tuple(parts), label=top.label)


def card_charts(card: Card) -> tuple[HeatMap, BarChart, Chart]:
    """Return the three charts of a card."""
    return confusion_map(card), classes_chart(card), calibration_chart(card)


def card_summary(card: Card) -> str:
    """Return the number and split of the images, and the accuracy, as text."""
    return f"{pluralize(card.images, f'{card.split} image')}, accuracy {percent(card.accuracy)}"


def confusion_map(card: Card) -> HeatMap:
    """Return the confusion matrix: a row for each class, a column for each prediction."""
    return HeatMap(
        title="Confusion matrix",
        description=f"Confusion matrix of {len(card.classes)} classes; the table of confusions lists the largest.",
        names=card.classes,
        counts=card.confusion,
        verb="classified as",
        notes=("Rows: true class. Columns: predicted class. Stronger colour: a larger share of the row.",),
    )


def classes_chart(card: Card) -> BarChart:
    """Return a bar chart of up to `MOST_NAMES` accuracies by class, lowest first, on an axis up to 100 %."""
    known = [(recall, name) for recall, name in zip(card.recalls(), card.classes, strict=True) if recall is not None]
    worst = sorted(known)[:MOST_NAMES]
    left_out = (f"The {len(worst)} lowest of {len(known)} classes.",) if len(worst) < len(known) else ()
    return BarChart(
        title="Accuracy by class",
        description="Bar chart: accuracy by class",
        bars=tuple((name, recall, percent(recall, 1)) for recall, name in worst),
        most=1.0,
        limits=(Limit(value=1.0, text="100 %", look="edge"),),
        notes=("Lowest first.", *left_out),
    )


def calibration_chart(card: Card) -> Chart:
    """Return a chart of accuracy by confidence, with the number of images in each bin."""
    error = percent(card.calibration_error, 1)
    bars = [
        Bar(
            low=one.low,
            high=one.high,
            value=one.accuracy,
            hover=f"{pluralize(one.images, 'image')}, confidence {percent(one.low, 0)} to {percent(one.high, 0)}: "
            f"accuracy {percent(one.accuracy, 0)}",
        )
        for one in card.bins
    ]
    counts = [
        Bar(low=one.low, high=one.high, value=one.images, hover=f"{percent(one.images / card.images, 1)} of the images")
        for one in card.bins
    ]
    means = tuple((one.confidence, one.accuracy) for one in card.bins if one.images)
    return Chart(
        title="Calibration",
        description=f"Bar chart: accuracy by confidence; the expected calibration error is {error}.",
        x=share_axis("Confidence"),
        y=share_axis("Accuracy"),
        bars=tuple(bars),
        counts=tuple(counts),
        curves=(
            Curve(look="confidence", points=means, label="mean confidence of each bin"),
            Curve(look="limit", points=((0.0, 0.0), (1.0, 1.0)), label="perfect calibration"),
        ),
        points=(Points(look="confidence-point", data=tuple(Datum(x=x, y=y) for x, y in means), size=2.4),),
        notes=(f"Expected calibration error {error} (Guo et al., 2017). Below: number of images.",),
    )


def _section(title: str, width: float) -> list[Part]:
    rule = Line(points=((0, 8), (width, 8)), look="grid")
    return [Text(x=0, y=0, text=title, size=12, is_bold=True), rule]


def _mistakes(card: Card, images: Sequence[np.ndarray], width: float) -> list[Part]:
    if not images:
        return [Text(x=0, y=14, text="none", color="muted")]
    pitch, side = width / _ACROSS, 84.0
    parts: list[Part] = []
    for index, (mistake, image) in enumerate(zip(card.mistakes[: _ROWS * _ACROSS], images, strict=False)):
        x, y = pitch * (index % _ACROSS), 150.0 * (index // _ACROSS)
        parts.append(Picture(x=x, y=y, width=side, height=side, pixels_HWC=image))
        texts = (card.classes[mistake.label], f"as {card.classes[mistake.guess]}", percent(mistake.confidence, 0))
        for line, text in enumerate(texts):
            text, size = fitted(text, pitch - 14, 9.5, least=8)
            parts.append(Text(x=x, y=y + side + 13 + 13 * line, text=text, size=size, color="muted" if line else "ink"))
    return parts

"""The section of a study's page that says what the best network takes for what, how sure it is, and where it errs.

It is read from the `card.json` that the training left in its folder; no picture is loaded from anywhere.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from archsearch.formatting import number
from archsearch.report import chart
from archsearch.report.card import CARD, Card, read_card
from archsearch.report.chart import LEFT, TOP, WIDTH, Scale
from archsearch.report.markup import Child, Markup, el
from archsearch.report.page_parts import cut, nothing, scrolling, section, table
from archsearch.report.study_charts import figure
from archsearch.report.study_series import sound
from archsearch.search.storage.read import StudyRead

NAMED = 24  # classes that are told by name; of more the worst are
COUNTED = 14  # classes up to which a square of the matrix holds its number
CONFUSED = 8  # pairs of classes in the table
_SPAN = 0.05  # of accuracy and mean confidence: closer, and the network is as sure as it is right
_LETTERS = 14
_TICK = 20.0  # room for half of the last tick's label


def card_section(study: StudyRead) -> Markup:
    """Return the report card of the best trial; a sentence where there is none."""
    title = "Report card of the best network"
    best = next(iter(sound(study)), None)
    if best is None:
        return section("card", title, nothing("No design has been trained to the end."))
    named = best.attrs.get("run_dir")
    card = read_card(Path(named)) if isinstance(named, str) and named else None
    if card is None:
        where = (
            f"{named} holds no {CARD} that can be read. With its weights and images at hand, "
            f"python -m archsearch.show card={named} writes one"
            if named
            else "the trial names no folder"
        )
        return section("card", title, nothing(f"Trial {best.number} has no report card: {where}."))
    charts = [confusion_chart(card), classes_chart(card), calibration_chart(card)]
    return section(
        "card",
        title,
        el("p", f"Trial {best.number} on {_seen(card)}. {_sureness(card)}"),
        el("div", charts, _confused(card), class_="charts"),
        _mistakes(card),
        _augmented(card),
    )


def confusion_chart(card: Card) -> Markup:
    """Draw the matrix of classes: a row for what images are, a column for what they are taken for."""
    count = len(card.classes)
    few = count <= NAMED
    left, top = (82.0 if few else 4.0), 4.0
    pitch = (WIDTH - left - 4.0) / count
    low = top + pitch * count
    inside: list[Markup] = [
        el("rect", x=left, y=top, width=pitch * count, height=pitch * count, class_="matrix"),
    ]
    for row, counts in enumerate(card.confusion):
        whole = sum(counts) or 1
        for column, found in enumerate(counts):
            if not found:
                continue
            x, y, share = left + pitch * column, top + pitch * row, found / whole
            said = f"{card.classes[row]} taken for {card.classes[column]}: {found} of {whole}"
            told = el("title", said) if few else None
            size = pitch - (1 if few else 0)
            inside.append(
                el("rect", told, x=x, y=y, width=size, height=size, fill_opacity=f"{share:.2f}", class_="cell")
            )
            if count <= COUNTED:
                inside.append(el("text", found, x=x + pitch / 2, y=y + pitch / 2 + 3.5, class_="count"))
    if few:
        for place, name in enumerate(card.classes):
            middle, short = pitch * (place + 0.5), cut(name, _LETTERS)
            x, y = left + middle + 3, low + 8
            inside += [
                el("text", short, x=left - 5, y=top + middle + 3.5, class_="end"),
                el("text", short, x=x, y=y, transform=f"rotate(-45 {x:.1f} {y:.1f})", class_="end"),
            ]
    height = low + (66.0 if few else 4.0)
    label = f"Matrix of {count} classes: what images are against what they are taken for; the table tells the same."
    note = "Rows: what an image is. Columns: what it is taken for. Stronger colour: a larger share of the row."
    return figure("What is taken for what", chart.svg(height, label, inside), [], [note])


def classes_chart(card: Card) -> Markup:
    """Draw the accuracy of each class, the worst first."""
    known = [(found, name) for found, name in zip(card.recalls(), card.classes, strict=True) if found is not None]
    worst = sorted(known)[:NAMED]
    left, pitch = 104.0, 22.0
    room = WIDTH - left - 46
    bars: list[Markup] = []
    for place, (found, name) in enumerate(worst):
        y = 2 + pitch * place
        bars += [
            el("text", cut(name, _LETTERS + 3), x=left - 6, y=y + 12, class_="end"),
            el("rect", x=left, y=y + 2, width=max(room * found, 1.0), height=13, class_="bar"),
            el("text", f"{100 * found:.1f} %", x=left + max(room * found, 1.0) + 5, y=y + 12.5, class_="value"),
        ]
    label = "Bar chart: accuracy of each class. " + "; ".join(f"{name} {100 * found:.1f} %" for found, name in worst)
    left_out = f"The {len(worst)} worst of {len(known)} classes." if len(worst) < len(known) else None
    return figure(
        "Accuracy of each class", chart.svg(pitch * len(worst) + 6, label, bars), [], ["Worst first.", left_out]
    )


def calibration_chart(card: Card) -> Markup:
    """Draw how often the network is right against how sure it is, and how many images are how sure."""
    low, floor = 206.0, 262.0
    ticks = tuple((share / 5, f"{20 * share} %") for share in range(6))
    x = Scale(low=0, high=1, start=LEFT, end=WIDTH - _TICK, ticks=ticks)
    y = Scale(low=0, high=1, start=low, end=TOP + 4, ticks=ticks)
    most = max((one.images for one in card.bins), default=1) or 1
    inside = chart.frame(x, y, "confidence", "Accuracy", floor)
    for one in card.bins:
        share = one.images / card.images
        told = (
            f"{one.images} images, sure by {100 * one.low:.0f} to {100 * one.high:.0f} %: "
            f"{100 * one.accuracy:.0f} % right"
        )
        left, wide = x(one.low) + 0.75, max(x(one.high) - x(one.low) - 1.5, 0.5)
        tall = 34 * one.images / most
        inside += [
            el("rect", el("title", told), x=left, y=y(one.accuracy), width=wide, height=low - y(one.accuracy),
               class_="bar"),
            el("rect", el("title", f"{100 * share:.1f} % of the images"), x=left, y=floor - tall, width=wide,
               height=max(tall, 0.5), class_="many"),
        ]  # fmt: skip
    inside += [
        chart.line([(x(0), y(0)), (x(1), y(1))], class_="limit"),
        el("text", "images", x=LEFT - 6, y=floor - 3, class_="end note"),
    ]
    label = (
        f"Bar chart: how often the network is right against how sure it is; "
        f"the expected error is {100 * card.calibration_error:.1f} %."
    )
    note = (
        f"Dashed: as sure as right. Expected calibration error {100 * card.calibration_error:.1f} % "
        "(Guo et al., 2017). Below: how many images are how sure."
    )
    return figure("Calibration", chart.svg(floor + 38, label, inside), [], [note])


def _seen(card: Card) -> str:
    told = f"{number(card.images)} {card.whose}, {100 * card.accuracy:.2f} % right"
    if card.split == "validation":
        told += "; the test images are left alone by a study"
    return told


def _sureness(card: Card) -> str:
    gap = card.confidence - card.accuracy
    how = "about as sure as it is right" if abs(gap) < _SPAN else "too sure" if gap > 0 else "not sure enough"
    return f"Its mean confidence is {100 * card.confidence:.1f} %: it is {how}."


def _confused(card: Card) -> Markup | None:
    pairs = sorted(
        (
            (-found, row, column)
            for row, counts in enumerate(card.confusion)
            for column, found in enumerate(counts)
            if found and row != column
        ),
    )[:CONFUSED]
    lines: list[Sequence[Child]] = [
        [card.classes[row], card.classes[column], str(-less), f"{-100 * less / sum(card.confusion[row]):.1f} %"]
        for less, row, column in pairs
    ]
    if not lines:
        return None
    head = ["is", "taken for", "images", "share"]
    title = "Confused most"
    return el("div", el("h3", title), scrolling(table(head, lines, numbers=[2, 3]), title))


def _mistakes(card: Card) -> Markup | None:
    items = [
        el(
            "li",
            _image(one.picture, f"{card.classes[one.label]}, taken for {card.classes[one.guess]}"),
            el("b", card.classes[one.label]),
            el("span", f"as {card.classes[one.guess]}"),
            el("span", f"{100 * one.confidence:.0f} %"),
        )
        for one in card.mistakes
        if one.picture is not None
    ]
    return el("div", el("h3", "The most confident mistakes"), el("ul", items, class_="mistakes")) if items else None


def _augmented(card: Card) -> Markup | None:
    if card.augmented is None:
        return None
    picture = _image(card.augmented, "Rows of small images: on the left as they are, then augmented")
    note = "Training images on the left, then draws of each as the network saw them."
    title = "What augmentation did"
    return el(
        "figure",
        el("figcaption", el("h3", title)),
        el("div", picture, class_="canvas augmented", tabindex=0, role="region", aria_label=title),
        el("p", note, class_="note"),
    )


def _image(jpeg: bytes, words: str) -> Markup:
    return el("img", src=f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}", alt=words)

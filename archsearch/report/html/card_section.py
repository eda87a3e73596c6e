"""The section of the page with the report card of the best network: its confusions, calibration and mistakes.

It is read from `card.json` in the run directory; all pictures are embedded.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from archsearch.formatting import percent
from archsearch.report.card import CARD, Card, read_card
from archsearch.report.figures.card import card_charts, card_summary
from archsearch.report.html.markup import Child, Markup, el
from archsearch.report.html.parts import chart, no_data, note, section, table, tied, titled
from archsearch.report.series import ranked_finite
from archsearch.search.storage.read import StudyRead

CONFUSED = 8  # pairs of classes in the table
_SPAN = 0.05  # largest gap of mean confidence and accuracy of a network that is well calibrated on average


def card_section(study: StudyRead) -> Markup:
    """Return the report card of the best trial; a sentence with the reason if there is none."""
    title = "Report card of the best network"
    best = next(iter(ranked_finite(study)), None)
    if best is None:
        return section("card", title, no_data("No design has been fully trained."))
    folder = best.folder()
    card = None if folder is None else read_card(folder)
    if card is None:
        if folder is not None:
            cause = (
                f"{folder} has no readable {CARD}. If its weights and images are available, "
                f"python -m archsearch.show card={folder} creates it"
            )
        else:
            cause = (
                "the trial has no folder" if best.place is None else f"its files are not on this machine: {best.place}"
            )
        return section("card", title, no_data(f"Trial {best.number} has no report card: {cause}."))
    untouched = "; a study never uses the test images" if card.split == "validation" else ""
    text = f"Trial {best.number} on {card_summary(card)}{untouched}. {_confidence(card)}"
    charts = el("div", [chart(each) for each in card_charts(card)], _confusions(card), class_="charts")
    return section("card", title, el("p", tied(text)), charts, _mistakes(card), _augmented(card))


def _confidence(card: Card) -> str:
    gap = card.confidence - card.accuracy
    word = "well calibrated on average" if abs(gap) < _SPAN else "overconfident" if gap > 0 else "underconfident"
    return f"Its mean confidence is {percent(card.confidence, 1)}: it is {word}."


def _confusions(card: Card) -> Markup | None:
    pairs = sorted(
        (-found, row, column)
        for row, counts in enumerate(card.confusion)
        for column, found in enumerate(counts)
        if found and row != column
    )[:CONFUSED]
    lines: list[Sequence[Child]] = [
        [card.classes[row], card.classes[column], str(-less), tied(percent(-less / sum(card.confusion[row]), 1))]
        for less, row, column in pairs
    ]
    title = "Most frequent confusions"
    heads = ["class", "classified as", "images", "share"]
    return titled(title, table(title, heads, lines, numbers=[2, 3])) if lines else None


def _mistakes(card: Card) -> Markup | None:
    items = [
        el(
            "li",
            _image(one.picture, f"{card.classes[one.label]}, classified as {card.classes[one.guess]}"),
            el("b", card.classes[one.label]),
            el("span", f"as {card.classes[one.guess]}"),
            el("span", tied(percent(one.confidence, 0))),
        )
        for one in card.mistakes
        if one.picture is not None
    ]
    return titled("Most confident mistakes", el("ul", items, class_="mistakes")) if items else None


def _augmented(card: Card) -> Markup | None:
    if card.augmented is None:
        return None
    picture = _image(card.augmented, "Rows of small images: on the left the original, then its augmentations")
    title = "Augmentation"
    return el(
        "figure",
        el("figcaption", el("h3", title)),
        el("div", picture, class_="canvas augmented", tabindex=0, role="region", aria_label=title),
        note("Training images on the left, then random augmentations of each."),
    )


def _image(jpeg: bytes, text: str) -> Markup:
    return el("img", src=f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}", alt=text)

"""The report card in a study's page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from card_fakes import card
from study_fakes import HOSTILE, make_study, make_trial

from archsearch.report.card import Card
from archsearch.report.html.card_section import card_section


def section(folder: Path, one: Card | None) -> str:
    """Return the section of a study whose best trial has left the card, and whose second best another."""
    folder.mkdir()
    if one is not None:
        (folder / "card.json").write_text(json.dumps(one.record()))
    trials = [
        make_trial(7, values=(0.9,), attrs={"run_dir": str(folder)}),
        make_trial(8, values=(0.8,), attrs={"run_dir": "elsewhere"}),
    ]
    return str(card_section(make_study(trials))).replace("\N{NO-BREAK SPACE}", " ")


def test_the_best_trials_card_is_described_and_drawn(tmp_path: Path) -> None:
    text = section(tmp_path / "run", replace(card(name="cat"), split="validation"))
    assert "Trial 7 on 8 validation images, accuracy 87.50 %; a study never uses the test images." in text
    assert "Its mean confidence is 90.0 %: it is well calibrated on average." in text
    assert "$0_cat classified as $1_cat: 1 of 4" in text
    assert text.count("<figure") == 4
    assert re.findall(r'<img src="data:image/jpeg;base64,[\w+/=]+" alt="([^"]*)">', text) == [
        "$0_cat, classified as $1_cat",
        "Rows of small images: on the left the original, then its augmentations",
    ]


def test_a_card_on_the_test_images_says_so(tmp_path: Path) -> None:
    assert "Trial 7 on 8 test images, accuracy 87.50 %. " in section(tmp_path / "run", card())


@pytest.mark.parametrize(("confidence", "text"), [(0.99, "it is overconfident."), (0.5, "it is underconfident.")])
def test_its_confidence_is_compared_with_its_accuracy(tmp_path: Path, confidence: float, text: str) -> None:
    bins = (replace(card().bins[0], confidence=confidence),)
    assert text in section(tmp_path / "run", replace(card(), bins=bins))


@pytest.mark.parametrize("classes", [2, 20, 100])
def test_any_number_of_classes_is_drawn(tmp_path: Path, classes: int) -> None:
    text = section(tmp_path / "run", card(classes))
    assert text.count("l-cell") == 3
    assert ("rotate(-45" in text) == (classes <= 24)


def test_names_of_classes_become_no_markup(tmp_path: Path) -> None:
    elements: list[tuple[str, list[str]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            elements.append((tag, [name for name, _ in attrs]))

    Reader().feed(section(tmp_path / "run", card(name=HOSTILE)))
    tags = [tag for tag, _ in elements]
    assert (tags.count("img"), tags.count("script")) == (2, 0)
    assert not [name for _, names in elements for name in names if name.startswith("on")]


def test_a_card_without_pictures_and_without_mistakes_is_a_card(tmp_path: Path) -> None:
    bare = replace(card(), mistakes=(), augmented=None, confusion=((4, 0, 0), (0, 4, 0), (0, 0, 0)))
    text = section(tmp_path / "run", bare)
    assert "accuracy 100.00" in text
    assert "<img" not in text
    assert "Most frequent confusions" not in text


def test_without_a_card_the_cause_is_given(tmp_path: Path) -> None:
    text = section(tmp_path / "run", None)
    assert "run has no readable card.json." in text
    assert f"python -m archsearch.show card={tmp_path / 'run'} creates it." in text
    assert "the trial has no folder" in card_section(make_study([make_trial(0, values=(1.0,))]))
    assert "No design has been fully trained." in card_section(make_study([]))

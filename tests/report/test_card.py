"""The report card as values and as a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.errors import SpecError
from archsearch.report.card import Bin, Card, Mistake, draw_card


def card(classes: int = 3) -> Card:
    confusion = np.zeros((classes, classes), int)
    confusion[0, 0], confusion[0, 1], confusion[1, 1] = 3, 1, 4
    return Card(
        classes=tuple(f"${index}_{'long ' * 9}" for index in range(classes)),
        confusion=tuple(tuple(int(one) for one in row) for row in confusion),
        bins=(Bin(low=0.8, high=1.0, images=8, confidence=0.9, accuracy=0.875),),
        calibration_error=0.025,
        mistakes=(Mistake(image=5, label=0, guess=1, confidence=0.99),),
    )


def test_shares_are_of_rows_and_columns_and_none_where_there_is_nothing() -> None:
    one = card()
    assert (one.images, one.accuracy) == (8, 7 / 8)
    assert one.recalls() == [0.75, 1.0, None]
    assert one.precisions() == [1.0, 0.8, None]


def test_the_record_is_json_with_names() -> None:
    record = json.loads(json.dumps(card().record()))
    assert record["per_class"][0] == {"class": card().classes[0], "images": 4, "accuracy": 0.75, "precision": 1.0}
    assert record["mistakes"][0]["taken_for"] == card().classes[1]
    assert record["calibration"]["expected_error"] == 0.025
    assert "Guo" in record["calibration"]["source"]


@pytest.mark.parametrize(("classes", "mistakes"), [(3, 1), (30, 0)])
def test_few_and_many_classes_are_drawn(tmp_path: Path, classes: int, mistakes: int) -> None:
    images = [np.full((8, 8, 3), 200, np.uint8)] * mistakes
    draw_card(card(classes), images, np.zeros((20, 60, 3), np.uint8), tmp_path / "card.png", title="a $ title")
    with Image.open(tmp_path / "card.png") as picture:
        assert picture.size == (1430, 1254)
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 50


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="names no format of a picture"):
        draw_card(card(), [], np.zeros((2, 2, 3), np.uint8), tmp_path / "card.gif", title="")

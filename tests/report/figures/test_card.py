"""The report card as a picture, and its charts."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from card_fakes import card
from PIL import Image

from archsearch.errors import SpecError
from archsearch.report.card import Mistake
from archsearch.report.figures.card import calibration_chart, card_drawing, classes_chart, confusion_map, draw_card
from archsearch.report.figures.charts import layout
from archsearch.report.figures.drawing import Line, Rect, Text


@pytest.mark.parametrize(("classes", "mistakes"), [(3, 1), (30, 0)])
def test_few_and_many_classes_are_drawn(tmp_path: Path, classes: int, mistakes: int) -> None:
    images = [np.full((8, 8, 3), 200, np.uint8)] * mistakes
    draw_card(card(classes), images, np.zeros((20, 60, 3), np.uint8), tmp_path / "card.png", title="a $ title")
    with Image.open(tmp_path / "card.png") as picture:
        assert picture.width == 1555
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 50


def test_without_a_policy_the_picture_says_so(tmp_path: Path) -> None:
    texts = [part.text for part in card_drawing(card(), [], None, "").parts if isinstance(part, Text)]
    assert "no data: the run does not record its augmentation" in texts
    draw_card(card(), [], None, tmp_path / "card.svg", title="")
    assert (tmp_path / "card.svg").stat().st_size > 1000


def test_the_axes_end_at_100_percent() -> None:
    chart = classes_chart(card())
    assert chart.bars[0][1:] == (0.75, "75.0 %")
    parts = layout(chart).parts
    bars = [part for part in parts if isinstance(part, Rect)]
    [end] = [part for part in parts if isinstance(part, Line)]
    assert bars[1].x + bars[1].width == pytest.approx(end.points[0][0]), "a class of 100 %"
    assert bars[0].width == pytest.approx(0.75 * bars[1].width)
    calibration = calibration_chart(card())
    assert (calibration.x.high, calibration.y.high) == (1, 1)
    assert "2.5 %" in calibration.notes[0]


def test_the_confusion_matrix_has_a_cell_for_each_count() -> None:
    cells = [part for part in layout(confusion_map(card())).parts if isinstance(part, Rect) and part.look == "cell"]
    assert [cell.opacity for cell in cells] == [0.75, 0.25, 1.0]
    assert cells[1].hover.endswith(": 1 of 4")


def test_another_ending_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is not a picture format"):
        draw_card(card(), [], np.zeros((2, 2, 3), np.uint8), tmp_path / "card.gif", title="")


def test_no_value_is_on_the_line_at_100_percent() -> None:
    parts = layout(classes_chart(card())).parts
    [end] = [part for part in parts if isinstance(part, Line)]
    values = [part for part in parts if isinstance(part, Text) and part.has_halo]
    assert len(values) == 2
    assert all(value.x > end.points[0][0] for value in values)


NAMES = ("猫-犬", "قطة", "👩\u200d🚀", "क्ष", r"caf\xe9", "$\\frac{", "a_class_with_a_name_that_is_much_too_long")


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_names_in_any_script_are_drawn_without_a_word_on_the_terminal(
    tmp_path: Path, ending: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    named = replace(card(len(NAMES)), classes=NAMES, mistakes=(Mistake(image=0, label=0, guess=1, confidence=0.9),))
    images = [np.full((8, 8, 3), 200, np.uint8)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draw_card(named, images, None, tmp_path / f"card.{ending}", title=" ".join(NAMES))
    assert not [str(one.message) for one in caught]
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / f"card.{ending}").stat().st_size > 1000
    if ending == "svg":
        text = (tmp_path / "card.svg").read_text(encoding="utf-8")
        assert all(name in text for name in NAMES[:-1])

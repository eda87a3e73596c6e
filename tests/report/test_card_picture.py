"""The report card as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from card_fakes import card
from PIL import Image

from archsearch.errors import SpecError
from archsearch.report.card_picture import draw_card


@pytest.mark.parametrize(("classes", "mistakes"), [(3, 1), (30, 0)])
def test_few_and_many_classes_are_drawn(tmp_path: Path, classes: int, mistakes: int) -> None:
    images = [np.full((8, 8, 3), 200, np.uint8)] * mistakes
    draw_card(card(classes), images, np.zeros((20, 60, 3), np.uint8), tmp_path / "card.png", title="a $ title")
    with Image.open(tmp_path / "card.png") as picture:
        assert picture.size == (1430, 1254)
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 50


def test_without_a_policy_nothing_is_said_of_it(tmp_path: Path) -> None:
    draw_card(card(), [], None, tmp_path / "card.svg", title="")
    assert (tmp_path / "card.svg").stat().st_size > 1000


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="names no format of a picture"):
        draw_card(card(), [], np.zeros((2, 2, 3), np.uint8), tmp_path / "card.gif", title="")

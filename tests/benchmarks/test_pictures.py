"""The pictures of README and docs are those that `make pictures` makes now."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from archsearch.config_files import options_of

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGES = CHECKOUT / "docs" / "images"


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return dict(runpy.run_path(str(CHECKOUT / "benchmarks" / "pictures.py"))["drawn"]())


def test_every_drawing_is_current(drawn: dict[str, str]) -> None:
    there = {file.relative_to(IMAGES).as_posix(): file.read_text(encoding="utf-8") for file in IMAGES.rglob("*.svg")}
    assert there.keys() == drawn.keys(), "make pictures"
    stale = [name for name, text in drawn.items() if there[name] != text]
    assert stale == [], "make pictures"


def test_every_drawing_has_a_text_for_those_who_do_not_see_it_and_loads_nothing(drawn: dict[str, str]) -> None:
    for name, text in drawn.items():
        root = ElementTree.fromstring(text.partition("\n")[2])
        title = root.find("{http://www.w3.org/2000/svg}title")
        assert title is not None, name
        assert len((title.text or "").split()) >= 3 or name == "blocks/identity.svg", name
        assert root.get("role") == "img"
        assert re.findall(r"https?://(?!www\.w3\.org)|@import|<script", text) == []


def test_every_shipped_block_has_its_figure(drawn: dict[str, str]) -> None:
    assert {f"blocks/{name}.svg" for name in options_of("block")} == {
        name for name in drawn if name.startswith("blocks/")
    }


def test_the_report_is_photographed_and_small() -> None:
    file = IMAGES / "report.png"
    with Image.open(file) as image:
        assert image.size == (1180, 880)
    assert file.stat().st_size < 150_000

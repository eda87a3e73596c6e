"""Pictures as files: formats, what cannot be written, and the same content in every format."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archsearch.errors import SpecError, StorageError
from archsearch.report.figures.drawing import LOOKS, Drawing, Line, Look, Mark, Picture, Rect, Text
from archsearch.report.figures.render import picture_format, render, write_drawing

DRAWING = Drawing(
    width=100,
    height=50,
    label="a < b",
    parts=(
        *(Rect(x=place, y=1, width=9, height=9, look=look) for place, look in enumerate(LOOKS)),
        Mark(x=50, y=25, look="best", hover="trial 3", trial=3),
        Rect(x=1, y=20, width=9, height=9, look=Look(fill="#123456", stroke="ink", width=2, opacity=0.25)),
        Line(points=((0, 0), (100, 50)), look="limit"),
        Text(x=10, y=40, text="$x$ \x00 <b>", is_bold=True, has_halo=True, rotation=45),
        Picture(x=60, y=10, width=20, height=10, pixels_HWC=np.zeros((2, 4, 3), np.uint8)),
    ),
)


def test_the_ending_names_the_format() -> None:
    assert [picture_format(Path(f"a.{ending}")) for ending in ("png", "SVG", "pdf")] == ["png", "svg", "pdf"]


@pytest.mark.parametrize("file", ["net.jpeg", "net", "net.png.txt", ""])
def test_another_ending_is_refused_with_the_ones_that_work(file: str) -> None:
    with pytest.raises(SpecError, match=r"which is not a picture format\. Use one of \.png, \.svg, \.pdf\.$") as caught:
        picture_format(Path(file))
    assert caught.value.where == "plot"


@pytest.mark.parametrize(
    ("file", "opening"), [("a.png", b"\x89PNG\r\n"), ("new/folder/a.svg", b"<?xml"), ("b.pdf", b"%PDF")]
)
def test_a_picture_is_written_in_its_format_and_its_folder_made(file: str, opening: bytes) -> None:
    write_drawing(DRAWING, Path(file), dpi=40)
    write_drawing(DRAWING, Path("again", file), dpi=40)
    assert Path(file).read_bytes().startswith(opening)
    assert Path(file).read_bytes() == Path("again", file).read_bytes(), "the same content gives the same bytes"


def test_a_file_of_svg_is_whole_and_its_text_is_text() -> None:
    write_drawing(DRAWING, Path("a.svg"))
    text = Path("a.svg").read_text(encoding="utf-8")
    assert "var(--" not in text
    assert "<title>a &lt; b</title>" in text
    assert "<title>trial 3</title>" in text
    assert "$x$ \N{REPLACEMENT CHARACTER} &lt;b&gt;" in text
    assert "data:image/png;base64," in text
    assert "<script" not in text
    own = 'fill="#123456" stroke="#1f2328" stroke-width="2" fill-opacity="0.25"'
    assert f'width="9" height="9" {own}' in text, "a look of its own keeps its opacity"


def test_matplotlib_draws_every_part() -> None:
    axes = render(DRAWING).axes[0]
    assert len(axes.patches) == len(LOOKS) + 1, "the rectangles"
    assert [len(each) for each in (axes.collections, axes.lines, axes.texts, axes.images)] == [1, 1, 1, 1]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 100), (50, 0))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/a\.png: the picture cannot be written: .*Name a file in a folder"):
        write_drawing(DRAWING, tmp_path / "file" / "a.png", dpi=40)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        write_drawing(DRAWING, tmp_path / "folder.png", dpi=40)


def test_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=r"the disk is full\. Free some space"):
        write_drawing(DRAWING, tmp_path / "a.png", dpi=40)


def test_the_style_is_put_back_and_pyplot_is_never_loaded() -> None:
    program = (
        "import sys, matplotlib as m; from pathlib import Path\n"
        "from archsearch.report.figures.drawing import Drawing, Text\n"
        "from archsearch.report.figures.render import write_drawing\n"
        "m.rcParams['text.color'] = 'red'; before = dict(m.rcParams)\n"
        "write_drawing(Drawing(width=9, height=9, parts=(Text(x=1, y=5, text='a'),)), Path('a.png'))\n"
        "print(dict(m.rcParams) == before, 'matplotlib.pyplot' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "False"]


def test_svg_needs_no_matplotlib() -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from archsearch.report.figures.drawing import Drawing, Text\n"
        "from archsearch.report.figures.render import write_drawing\n"
        "write_drawing(Drawing(width=9, height=9, parts=(Text(x=1, y=5, text='a'),)), Path('a.svg'))\n"
        "print('matplotlib' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"]

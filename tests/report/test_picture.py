from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from archsearch.errors import SpecError, StorageError
from archsearch.report.picture import blank, compact, fitted, picture_format, style, text_width, write_picture


def test_the_ending_names_the_format() -> None:
    assert [picture_format(Path(f"a.{ending}")) for ending in ("png", "SVG", "pdf")] == ["png", "svg", "pdf"]


@pytest.mark.parametrize("file", ["net.jpeg", "net", "net.png.txt", ""])
def test_another_ending_is_refused_with_the_ones_that_work(file: str) -> None:
    with pytest.raises(SpecError, match=r"names no format of a picture\. Use one of \.png, \.svg, \.pdf\.$") as caught:
        picture_format(Path(file))
    assert caught.value.where == "plot"


@pytest.mark.parametrize(
    ("file", "opening"), [("a.png", b"\x89PNG\r\n"), ("new/folder/a.svg", b"<?xml"), ("b.pdf", b"%PDF")]
)
def test_a_picture_is_written_in_its_format_and_its_folder_made(file: str, opening: bytes) -> None:
    with style():
        figure = blank(1, 1)
        figure.text(0.1, 0.5, "a")
        write_picture(figure, Path(file), dpi=40)
        write_picture(figure, Path("again", file), dpi=40)
    assert Path(file).read_bytes().startswith(opening)
    assert Path(file).read_bytes() == Path("again", file).read_bytes(), "the same content gives the same bytes"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/a\.png: the picture cannot be written: .*Name a file in a folder"):
        write_picture(blank(1, 1), tmp_path / "file" / "a.png", dpi=40)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        write_picture(blank(1, 1), tmp_path / "folder.png", dpi=40)


def test_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StorageError, match=r"the disk is full\. Free some space"):
        write_picture(blank(1, 1), tmp_path / "a.png", dpi=40)


def test_the_style_is_put_back_and_pyplot_is_never_loaded() -> None:
    program = (
        "import sys, matplotlib as m; from archsearch.report.picture import blank, style\n"
        "m.rcParams['text.color'] = 'red'; before = dict(m.rcParams)\n"
        "with style():\n    blank(1, 1); inside = m.rcParams['text.color']\n"
        "print(inside, dict(m.rcParams) == before, 'matplotlib.pyplot' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["#1F2328", "True", "False"]


def test_text_is_as_wide_as_it_is_drawn() -> None:
    with style():
        figure = blank(10, 1)
        for text, bold in (("124 186 parameters", False), ("stage $c2$ & so on", True)):
            drawn = figure.text(0, 0, text, fontsize=11, fontweight="bold" if bold else "normal")
            assert text_width(text, 11, bold=bold) == pytest.approx(drawn.get_window_extent().width / 100, rel=0.05)
    assert text_width("  ", 11) == 0


def test_text_is_first_made_smaller_and_then_cut_short() -> None:
    assert fitted("two  words\n", 5, 10) == ("two words", 10)
    text, size = fitted("a line of some length", 1.0, 12)
    assert text == "a line of some length"
    assert 6 < size < 12
    text, size = fitted("a line of some length" * 9, 1.0, 12)
    assert size == 6
    assert text.startswith("a line")
    assert text.endswith("…")
    assert 0.8 < text_width(text, size) <= 1.001


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (9216, "9.22 k"),
        (73_856, "73.9 k"),
        (999_600, "1.00 M"),
        (109_910_016, "110 M"),
        (5 * 10**9, "5.00 G"),
    ],
)
def test_numbers_keep_three_digits(value: int, text: str) -> None:
    assert compact(value) == text

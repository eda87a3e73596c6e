"""How a picture is made and written: style, palette, panels measured in inches. Imports matplotlib lazily; no torch.

Pictures are drawn on figures of their own, never through pyplot, and the style holds while they are
drawn: nothing of matplotlib's global state is left changed. The same content gives the same bytes.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.errors import SpecError, StorageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILLION, ORANGE, SKY, GREEN, PURPLE = "#0072B2", "#D55E00", "#E69F00", "#56B4E9", "#009E73", "#CC79A7"
"""Okabe and Ito's palette, whose colours are told apart without full colour vision too."""
INK, MUTED, SLATE, RULE, SHADE = "#1F2328", "#5B6470", "#52667F", "#C9CED6", "#F1F3F5"
"""Text, lesser text, bars that stand for no kind, lines, and the ground of what lies outside an image."""

FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}
_UNDATED = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
_STYLE = {
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "hatch.linewidth": 0.7,
    "svg.hashsalt": "archsearch",
    "text.color": INK,
    "text.parse_math": False,  # a name with a dollar sign is a name
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


def picture_format(file: Path) -> str:
    """Return `png`, `svg` or `pdf`, as the ending of `file` says; raises `SpecError` for any other."""
    ending = file.suffix.lower()
    if ending not in FORMATS:
        what = f"'{file}' has the ending '{file.suffix}'" if ending else f"'{file}' has no ending"
        raise SpecError("plot", f"{what}, which names no format of a picture", f"Use one of {', '.join(FORMATS)}.")
    return FORMATS[ending]


@contextmanager
def style() -> Iterator[None]:
    """Hold the house style over matplotlib's defaults, whatever the user's own are; put theirs back after it."""
    from matplotlib import style as styles

    with styles.context(["default", _STYLE]):
        yield


def blank(width: float, height: float) -> Figure:
    """Return an empty figure of `width` x `height` inches that belongs to nobody else."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def write_picture(figure: Figure, file: Path, *, dpi: int) -> None:
    """Write `figure` to `file`, whose folder is made where it is missing.

    Raises `SpecError` for an ending that is no picture's, `StorageError` where the file cannot be written.
    """
    kind = picture_format(file)
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=dpi, metadata=_UNDATED[kind])
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.getvalue())
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "Free some space." if full else "Name a file in a folder that can be written."
        cause = "the disk is full" if full else (error.strerror or str(error))
        raise StorageError(f"{file}: the picture cannot be written: {cause}. {fix}") from error


def panel(figure: Figure, left: float, bottom: float, width: float, height: float, title: str) -> Axes:
    """Return axes whose units are inches, at (`left`, `bottom`) of `figure`, below `title` and a rule.

    The title stands above the axes: all of `width` x `height` is free.
    """
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up), label=title)
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    axes.text(0, height + 0.16, title, fontsize=11, fontweight="bold", va="baseline")
    axes.plot([0, width], [height + 0.08] * 2, color=RULE, linewidth=0.8, clip_on=False)
    return axes


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width in inches of `text`, one line, set in `size` points."""
    return _ems(text, bold) * size / 72


@lru_cache(maxsize=4096)
def _ems(text: str, bold: bool) -> float:
    """Return the width of `text` in units of its font size, as the font says it: outlines take fifty times as long."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    if not text.strip():
        return 0.0
    font = FontProperties(weight="bold" if bold else "normal", size=100)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return width / 100


def fitted(text: str, width: float, size: float, *, least: float = 6.0, bold: bool = False) -> tuple[str, float]:
    """Return `text` and the size in points, at most `size`, at which it is at most `width` inches wide.

    Below `least` points it is cut short with an ellipsis instead.
    """
    text = " ".join(text.split())
    found = text_width(text, size, bold=bold)
    if found > width:
        size = max(min(least, size), size * width / found)
    if text_width(text, size, bold=bold) <= width * 1.001:  # what rounding leaves
        return text, size
    kept, lost = 0, len(text)  # letters that fit, and that do not
    while lost - kept > 1:
        half = (kept + lost) // 2
        fits = text_width(f"{text[:half]}…", size, bold=bold) <= width
        kept, lost = (half, lost) if fits else (kept, half)
    return f"{text[:kept]}…", size


def compact(value: int) -> str:
    """Return `value` to three digits with its unit: 9216 gives `9.22 k`."""
    for unit, name in ((10**12, " T"), (10**9, " G"), (10**6, " M"), (10**3, " k")):
        if value >= unit * 0.9995:
            scaled = value / unit
            return f"{scaled:.{0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2}f}{name}"
    return str(value)

"""A drawing as a file: SVG as `svg` writes it, PNG and PDF by matplotlib, which is imported lazily.

Nothing of matplotlib's global state is left changed, and the same drawing gives the same bytes.
"""

from __future__ import annotations

import errno
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from archsearch.errors import SpecError, StorageError
from archsearch.report.figures.drawing import (
    LIGHT,
    LOOKS,
    TEXTURES,
    Drawing,
    Line,
    Look,
    Mark,
    Picture,
    Rect,
    Text,
    outline,
)
from archsearch.report.figures.svg import document
from archsearch.report.html.markup import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Outline

FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}
INCH = 0.016  # of a unit of a chart, so that its letters have 12 points
_UNDATED = {"png": {}, "pdf": {"CreationDate": None}}


def picture_format(file: Path) -> str:
    """Return `png`, `svg` or `pdf` by the ending of `file`; raises `SpecError` for any other."""
    ending = file.suffix.lower()
    if ending not in FORMATS:
        what = f"'{file}' has the ending '{file.suffix}'" if ending else f"'{file}' has no ending"
        raise SpecError("plot", f"{what}, which is not a picture format", f"Use one of {', '.join(FORMATS)}.")
    return FORMATS[ending]


def write_drawing(drawing: Drawing, file: Path, *, inch: float = INCH, dpi: int = 150) -> None:
    """Write `drawing` to `file`, whose folder is made where it is missing; a unit is so many inches.

    Raises `SpecError` for an ending that is no picture's, `StorageError` where the file cannot be written.
    """
    kind = picture_format(file)
    content = document(drawing).encode() if kind == "svg" else _rendered(drawing, kind, inch, dpi)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "Free some space." if full else "Name a file in a folder that can be written."
        cause = "the disk is full" if full else (error.strerror or str(error))
        raise StorageError(f"{file}: the picture cannot be written: {cause}. {fix}") from error


def _rendered(drawing: Drawing, kind: str, inch: float, dpi: int) -> bytes:
    from matplotlib import style

    content = io.BytesIO()
    with style.context(["default", {"hatch.linewidth": 0.7}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # letters that the font lacks are boxes
        render(drawing, inch=inch).savefig(content, format=kind, dpi=dpi, metadata=_UNDATED[kind])
    return content.getvalue()


def render(drawing: Drawing, *, inch: float = INCH) -> Figure:
    """Return the drawing as a figure of matplotlib, never through pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(drawing.width * inch, drawing.height * inch))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0))
    axes.axis("off")
    for order, part in enumerate(drawing.parts, start=1):
        _draw(axes, part, order, 72 * inch)
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0), aspect="auto")  # a picture sets others
    return figure


def _draw(axes: Axes, part: Rect | Line | Mark | Text | Picture, order: int, points: float) -> None:
    from matplotlib.patches import PathPatch, Rectangle
    from matplotlib.patheffects import Normal, Stroke

    match part:
        case Rect():
            hatch = TEXTURES[part.look][1] if isinstance(part.look, str) and part.look in TEXTURES else None
            style = _look(part.look, points, part.opacity)
            if hatch and min(part.width, part.height) * points >= 6:  # a smaller box shows its colour alone
                style |= {"hatch": hatch, "edgecolor": "white", "linewidth": 0}
            axes.add_patch(Rectangle((part.x, part.y), part.width, part.height, zorder=order, **style))
        case Line():
            look = LOOKS[part.look] if isinstance(part.look, str) else part.look
            xs, ys = zip(*part.points, strict=True)
            width = look.width * points
            dashes = (0, tuple(each / look.width for each in look.dash)) if look.dash else "-"
            axes.plot(xs, ys, color=_color(look.stroke), linewidth=width, linestyle=dashes, zorder=order,
                      solid_capstyle="butt", solid_joinstyle="round")  # fmt: skip
        case Mark():
            axes.add_patch(PathPatch(_outline(part), zorder=order, **_look(part.look, points, 1.0)))
        case Text():
            text = axes.text(
                part.x, part.y, shown(part.text), fontsize=part.size * points, color=_color(part.color),
                ha={"start": "left", "middle": "center", "end": "right"}[part.anchor], va="baseline",
                fontweight="bold" if part.is_bold else "normal", rotation=part.rotation, rotation_mode="anchor",
                family="monospace" if part.is_monospace else "sans-serif", zorder=order,
                parse_math=False,  # a name with a dollar sign is a name
            )  # fmt: skip
            if part.has_halo:
                text.set_path_effects([Stroke(linewidth=3 * points, foreground="white"), Normal()])
        case Picture():
            place = (part.x, part.x + part.width, part.y + part.height, part.y)
            axes.imshow(part.pixels_HWC, extent=place, interpolation="nearest", zorder=order)
        case _:
            assert_never(part)


def _look(look: str | Look, points: float, opacity: float) -> dict[str, Any]:
    """Return how matplotlib's patches are given a look."""
    from matplotlib.colors import to_rgba

    if look == "cell":
        opacity *= float(LIGHT["cell"])
    known = LOOKS[look] if isinstance(look, str) else look
    return {
        "facecolor": to_rgba(_color(known.fill), known.opacity * opacity) if known.fill else "none",
        "edgecolor": _color(known.stroke) if known.stroke else "none",
        "linewidth": known.width * points if known.stroke else 0,
        "linestyle": (0, tuple(each / known.width for each in known.dash)) if known.dash else "-",
    }


def _color(name: str) -> str:
    return LIGHT.get(name, name)


def _outline(mark: Mark) -> Outline:
    from matplotlib.path import Path as Outline

    if mark.shape == "circle":
        return Outline.circle((mark.x, mark.y), mark.size)
    lines = [[(mark.x + x, mark.y + y) for x, y in each] for each in outline(mark.shape, mark.size)]
    return Outline.make_compound_path(*(Outline(each, closed=each[0] == each[-1]) for each in lines))

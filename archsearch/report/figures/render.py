"""Renderers of a drawing: as an element of a page, and as a file (SVG as our own markup, PNG and PDF by matplotlib).

A page has the looks in its style sheet; an SVG file contains them, in light colours. matplotlib is imported
lazily, its global state is unchanged, and equal drawings give equal bytes.
"""

from __future__ import annotations

import base64
import errno
import io
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from archsearch.errors import SpecError, StorageError
from archsearch.report.figures.drawing import (
    DARK,
    LIGHT,
    LOOKS,
    PRINT,
    TEXTURES,
    Drawing,
    Line,
    Look,
    Mark,
    Part,
    Picture,
    Rect,
    Text,
    outline,
)
from archsearch.report.html.markup import Markup, el, shown, verbatim
from archsearch.training.storage import replace_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Outline

_SIZE = 10.5  # default size of text
_FACE = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_TEXT = (
    f"svg{{font:{_SIZE}px {_FACE};fill:var(--ink)}}svg .muted{{fill:var(--muted)}}"
    "svg .b{font-weight:600}svg .middle{text-anchor:middle}svg .end{text-anchor:end}"
    "svg .halo{paint-order:stroke;stroke:var(--ground);stroke-width:3px;font-variant-numeric:tabular-nums}"
    "svg .texture{fill:none;stroke:var(--texture);stroke-width:1}svg .l-cell{opacity:var(--cell)}"
    "svg .textured{stroke:var(--muted);stroke-width:.4}"
)
FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}
INCH = 0.016  # inches per unit of a chart, so that its text has 12 points
_UNDATED = {"png": {}, "pdf": {"CreationDate": None}}


def element(drawing: Drawing, *, usual_width: float) -> Markup:
    """Return the drawing as an element of a page; one wider than `usual_width` is marked with `data-wide`."""
    return el(
        "svg",
        _groups(drawing.parts),
        viewBox=f"0 0 {drawing.width:g} {drawing.height:g}",
        role="group",
        aria_label=drawing.label,
        data_wide=drawing.width > usual_width,
    )


def _groups(parts: Sequence[Part]) -> Iterable[Markup]:
    """Yield marks with a tooltip in groups for keyboard navigation; with such marks, screen readers skip all others."""
    has_points = any(map(_is_point, parts))
    for is_point, run in groupby(parts, key=_is_point):
        drawn = [_part(part) for part in run]
        yield el("g", drawn, class_="points" if is_point else None, aria_hidden=not is_point and has_points and "true")


def _is_point(part: Part) -> bool:
    return isinstance(part, Mark) and bool(part.hover)


def document(drawing: Drawing) -> str:
    """Return the drawing as a standalone SVG document, in light colours."""
    style = f"{_TEXT}{_rules()}"
    for name, value in LIGHT.items():
        style = style.replace(f"var(--{name})", value)
    body = el(
        "svg",
        el("title", drawing.label),
        verbatim("style", style),
        textures(),
        el("rect", width=drawing.width, height=drawing.height, fill=LIGHT["ground"]),
        [_part(part) for part in drawing.parts],
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {drawing.width:g} {drawing.height:g}",
        width=drawing.width,
        height=drawing.height,
        role="img",
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def style_sheet() -> str:
    """Return the CSS of all looks, with colours for the light and dark colour schemes and for print."""

    def colours(table: Mapping[str, str]) -> str:
        return f":root{{{';'.join(f'--{name}:{value}' for name, value in table.items())}}}"

    return (
        f"{colours(LIGHT)}@media (prefers-color-scheme: dark){{{colours(DARK)}}}"
        f"@media print{{{colours(PRINT)}}}\n{_TEXT}{_rules()}\n"
    )


def textures() -> Markup:
    """Return the SVG definitions of the textures, which a page contains once."""
    tiles = [
        el(
            "pattern",
            el("rect", width=6, height=6, class_=f"l-{look}"),
            el("path", d=path, class_="texture"),
            id=f"t-{look}",
            width=6,
            height=6,
            patternUnits="userSpaceOnUse",
        )
        for look, (path, _) in TEXTURES.items()
    ]
    return el("defs", tiles)


def sample(parts: Iterable[Part], width: float) -> Markup:
    """Return the sample of a legend entry, 14 units high."""
    drawn = [_part(part) for part in parts]
    return el("svg", drawn, viewBox=f"0 0 {width:g} 14", width=width, height=14, aria_hidden="true", focusable="false")


def _rules() -> str:
    return "".join(
        f"svg .l-{name}{{fill:{f'var(--{look.fill})' if look.fill else 'none'}"
        + (f";stroke:var(--{look.stroke});stroke-width:{look.width:g}" if look.stroke else "")
        + (f";stroke-dasharray:{' '.join(f'{each:g}' for each in look.dash)}" if look.dash else "")
        + (f";fill-opacity:{look.opacity:g}" if look.opacity != 1 else "")
        + "}"
        for name, look in LOOKS.items()
    )


def _part(part: Part) -> Markup:
    match part:
        case Rect():
            style = {**_attributes(part.look), **({} if part.opacity == 1 else {"fill_opacity": part.opacity})}
            return el("rect", _hover(part.hover), x=part.x, y=part.y, width=part.width, height=part.height, **style)
        case Line():
            return el(
                "path",
                d=_path([part.points]),
                data_t=part.trial,
                **_attributes(part.look, "" if part.trial is None else "curve"),
            )
        case Mark():
            style = {**_attributes(part.look, "p" if part.hover else ""), "data_t": part.trial}
            if part.shape == "circle":
                return el("circle", _hover(part.hover), cx=part.x, cy=part.y, r=part.size, **style)
            lines = [[(part.x + x, part.y + y) for x, y in each] for each in outline(part.shape, part.size)]
            return el("path", _hover(part.hover), d=_path(lines), **style)
        case Text():
            return _text(part)
        case Picture():
            return el("image", href=_data_url(part), x=part.x, y=part.y, width=part.width, height=part.height,
                      preserveAspectRatio="none", image_rendering="pixelated")  # fmt: skip
        case _:
            assert_never(part)


def _path(lines: Iterable[Sequence[tuple[float, float]]]) -> str:
    """Return the SVG path data of the lines; a line whose ends meet is closed."""
    texts: list[str] = []
    for points in lines:
        closed = len(points) > 2 and points[0] == points[-1]
        steps = "L".join(f"{_short(x)} {_short(y)}" for x, y in (points[:-1] if closed else points))
        texts.append(f"M{steps}{'z' if closed else ''}")
    return "".join(texts)


def _text(part: Text) -> Markup:
    place = f"rotate({-part.rotation:g} {part.x:.1f} {part.y:.1f})" if part.rotation else None
    kinds = [part.anchor] * (part.anchor != "start") + ["b"] * part.is_bold + ["halo"] * part.has_halo
    kinds += ["muted"] * (part.color == "muted")
    return el(
        "text",
        part.text,
        x=part.x,
        y=part.y,
        class_=" ".join(kinds) or None,
        fill=None if part.color in ("ink", "muted") else LIGHT.get(part.color, part.color),
        font_size=part.size if part.size != _SIZE else None,
        font_family="monospace" if part.is_monospace else None,
        transform=place,
    )


def _attributes(look: str | Look, kind: str = "") -> dict[str, object]:
    """Return the SVG attributes of a look: the class or texture of a named look, the colours of any other."""
    if isinstance(look, str):
        if look in TEXTURES:
            return {"class_": "textured", "fill": f"url(#t-{look})"}
        return {"class_": f"{kind} {look} l-{look}" if kind else f"l-{look}"}
    dash = " ".join(f"{each:g}" for each in look.dash) or None
    fill, stroke = (LIGHT.get(each, each) or "none" for each in (look.fill, look.stroke))
    return {"fill": fill, "stroke": stroke, "stroke_width": look.width, "stroke_dasharray": dash,
            "fill_opacity": look.opacity}  # fmt: skip


def _hover(text: str) -> Markup | None:
    return el("title", text) if text else None


def _data_url(part: Picture) -> str:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(part.pixels_HWC).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def picture_format(file: Path) -> str:
    """Return `png`, `svg` or `pdf` by the extension of `file`; raise `SpecError` for any other."""
    ending = file.suffix.lower()
    if ending not in FORMATS:
        what = f"'{file}' has the ending '{file.suffix}'" if ending else f"'{file}' has no ending"
        raise SpecError("plot", f"{what}, which is not a picture format", f"Use one of {', '.join(FORMATS)}.")
    return FORMATS[ending]


def write_drawing(drawing: Drawing, file: Path, *, inch: float = INCH, dpi: int = 150) -> None:
    """Write `drawing` to `file` and create its folder if missing; `inch` is the size of a unit in inches.

    Raises `SpecError` for an unknown file extension, `StorageError` if the file cannot be written.
    """
    kind = picture_format(file)
    content = document(drawing).encode() if kind == "svg" else _rendered(drawing, kind, inch, dpi)
    try:
        replace_whole(file, content)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "Free some space." if full else "Name a file in a folder that can be written."
        cause = "the disk is full" if full else (error.strerror or str(error))
        raise StorageError(f"{file}: the picture cannot be written: {cause}. {fix}") from error


def _rendered(drawing: Drawing, kind: str, inch: float, dpi: int) -> bytes:
    backend = os.environ.pop("MPLBACKEND", None)  # not used here, but with an unknown name importing matplotlib fails
    try:
        from matplotlib import style
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend

    content = io.BytesIO()
    with style.context(["default", {"hatch.linewidth": 0.7}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # characters that the font lacks are drawn as boxes
        render(drawing, inch=inch).savefig(content, format=kind, dpi=dpi, metadata=_UNDATED[kind])
    return content.getvalue()


def render(drawing: Drawing, *, inch: float = INCH) -> Figure:
    """Return the drawing as a matplotlib figure, without using pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

    figure = Figure(figsize=(drawing.width * inch, drawing.height * inch))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0))
    axes.axis("off")
    order = count(1)
    for look, run in groupby(drawing.parts, key=lambda part: part.look if isinstance(part, Mark) else None):
        outlines: list[Outline] = []
        for part in run:
            if isinstance(part, Mark):
                outlines.append(_outline(part))
            else:
                _draw(axes, part, next(order), 72 * inch)
        if look is not None:  # one collection per run of marks: there may be thousands
            axes.add_collection(PathCollection(outlines, zorder=next(order), **_patch_style(look, 72 * inch, 1.0)))
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0), aspect="auto")  # `imshow` changes them
    return figure


def _draw(axes: Axes, part: Rect | Line | Text | Picture, order: int, points: float) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    match part:
        case Rect():
            hatch = TEXTURES[part.look][1] if isinstance(part.look, str) and part.look in TEXTURES else None
            style = _patch_style(part.look, points, part.opacity)
            if hatch and min(part.width, part.height) * points >= 6:  # smaller boxes have a plain colour
                style |= {"hatch": hatch, "edgecolor": "white", "linewidth": 0}
            axes.add_patch(Rectangle((part.x, part.y), part.width, part.height, zorder=order, **style))
        case Line():
            look = LOOKS[part.look] if isinstance(part.look, str) else part.look
            xs, ys = zip(*part.points, strict=True)
            width = look.width * points
            dashes = (0, tuple(each / look.width for each in look.dash)) if look.dash else "-"
            axes.plot(xs, ys, color=_color(look.stroke), linewidth=width, linestyle=dashes, zorder=order,
                      solid_capstyle="butt", solid_joinstyle="round")  # fmt: skip
        case Text():
            text = axes.text(
                part.x, part.y, shown(part.text), fontsize=part.size * points, color=_color(part.color),
                ha={"start": "left", "middle": "center", "end": "right"}[part.anchor], va="baseline",
                fontweight="bold" if part.is_bold else "normal", rotation=part.rotation, rotation_mode="anchor",
                family="monospace" if part.is_monospace else "sans-serif", zorder=order,
                parse_math=False,  # a dollar sign in a name is literal
            )  # fmt: skip
            if part.has_halo:
                text.set_path_effects([Stroke(linewidth=3 * points, foreground="white"), Normal()])
        case Picture():
            place = (part.x, part.x + part.width, part.y + part.height, part.y)
            axes.imshow(part.pixels_HWC, extent=place, interpolation="nearest", zorder=order)
        case _:
            assert_never(part)


def _patch_style(look: str | Look, points: float, opacity: float) -> dict[str, Any]:
    """Return a look as keyword arguments of matplotlib's patches."""
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

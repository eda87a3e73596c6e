"""A drawing as SVG: an element of a page, whose style sheet has its looks, or a file that holds them itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import assert_never

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
from archsearch.report.html.markup import Markup, el, verbatim

_SIZE = 10.5  # of letters, unless a text has another
_FACE = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_TEXT = (
    f"svg{{font:{_SIZE}px {_FACE};fill:var(--ink)}}svg .muted{{fill:var(--muted)}}"
    "svg .b{font-weight:600}svg .middle{text-anchor:middle}svg .end{text-anchor:end}"
    "svg .halo{paint-order:stroke;stroke:var(--ground);stroke-width:3px;font-variant-numeric:tabular-nums}"
    "svg .texture{fill:none;stroke:var(--texture);stroke-width:1}svg .l-cell{opacity:var(--cell)}"
    "svg .textured{stroke:var(--muted);stroke-width:.4}"
)


def element(drawing: Drawing, *, usual_width: float) -> Markup:
    """Return the drawing as an element of a page; one wider than `usual_width` is marked."""
    return el(
        "svg",
        _groups(drawing.parts),
        viewBox=f"0 0 {drawing.width:g} {drawing.height:g}",
        role="group",
        aria_label=drawing.label,
        class_=drawing.kind or None,
        data_wide=drawing.width > usual_width,
    )


def _groups(parts: Sequence[Part]) -> Iterable[Markup]:
    """Yield marks with a hover text as groups that keys go through; beside them a screen reader needs nothing else."""
    has_points = any(map(_is_point, parts))
    for is_point, run in groupby(parts, key=_is_point):
        drawn = [_part(part) for part in run]
        yield el("g", drawn, class_="points" if is_point else None, aria_hidden=not is_point and has_points and "true")


def _is_point(part: Part) -> bool:
    return isinstance(part, Mark) and bool(part.hover)


def document(drawing: Drawing) -> str:
    """Return the drawing as a file of its own, in light colours."""
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
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def style_sheet() -> str:
    """Return the colours, by the reader's choice of light or dark and for paper, and the looks of all parts."""

    def colours(table: Mapping[str, str]) -> str:
        return f":root{{{';'.join(f'--{name}:{value}' for name, value in table.items())}}}"

    return (
        f"{colours(LIGHT)}@media (prefers-color-scheme: dark){{{colours(DARK)}}}"
        f"@media print{{{colours(PRINT)}}}\n{_TEXT}{_rules()}\n"
    )


def textures() -> Markup:
    """Return the definitions of the textures, which a page holds once."""
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
    """Return the sample of a legend's entry, 14 units high."""
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
            shown = {**_look(part.look), "fill_opacity": part.opacity if part.opacity != 1 else None}
            return el("rect", _hover(part.hover), x=part.x, y=part.y, width=part.width, height=part.height, **shown)
        case Line():
            return el(
                "path",
                d=_path([part.points]),
                data_t=part.trial,
                **_look(part.look, "" if part.trial is None else "curve"),
            )
        case Mark():
            shown = {**_look(part.look, "p" if part.hover else ""), "data_t": part.trial}
            if part.shape == "circle":
                return el("circle", _hover(part.hover), cx=part.x, cy=part.y, r=part.size, **shown)
            lines = [[(part.x + x, part.y + y) for x, y in each] for each in outline(part.shape, part.size)]
            return el("path", _hover(part.hover), d=_path(lines), **shown)
        case Text():
            return _text(part)
        case Picture():
            return el("image", href=_data_url(part), x=part.x, y=part.y, width=part.width, height=part.height,
                      preserveAspectRatio="none", image_rendering="pixelated")  # fmt: skip
        case _:
            assert_never(part)


def _path(lines: Iterable[Sequence[tuple[float, float]]]) -> str:
    """Return the path through each of the lines; one whose ends meet is closed."""
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


def _look(look: str | Look, kind: str = "") -> dict[str, object]:
    """Return the attributes of a look: the class or the texture of a named one, or the colours themselves."""
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

"""HTML and SVG built from elements: text that is not `Markup` is escaped, so that it cannot inject markup.

Imports the standard library only.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any

# Characters that are invalid in a document, or that change the direction of the text around them.
_UNSHOWN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"meta", "link", "br", "hr", "col", "img"})


class Markup(str):
    """Text that is already HTML; only this module creates it."""

    __slots__ = ()


Child = Markup | str | int | float | None | Iterable["Child"]


def shown(text: str) -> str:
    """Return `text` with � for each character that is invalid or changes the direction of the text around it."""
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text)


def escaped(text: object) -> Markup:
    """Return `text` escaped for an element or a quoted attribute."""
    return Markup(html.escape(shown(str(text))))


def joined(*children: Child) -> Markup:
    """Return the concatenated children: markup unchanged, other text escaped, None left out."""
    return Markup("".join(_flat(children)))


def el(name: str, /, *children: Child, **attributes: Any) -> Markup:
    """Return the element `name`; `class_` gives `class`, `data_t` gives `data-t`, None and False give no attribute."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escaped(_short(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    opening = f"<{name}{written}>"
    return Markup(opening if name in _VOID else f"{opening}{joined(*children)}</{name}>")


def verbatim(name: str, text: str, /, **attributes: Any) -> Markup:
    """Return a `style` or `script` element with `text` unescaped; it must not contain raw text of users."""
    assert f"</{name}" not in text.lower(), "the element would end in the middle of its text"
    return Markup(str(el(name, **attributes)).replace(f"></{name}>", f">{text}</{name}>"))


def data_element(identity: str, value: object) -> Markup:
    """Return `value` as JSON for the page's script; nothing in it can close the element or open another."""
    text = json.dumps(_clean(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return verbatim("script", text, type="application/json", id=identity)


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str | int | float):
            yield escaped(child)
        elif child is not None:
            yield from _flat(child)


def _short(value: object) -> object:
    """Return a float with at most two decimals, as more are not visible; any other value unchanged."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def _clean(value: object) -> object:
    if isinstance(value, dict):
        return {str(_clean(str(key))): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return shown(value) if isinstance(value, str) else value

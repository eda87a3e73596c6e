"""Markdown of generated pages: tables, and values as YAML has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

GENERATED = "This page is generated: `python docs/tools`."


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, empty without rows."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines, ""]) if lines else ""


def code(text: str) -> str:
    """Return `text` as code, empty for no text."""
    return f"`{text}`" if text else ""


def yaml_text(value: Any) -> str:
    """Return a plain value on one line, as YAML has it."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def sentence(text: str) -> str:
    """Return `text` with a capital at its beginning and a full stop at its end, on one line."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".") if text else ""

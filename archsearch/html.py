"""A small escaped HTML table, for values that a notebook shows. Imports the standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with every text escaped; whole numbers are grouped, other numbers short, None is a dash."""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(said(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def said(cell: object) -> str:
    """Return a value as a cell of the table shows it."""
    match cell:
        case None:
            return "-"
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
        case float():
            return f"{cell:.4g}"
        case _:
            return str(cell)

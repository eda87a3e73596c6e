"""Building blocks of the page: sections, scrollable tables, figures, and values that stay on one line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from archsearch.formatting import setting_text, short_key, value_text
from archsearch.report.figures.charts import WIDTH, Key, Panel, layout, legend
from archsearch.report.figures.drawing import Drawing
from archsearch.report.figures.render import element, sample
from archsearch.report.html.markup import Child, Markup, el
from archsearch.report.vocabulary import cut, finite
from archsearch.search.storage.read import TrialRead

_TIED = re.compile(r"(?<=\d) (?=\d{3}\b|%|px\b|k\b|[MGT]\b|s\b|min\b|h\b|d\b|parameters\b|MACs\b)")


def tied(text: str) -> str:
    """Return `text` with no-break spaces within its numbers and before their units."""
    return _TIED.sub("\N{NO-BREAK SPACE}", text)


def value_cell(name: str, value: object) -> str:
    """Return a value for a column; `–` if it is not a finite number."""
    return tied(value_text(name, finite(value)))


def section(identity: str, title: str, *children: Child) -> Markup:
    """Return a section, to which the table of contents links by `identity`."""
    heading = el("h2", title, id=f"{identity}-title")
    return el("section", heading, *children, id=identity, aria_labelledby=f"{identity}-title")


def table(
    label: str,
    head: Sequence[Child],
    lines: Sequence[Sequence[Child]],
    *,
    numbers: Sequence[int] = (),
    ids: Sequence[str] = (),
) -> Markup:
    """Return a table that can be scrolled by touch and keyboard.

    The columns `numbers` are right-aligned; `ids` are the anchors of the rows.
    """
    kinds = ["n" if place in numbers else None for place in range(len(head))]
    top = el("tr", [el("th", text, scope="col", class_=kind) for text, kind in zip(head, kinds, strict=True)])
    body = [
        el(
            "tr",
            el("th", line[0], scope="row", class_=kinds[0]),
            [el("td", each, class_=kind) for each, kind in zip(line[1:], kinds[1:], strict=True)],
            id=ids[place] if ids else None,
        )
        for place, line in enumerate(lines)
    ]
    inside = el("table", el("thead", top), el("tbody", body))
    return el("div", inside, class_="scroll", tabindex=0, role="region", aria_label=label)


def titled(title: str, *children: Child) -> Markup:
    """Return the children below a title, as one column."""
    return el("div", el("h3", title), *children)


def no_data(text: str) -> Markup:
    """Return the text that replaces missing data."""
    return el("p", text, class_="nothing")


def note(text: str) -> Markup | None:
    """Return a note in small print; None if `text` is empty."""
    return el("p", text, class_="note") if text else None


def chart(panel: Panel) -> Markup:
    """Return a chart with its title, its legend and its notes."""
    return figure(panel.title, layout(panel), legend(panel), " ".join(panel.notes))


def figure(title: str, drawing: Drawing, keys: Sequence[Key] = (), text: str = "") -> Markup:
    """Return a drawing with its title, its legend and its notes."""
    picture = el("div", element(drawing, usual_width=WIDTH), class_="canvas")
    return el("figure", el("figcaption", el("h3", title)), key_list(keys), picture, note(text), class_="chart")


def key_list(keys: Sequence[Key]) -> Markup | None:
    """Return a legend; None if it has no entries."""
    items = [el("li", sample(key.sample, key.width), key.text) for key in keys]
    return el("ul", *items, class_="legend") if items else None


def settings(trial: TrialRead, names: Sequence[str]) -> list[str]:
    """Return `key=value` for each setting in `names` that the trial has and its design uses."""
    unused = trial.attrs.get("unused")
    skipped = unused if isinstance(unused, list) else []
    there = [name for name in names if name in trial.assignments and name not in skipped]
    return [f"{short_key(name)}={cut(setting_text(trial.assignments[name]), 60)}" for name in there]

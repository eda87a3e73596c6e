"""What the sections of a study's page are made of: sections, tables that scroll, and limits and settings in words."""

from __future__ import annotations

from collections.abc import Sequence

from archsearch.formatting import number
from archsearch.report.markup import Child, Markup, el
from archsearch.report.study_series import brief_setting, finite, short_key
from archsearch.search.storage.read import StudyRead, TrialRead

_BOUND_WORDS = {"below": "below {}", "at_most": "at most {}", "above": "above {}", "at_least": "at least {}"}


def section(identity: str, title: str, *children: Child) -> Markup:
    """Return a section that the page's contents link to."""
    return el(
        "section", el("h2", title, id=f"{identity}-title"), *children, id=identity, aria_labelledby=f"{identity}-title"
    )


def scrolling(table: Markup, label: str) -> Markup:
    """Return a table that scrolls within itself, by touch and by the keyboard."""
    return el("div", table, class_="scroll", tabindex=0, role="region", aria_label=label)


def table(
    head: Sequence[Child], lines: Sequence[Sequence[Child]], *, numbers: Sequence[int] = (), ids: Sequence[str] = ()
) -> Markup:
    """Return a table whose columns `numbers` are set to the right; `ids` gives each line its anchor."""
    kinds = ["n" if place in numbers else None for place in range(len(head))]
    top = el("tr", [el("th", text, scope="col", class_=kind) for text, kind in zip(head, kinds, strict=True)])
    body = [
        el(
            "tr",
            [el("th", line[0], scope="row", class_=kinds[0])],
            [el("td", each, class_=kind) for each, kind in zip(line[1:], kinds[1:], strict=True)],
            id=ids[place] if ids else None,
        )
        for place, line in enumerate(lines)
    ]
    return el("table", el("thead", top), el("tbody", body))


def nothing(text: str) -> Markup:
    """Return the sentence that says that there is nothing to show."""
    return el("p", text, class_="nothing")


def cut(text: str, most: int) -> str:
    """Return `text` with at most so many letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def settings_words(trial: TrialRead, tried: Sequence[str]) -> list[str]:
    """Return `key=value` for each of the settings `tried` that the trial has and that meant something to it."""
    unused = trial.attrs.get("unused")
    skipped = unused if isinstance(unused, list) else []
    there = [name for name in tried if name in trial.assignments and name not in skipped]
    return [f"{short_key(name)}={cut(brief_setting(trial.assignments[name]), 60)}" for name in there]


def cost_bounds(study: StudyRead, cost: str) -> dict[str, float]:
    """Return the limits on `cost` by what they are called, such as `below 200 000`."""
    limits = study.attrs.get("limits_text")
    bound = limits.get(cost) if isinstance(limits, dict) else None
    if not isinstance(bound, dict):
        return {}
    known = {words: finite(bound.get(key)) for key, words in _BOUND_WORDS.items()}
    return {words.format(_bound(value)): value for words, value in known.items() if value is not None}


def bound_words(bound: object) -> str:
    """Return a limit's bound in words."""
    if isinstance(bound, dict):
        parts = [
            _BOUND_WORDS[str(key)].format(_bound(found))
            if key in _BOUND_WORDS and (found := finite(value)) is not None
            else f"{key} {bound_words(value)}"
            for key, value in bound.items()
        ]
        return ", ".join(parts)
    if isinstance(bound, list | tuple):
        return ", ".join(str(each) for each in bound) or "none"
    return str(bound)


def _bound(value: float) -> str:
    return number(int(value)) if value.is_integer() else f"{value:g}"

"""The report of a study as one self-contained HTML file.

`archsearch.report.html.markup` escapes all text of users, and the page's Content-Security-Policy allows only the script
and the style sheet that are embedded in it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from archsearch.errors import StorageError
from archsearch.report.figures.render import style_sheet
from archsearch.report.html.card_section import card_section
from archsearch.report.html.markup import Markup, data_element, el, verbatim
from archsearch.report.html.sections import (
    conditions_section,
    designs_section,
    history_section,
    importance_section,
    infeasible_section,
    summary_section,
    trade_off_section,
    trial_facts,
    trials_section,
)
from archsearch.report.series import pareto_front, thinned, varied_settings
from archsearch.report.vocabulary import DUPLICATE, INFEASIBLE
from archsearch.search.explain import explain
from archsearch.search.explain import importances as search_importances
from archsearch.search.storage.read import StudyRead

MOST_TIPS = 2000
CONTENTS = {
    "summary": "Summary",
    "trade-off": "Cost",
    "history": "History",
    "importance": "Importance",
    "designs": "Best designs",
    "card": "Report card",
    "infeasible": "Infeasible",
    "conditions": "Conditions",
    "trials": "All trials",
}


def write_report(study: StudyRead, file: Path, *, importances: Mapping[str, float] | None = None) -> None:
    """Write the report of `study` to `file` and create its folder if missing; equal studies give equal bytes.

    `importances` are computed if they are not given. Raises `StorageError` if the file cannot be written.
    """
    from archsearch.training.storage import replace_whole

    text = study_page(study, importances=importances)
    try:
        replace_whole(file, text.encode())
    except OSError as error:
        cause = error.strerror or str(error)
        raise StorageError(
            f"{file}: the report cannot be written: {cause}. Name a file in a folder that can be written."
        ) from error


def study_page(study: StudyRead, *, importances: Mapping[str, float] | None = None) -> str:
    """Return the report of `study` as an HTML document."""
    shares = search_importances(study) if importances is None else importances
    why = explain(study)
    sections = {
        "summary": summary_section(study, why),
        "trade-off": trade_off_section(study),
        "history": history_section(study),
        "importance": importance_section(study, shares),
        "designs": designs_section(study),
        "card": card_section(study),
        "infeasible": infeasible_section(study, why),
        "conditions": conditions_section(study, _program()),
        "trials": trials_section(study),
    }
    shown = [identity for identity, part in sections.items() if part is not None]
    links = [el("li", el("a", CONTENTS[identity], href=f"#{identity}")) for identity in shown]
    body = el(
        "body",
        el("a", "Skip to the summary", href="#summary", class_="skip"),
        el("header", el("p", "archsearch: report of a study", class_="note"), el("h1", study.name)),
        el("nav", el("ul", links), aria_label="Contents"),
        el("main", [sections[identity] for identity in shown]),
        el(
            "footer", el("p", "Written by archsearch. This page is self-contained: it loads nothing and sends nothing.")
        ),
        el("div", id="tip", role="status", hidden=True),
        data_element("trials-data", _tips(study)),
        verbatim("script", script()),
    )
    return f"<!DOCTYPE html>\n{el('html', _head(study.name), body, lang='en')}\n"


def style() -> str:
    """Return the page's style sheet, which starts with that of the figures."""
    return style_sheet() + Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def script() -> str:
    """Return the page's script, which shows the details of a trial; the page works without it."""
    return Path(__file__).with_name("page.js").read_text(encoding="utf-8")


def policy() -> str:
    """Return the Content-Security-Policy: only data URLs of images, and the embedded style and script by hash."""
    return (
        f"default-src 'none'; style-src '{_digest(style())}'; script-src '{_digest(script())}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _head(title: str) -> Markup:
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy()),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", f"{title}: report of a study"),
        el("link", rel="icon", href="data:,"),
        verbatim("style", style()),
    )


def _tips(study: StudyRead) -> dict[str, list[str]]:
    tried = list(varied_settings(study))
    best = {trial.number for trial in study.ranked()[:50]} | pareto_front(study)
    chosen = thinned(study.trials, MOST_TIPS, lambda trial: trial.number in best)
    return {
        str(trial.number): trial_facts(study, trial, tried)
        for trial in chosen
        if trial.state not in (INFEASIBLE, DUPLICATE)
    }


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _program() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {"archsearch": version("archsearch")}
    except PackageNotFoundError:
        return {}

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from study_fakes import HOSTILE, hostile, make_study, make_trial, odd

from archsearch.errors import StorageError
from archsearch.report.html.markup import shown
from archsearch.report.html.page import study_page, write_report
from archsearch.search.storage.read import StudyRead


class Page(HTMLParser):
    """What a browser makes of a page: its elements, their attributes, its scripts and its links."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self.feed(text)
        self.close()

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open = tag
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open in self.inside:
            self.inside[self.open].append(data)

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(attribute)) is not None]


def unresolved(page: Page) -> list[str]:
    ids = page.values("id")
    assert len(ids) == len(set(ids)), "two elements of one name"
    texts = {name for text in page.values("fill") for name in re.findall(r"url\(#(.*)\)", text)}
    wanted = {link.removeprefix("#") for link in page.values("href") if link.startswith("#")}
    return sorted((wanted | texts | set(page.values("aria-labelledby"))) - set(ids))


def test_a_study_of_200_trials_is_one_small_file(searched: Callable[..., StudyRead], tmp_path: Path) -> None:
    file = tmp_path / "new" / "report.html"
    write_report(searched(200), file)
    text = file.read_text(encoding="utf-8")
    assert len(text.encode()) < 400_000
    page = Page(text)
    assert not unresolved(page)
    assert {link for link in page.values("href") if not link.startswith("#")} == {"data:,"}
    assert not page.values("src")
    assert not [tag for tag, _ in page.elements if tag in ("img", "iframe", "object", "base", "form")]
    assert text.count('class="points"') == 4, "two trade-offs, the history, the learning curves"
    write_report(searched(200), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text, "the same study, the same bytes"


def test_the_policy_lets_our_own_style_and_script_run_and_nothing_else() -> None:
    page = Page(study_page(make_study([])))
    [policy] = [attributes["content"] or "" for tag, attributes in page.elements if "http-equiv" in attributes]
    [_, script] = page.inside["script"]  # the first is data
    for kind, text in (("script", script), ("style", "".join(page.inside["style"]))):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not page.values("style"), "the policy would block them"
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_no_text_of_a_user_becomes_markup() -> None:
    text = study_page(hostile())
    page = Page(text)
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.inside["title"][0] == f"{shown(HOSTILE)}: report of a study"
    assert shown(HOSTILE) in json.loads(page.inside["script"][0])["2"], "data is data"
    assert not unresolved(page)
    assert "\u202e" not in text
    assert "\x00" not in text


@pytest.mark.parametrize("name", odd())
def test_odd_studies_have_a_page(name: str) -> None:
    text = study_page(odd()[name])
    page = Page(text)
    assert not unresolved(page)
    assert [tag for tag, _ in page.elements].count("section") == 8 + ('id="importance"' in text)
    assert text.count('<li><a href="#') == 8 + ('id="importance"' in text)


def test_thousands_of_trials_stay_a_page(searched: Callable[..., StudyRead]) -> None:
    trials = [
        make_trial(i, values=(0.5 + (i * 7 % 1000) / 2000,), attrs={"parameters": 1000 + i, "macs": 5000 + i % 77},
                   assignments={"a": i % 13}, history={1: 0.3, 2: 0.5})
        for i in range(4000)
    ]  # fmt: skip
    text = study_page(make_study(trials), importances={"a": 1.0})
    assert len(text) < 1_500_000
    assert "Thinned: 1 000 of 4 000" in text


def test_importances_are_taken_as_given_and_else_computed(searched: Callable[..., StudyRead]) -> None:
    assert 'id="importance"' not in study_page(searched(60), importances={})
    assert "Importance of settings" in study_page(searched(60))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"the report cannot be written: .*Name a file in a folder"):
        write_report(make_study([]), tmp_path / "file" / "report.html")

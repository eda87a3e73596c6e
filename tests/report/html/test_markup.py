from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from study_fakes import HOSTILE

from archsearch.report.html.markup import data_element, el, escaped, joined, shown, verbatim


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_text_and_attributes_come_back_as_they_were_and_are_no_markup() -> None:
    read = Reader(el("p", HOSTILE, title=HOSTILE))
    assert read.tags == ["p"]
    assert read.text == shown(HOSTILE) == read.attributes["title"]


def test_markup_stays_and_nothing_is_escaped_twice() -> None:
    assert el("p", "a & b ", el("b", "<"), None, ["x", 3]) == "<p>a &amp; b <b>&lt;</b>x3</p>"
    assert joined(escaped("<"), "<") == "&lt;&lt;"


def test_attributes_are_named_as_html_names_them() -> None:
    found = el("td", class_="n", data_t=3, tabindex=0, hidden=True, id=None, open=False, x=1.0, y=2.346)
    assert found == '<td class="n" data-t="3" tabindex="0" hidden x="1" y="2.35"></td>'
    assert el("meta", name="viewport", http_equiv="x") == '<meta name="viewport" http-equiv="x">'


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\u202e", "\ud800", "\uffff"])
def test_what_cannot_be_shown_is_replaced(bad: str) -> None:
    assert escaped(f"a{bad}b") == "a\N{REPLACEMENT CHARACTER}b"
    escaped(f"a{bad}b").encode()


def test_data_cannot_end_its_element() -> None:
    found = data_element("d", {HOSTILE: [HOSTILE, 1, None]})
    inside = found.removeprefix('<script type="application/json" id="d">').removesuffix("</script>")
    assert "<" not in inside
    assert "&" not in inside
    assert json.loads(inside) == {shown(HOSTILE): [shown(HOSTILE), 1, None]}


def test_a_script_that_would_end_early_is_no_script_of_ours() -> None:
    assert verbatim("script", "a < b", id="s") == '<script id="s">a < b</script>'
    with pytest.raises(AssertionError, match="end in the middle"):
        verbatim("script", "'</SCRIPT>'")

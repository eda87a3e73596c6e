"""The pages of docs/ are whole: links lead to a file and a heading, prose is short, the site lists every page."""

from __future__ import annotations

import re
from pathlib import Path

import hooks
import pytest
import yaml
from test_messages import PRIVATE

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted((CHECKOUT / "docs").rglob("*.md"))
OTHERS = [CHECKOUT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")]
LONGEST = 120  # characters of a line of prose
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as a repository and the site make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings} | {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", [*PAGES, *OTHERS, CHECKOUT / "README.md"], ids=name)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    wrong: list[str] = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _CODE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("http:", "https:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_lines_of_prose_are_short(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    long = [line for line in text.splitlines() if len(line) > LONGEST and not line.startswith("|")]
    assert long == [], page


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_use_the_words_of_the_field(page: Path) -> None:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    assert [line for line in text.splitlines() if PRIVATE.search(line)] == []


def test_the_site_lists_every_page() -> None:
    class Loader(yaml.SafeLoader):
        """Reads tags of Python as their text."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    settings = yaml.load((CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)

    def listed(entries: object) -> list[str]:
        if isinstance(entries, str):
            return [entries]
        inner = entries.values() if isinstance(entries, dict) else entries
        return [one for entry in inner for one in listed(entry)]  # type: ignore[union-attr]

    pages = listed(settings["nav"])
    assert sorted(pages) == sorted({*pages})
    assert set(pages) - {file.name for file in OTHERS} == {
        page.relative_to(CHECKOUT / "docs").as_posix() for page in PAGES
    }


@pytest.mark.parametrize(
    ("source", "link", "expected"),
    [
        ("docs/results.md", "../benchmarks/x.md#a", "benchmarks/x.md#a"),
        ("docs/reference/networks.md", "../../conf/arch/x.yaml", "../conf/arch/x.yaml"),
        ("docs/reference/study.md", "../language.md", "../language.md"),
        ("CONTRIBUTING.md", "docs/language.md#blocks", "language.md#blocks"),
        ("benchmarks/x.md", "../docs/results.md", "../results.md"),
        ("docs/index.md", "https://example.org/a", "https://example.org/a"),
        ("docs/index.md", "#here", "#here"),
    ],
)
def test_a_link_of_the_repository_is_one_of_the_site(source: str, link: str, expected: str) -> None:
    assert hooks.site_links(f"[text]({link}) `[text]({link})`", source) == f"[text]({expected}) `[text]({link})`"


def test_the_site_has_the_files_outside_of_docs_that_pages_link_to() -> None:
    found = {path for pattern in hooks.OUTSIDE for path in CHECKOUT.glob(pattern)}
    assert all(list(CHECKOUT.glob(pattern)) for pattern in hooks.OUTSIDE)
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s:#]+)", _CODE.sub("", page.read_text(encoding="utf-8"))):
            target = (page.parent / link).resolve()
            assert target.is_relative_to(CHECKOUT / "docs") or target in found, f"{name(page)}: {link}"

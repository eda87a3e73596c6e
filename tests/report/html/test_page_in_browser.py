"""The report as a real browser opens it: headless Chromium, without a network, on hostile and on plausible studies."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Page, browser
from card_fakes import card
from study_fakes import HOSTILE, hostile, make_study, make_trial, odd

from archsearch.report.html.markup import shown
from archsearch.report.html.page import write_report
from archsearch.search.storage.read import StudyRead

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH opens the report here")

POINTS = "[...document.querySelectorAll('g.points [data-t]')]"
TIP = "document.getElementById('tip')"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(browser(tmp_path_factory.mktemp("profile")))
        except AssertionError as error:  # it is installed, but nothing of it can be seen here
            pytest.skip(f"{CHROMIUM} does not start: {error}")
        yield opened


@pytest.fixture(scope="module")
def report(searched: Callable[..., StudyRead], tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRead, Path]:
    study = searched(200)
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report(study, file)
    return study, file


def test_a_broken_page_would_be_noticed(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "broken.html"
    policy = '<meta http-equiv="Content-Security-Policy" content="script-src \'none\'">'
    file.write_text(f"<!DOCTYPE html>{policy}<script>1</script><p>whole</p>", encoding="utf-8")
    page.open(file)
    assert page.run("document.querySelector('p').textContent") == "whole"
    assert page.logged


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")])
def test_it_opens_without_an_error_and_nothing_sticks_out(
    page: Page, report: tuple[StudyRead, Path], width: int, scheme: str
) -> None:
    page.open(report[1], width=width, scheme="dark" if scheme == "dark" else "light")
    assert page.logged == []
    assert page.run("document.querySelectorAll('svg').length") > 10
    assert page.run("document.documentElement.scrollWidth") == width, "the page does not scroll sideways"
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")
    tall = "[...document.querySelectorAll('.canvas svg')].map((svg) => svg.getBoundingClientRect().height)"
    assert min(page.run(tall)) > 20, "every chart is there"


def test_every_link_leads_somewhere(page: Page, report: tuple[StudyRead, Path]) -> None:
    page.open(report[1])
    links = page.run("[...document.querySelectorAll('a[href]')].map((link) => link.getAttribute('href'))")
    assert len(links) > 8
    for link in dict.fromkeys(links):
        page.run(f"document.querySelector('a[href=\"{link}\"]').click()")
        assert page.run(f"document.querySelector('{link}:target') !== null"), link
    assert page.logged == []


def test_the_pointer_on_a_point_shows_its_trial_in_every_chart(page: Page, report: tuple[StudyRead, Path]) -> None:
    study, file = report
    page.open(file)
    best = study.ranked()[0].number
    charts = page.run("document.querySelectorAll('g.points').length")
    assert charts == 4
    for chart in range(charts):
        group = f"document.querySelectorAll('g.points')[{chart}]"
        point = f"{group}.querySelector('[data-t=\"{best}\"]')"
        page.run(f"{point}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        page.point(1, 1)
        assert page.run(f"{TIP}.hidden"), "nothing is pointed at"
        box = f"{point}.getBoundingClientRect()"
        page.point(*(page.run(f"{box}.{side} + {box}.{size} / 2") for side, size in (("x", "width"), ("y", "height"))))
        assert not page.run(f"{TIP}.hidden")
        text = page.run(f"{TIP}.textContent")
        assert text.startswith("Trial "), text
        lit = page.run(f"{POINTS}.filter((one) => one.classList.contains('on')).map((one) => one.dataset.t)")
        assert len(set(lit)) == 1
        assert len(lit) >= 3, "the trial is marked in the other charts too"
        inside = f"(box => box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight)({TIP}"
        assert page.run(f"{inside}.getBoundingClientRect())"), "the whole tip can be seen"
    assert page.logged == []


def test_arrow_keys_go_from_trial_to_trial_and_enter_to_its_line(page: Page, report: tuple[StudyRead, Path]) -> None:
    page.open(report[1])
    stops = "document.querySelector('g.points').querySelectorAll('[tabindex=\"0\"]')"
    assert page.run(f"{stops}.length") == 1, "one stop of the tab key"
    page.run(f"{stops}[0].focus()")
    seen = [page.run("document.activeElement.dataset.t")]
    for key, code in (("Home", 36), ("ArrowRight", 39), ("ArrowRight", 39)):
        page.press(key, code)
        seen.append(page.run("document.activeElement.dataset.t"))
        assert page.run(f"{TIP}.textContent").startswith(f"Trial {seen[-1]},")
    assert len(set(seen[1:])) == 3
    page.press("Enter", 13)
    assert page.run("location.hash") == f"#trial-{seen[-1]}"
    page.press("Escape", 27)
    assert page.run(f"{TIP}.hidden")


def test_it_prints(page: Page, report: tuple[StudyRead, Path]) -> None:
    page.open(report[1])
    printed = page.printed()
    assert printed.startswith(b"%PDF")
    assert 3 <= printed.count(b"/Type /Page\n") <= 40


def test_hostile_and_odd_studies_run_no_script_of_theirs(page: Page, tmp_path: Path) -> None:
    write_report(hostile(), tmp_path / "hostile.html")
    page.open(tmp_path / "hostile.html")
    assert page.logged == []
    assert page.run("document.querySelectorAll('img, iframe, a[href^=javascript]').length") == 0
    assert page.run("document.scripts.length") == 2
    assert page.run("document.querySelector('h1').textContent") == shown(HOSTILE)
    write_report(odd()["foreign"], tmp_path / "foreign.html")
    page.open(tmp_path / "foreign.html")
    assert page.logged == []


def test_the_pictures_of_a_card_are_seen(page: Page, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(json.dumps(card(name=HOSTILE).record()))
    write_report(make_study([make_trial(0, values=(0.5,), attrs={"run_dir": str(tmp_path)})]), tmp_path / "card.html")
    page.open(tmp_path / "card.html")
    assert page.logged == []
    assert page.run("[...document.images].map((image) => image.naturalWidth)") == [8, 60]
    assert page.run("document.scripts.length") == 2

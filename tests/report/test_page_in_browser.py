"""The report as a real browser opens it: headless Chromium, without a network, on hostile and on plausible studies."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from study_fakes import hostile, odd

from archsearch.report.page import write_report
from archsearch.search.reading import StudyRead

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
PATIENCE = 240  # seconds, for a loaded machine

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH opens the report here")


def opened(file: Path, profile: Path) -> tuple[str, str]:
    """Return the document as it stands after the page's script has run, and what the browser logged."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
        "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
        f"--user-data-dir={profile}", "--window-size=1280,900", "--virtual-time-budget=2000", "--dump-dom",
        file.as_uri(),
    ]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout, found.stderr


def said(log: str) -> list[str]:
    """Return what the page wrote to the console, errors and refusals of the policy among it."""
    return [line for line in log.splitlines() if "CONSOLE" in line or "Content Security Policy" in line]


def test_a_broken_page_would_be_noticed(tmp_path: Path) -> None:
    file = tmp_path / "broken.html"
    policy = '<meta http-equiv="Content-Security-Policy" content="script-src \'none\'">'
    file.write_text(f"<!DOCTYPE html>{policy}<script>1</script><p>whole</p>", encoding="utf-8")
    dom, log = opened(file, tmp_path / "profile")
    assert "<p>whole</p>" in dom
    assert said(log)


def test_the_report_opens_without_an_error_and_its_points_tell_their_trials(
    searched: Callable[..., StudyRead], tmp_path: Path
) -> None:
    study = searched(200)
    write_report(study, tmp_path / "report.html")
    dom, log = opened(tmp_path / "report.html", tmp_path / "profile")
    assert said(log) == []
    assert dom.count("<svg") > 10
    best = study.ranked()[0]
    assert f'aria-label="Trial {best.number}, complete; held-out accuracy' in dom, "the script has run"
    groups = re.findall(r'<g class="points">.*?</g>', dom, re.DOTALL)
    assert len(groups) == 4
    assert [len(re.findall('tabindex="0"', group)) for group in groups] == [1, 1, 1, 1], "one stop of the tab key each"
    ids = set(re.findall(r' id="([^"]*)"', dom))
    assert set(re.findall(r' href="#([^"]*)"', dom)) <= ids
    assert set(re.findall(r"url\(#([\w-]+)\)", dom)) - ids == set()


def test_hostile_and_odd_studies_run_no_script_of_theirs(tmp_path: Path) -> None:
    write_report(hostile(), tmp_path / "hostile.html")
    dom, log = opened(tmp_path / "hostile.html", tmp_path / "profile")
    assert said(log) == []
    assert "<img" not in dom
    assert dom.count("<script") == 2
    write_report(odd()["foreign"], tmp_path / "foreign.html")
    assert said(opened(tmp_path / "foreign.html", tmp_path / "profile")[1]) == []

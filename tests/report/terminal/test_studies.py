"""Tables of studies as text: what a person reads, and nothing of a user's that is markup."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console
from trial_fakes import empty, mixed, odd, study, trained

from archsearch.report.records import ranking
from archsearch.report.terminal.studies import print_findings, print_overviews, print_study, print_why
from archsearch.report.vocabulary import INFEASIBLE
from archsearch.search.explain import Miss, Why, explain
from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.storage.doctor import Finding
from archsearch.search.storage.read import StudyRead, overview_of

STUDIES = [mixed(), odd(), empty()]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200, highlight=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_list_of_studies(console: Console) -> None:
    print_overviews([overview_of(one) for one in STUDIES], console)
    ours, foreign, none = printed(console).splitlines()[1:]
    assert ours.split("  ")[0] == "shapes-tiny"
    assert f"2 complete, 1 failed, 1 {INFEASIBLE}, 1 running" in ours
    assert "75.00 % by trial 1" in ours
    assert ours.rstrip().endswith("2026-03-01 12:01 UTC")
    assert foreign.startswith("[red]a[/] �[31mb� <i>")
    assert "1 on the Pareto front of a, b" in foreign
    assert none.split() == ["empty", "-", "-", "none", "-", "-"]


def test_studies_that_differ_by_a_setting_are_listed_with_it(console: Console) -> None:
    ones = [
        replace(overview_of(mixed()), name=f"s{size}", attrs={"data": "d", "data_settings": {"image_size": size}})
        for size in (32, 64)
    ]
    print_overviews(ones, console)
    head, first, second = printed(console).splitlines()
    assert "differs by" in head
    assert "data.image_size=32" in first
    assert "data.image_size=64" in second


def test_a_database_without_studies(console: Console) -> None:
    print_overviews([], console)
    assert printed(console) == "The database contains no studies yet.\n"


def test_the_leaderboard(console: Console) -> None:
    one = mixed()
    print_study(one, ranking(one)[:1], console, total=2)
    lines = printed(console).splitlines()
    assert lines[:2] == [
        f"shapes-tiny  2 complete, 1 failed, 1 {INFEASIBLE}, 1 running",
        "objective accuracy (maximized), data shapes, limits advanced_convolution",
    ]
    assert lines[3].split() == ["trial", "accuracy", "parameters", "MACs", "RF", "time", "blocks", "files"]
    assert lines[4].split()[:3] == ["1", "75.00", "%"]
    assert "c1-c3 inverted, c4 depthwise" in lines[4]
    assert lines[4].endswith("outputs/runs/0001")
    assert lines[5] == "1 of 2 are shown: --limit 2 shows all"


def test_trials_of_fewer_epochs_are_ranked_below_unless_a_value_is_asked_for(console: Console) -> None:
    one = study(trained(0, 0.5), trained(1, 0.75, rung=3))
    note = "Trials with fewer epochs are ranked below all trials with more epochs."
    print_study(one, ranking(one), console, total=2)
    assert printed(console).splitlines()[-3:][0].split()[:3] == ["0", "all", "50.00"]
    assert printed(console).count(note) == 1
    print_study(one, ranking(one, by="accuracy"), console, total=2, by="accuracy")
    assert printed(console).count(note) == 1


@pytest.mark.parametrize("one", STUDIES)
def test_every_study_and_state_can_be_shown(one: StudyRead, console: Console) -> None:
    print_study(one, one.trials, console, total=len(one.trials))
    print_why(one, explain(one), {}, console)
    assert "\x1b" not in printed(console)


def test_the_front_is_marked(console: Console) -> None:
    one = odd()
    print_study(one, ranking(one), console, total=2)
    assert "1*" in printed(console)
    assert "* on the Pareto front (1 trial)" in printed(console)


def test_why(console: Console) -> None:
    one = mixed()
    miss = Miss(trial=one.trials[2], excess={"parameters": 0.25})
    counts = InfeasibleCounts(proposed=2000, feasible=10, by_limit=Counter({"parameters": 1990, "macs": 199}))
    why = Why(infeasible=counts, nearest=(miss,), failures={"failed: [b]odd": [1, 2]})
    print_why(one, why, {"arch.width": 0.75, "block": 0.25}, console)
    text = printed(console)
    assert "2 000 designs checked, 1 990 of them infeasible (99.5 %)" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}
    assert rows["parameters"] == ["1", "990", "#" * 30]
    assert "parameters by 25.0 %" in text
    assert "only 0.50 % of 2 000 proposals keep the limits" in text
    assert rows["arch.width"] == ["75.0", "%", "#" * 22]
    assert "failed: [b]odd" in text


def test_findings_and_fixes(console: Console) -> None:
    found = [Finding(kind="left_running", what="trial 3", fix="It waits.", fixable=True, study="[b]s", trials=(3,))]
    print_findings(found, None, console)
    assert printed(console) == "left running  [b]s: trial 3\n  It waits. (with --fix)\n"
    print_findings(found, ["done"], console)
    assert printed(console).endswith("left running  [b]s: trial 3\n  It waits.\nfixed  done\n")
    print_findings([], None, console)
    assert printed(console).endswith("No problems were found.\n")


def test_a_study_of_one_trial(console: Console) -> None:
    one = study(trained(0, 0.5))
    print_study(one, ranking(one), console, total=1)
    assert "shown" not in printed(console)

"""Trials as text: the best, one in full, two in comparison."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from trial_fakes import leave_files, mixed, odd, study, trained

from archsearch.report.records import comparison_record
from archsearch.report.terminal.studies import print_best, print_comparison, print_trial
from archsearch.search.storage.read import StudyRead


@pytest.fixture
def console() -> Console:
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), width=200, highlight=False)


def printed(console: Console) -> str:
    console.file.seek(0)
    return console.file.read()


def test_the_best(console: Console) -> None:
    one = mixed()
    leave_files(one.trials[1])
    print_best(one, one.trials[1], console)
    text = printed(console)
    assert text.startswith("shapes-tiny  trial 1, the best of 2 complete\naccuracy 75.00 %, parameters ")
    assert "kept   receptive_field" in text
    assert "px, must be above 44" in text
    assert "inverted" in text
    assert "files  outputs/runs/0001: design.yaml, model.safetensors, metrics.jsonl" in text
    assert "command  python -m archsearch.run data=shapes" in text
    assert "block=inverted seed=1" in text


def test_one_in_full(console: Console) -> None:
    one = mixed()
    leave_files(one.trials[0])
    repaired = replace(one.trials[0], attrs={**one.trials[0].attrs, "repairs": {"a.b": 2}, "unused": ["c", "d"]})
    print_trial(one, repaired, console)
    text = printed(console)
    assert "curve  ▁█\nepoch 1: 25.00 %, epoch 2: 50.00 %, highest at 2: 50.00 %" in text
    assert "started 2026-03-01 12:00 UTC, finished 2026-03-01 12:01 UTC" in text
    assert "settings\narch=c1c2c3c4\nblock=dilated\nseed=0\n" in text
    assert "changed by the search\na.b=2" in text
    assert "unused by this design: c, d" in text
    assert "last lines of the log\nepoch 4  loss 1.5000" in text


def test_a_trial_of_fewer_epochs_has_its_position_and_its_promotion(console: Console) -> None:
    first = trained(0, 0.5, rung=3, epochs=3, enqueued=1)
    low, high = replace(first, history={3: 0.5}), trained(1, 0.75, epochs=10, promoted_from=0)
    print_trial(study(low, high), low, console)
    text = printed(console)
    assert text.startswith("shapes-tiny  trial 0, complete after 3 epochs\n")
    assert "position in study.enqueue 1\npromoted to trial 1\n\ncurve  ▄\nepoch 3: 50.00 %\n" in text
    print_trial(study(low, high), high, console)
    text = printed(console)
    assert "\nshapes-tiny  trial 1, complete\n" in text
    assert "promoted from trial 0\n\ncurve" in text
    one = study(low, high)
    print_comparison(one, comparison_record(one, *one.trials), one.trials, console)
    assert ["epochs", "3", "10", "+233.3", "%"] in [line.split() for line in printed(console).splitlines()]
    assert "epochs" not in comparison_record(one, low, low)["figures"]


def test_a_failure_with_its_traceback(console: Console) -> None:
    one = mixed()
    print_trial(one, one.trials[3], console)
    text = printed(console)
    assert text.startswith("shapes-tiny  trial 3, failed\n[red]a[/] �[31mb� <i>\nno data\n")
    assert "files  nowhere, which does not exist" in text
    assert "traceback\nTraceback\n  [red]a[/] �[31mb� <i>" in text


@pytest.mark.parametrize("one", [mixed(), odd()])
def test_every_trial_can_be_shown_and_compared(one: StudyRead, console: Console) -> None:
    for trial in one.trials:
        print_trial(one, trial, console)
        print_best(one, trial, console)
        for other in one.trials:
            print_comparison(one, comparison_record(one, trial, other), (trial, other), console)
    assert "\x1b" not in printed(console)


def test_a_comparison(console: Console) -> None:
    one = mixed()
    pair = one.trials[:2]
    print_comparison(one, comparison_record(one, *pair), pair, console)
    text = printed(console)
    assert "+25.00 points" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["block", "dilated", "inverted"] in rows
    assert ["c1", "dilated", "inverted"] in rows
    assert "layers that differ" in text


def test_equal_layers_are_reported(console: Console) -> None:
    one = study(trained(0, 0.5), trained(1, 0.5))
    print_comparison(one, comparison_record(one, *one.trials), one.trials, console)
    assert "The layers are the same." in printed(console)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    plain = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=200, highlight=False)
    print_trial(mixed(), mixed().trials[0], plain)
    assert "curve  _#" in printed(plain)

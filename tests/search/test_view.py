"""The progress view: a line for every end, and how all stand."""

from __future__ import annotations

import io

from rich.console import Console

from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.progress import Event, LiveDisplay, ProgressView
from archsearch.search.trial_runner import TrialEnd


def test_a_line_says_how_the_search_stands() -> None:
    out, now = io.StringIO(), [0.0]
    view = ProgressView(4, ("accuracy",), ("maximize",), out=out, clock=lambda: now[0])
    view(Event(kind="counts", counts=InfeasibleCounts(proposed=12, feasible=2)))
    now[0] = 60.0
    view(Event(kind="ended", number=0, end=TrialEnd(number=0, state="complete", values=(0.5,))))
    view(Event(kind="ended", number=1, end=TrialEnd(number=1, state="failed", cause="ValueError: no")))
    view(Event(kind="ended", number=2, end=TrialEnd(number=2, state="pruned")))
    first, second, third = out.getvalue().splitlines()
    assert first == "trial 0: accuracy 0.5  [1/4 done, 10 infeasible, best 0.5 by trial 0, about 3 min left]"
    assert second.startswith("trial 1: failed (ValueError: no)  [1/4 done, 1 failed")
    assert "2/4 done, 1 pruned, 1 failed" in third


def test_a_trial_that_goes_to_another_worker_counts_for_nothing() -> None:
    out = io.StringIO()
    view = ProgressView(4, ("accuracy",), ("maximize",), out=out)
    view(Event(kind="ended", number=0, end=TrialEnd(number=0, state="lost")))
    view(Event(kind="ended", number=1, end=TrialEnd(number=1, state="released", cause="no room")))
    assert out.getvalue() == "trial 0: another worker has taken it over\ntrial 1: put back for another worker\n"
    assert view.status() == "0/4 done"


def test_a_note_is_said_once() -> None:
    out = io.StringIO()
    view = ProgressView(4, ("loss",), ("minimize",), out=out)
    for _ in range(2):
        view(Event(kind="note", text="hardly anything is feasible"))
    assert out.getvalue() == "hardly anything is feasible\n"


def test_the_best_is_the_lowest_where_less_is_better() -> None:
    view = ProgressView(4, ("loss",), ("minimize",), out=io.StringIO())
    for number, value in enumerate((0.5, 0.25, 0.75)):
        view(Event(kind="ended", number=number, end=TrialEnd(number=number, state="complete", values=(value,))))
    assert "best 0.25 by trial 1" in view.status()


def test_on_a_terminal_the_standing_stays_at_the_foot_and_says_who_trains_what() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, legacy_windows=False, record=True)
    view = ProgressView(4, ("accuracy",), ("maximize",), done=1, epochs=8, display=LiveDisplay(console))
    view(Event(kind="claimed", number=5, worker=1))
    view(Event(kind="epoch", number=4, worker=0, epoch=3, accuracy=0.61234))
    shown = console.export_text()
    assert "1/4 done" in shown
    assert "  worker 0: trial 4, epoch 3/8, accuracy 0.6123" in shown
    assert "  worker 1: trial 5" in shown
    view(Event(kind="ended", number=4, worker=0, end=TrialEnd(number=4, state="complete", values=(0.7,))))
    shown = console.export_text()
    assert "trial 4: accuracy 0.7  [2/4 done, best 0.7 by trial 4" in shown
    view(Event(kind="counts", counts=InfeasibleCounts()))
    shown = console.export_text()
    assert "worker 0" not in shown
    assert "worker 1: trial 5" in shown
    view.close()
    view.close()

"""The progress view: a line for every ended trial, and the state of the search at the foot of a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.progress import Event, LiveDisplay, PlainDisplay, ProgressView, Status, make_display
from archsearch.search.storage.read import Best
from archsearch.search.trial_runner import TrialEnd


def test_a_line_has_the_status_of_the_search() -> None:
    out, now = io.StringIO(), [0.0]
    view = ProgressView(4, ("accuracy",), ("maximize",), out=out, clock=lambda: now[0])
    view(Event(kind="counts", counts=InfeasibleCounts(proposed=12, feasible=2)))
    now[0] = 60.0
    view(Event(kind="ended", number=0, end=TrialEnd(number=0, state="complete", values=(0.5,))))
    view(Event(kind="ended", number=1, end=TrialEnd(number=1, state="failed", cause="ValueError: no")))
    view(Event(kind="ended", number=2, end=TrialEnd(number=2, state="pruned")))
    first, second, third = out.getvalue().splitlines()
    assert first == "trial 0: accuracy 50.00 %  [1/4 done, 10 infeasible, best 50.00 % by trial 0, about 3 min left]"
    assert second.startswith("trial 1: failed (ValueError: no)  [1/4 done, 1 failed")
    assert "2/4 done, 1 pruned, 1 failed" in third


def test_a_trial_that_goes_to_another_worker_does_not_count() -> None:
    out = io.StringIO()
    view = ProgressView(4, ("accuracy",), ("maximize",), out=out)
    view(Event(kind="ended", number=0, end=TrialEnd(number=0, state="lost")))
    view(Event(kind="ended", number=1, end=TrialEnd(number=1, state="released", cause="no room")))
    view(Event(kind="ended", number=2, end=TrialEnd(number=2, state="waiting", cause="the disk is full")))
    first, *rest = out.getvalue().splitlines()
    assert first == "trial 0: another worker has taken it over"
    assert rest == ["trial 1: put back for another worker", "trial 2: put back into the queue (the disk is full)"]
    assert view.status() == "0/4 done"


def test_the_best_is_that_of_the_whole_sweep() -> None:
    view = ProgressView(
        4, ("accuracy",), ("maximize",), done=2, best=Best(number=1, values=(0.75,), front=1), out=io.StringIO()
    )
    assert view.status() == "2/4 done, best 75.00 % by trial 1"
    view(Event(kind="ended", number=2, end=TrialEnd(number=2, state="complete", values=(0.5,))))
    assert "best 75.00 % by trial 1" in view.status()
    view(Event(kind="ended", number=3, end=TrialEnd(number=3, state="complete", values=(0.875,))))
    assert "best 87.50 % by trial 3" in view.status()


def test_the_best_is_one_of_the_highest_rung() -> None:
    out = io.StringIO()
    view = ProgressView(9, ("accuracy",), ("maximize",), epochs=6, out=out)
    for number, (value, rung) in enumerate([(0.5, 2), (0.3, None), (0.9, 2), (0.4, None)]):
        view(Event(kind="claimed", number=number, rung=rung))
        view(Event(kind="epoch", number=number, epoch=1, accuracy=0.1))
        view(
            Event(
                kind="ended", number=number, end=TrialEnd(number=number, state="complete", values=(value,), rung=rung)
            )
        )
    lines = out.getvalue().splitlines()
    assert (
        lines[0]
        == "trial 0: accuracy 50.00 % after 2 epochs  [1/9 done, best 50.00 % by trial 0 after 2 epochs, "
        + lines[0].rpartition(", ")[2]
    )
    assert "best 30.00 % by trial 1," in lines[1]
    assert "best 30.00 % by trial 1," in lines[2]
    assert "best 40.00 % by trial 3," in lines[3]


def test_a_worker_is_shown_with_the_epochs_of_its_rung() -> None:
    shown: list[Status] = []

    class Shown(PlainDisplay):
        def show(self, status: Status) -> None:
            shown.append(status)

    view = ProgressView(9, ("accuracy",), ("maximize",), epochs=6, display=Shown(io.StringIO()))
    for rung in (2, None):
        view(Event(kind="claimed", number=1, rung=rung))
        view(Event(kind="epoch", number=1, epoch=1, accuracy=0.1))
    assert [status.training[0].split(",")[1].strip() for status in shown[1::2]] == ["epoch 1/2", "epoch 1/6"]


def test_a_search_without_a_number_of_trials_shows_its_time() -> None:
    now = [100.0]
    shown: list[Status] = []

    class Shown(PlainDisplay):
        def show(self, status: Status) -> None:
            shown.append(status)

    view = ProgressView(
        None, ("accuracy",), ("maximize",), until=300.0, display=Shown(io.StringIO()), clock=lambda: now[0]
    )
    now[0] = 150.0
    view(Event(kind="ended", number=0, end=TrialEnd(number=0, state="complete", values=(0.5,))))
    assert shown[-1].share == pytest.approx(0.25)
    assert shown[-1].text == "1 done, best 50.00 % by trial 0, about 2 min 30 s left"


def test_a_note_is_printed_once() -> None:
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


def test_on_a_terminal_the_status_stays_at_the_foot_with_the_trial_of_each_worker() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, legacy_windows=False, record=True)
    view = ProgressView(4, ("accuracy",), ("maximize",), done=1, epochs=8, display=LiveDisplay(console))
    view(Event(kind="claimed", number=5, worker=1))
    view(Event(kind="epoch", number=4, worker=0, epoch=3, accuracy=0.61234))
    shown = console.export_text()
    assert "1/4 done" in shown
    assert "  worker 0: trial 4, epoch 3/8, accuracy 61.23 %" in shown
    assert "  worker 1: trial 5" in shown
    view(Event(kind="ended", number=4, worker=0, end=TrialEnd(number=4, state="complete", values=(0.7,))))
    shown = console.export_text()
    assert "trial 4: accuracy 70.00 %  [2/4 done, best 70.00 % by trial 4" in shown
    view(Event(kind="counts", counts=InfeasibleCounts()))
    shown = console.export_text()
    assert "worker 0" not in shown
    assert "worker 1: trial 5" in shown
    view.close()
    view.close()


STANDING = Status(share=0.75, text="3/4 done, 2 [refused]", training=("worker 0: trial 7",))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_lines_and_no_status() -> None:
    out = io.StringIO()
    display = make_display(out)
    display.show(STANDING)
    display.print("trial 1: [b] done")
    display.close()
    assert isinstance(display, PlainDisplay)
    assert out.getvalue() == "trial 1: [b] done\n"


def test_a_terminal_gets_a_region_unless_it_is_a_dumb_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_display(Terminal()), LiveDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_display(Terminal()), PlainDisplay)


def test_the_region_is_removed_at_the_end_and_lines_stay() -> None:
    out = io.StringIO()
    display = LiveDisplay(Console(file=out, force_terminal=True, width=100, legacy_windows=False))
    display.show(STANDING)
    assert "3/4 done, 2 [refused]" in out.getvalue()
    assert "worker 0: trial 7" in out.getvalue()
    display.print("trial 1: [b] done")
    assert "trial 1: [b] done" in out.getvalue()
    display.close()
    end = out.getvalue()
    display.close()
    assert out.getvalue() == end


def test_numbers_are_written_as_everywhere() -> None:
    out = io.StringIO()
    view = ProgressView(12_000, ("macs",), ("minimize",), out=out)
    view(Event(kind="counts", counts=InfeasibleCounts(proposed=4_500, feasible=200)))
    view(Event(kind="ended", number=1234, end=TrialEnd(number=1234, state="complete", values=(4_395_392.0,))))
    line = out.getvalue()
    assert line.startswith("trial 1234: macs 4 395 392  [1/12 000 done, 4 300 infeasible, best 4 395 392 by trial 1234")

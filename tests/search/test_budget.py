"""The time budget of a command: what it ends, what it leaves, and that the same command goes on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.errors import InterruptedRun
from archsearch.search import loop
from archsearch.search.loop import Event, work
from archsearch.search.storage.study import Study
from archsearch.search.task import Job
from archsearch.signals import StopRequest, TimeLimit

OVER = "study.budget: the time is over; the same command goes on with the search"
LATER = 3600.0  # seconds


@pytest.fixture
def end_budget(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that ends the budget of the search under way, so that no test depends on its speed."""
    limits: list[TimeLimit] = []

    class Limit(TimeLimit):
        def __init__(self, moment: float | None) -> None:
            super().__init__(moment)
            limits.append(self)

    monkeypatch.setattr(loop, "TimeLimit", Limit)
    return lambda: threading.Thread(target=limits[-1]._send, daemon=True).start()


def states(study: Study) -> list[str]:
    return [trial.state.name for trial in study.trials()]


def search(study: Study, task: FakeTask, events: list[Event] | None = None, trials: int | None = 6) -> None:
    sweep = make_sweep(make_settings(trials=trials, budget="1h"))
    work(
        study, sweep, task, seed=1, until=time.monotonic() + LATER, listen=(events if events is not None else []).append
    )


def test_a_budget_that_is_spent_begins_no_training(study: Study) -> None:
    events: list[Event] = []
    work(study, make_sweep(), FakeTask(), seed=1, until=time.monotonic() - 1, listen=events.append)
    assert states(study) == []
    assert [event.text for event in events] == [OVER]


def test_a_training_is_put_back_at_the_end_of_the_budget_and_resumed_by_the_same_command(
    study: Study, end_budget: Callable[[], None]
) -> None:
    def train(job: Job) -> None:
        end_budget()
        time.sleep(100)
        pytest.fail("nothing has ended the training")

    events: list[Event] = []
    search(study, FakeTask(on_train=train), events)
    assert states(study) == ["WAITING"]
    assert study.trials()[0].user_attrs["worker"] == ""
    assert events[-1].text == OVER
    resumed = FakeTask()
    search(study, resumed, trials=2)
    assert (states(study), resumed.resumed, len(resumed.trained)) == (["COMPLETE"] * 2, [0], 1)


def test_a_training_that_listens_to_the_signal_saves_and_is_put_back(
    study: Study, end_budget: Callable[[], None]
) -> None:
    """As a real one does: the request is taken by the innermost `StopRequest`, which looks at it after a step."""

    def train(job: Job) -> None:
        with StopRequest() as request:
            end_budget()
            while not request.asked:
                time.sleep(0.01)
            raise InterruptedRun("a checkpoint is saved")

    with StopRequest() as around:
        search(study, FakeTask(on_train=train))
        assert not around.asked, "what is around the search is not stopped"
    assert states(study) == ["WAITING"]


def test_without_a_number_of_trials_the_search_lasts_until_its_budget_ends(
    study: Study, end_budget: Callable[[], None]
) -> None:
    def train(job: Job) -> None:
        if job.number == 60:  # more than without a budget
            end_budget()
            time.sleep(100)

    search(study, FakeTask(on_train=train), trials=None)
    assert states(study) == ["COMPLETE"] * 60 + ["WAITING"]


def test_with_a_number_of_trials_the_search_ends_there(study: Study) -> None:
    events: list[Event] = []
    search(study, FakeTask(), events, trials=3)
    assert states(study) == ["COMPLETE"] * 3
    assert OVER not in [event.text for event in events]


def test_a_stop_of_the_user_is_not_taken_for_the_end_of_the_budget(study: Study) -> None:
    def stop(job: Job) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        search(study, FakeTask(on_train=stop))
    assert states(study) == ["WAITING"]


def test_the_signal_comes_at_the_moment_and_never_after_the_context() -> None:
    with StopRequest() as request:
        with TimeLimit(time.monotonic() + LATER) as limit:
            assert not limit.is_over
        limit._send()
        assert not request.asked
        with TimeLimit(time.monotonic() + 0.01) as limit:
            while not request.asked:
                time.sleep(0.01)
        assert limit.is_over

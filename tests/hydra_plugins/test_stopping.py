"""A launched job that is to end stops its training first; signals are sent to this very process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from archsearch.errors import InterruptedRun
from archsearch.signals import StopRequest
from hydra_plugins.archsearch_sweeper._stopping import NOTICE, stopping_in_time


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Be a launcher that, like submitit, passes SIGTERM over and queues the job again on SIGUSR2."""
    came: list[str] = []

    def handler(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(signal.Signals(number).name)

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, NOTICE)}
    yield came
    for number, old in before.items():
        signal.signal(number, old)


HEARD = pytest.mark.parametrize(("number", "afterwards"), [(NOTICE, ["SIGUSR2"]), (signal.SIGTERM, [])])


@HEARD
def test_a_training_stops_before_the_launcher_hears_of_it(
    heard: list[str], number: signal.Signals, afterwards: list[str]
) -> None:
    def work() -> None:
        with stopping_in_time(), StopRequest() as request:
            signal.raise_signal(number)
            assert request.asked
            assert heard == []
            raise InterruptedRun("a checkpoint is written")

    with pytest.raises(SystemExit, match="130"):
        work()
    assert heard == afterwards


@HEARD
def test_outside_of_a_training_nothing_new_is_begun(
    heard: list[str], number: signal.Signals, afterwards: list[str]
) -> None:
    def work() -> None:
        with stopping_in_time():
            signal.raise_signal(number)
            pytest.fail("it went on")

    with pytest.raises(SystemExit, match="130"):
        work()
    assert heard == afterwards


def test_a_job_whose_time_is_over_for_good_says_so() -> None:
    def handler(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise ValueError("timed-out too many times")

    def work() -> None:
        with stopping_in_time():
            signal.raise_signal(NOTICE)

    before = signal.signal(NOTICE, handler)
    try:
        with pytest.raises(InterruptedRun, match="timed-out too many times"):
            work()
    finally:
        signal.signal(NOTICE, before)


def test_the_launcher_has_its_handlers_back(heard: list[str]) -> None:
    with stopping_in_time():
        pass
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(NOTICE)
    assert heard == ["SIGTERM", "SIGUSR2"]


def test_a_signal_that_no_launcher_listens_to_stays_as_it_was() -> None:
    before = signal.getsignal(NOTICE)
    assert not callable(before)
    with stopping_in_time():
        assert signal.getsignal(NOTICE) is before


def test_an_error_of_the_search_goes_through() -> None:
    with pytest.raises(ValueError, match="of the search"), stopping_in_time():
        raise ValueError("of the search")


def test_another_thread_installs_nothing() -> None:
    seen: list[bool] = []

    def enter() -> None:
        with stopping_in_time():
            seen.append(signal.getsignal(signal.SIGTERM) is before)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [True]

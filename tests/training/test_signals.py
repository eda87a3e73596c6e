from __future__ import annotations

import os
import signal
import threading

import pytest

from archsearch.training.signals import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_does_what_it_did_before(number):
    came = []
    old = signal.signal(number, lambda *_: came.append("old handler"))
    try:
        with StopRequest(lambda: came.append("asked")) as request:
            assert not request.asked
            os.kill(os.getpid(), number)
            assert request.asked
            assert came == ["asked"]
            os.kill(os.getpid(), number)
            assert came == ["asked", "old handler"]
    finally:
        signal.signal(number, old)


def test_a_second_ctrl_c_raises_keyboard_interrupt():
    with StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_that_is_ignored_on_purpose_stays_so():
    old = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with StopRequest() as request:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not request.asked
    finally:
        signal.signal(signal.SIGTERM, old)


def test_another_thread_installs_nothing():
    seen = []

    def enter() -> None:
        with StopRequest():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]

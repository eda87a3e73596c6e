from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from archsearch.signals import StopRequest, blocked


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


def test_what_is_around_a_request_is_asked_when_that_ends():
    with StopRequest() as outer:
        with StopRequest() as inner:
            os.kill(os.getpid(), signal.SIGINT)
            assert inner.asked
            assert not outer.asked
        with pytest.raises(KeyboardInterrupt):
            outer.check()


def test_what_may_be_cut_off_ends_at_once_and_what_may_not_goes_to_its_end():
    done = []

    def work(request: StopRequest) -> None:
        request.check()
        with request.at_once():
            with request.held():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("held")
            done.append("after it")

    old = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with StopRequest() as request, pytest.raises(KeyboardInterrupt):
            work(request)
        assert done == ["held"]
        with StopRequest() as request, request.at_once(), pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, old)


def test_what_may_be_cut_off_is_not_begun_after_a_signal():
    begun = []
    with StopRequest() as request:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), request.at_once():
            begun.append(True)
    assert begun == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_whose_exception_is_swallowed_is_heard_all_the_same():
    class Closing:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with StopRequest() as request:
        with request.at_once():
            Closing()
        with pytest.raises(KeyboardInterrupt):
            request.check()


def test_signals_are_held_back_within_a_block():
    came = []
    old = signal.signal(signal.SIGTERM, lambda *_: came.append("SIGTERM"))
    try:
        with blocked():
            signal.raise_signal(signal.SIGTERM)  # to this thread: other libraries have threads that block nothing
            assert came == []
        assert came == ["SIGTERM"]
    finally:
        signal.signal(signal.SIGTERM, old)


_SWALLOWED = """
import os, signal, sys, time, weakref
from archsearch.process import run_as_process

class Held:
    pass

def interrupt(*_):
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))

def command():
    held = Held()
    reference = weakref.ref(held, interrupt)
    del held
    print("swallowed", flush=True)
    time.sleep(60)
    return 0

run_as_process(command)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_in_the_callback_of_a_weak_reference_ends_a_command(name):
    command = [sys.executable, "-c", _SWALLOWED, name]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (130, "swallowed\n", "interrupted\n")

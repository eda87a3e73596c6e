"""Commands killed at named points and at random moments, and stopped by signals: all that was asked for is there, once.

The short form; `make faults` does the same hundreds of times.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable

import pytest
from lab import Lab, Reference, kill_at_point, kill_at_random, signal_at_random

MakeLab = Callable[..., Lab]


@pytest.mark.parametrize(
    ("pattern", "last"),
    [
        ("within write .checkpoint.pt.*", True),
        ("after replace result.json", False),
        ("after commit of .*", True),
    ],
)
def test_a_run_killed_at_a_point_is_whole_in_the_end(
    make_lab: MakeLab, reference: Reference, pattern: str, last: bool
) -> None:
    lab = make_lab("run")
    assert kill_at_point(lab, reference.point("run", pattern, last=last)), "the command came to the point"
    lab.finish()
    assert lab.check(reference) == []


@pytest.mark.parametrize(
    ("pattern", "last"),
    [
        ("after commit of .* study_.*", False),
        ("within write .*overrides.yaml.*", False),
        ("after replace result.json", False),
        ("(within write|after open) .*card.json.*", True),
        ("after commit of UPDATE trials", False),
    ],
)
def test_a_search_killed_at_a_point_is_whole_in_the_end(
    make_lab: MakeLab, reference: Reference, pattern: str, last: bool
) -> None:
    lab = make_lab("search")
    assert kill_at_point(lab, reference.point("search", pattern, last=last)), "the command came to the point"
    lab.finish()
    assert lab.check(reference) == []


@pytest.mark.parametrize("kind", ["run", "search"])
def test_a_command_killed_at_random_moments_is_whole_in_the_end(
    make_lab: MakeLab, reference: Reference, kind: str
) -> None:
    lab = make_lab(kind)
    kill_at_random(lab, reference.seconds[kind], 2, random.Random(kind))
    lab.finish()
    assert lab.check(reference) == []


@pytest.mark.postgres
def test_a_search_on_a_server_killed_at_random_moments_is_whole_in_the_end(
    make_lab: MakeLab, reference: Reference, shared_server: str
) -> None:
    lab = make_lab("search", storage=shared_server)
    kill_at_random(lab, reference.seconds["search"], 2, random.Random(1))
    lab.finish()
    assert lab.check(reference) == []


def test_a_search_whose_worker_is_killed_is_whole_in_the_end(make_lab: MakeLab, reference: Reference) -> None:
    lab = make_lab("workers")
    kill_at_random(lab, 2 * reference.seconds["search"], 1, random.Random(2), whole=False)
    lab.finish()
    assert lab.check(reference) == []


@pytest.mark.parametrize(
    ("kind", "number"), [("run", signal.SIGINT), ("search", signal.SIGTERM), ("search", signal.SIGHUP)]
)
def test_a_signal_stops_a_command_in_good_order(
    make_lab: MakeLab, reference: Reference, kind: str, number: signal.Signals
) -> None:
    lab = make_lab(kind)
    signal_at_random(lab, reference.seconds[kind], number, random.Random(f"{kind} {number}"))
    lab.finish()
    assert lab.check(reference) == []


def test_two_sweeps_at_once_share_a_study_and_one_is_killed(make_lab: MakeLab, reference: Reference) -> None:
    lab = make_lab("search")
    first = lab.start()
    second = lab.start()
    first.wait(reference.seconds["search"] / 2)
    first.kill()
    assert second.wait() == 0, second.text
    lab.finish()
    assert lab.check(reference) == []

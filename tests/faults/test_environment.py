"""Faults of the environment are no design's: a command waits, or ends with one message, and no trial fails by them.

The short form; `make faults` tries all of `environment.DISTURBANCES`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from environment import (
    ENDING,
    RECORDED,
    SAVING,
    Place,
    damaged,
    database_vanishes,
    flip_bits,
    full_disk,
    locked,
    read_only,
    server_restarts,
)
from postgres_server import PostgresServer


@pytest.mark.usefixtures("disk")
def test_a_full_disk_is_waited_for(place: Place) -> None:
    assert full_disk(place) == []


@pytest.mark.usefixtures("disk")
def test_folders_that_stay_read_only_end_a_search_with_one_message(place: Place) -> None:
    assert read_only(place, last=True) == []


def test_a_locked_database_is_waited_for(place: Place) -> None:
    assert locked(place) == []


def test_a_database_locked_at_the_end_of_a_run_loses_no_result(place: Place) -> None:
    assert locked(place, "run", point=RECORDED) == []


def test_a_database_that_vanishes_is_an_error(place: Place) -> None:
    assert database_vanishes(place) == []


def test_a_server_that_restarts_costs_nothing(place: Place, server: PostgresServer) -> None:
    assert server_restarts(replace(place, server=server), "immediate", ENDING) == []


def test_a_damaged_checkpoint_costs_no_trial(place: Place) -> None:
    assert damaged(place, "checkpoint.pt", SAVING, flip_bits) == []

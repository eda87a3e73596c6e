"""A tracker's library, there or not."""

from __future__ import annotations

import json

import pytest

from archsearch.errors import SpecError
from archsearch.tracking.tracker import library


def test_a_library_is_imported_when_it_is_wanted() -> None:
    assert library("json", tracker="json") is json


def test_one_that_is_missing_is_told_by_the_tracker_s_name() -> None:
    with pytest.raises(SpecError, match=r"tracking=mlflow: needs the package mlflow, which is not installed"):
        library("there_is_no_such_library", tracker="mlflow")

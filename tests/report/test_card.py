"""The report card as values, and as the file that holds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from card_fakes import card

from archsearch.report.card import parse_card, read_card


def test_shares_are_of_rows_and_columns_and_none_where_there_is_nothing() -> None:
    one = card()
    assert (one.images, one.accuracy, one.confidence) == (8, 7 / 8, 0.9)
    assert one.recalls() == [0.75, 1.0, None]
    assert one.precisions() == [1.0, 0.8, None]


def test_the_record_is_json_with_names() -> None:
    record = json.loads(json.dumps(card().record()))
    assert record["per_class"][0] == {"class": card().classes[0], "images": 4, "accuracy": 0.75, "precision": 1.0}
    assert record["mistakes"][0]["taken_for"] == card().classes[1]
    assert record["calibration"]["expected_error"] == 0.025
    assert "Guo" in record["calibration"]["source"]


@pytest.mark.parametrize("classes", [2, 30])
def test_what_is_written_is_read(tmp_path: Path, classes: int) -> None:
    (tmp_path / "card.json").write_text(json.dumps({"data": "shapes", **card(classes).record()}))
    assert read_card(tmp_path) == card(classes)


WRONG: list[Callable[[dict[str, Any]], object]] = [
    lambda record: record.clear(),
    lambda record: record.update(split="train"),
    lambda record: record.update(confusion=[[1, 2], [3, 4]]),
    lambda record: record.update(confusion=[[0] * 3] * 3),
    lambda record: record.update(confusion=[[-1, 2, 0]] * 3),
    lambda record: record["calibration"].update(expected_error=float("nan")),
    lambda record: record["calibration"]["bins"][0].update(accuracy="high"),
    lambda record: record["calibration"]["bins"][0].update(images=9),
    lambda record: record["calibration"].update(bins=[]),
    lambda record: record["mistakes"][0].update(taken_for="nothing"),
    lambda record: record["mistakes"][0].update(picture="PHNjcmlwdD4="),
    lambda record: record["mistakes"][0].update(picture="/9j/<"),
]


@pytest.mark.parametrize("spoil", WRONG)
def test_what_is_no_card_is_refused(tmp_path: Path, spoil: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(json.dumps(card().record()))
    parse_card(record)
    spoil(record)
    (tmp_path / "card.json").write_text(json.dumps(record))
    assert read_card(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "\x00", "[" * 100_000])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    assert read_card(tmp_path) is None
    assert read_card(tmp_path / "nowhere") is None

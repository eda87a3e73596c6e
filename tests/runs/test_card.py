"""The report card of a trained network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archsearch.runs import card as carding
from archsearch.runs.card import make_card
from archsearch.runs.execute import execute

CLASSES = ("a", "b", "c")


def test_what_is_taken_for_what_and_how_surely() -> None:
    probabilities_NK = np.array([[0.9, 0.1, 0.0], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.05, 0.95, 0.0]])
    made = make_card(probabilities_NK, np.array([0, 1, 1, 2]), CLASSES)
    assert made.confusion == ((1, 0, 0), (1, 1, 0), (0, 1, 0))
    assert [(one.image, one.label, one.guess, one.confidence) for one in made.mistakes] == [
        (3, 2, 1, 0.95),
        (1, 1, 0, 0.6),
    ]
    assert made.accuracy == 0.5


def test_the_calibration_error_is_that_of_guo_et_al() -> None:
    # Two bins: four images sure by 0.9 of which three are right, and one sure by 0.5 that is wrong.
    sure, torn = [0.9, 0.1, 0.0], [0.5, 0.3, 0.2]
    made = make_card(np.array([sure, sure, sure, sure, torn]), np.array([0, 0, 0, 1, 1]), CLASSES)
    assert [(one.images, round(one.accuracy, 3)) for one in made.bins] == [(1, 0.0), (4, 0.75)]
    assert made.calibration_error == pytest.approx((4 * 0.15 + 1 * 0.5) / 5)


def test_certainty_is_in_the_last_bin_and_an_edge_in_the_lower_one() -> None:
    made = make_card(np.array([[1.0, 0.0, 0.0], [0.4, 0.3, 0.3]]), np.array([0, 0]), CLASSES)
    assert [(round(one.low, 3), round(one.high, 3)) for one in made.bins] == [(0.333, 0.4), (0.933, 1.0)]


def test_a_single_run_leaves_its_card(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("arch.width=0.1")
    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset)
    record = json.loads((tmp_path / "run" / "card.json").read_text())
    assert (tmp_path / "run" / "card.png").stat().st_size > 10_000
    assert (record["images"], record["accuracy"]) == (20, outcome.result.test_accuracy)
    assert [sum(row) for row in record["confusion"]] == np.bincount(dataset.test.labels_B, minlength=10).tolist()


def test_a_trial_of_a_search_leaves_the_test_images_alone(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("arch.width=0.1")
    execute(experiment, checked, tmp_path / "run", dataset=dataset, evaluate_test=False)
    assert not list((tmp_path / "run").glob("card.*"))


def test_a_card_that_fails_is_a_notice(
    tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no such font")

    monkeypatch.setattr(carding, "draw_card", fail)
    experiment, checked, dataset = tiny("arch.width=0.1")
    record = execute(experiment, checked, tmp_path / "run", dataset=dataset).record
    assert record["notices"][-1] == "there is no report card (ValueError: no such font)"
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == record
    assert not (tmp_path / "run" / "checkpoint.pt").exists()

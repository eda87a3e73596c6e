"""The report card of a trained network."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archsearch.cli.compose import Composer
from archsearch.errors import DataError, SpecError
from archsearch.report.card import read_card
from archsearch.runs import card as carding
from archsearch.runs.card import draw_samples, make_card, renew_card
from archsearch.runs.execute import execute
from archsearch.runs.record import write_json

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


@pytest.mark.pictures
def test_the_card_of_grey_images_shows_them(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("arch.width=0.1", "data.channels=1")
    execute(experiment, checked, tmp_path / "run", dataset=dataset)
    card = read_card(tmp_path / "run")
    assert card is not None
    assert card.mistakes
    for one in (card.mistakes[0].picture, card.augmented):
        assert one is not None
        with Image.open(io.BytesIO(one)) as picture:
            red, green, blue = np.moveaxis(np.asarray(picture), 2, 0).astype(int)
            assert max(np.abs(red - green).max(), np.abs(red - blue).max()) <= 1
    assert (tmp_path / "run" / "card.png").stat().st_size > 10_000


@pytest.mark.pictures
def test_a_single_run_leaves_its_card(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("arch.width=0.1")
    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset)
    record = json.loads((tmp_path / "run" / "card.json").read_text())
    assert (tmp_path / "run" / "card.png").stat().st_size > 10_000
    assert (record["images"], record["accuracy"]) == (20, outcome.result.test_accuracy)
    assert [sum(row) for row in record["confusion"]] == np.bincount(dataset.test.labels_B, minlength=10).tolist()


@pytest.mark.parametrize("evaluate_test", [True, False])
def test_what_the_evaluation_has_said_is_not_asked_again(
    tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluate_test: bool
) -> None:
    def again(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked once more")

    monkeypatch.setattr(carding, "logits_of", again)
    experiment, checked, dataset = tiny("arch.width=0.1", "train.tta=flip")
    result = execute(experiment, checked, tmp_path / "run", dataset=dataset, evaluate_test=evaluate_test).result
    card = read_card(tmp_path / "run")
    assert card is not None
    assert card.accuracy == (result.test_accuracy if evaluate_test else result.validation_accuracy)


@pytest.mark.pictures
def test_a_trial_of_a_search_is_judged_by_what_was_held_out(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("arch.width=0.1")
    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset, evaluate_test=False)
    card = read_card(tmp_path / "run")
    assert card is not None
    assert (card.split, card.images, card.accuracy) == ("validation", 10, outcome.result.validation_accuracy)
    assert not (tmp_path / "run" / "card.png").exists(), "drawn when somebody asks for it"
    renewed, picture = renew_card(tmp_path / "run")
    assert (renewed.split, renewed.confusion) == ("validation", card.confusion)
    assert picture == tmp_path / "run" / "card.png"
    assert picture.stat().st_size > 10_000
    assert renewed.augmented == card.augmented is not None, "the run says how its images were augmented"
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    write_json(tmp_path / "run" / "result.json", {key: value for key, value in record.items() if key != "augment"})
    assert renew_card(tmp_path / "run")[0].augmented is None, "older runs do not"
    assert renew_card(tmp_path / "run", policy=experiment.augment)[0].augmented == card.augmented


def test_a_run_without_held_out_images_has_no_card(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("arch.width=0.1", "data.validation=0")
    execute(experiment, checked, tmp_path / "run", dataset=dataset, evaluate_test=False)
    assert not (tmp_path / "run" / "card.json").exists()
    with pytest.raises(DataError, match="no validation images"):
        renew_card(tmp_path / "run")


def test_large_images_are_small_in_the_file() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 200, 3), np.uint8)
    with Image.open(io.BytesIO(carding._jpeg(noise, 64))) as picture:
        assert picture.size == (43, 64)


def test_a_card_that_fails_is_a_notice(
    tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no such font")

    monkeypatch.setattr(carding, "draw_card", fail)
    experiment, checked, dataset = tiny("arch.width=0.1")
    record = execute(experiment, checked, tmp_path / "run", dataset=dataset).record
    assert record["notices"][-1] == "the report card cannot be written (ValueError: no such font)"
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == record
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


DRAWN = ["data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20"]


def test_the_picture_is_not_of_one_colour(tmp_path: Path) -> None:
    draw_samples(Composer([*DRAWN, "augment=strong"]).compose({}), tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as picture:
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 50
        assert picture.height == 3 * (8 * (32 + 2) + 2), "8 of the 50 images"


def test_samples_of_one_channel_are_grey(tmp_path: Path) -> None:
    draw_samples(Composer([*DRAWN, "data.channels=1", "augment=strong"]).compose({}), tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.mode == "L"


def test_a_wrong_policy_is_refused(tmp_path: Path) -> None:
    tree = Composer(DRAWN).compose({"augment.executor": "gpu"})
    with pytest.raises(SpecError, match=r"augment.executor"):
        draw_samples(tree, tmp_path / "samples.png")

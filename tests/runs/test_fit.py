"""What cannot be trained together is refused before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from archsearch.errors import SpecError
from archsearch.runs.fit import require_fit

Make = Callable[..., Any]
SMALL = ("data.image_size=8", "data.resize=true")  # the last stages then have maps of one pixel


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 1}, r"train\.batch_size: is 1, and '.*' normalises a map of 1 x 1.* Set train\.batch_size=2"),
        ({"batch_size": 8, "recalibrate": 1}, r"train\.recalibrate: leaves one image for a batch"),
        (
            {"batch_size": 8, "recalibrate": 3, "eval_batch_size": 2},
            r"Set train\.recalibrate=2 train\.eval_batch_size=3",
        ),
    ],
)
def test_one_value_is_not_normalised(tiny: Make, settings: dict[str, int], message: str) -> None:
    experiment, checked, dataset = tiny("arch=quick", *SMALL)
    with pytest.raises(SpecError, match=message):
        require_fit(checked, dataset, replace(experiment.train, **settings))
    require_fit(checked, dataset, replace(experiment.train, batch_size=2))


def test_one_image_is_named(tiny: Make) -> None:
    experiment, checked, dataset = tiny("arch=quick", *SMALL)
    images = dataset.train
    one = replace(dataset, train=replace(images, images_BHWC=images.images_BHWC[:1], labels_B=images.labels_B[:1]))
    with pytest.raises(SpecError, match="data: has one training image, and"):
        require_fit(checked, one, experiment.train)

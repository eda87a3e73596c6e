"""The picture of augmented samples."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from archsearch.cli.compose import Composer
from archsearch.errors import SpecError
from archsearch.runs.samples import draw_samples

SMALL = ["data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20"]


def test_the_picture_is_not_of_one_colour(tmp_path: Path) -> None:
    draw_samples(Composer([*SMALL, "augment=strong"]).compose({}), tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as picture:
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 50


def test_a_wrong_policy_is_refused(tmp_path: Path) -> None:
    tree = Composer(SMALL).compose({"augment.executor": "gpu"})
    with pytest.raises(SpecError, match=r"augment.executor"):
        draw_samples(tree, tmp_path / "samples.png")

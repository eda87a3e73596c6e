"""The effective receptive field of a trained network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archsearch.design.lower import lower
from archsearch.errors import DataError
from archsearch.library import build, load_design
from archsearch.runs.erf import draw_erf, look
from archsearch.runs.execute import execute
from archsearch.runs.load import Trained

DESIGN = {
    "input": [3, 24, 24],
    "stem": {"block": "normal", "width": 4},
    "stages": {"c1": {"block": "normal", "width": 4}, "c2": {"block": "strided", "width": 4}},
    "head": {"pool": "global_average", "classes": 3},
}


def test_nothing_outside_the_theoretical_field_has_influence() -> None:
    trained = Trained(
        network=build(DESIGN, seed=3).eval(),
        plan=lower(load_design(DESIGN)),
        design=DESIGN,
        classes=("a", "b", "c"),
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        metadata={},
    )
    images = np.random.default_rng(0).integers(0, 256, (70, 3, 24, 24), np.uint8)
    sights = look(trained, images)
    assert [one.stage for one in sights] == ["stem", "c1", "c2"]
    for one in sights:
        (top, low), (left, right) = one.rows, one.columns
        inside_HW = np.zeros_like(one.influence_HW, bool)
        inside_HW[max(top, 0) : low, max(left, 0) : right] = True
        assert (one.influence_HW[~inside_HW] == 0).all(), one.stage
        assert (one.influence_HW[inside_HW] > 0).mean() > 0.9, one.stage
        assert one.influence_HW.max() == 1
        assert 1 <= one.effective <= one.size
    assert [one.size for one in sights] == sorted(one.size for one in sights)


@pytest.mark.pictures
def test_a_run_is_drawn(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("arch.width=0.1")
    execute(experiment, checked, tmp_path / "run", dataset=dataset)
    sights = draw_erf(tmp_path / "run", tmp_path / "run" / "erf.png")
    assert sights[-1].size == checked.footprint.receptive_field
    assert (tmp_path / "run" / "erf.png").stat().st_size > 5000


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no weights"):
        draw_erf(tmp_path, tmp_path / "erf.png")

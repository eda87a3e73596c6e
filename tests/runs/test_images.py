"""The images of a run, found again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archsearch.errors import DataError
from archsearch.runs.images import run_dataset
from archsearch.runs.record import write_json


def settings(tiny: Callable[..., Any], **changes: Any) -> tuple[dict[str, Any], Any]:
    from dataclasses import asdict

    experiment, _, dataset = tiny()
    record = {"data": "shapes", "data_fingerprint": dataset.fingerprint, "data_settings": asdict(experiment.data)}
    return {**record, **changes}, dataset


def test_the_images_are_those_of_the_run(tiny: Callable[..., Any], tmp_path: Path) -> None:
    record, dataset = settings(tiny)
    for name in ("shapes", "auto"):
        write_json(tmp_path / "result.json", {**record, "data_settings": {**record["data_settings"], "name": name}})
        assert np.array_equal(run_dataset(tmp_path).test.images_BHWC, dataset.test.images_BHWC)


def test_other_images_and_no_result_are_told(tiny: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not the folder of a finished run"):
        run_dataset(tmp_path)
    write_json(tmp_path / "result.json", settings(tiny, data_fingerprint="f" * 16)[0])
    with pytest.raises(DataError, match="not those that it was trained on any more"):
        run_dataset(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match="is damaged"):
        run_dataset(tmp_path)

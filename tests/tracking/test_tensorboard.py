"""TensorBoard: what its reader finds in the files."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.base import Tracked
from archsearch.tracking.guarded import open_tracker


def test_scalars_settings_and_pictures_are_there(tracked: Tracked, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tracking` is not installed")
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "curves.png")
    (tmp_path / "design.yaml").write_text("stages: {}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tensorboard's own
        reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
        tracker = open_tracker(TrackingSettings(name="tensorboard", folder=str(tmp_path / "t")), tracked)
        assert tracker is not None
        tracker.epoch(1, {"train_loss": 2.0})
        tracker.epoch(2, {"train_loss": 1.0})
        tracker.result({"final/test_accuracy": 0.5}, [tmp_path / "curves.png", tmp_path / "design.yaml"])
        tracker.close("finished")
        seen = reader.EventAccumulator(str(tmp_path / "t" / "tensorboard" / "runs_a")).Reload()
        assert [(one.step, one.value) for one in seen.Scalars("train_loss")] == [(1, 2.0), (2, 1.0)]
        assert [one.value for one in seen.Scalars("final/test_accuracy")] == [0.5]
        assert seen.Tags()["images"] == ["curves"]
        assert any("hparams" in name for name in seen.summary_metadata)

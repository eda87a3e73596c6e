"""TensorBoard: event files in a folder, read by `tensorboard --logdir outputs/tracking/tensorboard`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking.base import End, Tracked, library


class TensorBoardTracker:
    """Writes scalars per epoch, the settings with the result, and images."""

    def __init__(self, settings: TrackingSettings, tracked: Tracked) -> None:
        """Open the event file of `tracked`; raises `SpecError` without tensorboard."""
        # TensorBoard imports TensorFlow if it is installed; this silences TensorFlow's log.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        library("tensorboard", tracker="tensorboard")
        writer = library("torch.utils.tensorboard", tracker="tensorboard").SummaryWriter
        self._settings = {key: value for key, value in tracked.settings.items() if value is not None}
        self._writer = writer(str(Path(settings.folder, "tensorboard", tracked.name)))

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, number)
        self._writer.flush()

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        import numpy as np
        from PIL import Image

        self._writer.add_hparams(self._settings, dict(values), run_name=".")
        for file in files:
            if file.suffix == ".png":
                with Image.open(file, formats=["PNG"]) as picture:
                    self._writer.add_image(file.stem, np.asarray(picture.convert("RGB")), dataformats="HWC")

    def close(self, end: End) -> None:
        self._writer.close()

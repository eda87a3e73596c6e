"""Where the metrics of a run go beside its own folder (`tracking.*`); the YAML twins are `conf/tracking/*.yaml`.

Imports the standard library and `errors` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archsearch.errors import SpecError

TrackerName = Literal["none", "tensorboard", "mlflow", "wandb"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingSettings:
    """Which tracker follows a run, and where it writes.

    `folder` is where a tracker keeps its files, `project` what MLflow calls an experiment. `address` is that of an
    MLflow server or database; null is a database in `folder`. `mode` is of Weights & Biases: `offline` sends nothing.
    """

    name: TrackerName = "none"
    folder: str = "outputs/tracking"
    project: str = "archsearch"
    address: str | None = None
    mode: Literal["offline", "online"] = "offline"

    def __post_init__(self) -> None:
        for key in ("folder", "project"):
            if not getattr(self, key):
                raise SpecError(f"tracking.{key}", "must not be empty", "Leave it out for the default.")
        if self.address is not None and self.name != "mlflow":
            raise SpecError("tracking.address", f"means nothing to tracking={self.name}", "Choose tracking=mlflow.")

"""The settings of the tracker of a run (`conf/tracking/*.yaml`); no tracker is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archsearch.errors import SpecError
from archsearch.plugins import TRACKERS, require_name

NAMES = ("none", "tensorboard", "mlflow", "wandb")
"""The built-in trackers; installed packages add others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingSettings:
    """The tracker of a run, and where it writes.

    `name` is one of `NAMES`, or an entry point of an installed package. `folder` contains the files of a tracker;
    `project` is the experiment of MLflow or the project of Weights & Biases. `address` is that of an MLflow server or
    database, or of the tracker of a package; null is a database in `folder`. `mode` is for Weights & Biases: `offline`
    sends nothing.
    """

    name: str = "none"
    folder: str = "outputs/tracking"
    project: str = "archsearch"
    address: str | None = None
    mode: Literal["offline", "online"] = "offline"

    def __post_init__(self) -> None:
        require_name(self.name, NAMES, TRACKERS, "tracking.name")
        for key in ("folder", "project"):
            if not getattr(self, key):
                raise SpecError(f"tracking.{key}", "must not be empty", "Leave it out for the default.")
        if self.address is not None and self.name in NAMES and self.name != "mlflow":
            raise SpecError("tracking.address", f"has no effect with tracking={self.name}", "Use tracking=mlflow.")

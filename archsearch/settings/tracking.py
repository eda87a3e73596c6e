"""The tracker of a run (`conf/tracking/*.yaml`). No tracker is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archsearch.errors import SpecError
from archsearch.plugins import TRACKERS, require_name

NAMES = ("none", "tensorboard", "mlflow", "wandb")
"""The trackers that archsearch brings itself; installed packages add others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingSettings:
    """Which tracker follows a run, and where it writes.

    `name` is one of `NAMES` or of an installed package's entry points. `folder` is where a tracker keeps its files,
    `project` MLflow's experiment and the project of Weights & Biases. `address` is that of an MLflow server or
    database, or of a package's tracker; null is a database in `folder`. `mode` is of Weights & Biases: `offline` sends
    nothing.
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

"""The interface of the predicted training time, for limits and searches; no torch.

`archsearch.cost` makes the predictions. Imports the standard library, and the design for types only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from archsearch.design.spec import DesignSpec

SECONDS = "train_seconds"
"""The name of the predicted training time as a limit, an objective and the cost of a trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Predicted seconds, and the median relative error of predictions.

    `uncorrected` is the prediction of the step model alone, without the correction by finished trainings.
    """

    seconds: float
    uncorrected: float
    error: float


class Predictor(Protocol):
    """Predicts the seconds of a training on this machine from the design; the settings are fixed."""

    def __call__(self, design: DesignSpec) -> Estimate:
        """Return the estimate for `design`, whose width is a number; it never decreases when a layer grows."""
        ...

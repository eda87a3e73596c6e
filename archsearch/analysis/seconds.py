"""The seconds that training a design is predicted to take, as a limit and a search use them; no torch.

`archsearch.cost` makes the predictions. Imports the standard library; the design for types only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from archsearch.design.spec import DesignSpec

SECONDS = "train_seconds"
"""The predicted seconds of a training, as a limit, an objective and the cost of a trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Predicted seconds, and the relative error that half of the predictions stay below.

    `uncorrected` are the seconds by the model of steps alone, without what finished trainings have taught.
    """

    seconds: float
    uncorrected: float
    error: float


class Predictor(Protocol):
    """Predicts the seconds of a training with given settings on this machine, from the design alone."""

    def __call__(self, design: DesignSpec) -> Estimate:
        """Return the estimate for `design`, whose width is a number; it never falls where a layer grows."""
        ...

"""What a training leaves as values: one record per epoch and the result; imports the standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One line of `metrics.jsonl`; accuracies are from 0 to 1, `train_*` are on augmented images."""

    epoch: int  # 1 for the first
    learning_rate: float  # of the first optimizer group at the last step
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float  # of training, evaluation left out
    images_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """A finished training; accuracies are from 0 to 1, of the averaged weights where `train.ema` is on.

    `validation_accuracy` is of the last epoch and is the one to compare; the best one is for information.
    Test numbers are None where the test set was not asked for. `test_accuracy_flip` is with flip
    test-time augmentation, kept apart from `test_accuracy`, which is never. `probabilities_NK` are those of the images
    that were evaluated last, test or validation; None where a resumed run had nothing left to evaluate.
    """

    epochs: int
    validation_accuracy: float | None
    validation_loss: float | None
    best_validation_accuracy: float | None
    best_epoch: int | None
    test_accuracy: float | None
    test_loss: float | None
    test_accuracy_flip: float | None
    images_per_second: float  # of training; evaluation and compiling left out
    seconds: float  # wall clock, evaluation and compiling and earlier parts of a resumed run included
    device: str
    precision: str  # of activations in training
    backend: str  # eager, compiled or kernels, and +cuda_graphs behind it
    pruned: bool
    seed: int
    data_fingerprint: str
    versions: Mapping[str, str]
    notices: tuple[str, ...]
    history: tuple[EpochRecord, ...]
    probabilities_NK: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def compiled(self) -> bool:
        """Whether `torch.compile` made the forward."""
        return self.backend.startswith("compiled")

    @property
    def kernels(self) -> bool:
        """Whether the project's own kernels computed it."""
        return self.backend == "kernels"


def best_epoch(history: tuple[EpochRecord, ...] | list[EpochRecord]) -> EpochRecord | None:
    """Return the first epoch of the highest validation accuracy, or None where none was evaluated."""
    seen = [record for record in history if record.validation_accuracy is not None]
    return max(seen, key=lambda record: record.validation_accuracy or 0.0, default=None)

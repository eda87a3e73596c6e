"""The record of an epoch and the result of a training; imports the standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One line of `metrics.jsonl`; accuracies are from 0 to 1, and `train_*` refer to augmented images."""

    epoch: int  # 1 for the first
    learning_rate: float  # of the first optimizer group at the last step
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float  # of training, without evaluation
    images_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """A finished training; accuracies are from 0 to 1, and belong to the averaged weights if `train.ema` is set.

    Compare designs by `validation_accuracy`, which is that of the last epoch; the best one is for information. The test
    numbers are None if the test set was not evaluated. `test_accuracy_flip` is measured with flip test-time
    augmentation, `test_accuracy` always without. `probabilities_NK` belong to the images that were evaluated last, test
    or validation; it is None if nothing was evaluated, as in a resumed run that had nothing left to do.
    """

    epochs: int
    validation_accuracy: float | None
    validation_loss: float | None
    best_validation_accuracy: float | None
    best_epoch: int | None
    test_accuracy: float | None
    test_loss: float | None
    test_accuracy_flip: float | None
    images_per_second: float  # of training, without evaluation and compiling
    seconds: float  # wall-clock time, with evaluation, compiling and the earlier parts of a resumed run
    device: str
    precision: str  # of activations in training
    backend: str  # kernels, or eager or compiled, with +cuda_graphs if steps were recorded
    pruned: bool
    seed: int
    data_fingerprint: str
    versions: Mapping[str, str]
    notices: tuple[str, ...]
    history: tuple[EpochRecord, ...]
    probabilities_NK: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def compiled(self) -> bool:
        """Whether the forward was compiled by `torch.compile`."""
        return self.backend.startswith("compiled")

    @property
    def kernels(self) -> bool:
        """Whether the project's own kernels were used."""
        return self.backend == "kernels"


def best_epoch(history: tuple[EpochRecord, ...] | list[EpochRecord]) -> EpochRecord | None:
    """Return the first epoch with the highest validation accuracy, or None if none was evaluated."""
    seen = [record for record in history if record.validation_accuracy is not None]
    return max(seen, key=lambda record: record.validation_accuracy or 0.0, default=None)

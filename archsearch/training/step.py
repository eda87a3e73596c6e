"""One step's forward and backward, as it is or recorded once and replayed; imports torch and the kernels.

Legend: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.training.compiling import Forward
from archsearch.training.device import Precision, autocast
from archsearch.training.replay import Recording, can_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The mean loss of a network over a batch, and how many of its images are named right."""

    forward: Forward
    device: torch.device
    cast: Precision
    label_smoothing: float

    def __call__(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, which wants a gradient, and the count."""
        with autocast(self.device, self.cast):
            logits_BK = self.forward(images_BCHW)
        logits_BK = logits_BK.float()
        loss = F.cross_entropy(logits_BK, labels_B, label_smoothing=self.label_smoothing)
        return loss, (logits_BK.detach().argmax(1) == labels_B).sum()


class PlainStep:
    """Sets the gradients of a loss, times the scale of `scaler`; returns the loss and the count."""

    def __init__(self, loss: Loss, scaler: torch.amp.GradScaler) -> None:
        self.loss, self._scaler = loss, scaler

    def __call__(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Take the step for a batch, whose weights have no gradients yet."""
        loss, correct = self.loss(images_BCHW, labels_B)
        self._scaler.scale(loss).backward()
        return loss.detach(), correct


class RecordedStep:
    """The same on a CPU, recorded when it first runs and from then on replayed: its operations and nothing else.

    Of `plain` the loss is recorded, without a scale, which a CPU has no use for. A batch of another shape, or weights
    that have been put elsewhere in memory, are recorded anew. What is returned, and the gradients, are overwritten by
    the next step. What cannot be recorded runs as it is.
    """

    def __init__(self, plain: PlainStep, network: nn.Module) -> None:
        self._plain, self._network = plain, network
        self._recording: Recording | None = None
        self._can = can_record(network)

    @property
    def calls(self) -> int:
        """How many calls a replay is; 0 where there is no recording that the next step could be a replay of."""
        return 0 if self._recording is None else self._recording.calls

    def __call__(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Take the step for a batch, whose weights have no gradients yet."""
        if self._recording is not None and self._recording.suits(images_BCHW, labels_B):
            return self._recording.replay(images_BCHW, labels_B)
        self._recording = None  # its memory is free before the next takes some
        if not self._can:
            return self._plain(images_BCHW, labels_B)
        recording = Recording(self._plain.loss, self._network, images_BCHW, labels_B)
        self._can = recording.refused is None
        self._recording = recording if self._can else None
        return recording.results

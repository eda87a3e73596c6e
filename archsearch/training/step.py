"""One training step: the loss of a batch, its gradients, the optimizers' updates, and the epoch's running sums.

Imports torch. Legend: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from archsearch.settings.training import Precision
from archsearch.training.checkpoint import RunState
from archsearch.training.device import autocast
from archsearch.training.optimizers import clip_gradients
from archsearch.training.recording import LossFunction

Forward = Callable[[Tensor], Tensor]
"""Maps (B, C, H, W) images to (B, K) logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The mean loss of a network over a batch, and the number of correctly classified images."""

    forward: Forward
    device: torch.device
    precision: Precision  # of autocast
    label_smoothing: float

    def __call__(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, with its autograd graph, and the count."""
        with autocast(self.device, self.precision):
            logits_BK = self.forward(images_BCHW)
        logits_BK = logits_BK.float()
        loss = F.cross_entropy(logits_BK, labels_B, label_smoothing=self.label_smoothing)
        return loss, (logits_BK.detach().argmax(1) == labels_B).sum()


@dataclass(frozen=True, slots=True)
class Gradients:
    """Computes the gradients of a loss, multiplied by the scale of `scaler`."""

    loss: LossFunction
    scaler: torch.amp.GradScaler

    def __call__(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Set the gradients, which must be None before; return the loss and the number of correct images."""
        loss, correct = self.loss(images_BCHW, labels_B)
        self.scaler.scale(loss).backward()
        return loss.detach(), correct


@dataclass(frozen=True, slots=True)
class Step:
    """Updates the weights of `state` with the gradients of a batch, and adds to the sums of the epoch.

    `gradients` sets the gradients and returns the loss and the number of correctly classified images. `clip` is the
    maximum global norm of the gradients.
    """

    gradients: LossFunction
    state: RunState
    clip: float | None

    def __call__(self, images_BCHW: Tensor, labels_B: Tensor) -> None:
        """Take the step."""
        state = self.state
        loss, correct = self.gradients(images_BCHW, labels_B)
        if self.clip is not None:
            for optimizer in state.optimizers:
                state.scaler.unscale_(optimizer)
            clip_gradients(state.network, self.clip)
        for optimizer in state.optimizers:
            state.scaler.step(optimizer)
        state.scaler.update()
        for optimizer in state.optimizers:
            optimizer.zero_grad(set_to_none=True)
        state.loss_sum += loss
        state.correct += correct


class FiniteCheck:
    """Checks whether a scalar on the device is still finite, without a synchronisation.

    On the CPU the value is read at once. On CUDA it is copied asynchronously and read at a later check, once the copy
    is done: usually the next one. On other devices the answer is always yes; there the end of the epoch decides.
    """

    def __init__(self, device: torch.device) -> None:
        self._kind = device.type
        self._pinned: Tensor | None = None
        self._event: torch.cuda.Event | None = None

    def is_finite(self, value: Tensor) -> bool:
        """Return False if `value`, or on CUDA its copy from an earlier check, is infinite or not a number."""
        if self._kind == "cpu":
            return math.isfinite(value.item())
        if self._kind != "cuda":
            return True
        finite = True
        if self._event is not None and self._pinned is not None:
            if not self._event.query():
                return True
            finite = math.isfinite(self._pinned.item())
        if self._pinned is None:
            self._pinned = torch.empty((), dtype=value.dtype, pin_memory=True)
            self._event = torch.cuda.Event()
        self._pinned.copy_(value, non_blocking=True)
        assert self._event is not None, "made together with the pinned copy"
        self._event.record()
        return finite

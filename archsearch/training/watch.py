"""A look at a running sum for a number that is not finite, without making the device wait; imports torch only."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class FiniteWatch:
    """Tells whether a scalar on the device has stopped being finite.

    On the CPU the value is read at once. On CUDA it is copied aside without waiting and read at the next look,
    so the answer is one look late. On other devices it always says yes; the end of the epoch decides there.
    """

    def __init__(self, device: torch.device) -> None:
        self._kind = device.type
        self._pinned: Tensor | None = None
        self._event: torch.cuda.Event | None = None

    def is_finite(self, value: Tensor) -> bool:
        """Return False where `value`, or on CUDA its state at the last look, is infinite or not a number."""
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

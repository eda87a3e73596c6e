"""What a training comes to: its result as a value, its weights as a file, and the seeds of its generators."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from archsearch.errors import DivergedError
from archsearch.training.checkpoint import RunState
from archsearch.training.device import device_name
from archsearch.training.evaluation import Score
from archsearch.training.result import EpochRecord, TrainResult, best_epoch
from archsearch.training.storage import write_whole


def summarise(
    history: Sequence[EpochRecord],
    *,
    test: Score | None,
    flipped: Score | None,
    images: int,
    seconds: float,
    device: torch.device,
    precision: str,
    compiled: bool,
    kernels: bool,
    pruned: bool,
    seed: int,
    data_fingerprint: str,
    notices: tuple[str, ...],
    probabilities_NK: np.ndarray | None = None,
) -> TrainResult:
    """Return the result of a training of `images` images whose epochs were `history`, not empty."""
    last, best = history[-1], best_epoch(list(history))
    return TrainResult(
        epochs=last.epoch,
        validation_accuracy=last.validation_accuracy,
        validation_loss=last.validation_loss,
        best_validation_accuracy=None if best is None else best.validation_accuracy,
        best_epoch=None if best is None else best.epoch,
        test_accuracy=None if test is None else test.accuracy,
        test_loss=None if test is None else test.loss,
        test_accuracy_flip=None if flipped is None else flipped.accuracy,
        images_per_second=images / sum(record.seconds for record in history),
        seconds=seconds,
        device=device_name(device),
        precision=precision,
        compiled=compiled,
        kernels=kernels,
        pruned=pruned,
        seed=seed,
        data_fingerprint=data_fingerprint,
        versions={"python": platform.python_version(), "torch": str(torch.__version__)},
        notices=notices,
        history=tuple(history),
        probabilities_NK=probabilities_NK,
    )


def diverged(state: RunState, epochs: int, steps: int, learning_rate: float, *, within: int) -> DivergedError:
    """Return the error for a loss that stopped being finite at most `within` steps ago, with its fixes."""
    return DivergedError(
        f"the loss is not a finite number in epoch {state.epoch + 1} of {epochs}, at step "
        f"{state.step} of {steps} or at most {within} before. "
        f"Lower optimizer.learning_rate (now {learning_rate:g}, try {learning_rate / 3:.2g}), set train.clip=1, "
        "or lengthen schedule.warmup."
    )


def write_weights(path: Path, network: nn.Module, metadata: Mapping[str, str] | None = None) -> None:
    """Write the state dict of `network` as safetensors, whole. Raises `StorageError` where that fails."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_whole(path, save(tensors, metadata=dict(metadata or {})))


def derive_seed(seed: int, purpose: str) -> int:
    """Return a seed of its own for `purpose`, so that no two generators of a run draw the same numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:7], "big")

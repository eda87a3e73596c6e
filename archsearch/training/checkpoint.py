"""Checkpoints: all that a training needs to resume, in one file; imports torch, never a design.

A checkpoint is complete: weights, running statistics, average, optimizers, gradient scale, generators, and the
position within the epoch. A resumed training takes the same steps as an uninterrupted one, on the CPU bit for bit.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from archsearch.errors import SpecError, StorageError
from archsearch.network.weights import encode_weights
from archsearch.settings.training import (
    RESULT_NEUTRAL,
    OptimizerSettings,
    Precision,
    ScheduleSettings,
    TrainSettings,
)
from archsearch.training.result import EpochRecord
from archsearch.training.storage import set_aside, write_whole

NAME = "checkpoint.pt"
_FORMAT = 1
_DEVICE_OPTIONS = ("foreach", "fused", "capturable")  # options of an optimizer's group that depend on the device


class DamagedCheckpoint(StorageError):
    """A checkpoint that no training can resume from: truncated, altered, or of another version."""


Identity = Mapping[str, str | int | float | bool | None]


@dataclass(slots=True, kw_only=True)
class RunState:
    """All that changes while a training runs."""

    network: nn.Module
    average: nn.Module | None
    optimizers: list[Optimizer]
    scaler: torch.amp.GradScaler
    order: torch.Generator  # of the images within an epoch
    augment: torch.Generator
    order_state: Tensor  # of `order` before it drew the current epoch
    loss_sum: Tensor  # over the steps of the current epoch, on the device
    correct: Tensor
    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the current epoch
    epoch_seconds: float = 0.0
    seconds: float = 0.0
    history: list[EpochRecord] = field(default_factory=list)

    @property
    def measured(self) -> nn.Module:
        """The network that is evaluated and saved: the average, if there is one."""
        return self.network if self.average is None else self.average


def make_identity(
    *,
    settings: TrainSettings,
    precision: Precision,
    optimizer: OptimizerSettings,
    schedule: ScheduleSettings,
    seed: int,
    fingerprint: str,
    policy: object,
    network: nn.Module,
) -> Identity:
    """Return the values, by dotted key, that must be equal for a run to resume from a checkpoint.

    `precision` is the precision that `train.precision` resolves to in this run. `train.epochs` may change if the
    schedule does not depend on it (constant, without warm-up).
    """
    shapes = repr([(name, tuple(value.shape), str(value.dtype)) for name, value in network.state_dict().items()])
    open_ended = schedule.name == "constant" and schedule.warmup == 0
    neutral = RESULT_NEUTRAL | {"epochs"} if open_ended else RESULT_NEUTRAL
    return {
        **{f"train.{key}": value for key, value in asdict(settings).items() if key not in neutral},
        "train.precision": precision,
        **{f"optimizer.{key}": value for key, value in asdict(optimizer).items()},
        **{f"schedule.{key}": value for key, value in asdict(schedule).items()},
        "seed": seed,
        "augment.transforms": repr(policy),
        "data": fingerprint,
        "arch": hashlib.sha256(shapes.encode()).hexdigest()[:16],
    }


def save_checkpoint(path: Path, state: RunState, identity: Identity, *, device: torch.device, conditions: str) -> None:
    """Write `state` to `path` atomically; raise `StorageError` on failure, and keep the previous checkpoint.

    `conditions` are the device, precision and backend of the run.
    """
    content = {
        "format": _FORMAT,
        "identity": dict(identity),
        "conditions": conditions,
        "network": state.network.state_dict(),
        "average": None if state.average is None else state.average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
        "scaler": state.scaler.state_dict(),
        "order": state.order_state,
        "augment": state.augment.get_state(),
        "dropout": torch.get_rng_state(),
        "dropout_on_device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "loss_sum": state.loss_sum,
        "correct": state.correct,
        "epoch": state.epoch,
        "step": state.step,
        "epoch_seconds": state.epoch_seconds,
        "seconds": state.seconds,
        "history": [asdict(record) for record in state.history],
    }
    buffer = io.BytesIO()  # in memory first, so that a full disk is one plain OSError
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def restore_checkpoint(path: Path, state: RunState, identity: Identity, *, device: torch.device) -> str:
    """Load the checkpoint at `path` into `state`, with the generators, and return the conditions of its run.

    Raises `DamagedCheckpoint` if no run can resume from the file, `StorageError` if it cannot be read, and `SpecError`,
    which names the differences, if it belongs to another run.
    """
    content = _read(path)
    try:
        _refuse_other_run(path, content["identity"], identity)
        _restore(content, state, device)
        return str(content["conditions"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:  # altered content
        raise DamagedCheckpoint(_damaged(path)) from error


def _restore(content: Mapping[str, Any], state: RunState, device: torch.device) -> None:
    state.network.load_state_dict(content["network"])
    if state.average is not None:
        state.average.load_state_dict(content["average"])
    for optimizer, held in zip(state.optimizers, content["optimizers"], strict=True):
        kept = [{name: group[name] for name in _DEVICE_OPTIONS if name in group} for group in optimizer.param_groups]
        optimizer.load_state_dict(held)
        for group, own in zip(optimizer.param_groups, kept, strict=True):
            group.update(own)
        _lay_out_state(optimizer)
    state.scaler.load_state_dict(content["scaler"])
    state.order_state = content["order"]
    state.order.set_state(content["order"])
    state.augment.set_state(content["augment"])
    torch.set_rng_state(content["dropout"])
    if device.type == "cuda" and content["dropout_on_device"] is not None:
        torch.cuda.set_rng_state(content["dropout_on_device"], device)
    state.loss_sum.copy_(content["loss_sum"])
    state.correct.copy_(content["correct"])
    state.epoch, state.step = int(content["epoch"]), int(content["step"])
    state.epoch_seconds, state.seconds = float(content["epoch_seconds"]), float(content["seconds"])
    state.history = [EpochRecord(**record) for record in content["history"]]
    if state.step < 0 or [record.epoch for record in state.history] != list(range(1, state.epoch + 1)):
        raise ValueError("its epochs are not those of its history")


def write_weights(path: Path, network: nn.Module, metadata: Mapping[str, str] | None = None) -> None:
    """Write the weights of `network` to a safetensors file atomically; raise `StorageError` if that fails."""
    write_whole(path, encode_weights(network, metadata))


def discard_checkpoint(run_dir: Path, settings: TrainSettings) -> None:
    """Remove the checkpoint of a run whose result is on disk, unless `train.keep_checkpoint` is true."""
    if not settings.keep_checkpoint:
        (run_dir / NAME).unlink(missing_ok=True)


def set_checkpoint_aside(run_dir: Path) -> Path:
    """Rename the damaged checkpoint of a run, and return its new path."""
    return set_aside(run_dir / NAME)


def _lay_out_state(optimizer: Optimizer) -> None:
    """Give the state tensors of `optimizer` the memory layout of their weights: fused steps rely on that."""
    for weight, held in optimizer.state.items():
        for name, value in held.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                held[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: the checkpoint cannot be read: {error.strerror}.") from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # checks the checksums, which torch does not
            if archive.testzip() is not None:
                raise DamagedCheckpoint(_damaged(path))
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except DamagedCheckpoint:
        raise
    except Exception as error:  # zipfile and torch raise a dozen types for damaged files
        raise DamagedCheckpoint(_damaged(path)) from error
    if not isinstance(loaded, dict) or loaded.get("format") != _FORMAT:
        raise DamagedCheckpoint(
            f"{path}: not a checkpoint of this version of archsearch. Delete it to start from the beginning."
        )
    return loaded


def _damaged(path: Path) -> str:
    return f"{path}: the checkpoint is damaged or cut short. Delete it to start this run from its beginning."


def _refuse_other_run(path: Path, held: Identity, asked: Identity) -> None:
    shared = [key for key in asked if key in held]
    # Older checkpoints hold the precision `auto`; only their conditions name the resolved precision.
    differing = [key for key in shared if held[key] not in (asked[key], "auto")]
    if differing:
        listed = ", ".join(f"{key} ({_short(held[key])}, now {_short(asked[key])})" for key in differing)
        fix = "Use the settings of that run, or another folder."
        raise SpecError("resume", f"{path} is the checkpoint of another run: it differs in {listed}", fix)


def _short(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

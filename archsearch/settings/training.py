"""What a training is asked to do, as frozen values, and what of it changes a result; owns the defaults below.

Imports the standard library and `errors` only: no torch, no hydra, no optuna.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from archsearch.errors import SpecError

Precision = Literal["fp32", "bf16", "fp16"]

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")

# Keys of `train.*` that say where and how a training runs, not what it computes: a checkpoint goes on where they
# differ, and two trainings that differ in nothing else are one trial.
RESULT_NEUTRAL: Final = frozenset(
    {
        # The same mathematics, with additions in another order: numbers differ by rounding, and dropout's draws by
        # their generator, as those of another device do. The format that is computed in is `precision`, which counts.
        "device",
        "threads",
        "kernels",
        "compile",
        "cuda_graphs",
        "channels_last",
        # Evaluation alone: how many images at a time, and a second accuracy beside the one that counts.
        "eval_batch_size",
        "tta",
        # What is saved on the way.
        "checkpoint_every",
        "checkpoint_seconds",
        "keep_checkpoint",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How long, where and how carefully a network is trained (`train.*`); see docs/training.md."""

    epochs: int = 16
    batch_size: int = 256
    device: str = "auto"  # auto, cpu, mps, cuda or cuda:N
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto"] | bool = "auto"
    kernels: Literal["auto", "native", "torch"] = "auto"  # of the CPU: the project's own, or torch's alone
    cuda_graphs: Literal["auto"] | bool = "auto"  # record a step's launches once and replay them
    channels_last: bool = True
    initialise: Literal["kaiming", "xavier", "dirac", "torch"] = "kaiming"
    whiten: bool = False  # begin the first convolution as a whitening of the training images' patches
    label_smoothing: float = 0.1
    ema: float | None = None  # decay per step of the averaged weights; null keeps no average
    recalibrate: int | None = None  # training images, as they are, that the norms' statistics are taken over at the end
    tta: Literal["none", "flip"] = "none"
    clip: float | None = None  # largest norm of all gradients together
    threads: int | None = None  # of the CPU; null leaves torch's own choice
    eval_every: int = 1  # epochs; the last epoch is always evaluated
    eval_batch_size: int = 1000
    checkpoint_every: int = 1  # epochs
    checkpoint_seconds: float | None = 120.0  # and within an epoch, after this time
    keep_checkpoint: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_every", "eval_batch_size", "checkpoint_every"):
            _at_least_one(f"train.{name}", getattr(self, name))
        for name in ("threads", "recalibrate"):
            if getattr(self, name) is not None:
                _at_least_one(f"train.{name}", getattr(self, name))
        if not _DEVICE.fullmatch(self.device):
            fix = "Choose one of auto, cpu, cuda, cuda:0, cuda:1, ..., mps."
            raise SpecError("train.device", f"the text '{self.device}' is not a device", fix)
        _between("train.label_smoothing", self.label_smoothing, 0.0, 1.0)
        if self.ema is not None:
            _between("train.ema", self.ema, 0.0, 1.0, "Write null for no average.")
        for name in ("clip", "checkpoint_seconds"):
            value = getattr(self, name)
            if value is not None:
                _positive(f"train.{name}", value, "Write null to turn it off.")


def wants_kernels(settings: TrainSettings, device: str) -> bool:
    """Return whether a training on `device` (`cpu`, `cuda` or `mps`) is to compute by the project's own kernels.

    Whether they can be built there does not matter. They are for a CPU under Linux.
    """
    if settings.kernels == "auto":
        return device == "cpu" and settings.compile is not True and sys.platform.startswith("linux")
    return settings.kernels == "native"


def resolve_precision(settings: TrainSettings, device: str, *, has_bf16_units: Callable[[], bool]) -> Precision:
    """Return what `train.precision` stands for on `device` (`cpu`, `cuda` or `mps`).

    `auto` is bf16 where the device has units for it (`has_bf16_units` is called where that decides: CUDA, and CPUs with
    AMX), and on a CPU where the kernels are wanted, which gain from it without such units. It depends on the device
    and the settings alone: without a C compiler a training goes on in the same format, by torch.
    """
    if settings.precision != "auto":
        return settings.precision
    return "bf16" if wants_kernels(settings, device) or (device != "mps" and has_bf16_units()) else "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """What turns gradients into steps (`optimizer.*`).

    `learning_rate` is the highest of the schedule. `scaling` adapts it to the batch:
    `linear` multiplies it by batch / `reference_batch` (Goyal et al. 2017), `sqrt` by the root of that.
    """

    name: Literal["sgd", "adamw", "muon"] = "sgd"
    learning_rate: float = 0.2
    momentum: float = 0.9
    nesterov: bool = True
    beta2: float = 0.999  # adamw only; its beta1 is `momentum`
    weight_decay: float = 5e-4
    decay_norm_and_bias: bool = False  # apply weight_decay to vectors (norms, biases) too
    norm_and_bias_ratio: float = 1.0  # learning rate of vectors as a share of that of the rest
    scaling: Literal["none", "linear", "sqrt"] = "none"
    reference_batch: int = 256
    muon_learning_rate: float = 0.05  # of the dense convolutions; the rest goes by sgd with learning_rate
    muon_momentum: float = 0.9
    muon_weight_decay: float = 0.0  # decoupled
    muon_stem: bool = False  # take the first convolution too
    muon_normalise: bool = False  # hold each convolution's norm at the root of its filters (Jordan 2024)

    def __post_init__(self) -> None:
        for name in ("learning_rate", "muon_learning_rate"):
            _positive(f"optimizer.{name}", getattr(self, name))
        for name in ("momentum", "beta2", "muon_momentum"):
            _between(f"optimizer.{name}", getattr(self, name), 0.0, 1.0)
        for name in ("weight_decay", "muon_weight_decay", "norm_and_bias_ratio"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise SpecError(f"optimizer.{name}", f"must not be negative, is {value}")
        if self.name == "sgd" and self.nesterov and self.momentum == 0:
            raise SpecError("optimizer.nesterov", "needs a momentum above 0", "Set optimizer.nesterov=false.")
        _at_least_one("optimizer.reference_batch", self.reference_batch)

    def scaled(self, learning_rate: float, batch_size: int) -> float:
        """Return `learning_rate` for batches of `batch_size` images."""
        ratio = batch_size / self.reference_batch
        return learning_rate * {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.scaling]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """How the learning rate moves over a run (`schedule.*`), as shares of `optimizer.learning_rate`."""

    name: Literal["onecycle", "triangular", "cosine", "constant"] = "onecycle"
    warmup: float = 0.25  # share of the run until the highest learning rate
    initial_ratio: float = 0.04
    final_ratio: float = 0.0

    def __post_init__(self) -> None:
        _between("schedule.warmup", self.warmup, 0.0, 1.0)
        for name in ("initial_ratio", "final_ratio"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise SpecError(f"schedule.{name}", f"must be from 0 to 1, is {value}")


def _at_least_one(where: str, value: int) -> None:
    if value < 1:
        raise SpecError(where, f"must be at least 1, is {value}")


def _positive(where: str, value: float, fix: str = "") -> None:
    if not (math.isfinite(value) and value > 0):
        raise SpecError(where, f"must be above 0, is {value}", fix)


def _between(where: str, value: float, low: float, high: float, fix: str = "") -> None:
    if not low <= value < high:
        raise SpecError(where, f"must be from {low:g} to below {high:g}, is {value}", fix)

"""The settings of a training (`train.*`, `optimizer.*`, `schedule.*`): defaults, ranges, and which change a result.

conf/train/default.yaml, conf/optimizer/sgd.yaml and conf/schedule/onecycle.yaml list the same defaults; the other
options build on them. Imports the standard library, `errors` and `decode` only: no torch, no hydra, no optuna.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from archsearch.decode import Range, check_ranges
from archsearch.errors import SpecError

Precision = Literal["fp32", "bf16", "fp16"]

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
Count = Annotated[int, Range(at_least=1)]
Rate = Annotated[float, Range(above=0)]
Weight = Annotated[float, Range(at_least=0)]
Decay = Annotated[float, Range(at_least=0, below=1)]
Average = Annotated[float, Range(at_least=0, below=1, fix="Write null for no average.")]
Share = Annotated[float, Range(at_least=0, at_most=1)]
Threshold = Annotated[float, Range(above=0, fix="Write null to turn it off.")]

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
    """How long, where and how carefully a network is trained (`train.*`); see docs/reference/training.md."""

    epochs: Count = 24
    batch_size: Count = 256
    device: str = "auto"  # auto, cpu, mps, cuda or cuda:N
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto"] | bool = "auto"
    kernels: Literal["auto", "native", "torch"] = "auto"  # on a CPU: the project's own, or torch's alone
    cuda_graphs: Literal["auto"] | bool = "auto"  # record a step's launches once and replay them
    channels_last: bool = True
    initialise: Literal["kaiming", "xavier", "dirac", "torch"] = "kaiming"
    weights: str | None = None  # a file that the weights begin with, in place of drawn ones
    whiten: bool = False  # initialise the first convolution to whiten patches of the training images
    label_smoothing: Decay = 0.1
    ema: Average | None = None  # decay per step of the averaged weights; null keeps no average
    recalibrate: Count | None = None  # training images, not augmented, for the norms' statistics at the end
    tta: Literal["none", "flip"] = "none"
    clip: Threshold | None = None  # largest norm of all gradients together
    threads: Count | None = None  # of the CPU; null leaves torch's own choice
    eval_every: Count = 1  # epochs; the last epoch is always evaluated
    eval_batch_size: Count = 1000
    checkpoint_every: Count = 1  # epochs
    checkpoint_seconds: Threshold | None = 120.0  # and within an epoch, after this time
    keep_checkpoint: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value out of its range."""
        check_ranges(self, "train")
        if not _DEVICE.fullmatch(self.device):
            fix = "Choose one of auto, cpu, cuda, cuda:0, cuda:1, ..., mps."
            raise SpecError("train.device", f"unknown device '{self.device}'", fix)
        if self.weights is not None and self.whiten:
            what = "would replace the first convolution of train.weights"
            raise SpecError("train.whiten", what, "Set train.whiten=false.")


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
    learning_rate: Rate = 0.2
    momentum: Decay = 0.9
    nesterov: bool = True
    beta2: Decay = 0.999  # adamw only; its beta1 is `momentum`
    weight_decay: Weight = 5e-4
    decay_norm_and_bias: bool = False  # apply weight_decay to vectors (norms, biases) too
    norm_and_bias_ratio: Weight = 1.0  # ratio of the learning rate of vectors to that of the rest
    scaling: Literal["none", "linear", "sqrt"] = "none"
    reference_batch: Count = 256
    muon_learning_rate: Rate = 0.05  # of the dense convolutions; the rest is trained by sgd with learning_rate
    muon_momentum: Decay = 0.9
    muon_weight_decay: Weight = 0.0  # decoupled
    muon_stem: bool = False  # take the first convolution too
    muon_normalise: bool = False  # hold each convolution's norm at the root of its filters (Jordan 2024)

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value out of its range, or a Nesterov step without momentum."""
        check_ranges(self, "optimizer")
        if self.name == "sgd" and self.nesterov and self.momentum == 0:
            raise SpecError("optimizer.nesterov", "needs a momentum above 0", "Set optimizer.nesterov=false.")

    def scaled(self, learning_rate: float, batch_size: int) -> float:
        """Return `learning_rate` for batches of `batch_size` images."""
        ratio = batch_size / self.reference_batch
        return learning_rate * {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.scaling]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """How the learning rate moves over a run (`schedule.*`), as shares of `optimizer.learning_rate`."""

    name: Literal["onecycle", "triangular", "cosine", "constant"] = "onecycle"
    warmup: Decay = 0.25  # share of the run until the highest learning rate
    initial_ratio: Share = 0.04
    final_ratio: Share = 0.0

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value out of its range."""
        check_ranges(self, "schedule")

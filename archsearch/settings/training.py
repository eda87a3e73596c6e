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

# Keys of `train.*` that control where and how a training runs, not what it computes: a checkpoint can be resumed with
# other values of them, and trainings that differ only in them are duplicates.
RESULT_NEUTRAL: Final = frozenset(
    {
        # The same computation with sums in another order: results differ by rounding, and dropout masks by their
        # random generator, as between devices. The numeric format, `precision`, does change the result.
        "device",
        "threads",
        "kernels",
        "compile",
        "cuda_graphs",
        "channels_last",
        # Evaluation only: the batch size, and a second accuracy in addition to the one that counts.
        "eval_batch_size",
        "tta",
        # What is saved during the training.
        "checkpoint_every",
        "checkpoint_seconds",
        "keep_checkpoint",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How long, where and how a network is trained (`train.*`); see docs/reference/training.md."""

    epochs: Count = 24
    batch_size: Count = 256
    device: str = "auto"  # auto, cpu, mps, cuda or cuda:N
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto"] | bool = "auto"
    kernels: Literal["auto", "native", "torch"] = "auto"  # on a CPU: the project's own, or only those of torch
    cuda_graphs: Literal["auto"] | bool = "auto"  # record a step's launches once and replay them
    channels_last: bool = True
    initialise: Literal["kaiming", "xavier", "dirac", "torch"] = "kaiming"
    weights: str | None = None  # a file with initial weights, instead of random ones
    whiten: bool = False  # initialise the first convolution to whiten patches of the training images
    label_smoothing: Decay = 0.1
    ema: Average | None = None  # decay per step of the averaged weights; null keeps no average
    recalibrate: Count | None = None  # training images, not augmented, for the statistics of norms at the end
    tta: Literal["none", "flip"] = "none"
    clip: Threshold | None = None  # largest norm of all gradients together
    threads: Count | None = None  # of the CPU; null keeps torch's default
    eval_every: Count = 1  # epochs; the last epoch is always evaluated
    eval_batch_size: Count = 1000
    checkpoint_every: Count = 1  # epochs
    checkpoint_seconds: Threshold | None = 120.0  # also within an epoch, after this time
    keep_checkpoint: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value that is out of range."""
        check_ranges(self, "train")
        if not _DEVICE.fullmatch(self.device):
            fix = "Choose one of auto, cpu, cuda, cuda:0, cuda:1, ..., mps."
            raise SpecError("train.device", f"unknown device '{self.device}'", fix)
        if self.weights is not None and self.whiten:
            what = "would replace the first convolution of train.weights"
            raise SpecError("train.whiten", what, "Set train.whiten=false.")


def wants_kernels(settings: TrainSettings, device: str) -> bool:
    """Return whether a training on `device` (`cpu`, `cuda` or `mps`) should use the project's own kernels.

    Whether they can be built does not matter. `auto` uses them on a CPU under Linux, unless `train.compile` is true.
    """
    if settings.kernels == "auto":
        return device == "cpu" and settings.compile is not True and sys.platform.startswith("linux")
    return settings.kernels == "native"


def resolve_precision(settings: TrainSettings, device: str, *, has_bf16_units: Callable[[], bool]) -> Precision:
    """Return the precision that `train.precision` resolves to on `device` (`cpu`, `cuda` or `mps`).

    `auto` is bf16 if the device has units for it (CUDA, and CPUs with AMX; `has_bf16_units` is called only if needed),
    and on a CPU with the project's kernels, which gain from bf16 without such units; otherwise fp32. The result depends
    only on device and settings: without a C compiler, a training uses the same format with torch.
    """
    if settings.precision != "auto":
        return settings.precision
    return "bf16" if wants_kernels(settings, device) or (device != "mps" and has_bf16_units()) else "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """The optimizer and its hyperparameters (`optimizer.*`).

    `learning_rate` is the peak of the schedule. `scaling` adapts it to the batch size: `linear` multiplies it by
    batch / `reference_batch` (Goyal et al. 2017), `sqrt` by the square root of that.
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
    muon_learning_rate: Rate = 0.05  # for dense convolutions; other weights use sgd with learning_rate
    muon_momentum: Decay = 0.9
    muon_weight_decay: Weight = 0.0  # decoupled
    muon_stem: bool = False  # also for the first convolution
    muon_normalise: bool = False  # set each weight norm to the root of the number of filters (Jordan 2024)

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value that is out of range, or for Nesterov steps without momentum."""
        check_ranges(self, "optimizer")
        if self.name == "sgd" and self.nesterov and self.momentum == 0:
            raise SpecError("optimizer.nesterov", "needs a momentum above 0", "Set optimizer.nesterov=false.")

    def scaled(self, learning_rate: float, batch_size: int) -> float:
        """Return `learning_rate` for batches of `batch_size` images."""
        ratio = batch_size / self.reference_batch
        return learning_rate * {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.scaling]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """The learning rate over a run (`schedule.*`), relative to `optimizer.learning_rate`."""

    name: Literal["onecycle", "triangular", "cosine", "constant"] = "onecycle"
    warmup: Decay = 0.25  # share of the run until the peak of the learning rate
    initial_ratio: Share = 0.04
    final_ratio: Share = 0.0

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value that is out of range."""
        check_ranges(self, "schedule")

"""The backends of a training: torch (eager, compiled, with or without CUDA graphs) and the project's kernels.

The one module that imports `archsearch.kernels`, which may be missing. Imports torch.
Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from archsearch.augment.batched import BatchedAugmenter
from archsearch.augment.make import Augmenter
from archsearch.errors import RunError, SpecError
from archsearch.settings.training import OptimizerSettings, Precision, TrainSettings, wants_kernels
from archsearch.training.batches import Batches
from archsearch.training.checkpoint import RunState
from archsearch.training.cuda_graphs import GraphedStep, wants_graphs
from archsearch.training.device import cause_of, choose_precision, evaluation_precision, has_bf16_units
from archsearch.training.optimizers import Muon, make_optimizers, update_scale
from archsearch.training.recording import RecordedGradients
from archsearch.training.step import Forward, Gradients, Loss, Step

if TYPE_CHECKING:
    from archsearch.kernels import Kernels

# Compiling pays off from this number of images in a whole run; measured in benchmarks/training_notes.md.
PAYS_FROM_IMAGES = {"cpu": 400_000, "cuda": 8_000_000}

Notice = Callable[[str], None]
Example = Callable[[], tuple[Tensor, Tensor]]
"""Returns a batch of training images and its labels."""


class Backend(Protocol):
    """Runs the steps of a training; the constructor prepares the network, and `put_back` restores it."""

    @property
    def name(self) -> str:
        """The name in a result: `kernels`, or `eager` or `compiled`, with `+cuda_graphs` if steps are recorded."""
        ...

    @property
    def label(self) -> str:
        """The conditions of a run in words: device, precision and backend."""
        ...

    @property
    def precision(self) -> Precision:
        """The precision of activations in training; weights are fp32."""
        ...

    @property
    def evaluation(self) -> Precision:
        """The precision of activations in evaluation."""
        ...

    def prepare_augmenter(self, augmenter: Augmenter) -> Augmenter:
        """Return `augmenter`, or this backend's equivalent of it."""
        ...

    def make_optimizers(self, settings: OptimizerSettings, *, batch_size: int) -> list[Optimizer]:
        """Return the optimizers of the network's weights."""
        ...

    def make_step(self, batches: Batches, state: RunState) -> Callable[[int], None]:
        """Return a function that takes step i of an epoch."""
        ...

    def put_back(self) -> None:
        """Make the network compute with plain torch again; its weights stay."""
        ...


def select_backend(
    network: nn.Module,
    settings: TrainSettings,
    device: torch.device,
    *,
    images: int,
    example: Example,
    notice: Notice,
) -> Backend:
    """Return the backend of a run over `images` images in all, and prepare `network` for it.

    On a CPU the kernels take precedence over `torch.compile`, unless `train.compile=true`. `example` is called only to
    compile the network. `notice` receives what `auto` would have chosen but cannot do. Raises `SpecError` or `RunError`
    if an explicit setting cannot be met.
    """
    graphs = wants_graphs(settings.cuda_graphs, device, choose_precision(settings, device), network)
    kernels = _prepared(network, settings, device, notice)
    if kernels is not None:
        return KernelBackend(network, settings, device, kernels)
    compiled = _compiled(network, settings, device, images, example, notice)
    return TorchBackend(network, settings, device, compiled=compiled, graphs=graphs, notice=notice)


class TorchBackend:
    """Computes with torch's own operations, of the network itself or of its `compiled` forward.

    With `graphs`, on CUDA, each step is recorded as one graph, from the augmentation of the batch to the epoch's sums;
    otherwise its operations are launched one by one.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainSettings,
        device: torch.device,
        *,
        compiled: Forward | None,
        graphs: bool,
        notice: Notice,
    ) -> None:
        self._network, self._settings, self._device, self._notice = network, settings, device, notice
        self._compiled, self._graphs = compiled, graphs
        self.precision: Precision = choose_precision(settings, device)
        self.evaluation: Precision = evaluation_precision(settings, device)
        self.name = ("eager" if compiled is None else "compiled") + ("+cuda_graphs" if graphs else "")
        self.label = f"{device.type} in {self.precision}{'' if compiled is None else ' compiled'}"

    def prepare_augmenter(self, augmenter: Augmenter) -> Augmenter:
        return augmenter

    def make_optimizers(self, settings: OptimizerSettings, *, batch_size: int) -> list[Optimizer]:
        return make_optimizers(self._network, settings, batch_size=batch_size)

    def make_step(self, batches: Batches, state: RunState) -> Callable[[int], None]:
        forward = self._network if self._compiled is None else self._compiled
        loss = _loss(forward, self._settings, self._device, self.precision)
        update = Step(Gradients(loss, state.scaler), state, self._settings.clip)
        if not self._graphs:
            return lambda number: update(*batches.batch(number, state.augment))
        graphed = GraphedStep(
            lambda steps, tensors: update(*batches.make(steps, tensors)),
            state.optimizers,
            self._device,
            required=self._settings.cuda_graphs is True,
            failed=self._notice,
        )

        def step(number: int) -> None:
            drawn = batches.draw(number, state.augment)
            graphed(drawn.steps, drawn.tensors)

        return step

    def put_back(self) -> None:
        """Free torch's in-memory state of compiled networks; its cache on disk stays for equal networks."""
        if self._compiled is not None:
            torch._dynamo.reset()


class KernelBackend:
    """The kernels on a CPU: they keep feature maps in the run's precision without autocast; gradients are replayed."""

    name = "kernels"
    evaluation: Precision = "fp32"

    def __init__(self, network: nn.Module, settings: TrainSettings, device: torch.device, kernels: Kernels) -> None:
        self._network, self._settings, self._device, self._kernels = network, settings, device, kernels
        self.precision: Precision = choose_precision(settings, device)
        self.label = f"{device.type} in {self.precision} with kernels"

    def prepare_augmenter(self, augmenter: Augmenter) -> Augmenter:
        from archsearch.kernels import FusedAugmenter

        return FusedAugmenter(augmenter, self._kernels) if isinstance(augmenter, BatchedAugmenter) else augmenter

    def make_optimizers(self, settings: OptimizerSettings, *, batch_size: int) -> list[Optimizer]:
        def muon(*given: Any, **more: Any) -> KernelMuon:
            return KernelMuon(self._kernels, *given, **more)

        return make_optimizers(self._network, settings, batch_size=batch_size, muon=muon)

    def make_step(self, batches: Batches, state: RunState) -> Callable[[int], None]:
        from archsearch.kernels import calls_into

        loss = _loss(self._network, self._settings, self._device, "fp32")
        gradients = RecordedGradients(loss, Gradients(loss, state.scaler), self._network, calls_into)
        update = Step(gradients, state, self._settings.clip)
        return lambda number: update(*batches.batch(number, state.augment))

    def put_back(self) -> None:
        from archsearch.kernels import put_back

        put_back(self._network)


class KernelMuon(Muon):
    """Muon with its step computed by a kernel, for float32 weights on the CPU."""

    def __init__(self, kernels: Kernels, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._kernels = kernels

    def step_weights(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        """Update `weights`, which belong to `group` and have gradients, and their momenta."""
        from archsearch.kernels import muon_step

        momenta = muon_step(
            weights,
            [self.state[weight]["momentum_buffer"] for weight in weights],
            momentum=group["momentum"],
            rates=[group["lr"] * update_scale(weight) for weight in weights],
            kernels=self._kernels,
        )
        for weight, momentum in zip(weights, momenta, strict=True):
            self.state[weight]["momentum_buffer"] = momentum


def _loss(forward: Forward, settings: TrainSettings, device: torch.device, precision: Precision) -> Loss:
    return Loss(forward=forward, device=device, precision=precision, label_smoothing=settings.label_smoothing)


def _prepared(network: nn.Module, settings: TrainSettings, device: torch.device, notice: Notice) -> Kernels | None:
    """Return the kernels and prepare `network` for them, or return None if torch computes it.

    The kernels keep feature maps in bf16 unless `train.precision=fp32`, because bf16 halves the memory traffic. On CPUs
    with bf16 units the kernels were faster than torch as well, even when they did not use the units.
    """
    if settings.kernels == "native":
        if device.type != "cpu":
            what = f"native kernels need a CPU, but the run uses {device.type}"
            raise SpecError("train.kernels", what, "Set train.kernels=auto.")
        if settings.compile is True:
            raise SpecError("train.kernels", "native cannot be combined with train.compile", "Set train.compile=false.")
    if not wants_kernels(settings, device.type):
        return None
    precision = choose_precision(settings, device)
    try:
        try:
            from archsearch.kernels import load_kernels, prepare
        except ModuleNotFoundError as error:
            if error.name != "archsearch.kernels":
                raise
            raise RunError("archsearch/kernels is not installed") from None
        kernels = load_kernels()
    except RunError as error:
        if settings.kernels == "native":
            raise RunError(f"train.kernels=native: {error}. Set train.kernels=torch.") from error
        slow = precision == "bf16" and not has_bf16_units(device)
        fix = ". Install a C compiler, or set train.precision=fp32" if slow else ""
        notice(f"train.kernels=auto: {error}; training continues in {precision} with torch, which is slower{fix}")
        return None
    return kernels if prepare(network, kernels, in_bf16=precision == "bf16") else None


def _compiled(
    network: nn.Module,
    settings: TrainSettings,
    device: torch.device,
    images: int,
    example: Example,
    notice: Notice,
) -> Forward | None:
    """Return the compiled forward of `network`, or None if it is not compiled; the state dict's keys do not change."""
    if not _wants_compile(settings.compile, device, images, notice):
        return None
    precision = choose_precision(settings, device)
    try:
        with _kept_statistics(network):  # compiling happens at the first call, forward and backward
            compiled: Forward = torch.compile(network, dynamic=False)
            _loss(compiled, settings, device, precision)(*example())[0].backward()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        cause = cause_of(error)
        if settings.compile is True:
            raise RunError(f"train.compile=true: compiling failed: {cause}. Set train.compile=false.") from error
        notice(f"train.compile=auto: compiling failed ({cause}), training without torch.compile")
        return None
    return compiled


def _wants_compile(asked: Literal["auto"] | bool, device: torch.device, images: int, notice: Notice) -> bool:
    """Return whether to compile for a run over `images` images; call `notice` if `auto` would but cannot."""
    if asked != "auto":
        return asked
    if images < PAYS_FROM_IMAGES.get(device.type, images + 1):
        return False
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    if os.name == "nt" or any(shutil.which(name) for name in names):
        return True
    notice("train.compile=auto: no C++ compiler was found (g++, clang++ or $CXX), training without torch.compile")
    return False


@contextlib.contextmanager
def _kept_statistics(network: nn.Module) -> Iterator[None]:
    """Restore the buffers (running statistics) of `network` at the end, and drop its gradients."""
    statistics = [buffer.clone() for buffer in network.buffers()]
    try:
        yield
    finally:
        network.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, kept in zip(network.buffers(), statistics, strict=True):
                buffer.copy_(kept)

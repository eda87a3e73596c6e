"""CUDA graphs: a whole training step is recorded once and replayed with one launch; imports torch.

A step of a small network is several hundred kernels of a few microseconds each, and launching one from Python takes as
long as running it. The graph holds all of them: augmentation, forward, backward, clipping, the optimizers' steps and
the sums. The inputs that change from step to step, the drawn batch and the learning rates, are copied to where the
graph reads them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from archsearch.errors import RunError, SpecError
from archsearch.settings.training import Precision
from archsearch.training.device import cause_of, is_out_of_memory
from archsearch.training.recording import can_record

Step = Callable[[Any, tuple[Tensor, ...]], None]


def check_graphs(asked: Literal["auto"] | bool, device: torch.device, precision: Precision) -> None:
    """Raise `SpecError` if `train.cuda_graphs` is true but not possible."""
    why_not = _why_not(device, precision)
    if asked is True and why_not is not None:
        raise SpecError("train.cuda_graphs", why_not, "Set it to auto.")


def wants_graphs(asked: Literal["auto"] | bool, device: torch.device, precision: Precision, network: nn.Module) -> bool:
    """Return whether to record the steps of a run; raise `SpecError` if `true` is not possible.

    `auto` skips networks with unknown modules or with hooks, which may do more than their torch operations.
    """
    check_graphs(asked, device, precision)
    return asked is True or (asked == "auto" and _why_not(device, precision) is None and can_record(network))


@functools.cache
def _stream_aside(index: int) -> torch.cuda.Stream:
    """Return this process's only stream for recording on GPU `index`: cuBLAS keeps tens of MiB for every stream."""
    return torch.cuda.Stream(index)


def _why_not(device: torch.device, precision: Precision) -> str | None:
    if device.type != "cuda":
        return f"needs a CUDA device, the run is on {device.type}"
    return "cannot be combined with fp16, whose steps depend on values" if precision == "fp16" else None


class GraphedStep:
    """A step on a CUDA device: run eagerly when its form is new, recorded at the second time, and then replayed.

    `step(form, tensors)` takes a step for the batch made of `tensors`. Steps of the same form must run the same
    operations on the same shapes, and of the values on the CPU, only the learning rates of `optimizers` may change.
    If recording fails, `failed` is called with the cause and all steps run eagerly; with `required`, `RunError` is
    raised instead.
    """

    def __init__(
        self,
        step: Step,
        optimizers: Sequence[Optimizer],
        device: torch.device,
        *,
        required: bool,
        failed: Callable[[str], None],
    ) -> None:
        self._step, self._optimizers, self._device = step, optimizers, device
        self._required, self._failed = required, failed
        self._index = torch.cuda.current_device() if device.index is None else device.index
        self._stream = _stream_aside(self._index)
        self._form: Hashable = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._given: tuple[Tensor, ...] = ()
        self._rates_G = torch.zeros(sum(len(one.param_groups) for one in optimizers), device=device)
        self._can = True

    def __call__(self, form: Hashable, tensors: tuple[Tensor, ...]) -> None:
        """Take the step; `tensors` are on the device, or pinned on the CPU."""
        if not self._can or form != self._form:
            self._graph, self._form = None, form
            self._plain(tensors)
            return
        if self._graph is None:
            self._given = tuple(one.to(self._device, copy=True) for one in tensors)
            self._record()
            if self._graph is None:
                self._plain(tensors)
                return
        for own, one in zip(self._given, tensors, strict=True):
            own.copy_(one, non_blocking=True)
        rates = [group["lr"] for optimizer in self._optimizers for group in optimizer.param_groups]
        self._rates_G.copy_(torch.tensor(rates, pin_memory=True), non_blocking=True)
        self._graph.replay()

    def _plain(self, tensors: tuple[Tensor, ...]) -> None:
        """Run the step eagerly on the recording stream, so that a later recording waits for no other stream."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._step(self._form, tuple(one.to(self._device, non_blocking=True) for one in tensors))
        current.wait_stream(self._stream)

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream(self._device)
        try:
            with (
                self._rates_on_device(),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._step(self._form, self._given)
        except (RuntimeError, ValueError, TypeError) as error:
            self._put_back(before)
            if is_out_of_memory(error):
                raise
            for optimizer in self._optimizers:
                optimizer.zero_grad(set_to_none=True)
            cause = cause_of(error)
            if self._required:
                fix = "Set train.cuda_graphs=false."
                raise RunError(f"train.cuda_graphs=true: recording failed: {cause}. {fix}") from error
            self._can = False
            self._failed(f"train.cuda_graphs=auto: recording failed ({cause}), steps are launched one by one")
            return
        self._graph = graph

    def _put_back(self, stream: torch.cuda.Stream) -> None:
        """Undo what torch leaves behind if the end of a recording fails: its stream, and a generator in capture."""
        torch.cuda.set_stream(stream)
        generator = torch.cuda.default_generators[self._index]
        generator.graphsafe_set_state(generator.clone_state())

    @contextlib.contextmanager
    def _rates_on_device(self) -> Iterator[None]:
        """Replace the learning rate of every group by a tensor on the device, and restore the number at the end."""
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        numbers = [group["lr"] for group in groups]
        try:
            for group, rate in zip(groups, self._rates_G.unbind(0), strict=True):
                group["lr"] = rate
            yield
        finally:
            for group, number in zip(groups, numbers, strict=True):
                group["lr"] = number

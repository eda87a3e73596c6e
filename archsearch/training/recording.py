"""A step's gradients on the CPU recorded as a list of calls, and replayed: as a CUDA graph is, without a graph.

A small network's step is a hundred calls of kernels, none of which takes a millisecond; Python, torch's dispatch and
autograd between them take as long as a quarter of them. A recording runs a step once, keeps every call with the memory
that it reads and writes, and then makes the same calls again: the same values, bit for bit. Imports torch only.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

import torch
from torch import Tensor, UntypedStorage, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

_aten = torch.ops.aten
# What only takes memory: what fills it is recorded.
_TAKES_MEMORY = (_aten.empty, _aten.empty_like, _aten.empty_strided, _aten.new_empty, _aten.new_empty_strided)
_COPIES = (_aten.clone, _aten._to_copy)
_UNFORESEEN = (torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output)
_KNOWN = ("torch.nn.", "archsearch.")
_LEAST: Final = 64 * 1024  # bytes of what is worth sharing: maps

LossFunction = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From images and labels to the mean loss and how many images are classified right."""


class Call(Protocol):
    """A call that can be made again, and whose tensors may be put elsewhere in memory."""

    def __call__(self) -> None:
        """Make it."""
        ...

    def tensors(self) -> Iterable[Tensor]:
        """Return those that it reads and writes."""
        ...

    def moved(self) -> None:
        """Look up anew where they lie in memory."""
        ...


CallsInto = Callable[[Callable[[Call], None]], AbstractContextManager[None]]
"""A context within which every call that torch's dispatcher does not see is given to a function."""


def can_record(network: nn.Module) -> bool:
    """Return whether all that `network` does shows in its operations: its modules are known, and nothing hooks them."""
    modules = list(network.modules())
    known = all(type(module).__module__.startswith(_KNOWN) for module in modules)
    return known and not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


class Recording:
    """The forward and backward of one step, recorded as they ran.

    `results` are the loss and what comes beside it; `unrepeatable` names an operation whose result is not a matter of
    tensors alone, so that a replay would not repeat it. Memory that the step takes stays taken.
    """

    def __init__(
        self,
        loss: LossFunction,
        network: nn.Module,
        images_BCHW: Tensor,
        labels_B: Tensor,
        calls_into: CallsInto = lambda _: nullcontext(),
    ) -> None:
        """Run the step for a batch and leave the gradients with the weights, which have none yet."""
        self._network, self._places = network, _places(network)
        self._given = (torch.empty_like(images_BCHW).copy_(images_BCHW), labels_B.clone())
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        recorder = _Recorder()
        with calls_into(recorder.calls.append), recorder:
            value, beside = loss(*self._given)
            gradients = torch.autograd.grad(value, weights, allow_unused=True)
            laid = [_laid_as(weight, one) for weight, one in zip(weights, gradients, strict=True)]
        self._calls, self.unrepeatable = recorder.calls, recorder.unrepeatable
        self._gradients = list(zip(weights, laid, strict=True))
        self.results = (value.detach(), beside)
        if self.unrepeatable is None:
            kept = (*self.results, *(one for one in laid if one is not None))
            with torch.no_grad():
                share_memory(self._calls, recorder.taken, storages_of(kept))
        self._leave_gradients()

    @property
    def calls(self) -> int:
        """How many calls a replay is."""
        return len(self._calls)

    def suits(self, images_BCHW: Tensor, labels_B: Tensor) -> bool:
        """Return whether a replay would be the step for this batch, of these weights."""
        given = (images_BCHW, labels_B)
        same = all(_form(one) == _form(own) for one, own in zip(given, self._given, strict=True))
        return same and _places(self._network) == self._places

    def replay(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Run the step for another batch."""
        with torch.no_grad():
            for own, one in zip(self._given, (images_BCHW, labels_B), strict=True):
                own.copy_(one)
            for call in self._calls:
                call()
        self._leave_gradients()
        return self.results

    def _leave_gradients(self) -> None:
        for weight, gradient in self._gradients:
            weight.grad = gradient


class RecordedGradients:
    """The gradients of `loss` on a CPU, recorded when they are first computed and from then on replayed.

    A batch of another shape, or weights that have been put elsewhere in memory, are recorded anew. What is returned,
    and the gradients, are overwritten by the next step. What cannot be recorded is computed by `plain`.
    """

    def __init__(self, loss: LossFunction, plain: LossFunction, network: nn.Module, calls_into: CallsInto) -> None:
        self._loss, self._plain, self._network, self._calls_into = loss, plain, network, calls_into
        self._recording: Recording | None = None
        self._can = can_record(network)

    @property
    def calls(self) -> int:
        """How many calls a replay is; 0 where there is no recording that the next step could be a replay of."""
        return 0 if self._recording is None else self._recording.calls

    def __call__(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Set the gradients of weights that have none yet; return the loss and how many images are classified right."""
        if self._recording is not None and self._recording.suits(images_BCHW, labels_B):
            return self._recording.replay(images_BCHW, labels_B)
        self._recording = None  # its memory is free before the next takes some
        if not self._can:
            return self._plain(images_BCHW, labels_B)
        recording = Recording(self._loss, self._network, images_BCHW, labels_B, self._calls_into)
        self._can = recording.unrepeatable is None
        self._recording = recording if self._can else None
        return recording.results


class _Operation:
    """A call of an operation of torch, which can be made again; without `results` it writes into its arguments."""

    __slots__ = ("_args", "_function", "_kwargs", "_results")

    def __init__(
        self, function: Callable[..., Any], args: Any, kwargs: Any, results: list[Tensor | None] | None = None
    ) -> None:
        self._function, self._args, self._kwargs, self._results = function, args, kwargs, results

    def __call__(self) -> None:
        fresh = self._function(*self._args, **self._kwargs)
        if self._results is not None:
            for own, one in zip(self._results, tree_leaves(fresh), strict=True):
                if own is not None:
                    own.copy_(one)

    def tensors(self) -> Iterator[Tensor]:
        return _tensors((self._args, self._kwargs, self._results))

    def moved(self) -> None:
        """Nothing to do: it holds tensors, not addresses."""


class _Recorder(TorchDispatchMode):
    """Adds every operation that is run to `calls`, as one that writes where it wrote, and its memory to `taken`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.taken: set[int] = set()
        self.unrepeatable: str | None = None

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        results = tree_leaves(result)
        fresh = storages_of(_tensors(results)) - storages_of(_tensors((args, kwargs)))
        self.taken |= fresh
        if func.overloadpacket in _TAKES_MEMORY:
            return result
        if any(tag in func.tags for tag in _UNFORESEEN) or not all(isinstance(one, Tensor | None) for one in results):
            self.unrepeatable = str(func)
        if func._schema.is_mutable or fresh:  # what is neither is a view
            # Without what autograd hangs on tensors, so that its graph is not kept.
            self.calls.append(_repeatable(func, *tree_map_only(Tensor, Tensor.detach, (args, kwargs, results))))
        return result


# torch has wrapped it so that its compiler leaves it alone; the wrapper loads the compiler, a second and a half, with
# its first call.
_Recorder.__torch_dispatch__ = inspect.unwrap(_Recorder.__torch_dispatch__)


def _repeatable(func: OpOverload, args: Any, kwargs: dict[str, Any], results: list[Tensor | None]) -> _Operation:
    """Return a call of `func` that writes into `results`."""
    if func._schema.is_mutable:
        return _Operation(func, args, kwargs)
    if func.overloadpacket in _COPIES:
        return _Operation(_aten.copy_.default, (results[0], args[0]), {})
    draws = torch.Tag.nondeterministic_seeded in func.tags
    variant = _out_variant(func, len(results))
    if variant is None or draws or any(one is None for one in results):
        return _Operation(func, args, kwargs, results)
    places = [argument.name for argument in variant._schema.arguments if argument.is_out]
    return _Operation(variant, args, kwargs | dict(zip(places, results, strict=True)))


def _out_variant(func: OpOverload, results: int) -> OpOverload | None:
    """Return the overload that takes the same and writes into tensors that it is given."""
    wanted = [(one.name, str(one.type)) for one in func._schema.arguments]
    for name in func.overloadpacket.overloads():
        overload = getattr(func.overloadpacket, name)
        arguments = overload._schema.arguments
        taken = [(one.name, str(one.type)) for one in arguments if not one.is_out]
        if taken == wanted and sum(one.is_out for one in arguments) == results:
            return overload
    return None


def _tensors(values: object) -> Iterator[Tensor]:
    return (one for one in tree_leaves(values) if isinstance(one, Tensor))


def _laid_as(weight: Tensor, gradient: Tensor | None) -> Tensor | None:
    """Return `gradient` in the order of memory of `weight`, as torch leaves it: fused optimizers count on that."""
    if gradient is None or gradient.stride() == weight.stride():
        return gradient
    return torch.empty_like(weight, requires_grad=False).copy_(gradient)


def _form(values: Tensor) -> tuple[object, ...]:
    return values.shape, values.stride(), values.dtype


def _places(network: nn.Module) -> list[int]:
    """Return where weights and buffers lie in memory."""
    return [one.data_ptr() for values in (network.parameters(), network.buffers()) for one in values]


def storages_of(tensors: Iterable[Tensor]) -> set[int]:
    """Return which memory `tensors` lie in; tensors that are views of one another lie in the same."""
    return {one.untyped_storage()._cdata for one in tensors}


def share_memory(calls: Sequence[Call], taken: Set[int], kept: Set[int]) -> None:
    """Let maps of one size that are never needed at once lie in the same memory.

    `taken` is the memory that the calls themselves take, of which every byte is written before it is read; what is
    `kept` is needed after the last call. A map lives from the first call that touches it to the last.
    """
    movable = taken - kept
    tensors: dict[int, list[Tensor]] = defaultdict(list)
    last: dict[int, int] = {}
    for place, call in enumerate(calls):
        for one in call.tensors():
            storage = one.untyped_storage()
            if storage._cdata in movable and storage.nbytes() >= _LEAST:
                tensors[storage._cdata].append(one)
                last[storage._cdata] = place
    home: dict[int, UntypedStorage] = {}
    free: dict[int, list[UntypedStorage]] = defaultdict(list)
    for place, call in enumerate(calls):
        touched = {one.untyped_storage()._cdata: one.untyped_storage() for one in call.tensors()}
        for which, storage in touched.items():
            if which in tensors and which not in home:
                unused = free[storage.nbytes()]
                home[which] = unused.pop() if unused else storage
        for which in touched:
            if last.get(which) == place:
                free[home[which].nbytes()].append(home[which])
    for which, storage in home.items():
        for one in tensors[which]:
            if one.untyped_storage()._cdata != storage._cdata:
                one.set_(storage, one.storage_offset(), one.size(), one.stride())
    for call in calls:
        call.moved()

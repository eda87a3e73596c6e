"""Recording and replay of a step's gradients on the CPU, as a list of calls: like a CUDA graph, but without a graph.

A step of a small network is a hundred kernel calls of less than a millisecond each. Python, torch's dispatcher and
autograd add a quarter of the kernels' time. A recording runs a step once, keeps every call with the memory that it
reads and writes, and then repeats these calls, with the same values, bit for bit. Imports torch only.

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
# Operations that only allocate memory; the operations that fill it are recorded.
_TAKES_MEMORY = (_aten.empty, _aten.empty_like, _aten.empty_strided, _aten.new_empty, _aten.new_empty_strided)
_COPIES = (_aten.clone, _aten._to_copy)
_UNFORESEEN = (torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output)
_KNOWN = ("torch.nn.", "archsearch.")
_LEAST: Final = 64 * 1024  # bytes; smaller memory is not worth sharing

LossFunction = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps images and labels to the mean loss and the number of correctly classified images."""


class Call(Protocol):
    """A call that can be repeated, and whose tensors may move in memory."""

    def __call__(self) -> None:
        """Run the call."""
        ...

    def tensors(self) -> Iterable[Tensor]:
        """Return the tensors that the call reads and writes."""
        ...

    def moved(self) -> None:
        """Look up the addresses of the tensors again."""
        ...


CallsInto = Callable[[Callable[[Call], None]], AbstractContextManager[None]]
"""Returns a context that passes every call that torch's dispatcher does not see to a function."""


def can_record(network: nn.Module) -> bool:
    """Return whether the operations of `network` are all that it does: its modules are known and have no hooks."""
    modules = list(network.modules())
    known = all(type(module).__module__.startswith(_KNOWN) for module in modules)
    return known and not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


class Recording:
    """The forward and backward of one step, recorded as they ran.

    `results` are the loss and the number of correctly classified images. `unrepeatable` names an operation that a
    replay would not repeat, because its results are not tensors or their shapes depend on data. The memory of the step
    stays allocated.
    """

    def __init__(
        self,
        loss: LossFunction,
        network: nn.Module,
        images_BCHW: Tensor,
        labels_B: Tensor,
        calls_into: CallsInto = lambda _: nullcontext(),
    ) -> None:
        """Run the step for a batch and set the gradients of the weights, which must have none."""
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
        """The number of calls in a replay."""
        return len(self._calls)

    def suits(self, images_BCHW: Tensor, labels_B: Tensor) -> bool:
        """Return whether a replay is valid: the batch has the recorded form, and the weights have not moved."""
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
    """The gradients of `loss` on a CPU, recorded when they are first computed and then replayed.

    A batch of another shape, or weights that have moved in memory, lead to a new recording. The next step overwrites
    the returned tensors and the gradients. Steps that cannot be recorded are computed by `plain`.
    """

    def __init__(self, loss: LossFunction, plain: LossFunction, network: nn.Module, calls_into: CallsInto) -> None:
        self._loss, self._plain, self._network, self._calls_into = loss, plain, network, calls_into
        self._recording: Recording | None = None
        self._can = can_record(network)

    @property
    def calls(self) -> int:
        """The number of calls in a replay; 0 if there is no recording."""
        return 0 if self._recording is None else self._recording.calls

    def __call__(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Set the gradients, which must be None before; return the loss and the number of correct images."""
        if self._recording is not None and self._recording.suits(images_BCHW, labels_B):
            return self._recording.replay(images_BCHW, labels_B)
        self._recording = None  # free its memory before the next recording allocates
        if not self._can:
            return self._plain(images_BCHW, labels_B)
        recording = Recording(self._loss, self._network, images_BCHW, labels_B, self._calls_into)
        self._can = recording.unrepeatable is None
        self._recording = recording if self._can else None
        return recording.results


class _Operation:
    """A repeatable call of a torch operation; without `results`, the operation writes into its arguments."""

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
        """Do nothing: the call holds tensors, not addresses."""


class _Recorder(TorchDispatchMode):
    """Appends every operation to `calls`, with the tensors that it wrote as outputs, and its new memory to `taken`."""

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
        if func._schema.is_mutable or fresh:  # otherwise it only returned a view
            # Detached, so that autograd's graph is not kept alive.
            self.calls.append(_repeatable(func, *tree_map_only(Tensor, Tensor.detach, (args, kwargs, results))))
        return result


# torch wraps the method so that its compiler ignores it. The first call of the wrapper loads the compiler, which takes
# a second and a half.
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
    """Return the overload with the same arguments that writes into given tensors, or None."""
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
    """Return `gradient` in the memory layout of `weight`, as autograd does: fused optimizers rely on that."""
    if gradient is None or gradient.stride() == weight.stride():
        return gradient
    return torch.empty_like(weight, requires_grad=False).copy_(gradient)


def _form(values: Tensor) -> tuple[object, ...]:
    return values.shape, values.stride(), values.dtype


def _places(network: nn.Module) -> list[int]:
    """Return the addresses of the weights and buffers."""
    return [one.data_ptr() for values in (network.parameters(), network.buffers()) for one in values]


def storages_of(tensors: Iterable[Tensor]) -> set[int]:
    """Return the identities of the storages of `tensors`; views of one another share one."""
    return {one.untyped_storage()._cdata for one in tensors}


def share_memory(calls: Sequence[Call], taken: Set[int], kept: Set[int]) -> None:
    """Let storages of equal size that are never needed at the same time share memory.

    `taken` are the storages that the calls allocate; every byte of them is written before it is read. Those in `kept`
    are needed after the last call. A storage lives from the first call that touches it to the last.
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

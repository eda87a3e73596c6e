"""A step on the CPU recorded as a list of calls, and replayed: as a CUDA graph is, without a graph.

A small network's step is a hundred calls of kernels, none of which takes a millisecond; Python, torch's dispatch and
autograd between them take as long as a quarter of them. A recording runs a step once, keeps every call with the memory
that it reads and writes, and then makes the same calls again: the same values, bit for bit.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from archsearch.kernels import calls_into

Call = Callable[[], object]
_aten = torch.ops.aten
# What only takes memory: whoever fills it is recorded.
_TAKES_MEMORY = (_aten.empty, _aten.empty_like, _aten.empty_strided, _aten.new_empty, _aten.new_empty_strided)
_COPIES = (_aten.clone, _aten._to_copy)
_UNFORESEEN = (torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output)
_KNOWN = ("torch.nn.", "archsearch.")


def can_record(network: nn.Module) -> bool:
    """Return whether all that `network` does shows in its operations: its modules are known, and nothing hooks them."""
    modules = list(network.modules())
    known = all(type(module).__module__.startswith(_KNOWN) for module in modules)
    return known and not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


class Recording:
    """The forward and backward of one step, recorded as they ran.

    `results` are the loss and what comes beside it; `refused` names an operation whose result is not a matter of
    tensors alone, so that a replay would not repeat it. All the memory that the step takes stays taken.
    """

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        network: nn.Module,
        images_BCHW: Tensor,
        labels_B: Tensor,
    ) -> None:
        """Run the step for a batch and leave the gradients with the weights, which have none yet."""
        self._network, self._places = network, _places(network)
        self._given = (torch.empty_like(images_BCHW).copy_(images_BCHW), labels_B.clone())
        self._calls: list[Call] = []
        recorder = _Recorder(self._calls)
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        with calls_into(self._calls), recorder:
            value, beside = loss(*self._given)
            gradients = torch.autograd.grad(value, weights, allow_unused=True)
            laid = [_laid_as(weight, one) for weight, one in zip(weights, gradients, strict=True)]
        self._gradients = list(zip(weights, laid, strict=True))
        self.results = (value.detach(), beside)
        self.refused = recorder.refused
        self._leave_gradients()

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


class _Recorder(TorchDispatchMode):
    """Appends every operation that is run to `calls`, as a call that writes where the first one wrote."""

    def __init__(self, calls: list[Call]) -> None:
        super().__init__()
        self._calls = calls
        self.refused: str | None = None

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.overloadpacket in _TAKES_MEMORY:
            return result
        results = tree_leaves(result)
        if any(tag in func.tags for tag in _UNFORESEEN) or not all(isinstance(one, Tensor | None) for one in results):
            self.refused = str(func)
        # Without what autograd hangs on tensors, so that its graph is not kept.
        bare_args, bare_kwargs, bare = tree_map_only(Tensor, Tensor.detach, (args, kwargs, results))
        if func._schema.is_mutable:
            self._calls.append(partial(func, *bare_args, **bare_kwargs))
        elif not _is_view(bare, (bare_args, bare_kwargs)):
            self._calls.append(_again(func, bare_args, bare_kwargs, bare))
        return result


def _is_view(results: list[Tensor | None], given: object) -> bool:
    return _storages(results) <= _storages(given)


def _storages(values: object) -> set[int]:
    return {one.untyped_storage()._cdata for one in tree_leaves(values) if isinstance(one, Tensor)}


def _again(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], results: list[Tensor | None]) -> Call:
    """Return a call of `func` that writes into `results`."""
    first = results[0]
    if func.overloadpacket in _COPIES and first is not None:
        return partial(first.copy_, args[0])
    draws = torch.Tag.nondeterministic_seeded in func.tags
    variant = _out_variant(func, len(results))
    if variant is not None and not draws and all(one is not None for one in results):
        places = [argument.name for argument in variant._schema.arguments if argument.is_out]
        return partial(variant, *args, **kwargs, **dict(zip(places, results, strict=True)))

    def copied() -> None:
        for own, fresh in zip(results, tree_leaves(func(*args, **kwargs)), strict=True):
            if own is not None:
                own.copy_(fresh)

    return copied


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

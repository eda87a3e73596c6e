"""Muon, an optimizer that orthogonalises the momentum of matrices; imports torch and the kernels."""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from archsearch.kernels import Kernels
from archsearch.training.uncompiled import Uncompiled


def orthogonalise(matrices_NRC: Tensor, steps: int = 5) -> Tensor:
    """Return N matrices of R rows and C columns with all singular values brought near 1.

    A quintic Newton-Schulz iteration with the coefficients of Jordan et al., "Muon: an optimizer for the
    hidden layers of neural networks" (2024); it ends between about 0.7 and 1.2, which is enough.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices_NRC.shape[-2] > matrices_NRC.shape[-1]
    x = matrices_NRC.mT if tall else matrices_NRC
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(Uncompiled):
    """Nesterov momentum, orthogonalised per weight seen as a matrix of one row per filter.

    Every parameter has at least two dimensions. An update is scaled by sqrt(max(1, rows / columns)); with
    `normalise` a weight's norm is first set to sqrt(rows), as in the CIFAR-10 speed runs of Jordan (2024).
    Weights of like shapes are taken together, so that a step is a few batched products; `kernels` take each weight
    whole, and as many at a time as there are threads. A group's `lr` may be a tensor on the weights' device.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        normalise: bool = False,
        kernels: Kernels | None = None,
    ) -> None:
        """Take `parameters`; `weight_decay` is decoupled (times `lr`). `kernels` are for float32 on the CPU."""
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, normalise=normalise))
        self._kernels = kernels

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step on every parameter that has a gradient."""
        assert closure is None, "the training loop never passes a closure"
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            for weight in weights:
                if "momentum_buffer" not in self.state[weight]:
                    self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
                if group["normalise"]:
                    weight.mul_(len(weight) ** 0.5 / (weight.norm() + 1e-7))
                if group["weight_decay"]:
                    weight.mul_(1.0 - group["lr"] * group["weight_decay"])
            if self._kernels is not None:
                self._step_by_kernels(group, weights, self._kernels)
                continue
            together: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for weight in weights:
                together[_kind(weight)].append(weight)
            for alike in together.values():
                shorts, longs = zip(*(sorted(_sides(weight)) for weight in alike), strict=True)
                self._step_together(group, alike, (max(shorts), max(longs)))

    def _step_by_kernels(self, group: dict[str, Any], weights: list[Tensor], kernels: Kernels) -> None:
        gradients = [_laid_out_as(weight, weight.grad) for weight in weights if weight.grad is not None]
        given: list[int] = []
        for weight, gradient in zip(weights, gradients, strict=True):
            state = self.state[weight]
            state["momentum_buffer"] = _laid_out_as(weight, state["momentum_buffer"])
            given += [weight.data_ptr(), gradient.data_ptr(), state["momentum_buffer"].data_ptr(), *_sides(weight)]
        rates = torch.tensor([group["momentum"], *(group["lr"] * _scale(*_sides(weight)) for weight in weights)])
        kernels("muon_step", rates, (ctypes.c_long * len(given))(*given), len(weights))

    def _step_together(self, group: dict[str, Any], weights: list[Tensor], form: tuple[int, int]) -> None:
        """Step weights as matrices, of the `form` that they have in common, with zeros where they are smaller."""
        gradients_NSL = weights[0].new_zeros(len(weights), *form)
        for place, weight in zip(_places(gradients_NSL, weights), weights, strict=True):
            assert weight.grad is not None, "such weights are not stepped"
            place.copy_(weight.grad)
        momentum_NSL = self._momentum(weights, form).mul_(group["momentum"]).add_(gradients_NSL)
        steps_NSL = gradients_NSL.add_(momentum_NSL, alpha=group["momentum"])
        if steps_NSL.is_cuda:
            steps_NSL = steps_NSL.bfloat16()
        updates_NSL = orthogonalise(steps_NSL).to(weights[0].dtype) * group["lr"]
        for place, weight in zip(_places(updates_NSL, weights), weights, strict=True):
            weight.sub_(place, alpha=_scale(*_sides(weight)))

    def _momentum(self, weights: list[Tensor], form: tuple[int, int]) -> Tensor:
        """Return the momenta of `weights` as one tensor (N, *form), of which each one's buffer is a part."""
        buffers = [self.state[weight]["momentum_buffer"] for weight in weights]
        whole_NSL = buffers[0]._base
        if whole_NSL is not None and whole_NSL.shape == (len(weights), *form):
            places = _places(whole_NSL, weights)
            if all(one.data_ptr() == place.data_ptr() for one, place in zip(buffers, places, strict=True)):
                return whole_NSL
        whole_NSL = weights[0].new_zeros(len(weights), *form)
        for place, weight, buffer in zip(_places(whole_NSL, weights), weights, buffers, strict=True):
            self.state[weight]["momentum_buffer"] = place.copy_(buffer)
        return whole_NSL


def _sides(weight: Tensor) -> tuple[int, int]:
    """Return the rows and the columns of `weight` seen as a matrix of one row per filter."""
    return len(weight), weight.numel() // len(weight)


def _kind(weight: Tensor) -> tuple[int, int]:
    """Return what weights that are stepped together have in common: the sides, or on a GPU about the shorter one.

    There a product of many matrices takes as long as one of few, so that those with a few zeros more go along.
    """
    short, long = sorted(_sides(weight))
    return (max(64, 1 << (short - 1).bit_length()), 0) if weight.is_cuda else (short, long)


def _places(matrices_NSL: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """Return where in a matrix each, its shorter side first, the values of `weights` stand, in their shapes."""
    found: list[Tensor] = []
    for matrix_SL, weight in zip(matrices_NSL, weights, strict=True):
        rows, columns = _sides(weight)
        matrix = matrix_SL[:rows, :columns] if rows <= columns else matrix_SL[:columns, :rows].mT
        found.append(matrix.unflatten(1, weight.shape[1:]))
    return found


def _laid_out_as(weight: Tensor, other: Tensor) -> Tensor:
    """Return `other` in the order of memory that `weight` has, in which a kernel takes its columns."""
    return other if other.stride() == weight.stride() else torch.empty_like(weight).copy_(other)


def _scale(rows: int, columns: int) -> float:
    return max(1.0, rows / columns) ** 0.5

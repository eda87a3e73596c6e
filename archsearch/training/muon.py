"""Muon, an optimizer that orthogonalises the momentum of matrices; imports torch only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

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
    Weights of one shape are taken together, so that a step is a few batched products.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        normalise: bool = False,
    ) -> None:
        """Take `parameters`; `weight_decay` is decoupled (times `lr`)."""
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, normalise=normalise))

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step on every parameter that has a gradient."""
        assert closure is None, "the training loop never passes a closure"
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[len(weight), weight.numel() // len(weight)].append(weight)
            for (rows, columns), weights in by_shape.items():
                self._step_shape(group, weights, rows, columns)

    def _step_shape(self, group: dict[str, Any], weights: list[Tensor], rows: int, columns: int) -> None:
        gradients: list[Tensor] = [weight.grad for weight in weights if weight.grad is not None]
        for weight in weights:
            if "momentum_buffer" not in self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        steps: list[Tensor] = []
        for weight, gradient in zip(weights, gradients, strict=True):
            buffer = self.state[weight]["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
            steps.append(gradient.add(buffer, alpha=group["momentum"]).reshape(rows, columns))
        matrices_NRC = torch.stack(steps)
        work = torch.bfloat16 if matrices_NRC.is_cuda else torch.float32
        updates_NRC = orthogonalise(matrices_NRC.to(work)).to(weights[0].dtype)
        scale = max(1.0, rows / columns) ** 0.5
        for weight, update_RC in zip(weights, updates_NRC, strict=True):
            if group["normalise"]:
                weight.mul_(rows**0.5 / (weight.norm() + 1e-7))
            if group["weight_decay"]:
                weight.mul_(1.0 - group["lr"] * group["weight_decay"])
            weight.add_(update_RC.view_as(weight), alpha=-group["lr"] * scale)

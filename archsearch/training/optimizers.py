"""The optimizers, their learning rates over a run, and the moving average of the weights.

Imports torch and the settings.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, assert_never

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from archsearch.settings.training import OptimizerSettings, ScheduleSettings

_FUSED = ("cpu", "cuda", "mps")


class _Bare(Optimizer):
    """An optimizer with torch's own methods, but without the wrappers that `torch.compile` needs to trace them.

    The first call of a wrapper loads the compiler, which takes two thirds of the time of `import torch`, even in runs
    that compile nothing. archsearch compiles only the forward, never a step of an optimizer.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)


class SGD(_Bare, torch.optim.SGD):
    """torch's stochastic gradient descent."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class AdamW(_Bare, torch.optim.AdamW):
    """torch's Adam with decoupled weight decay."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


def orthogonalise(matrices_NRC: Tensor, steps: int = 5) -> Tensor:
    """Return the N matrices of R rows and C columns with all singular values moved close to 1.

    Uses a quintic Newton-Schulz iteration with the coefficients of Jordan et al., "Muon: an optimizer for the
    hidden layers of neural networks" (2024). The singular values end between about 0.7 and 1.2, which is enough.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices_NRC.shape[-2] > matrices_NRC.shape[-1]
    x = matrices_NRC.mT if tall else matrices_NRC
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(_Bare):
    """Nesterov momentum, orthogonalised for each weight, as a matrix with one row per filter.

    Every parameter must have at least two dimensions. An update is scaled by sqrt(max(1, rows / columns)). With
    `normalise`, the norm of a weight is first set to sqrt(rows), as in the CIFAR-10 speed runs of Jordan (2024).
    Weights of similar shapes are batched, so that a step is a few batched products. A group's `lr` may be a tensor
    on the device of the weights.
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
        """Take over `parameters`; `weight_decay` is decoupled, and multiplied by `lr`."""
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, normalise=normalise))

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
            self.step_weights(group, weights)

    def step_weights(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        """Update `weights`, which belong to `group` and have gradients, and their momenta."""
        together: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
        for weight in weights:
            together[_kind(weight)].append(weight)
        for alike in together.values():
            shorts, longs = zip(*(sorted(_sides(weight)) for weight in alike), strict=True)
            self._step_together(group, alike, (max(shorts), max(longs)))

    def _step_together(self, group: dict[str, Any], weights: list[Tensor], form: tuple[int, int]) -> None:
        """Step weights as one batch of matrices of the common `form` (shorter, longer side), padded with zeros."""
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
            weight.sub_(place, alpha=update_scale(weight))

    def _momentum(self, weights: list[Tensor], form: tuple[int, int]) -> Tensor:
        """Return the momenta of `weights` as one tensor (N, *form); the buffers in the state are views of it."""
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
    """Return the rows and columns of `weight` as a matrix with one row per filter."""
    return len(weight), weight.numel() // len(weight)


def _kind(weight: Tensor) -> tuple[int, int]:
    """Return the key by which weights are batched: the sides, or on a GPU a rounded shorter side only.

    On a GPU a product of many matrices takes as long as one of a few, so that padding with zeros costs little.
    """
    short, long = sorted(_sides(weight))
    return (max(64, 1 << (short - 1).bit_length()), 0) if weight.is_cuda else (short, long)


def _places(matrices_NSL: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """Return views of the matrices, one per weight and of its shape; the matrices have the shorter side first."""
    found: list[Tensor] = []
    for matrix_SL, weight in zip(matrices_NSL, weights, strict=True):
        rows, columns = _sides(weight)
        matrix = matrix_SL[:rows, :columns] if rows <= columns else matrix_SL[:columns, :rows].mT
        found.append(matrix.unflatten(1, weight.shape[1:]))
    return found


def update_scale(weight: Tensor) -> float:
    """Return the factor of an update of `weight`: sqrt(max(1, rows / columns))."""
    rows, columns = _sides(weight)
    return max(1.0, rows / columns) ** 0.5


def make_optimizers(
    network: nn.Module, settings: OptimizerSettings, *, batch_size: int, muon: Callable[..., Optimizer] = Muon
) -> list[Optimizer]:
    """Return the optimizers, which together hold every trainable parameter of `network` once.

    Weight decay excludes vectors (norm weights, biases) unless `decay_norm_and_bias` is true. Each group stores its
    highest learning rate as `peak`; that of vectors is `norm_and_bias_ratio` times that of the others. With
    `optimizer=muon`, the factory `muon` makes the optimizer of the dense convolutions (groups = 1; the first one only
    with `muon_stem`), and SGD takes the rest.
    """
    dense = _muon_weights(network, stem=settings.muon_stem) if settings.name == "muon" else []
    taken = {id(weight) for weight in dense}
    rest = [weight for weight in network.parameters() if weight.requires_grad and id(weight) not in taken]
    learning_rate = settings.scaled(settings.learning_rate, batch_size)
    optimizers: list[Optimizer] = []
    if dense:
        optimizers.append(
            muon(
                dense,
                lr=settings.scaled(settings.muon_learning_rate, batch_size),
                momentum=settings.muon_momentum,
                weight_decay=settings.muon_weight_decay,
                normalise=settings.muon_normalise,
            )
        )
    if rest:
        groups = _groups(rest, settings, learning_rate)
        fused = all(weight.device.type in _FUSED and weight.is_floating_point() for weight in rest)
        if settings.name == "adamw":
            betas = (settings.momentum, settings.beta2)
            # For the fused step, `capturable` means only that CUDA graphs may record it.
            recordable = all(weight.is_cuda for weight in rest)
            optimizers.append(AdamW(groups, lr=learning_rate, betas=betas, fused=fused, capturable=recordable))
        else:
            nesterov = settings.nesterov and settings.momentum > 0
            optimizers.append(SGD(groups, lr=learning_rate, momentum=settings.momentum, nesterov=nesterov, fused=fused))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def set_learning_rate(optimizers: list[Optimizer], ratio: float) -> None:
    """Set the learning rate of every group to `ratio` times its highest one."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * ratio


def _muon_weights(network: nn.Module, *, stem: bool) -> list[Tensor]:
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    return [
        weight
        for module in (convolutions if stem else convolutions[1:])
        if module.groups == 1
        for weight in module.parameters()  # the weight, or the free parts of a tied one; and the bias
        if weight.requires_grad and weight.ndim > 1 and min(len(weight), weight.numel() // len(weight)) > 1
    ]


def _groups(weights: list[nn.Parameter], settings: OptimizerSettings, rate: float) -> list[dict[str, object]]:
    decay = settings.weight_decay if settings.decay_norm_and_bias else 0.0
    groups: list[dict[str, object]] = [
        {
            "params": [weight for weight in weights if weight.ndim > 1],
            "weight_decay": settings.weight_decay,
            "lr": rate,
        },
        {
            "params": [weight for weight in weights if weight.ndim <= 1],
            "weight_decay": decay,
            "lr": rate * settings.norm_and_bias_ratio,
        },
    ]
    return [group for group in groups if group["params"]]


def clip_gradients(network: nn.Module, largest: float) -> None:
    """Scale all gradients of `network` so that their global norm is at most `largest`, without a synchronisation."""
    torch.nn.utils.clip_grad_norm_(network.parameters(), largest)


def learning_rate_ratio(schedule: ScheduleSettings, progress: float) -> float:
    """Return the ratio of the learning rate to the highest one at `progress`; step i of n has the progress i / n.

    `onecycle` rises and falls along half cosines (Smith & Topin 2018), `triangular` along straight lines. `cosine`
    rises linearly and falls along a half cosine (Loshchilov & Hutter 2017), `constant` rises linearly and stays there.
    Raises `ValueError` if `progress` is outside 0..1.
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must be from 0 to 1, is {progress}")
    first, last = schedule.initial_ratio, schedule.final_ratio
    if progress < schedule.warmup:
        share = progress / schedule.warmup
        return _bend(first, 1.0, share) if schedule.name == "onecycle" else _line(first, 1.0, share)
    share = (progress - schedule.warmup) / (1.0 - schedule.warmup)
    match schedule.name:
        case "onecycle" | "cosine":
            return _bend(1.0, last, share)
        case "triangular":
            return _line(1.0, last, share)
        case "constant":
            return 1.0
        case _:
            assert_never(schedule.name)


def no_step_learns(schedule: ScheduleSettings, steps: int, batch_size: int) -> str:
    """Return a notice with fixes if each of the `steps` of a run has the learning rate 0, else an empty string."""
    if any(learning_rate_ratio(schedule, step / steps) > 0 for step in range(min(steps, 2))):
        return ""
    what = "the only step of this run has" if steps == 1 else f"all {steps} steps of this run have"
    return (
        f"{what} learning rate 0: the network stays as it is initialised. Set train.epochs higher, "
        f"train.batch_size={max(1, batch_size // 4)}, or schedule.initial_ratio=0.1."
    )


def _line(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


def _bend(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * share)) / 2.0


def make_average(network: nn.Module) -> nn.Module:
    """Return a copy of `network` in evaluation mode to hold the average; its state dict has the same keys."""
    average = copy.deepcopy(network).eval()
    return average.requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, *, decay: float, steps: int) -> None:
    """Update `average` with `network` after `steps` steps (1 after the first).

    The decay is at most (1 + steps) / (10 + steps), so that the initial weights are soon forgotten (as in TensorFlow's
    ExponentialMovingAverage). Running statistics are averaged too; counters are copied.
    """
    decay = min(decay, (1 + steps) / (10 + steps))
    old: list[Tensor] = []
    new: list[Tensor] = []
    for pairs in (
        zip(average.parameters(), network.parameters(), strict=True),
        zip(average.buffers(), network.buffers(), strict=True),
    ):
        for held, fresh in pairs:
            if held.is_floating_point():
                old.append(held)
                new.append(fresh)
            else:
                held.copy_(fresh)
    get_ema_multi_avg_fn(decay)(old, new, steps)  # one multi-tensor operation

"""Optimizers made from settings, and the learning rate they are given at each step; imports torch and the kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from archsearch.kernels import Kernels
from archsearch.settings.training import OptimizerSettings
from archsearch.training.muon import Muon
from archsearch.training.uncompiled import SGD, AdamW

_FUSED = ("cpu", "cuda", "mps")


def make_optimizers(
    network: nn.Module, settings: OptimizerSettings, *, batch_size: int, kernels: Kernels | None = None
) -> list[Optimizer]:
    """Return the optimizers that together hold every parameter of `network` once.

    Weight decay leaves out vectors (norm weights, biases) unless `decay_norm_and_bias`. Each group keeps its
    highest learning rate as `peak`; that of vectors is `norm_and_bias_ratio` times the others'. `muon` takes dense
    convolutions (groups = 1), the first one only with `muon_stem`, and steps them by `kernels` where there are any;
    SGD takes the rest.
    """
    muon = _muon_weights(network, stem=settings.muon_stem) if settings.name == "muon" else []
    taken = {id(weight) for weight in muon}
    rest = [weight for weight in network.parameters() if weight.requires_grad and id(weight) not in taken]
    learning_rate = settings.scaled(settings.learning_rate, batch_size)
    optimizers: list[Optimizer] = []
    if muon:
        optimizers.append(
            Muon(
                muon,
                lr=settings.scaled(settings.muon_learning_rate, batch_size),
                momentum=settings.muon_momentum,
                weight_decay=settings.muon_weight_decay,
                normalise=settings.muon_normalise,
                kernels=kernels,
            )
        )
    if rest:
        groups = _groups(rest, settings, learning_rate)
        fused = all(weight.device.type in _FUSED and weight.is_floating_point() for weight in rest)
        if settings.name == "adamw":
            betas = (settings.momentum, settings.beta2)
            # `capturable` asks nothing of the fused step but that it may be recorded.
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
    """Give every group `ratio` times its highest learning rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * ratio


def _muon_weights(network: nn.Module, *, stem: bool) -> list[Tensor]:
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    return [
        weight
        for module in (convolutions if stem else convolutions[1:])
        if module.groups == 1
        for weight in module.parameters()  # one, or those that it is made of where it is tied; and a bias
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
    """Scale all gradients of `network` so that their norm together is at most `largest`; no synchronisation."""
    torch.nn.utils.clip_grad_norm_(network.parameters(), largest)

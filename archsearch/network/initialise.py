"""Initial weights, drawn from an explicit generator; torch's global one is never used.

Imports torch and this package's modules, not the plan. Fans count the channels of one group
(a depthwise 3x3 has a fan-out of 9), unlike `torch.nn.init`, which counts those of all groups. Of tied
weights, the free ones are drawn, with the fans of the whole.
"""

from __future__ import annotations

import math
from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from archsearch.network.modules import Branches
from archsearch.network.pointwise import Scale2d
from archsearch.network.symmetry import free_weights

Scheme = Literal["kaiming", "xavier", "dirac", "torch"]
Norms = nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d | nn.LayerNorm


@torch.no_grad()
def initialise(
    network: nn.Module, *, scheme: Scheme = "kaiming", generator: torch.Generator, zero_residual: bool = False
) -> None:
    """Set every weight, bias and running statistic of `network`, in the order of its modules.

    kaiming: convolutions normal with variance 2 / fan-out (He et al., ICCV 2015), dense layers with 1 / fan-in.
    xavier: uniform with variance 2 / (fan-in + fan-out) (Glorot and Bengio, AISTATS 2010).
    dirac: kaiming, but the first filters of odd kernels copy their input channels (as in airbench, Jordan 2024).
    torch: the default distributions of torch's own layers, uniform with variance 1 / (3 fan-in).

    Biases start at 0 (except with `torch`), norms at scale 1 and shift 0, trained factors at their `init`. With
    `zero_residual`, the norm that ends the `main` branch of an addition starts at scale 0 (Goyal et al. 2017).
    `generator` is on the CPU; the weights may be on any device and get the same values there.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _initialise_weight(module, scheme, generator)
        elif isinstance(module, Norms):
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
            _fill(module, "weight", 1.0)
            _fill(module, "bias", 0.0)
        elif isinstance(module, Scale2d):
            _fill(module, "weight", module.init)
            _fill(module, "bias", 0.0)
    if zero_residual:
        for module in network.modules():
            if isinstance(module, Branches) and module.combine == "add":
                last = _last_leaf(module.get_submodule("main")) if "main" in dict(module.named_children()) else None
                if isinstance(last, Norms):
                    _fill(last, "weight", 0.0)


def _initialise_weight(module: nn.Conv2d | nn.Linear, scheme: Scheme, generator: torch.Generator) -> None:
    shape = module.weight.shape
    taps = math.prod(shape[2:])
    groups = module.groups if isinstance(module, nn.Conv2d) else 1
    fan_in, fan_out = shape[1] * taps, shape[0] // groups * taps
    for weight in free_weights(module):
        drawn = torch.empty(weight.shape)
        match scheme:
            case "kaiming" | "dirac":
                variance = 2 / fan_out if isinstance(module, nn.Conv2d) else 1 / fan_in
                drawn.normal_(0.0, math.sqrt(variance), generator=generator)
            case "xavier":
                bound = math.sqrt(6 / (fan_in + fan_out))
                drawn.uniform_(-bound, bound, generator=generator)
            case "torch":
                bound = math.sqrt(1 / fan_in)
                drawn.uniform_(-bound, bound, generator=generator)
            case _:
                assert_never(scheme)
        weight.copy_(drawn)
    if scheme == "dirac" and isinstance(module, nn.Conv2d):
        passing = module.weight.clone()
        _pass_on(passing, groups)
        _set(module, "weight", passing)
    if module.bias is not None:
        bias = torch.zeros(module.bias.shape)
        if scheme == "torch":
            bias.uniform_(-math.sqrt(1 / fan_in), math.sqrt(1 / fan_in), generator=generator)
        _set(module, "bias", bias)


def _set(module: nn.Module, name: str, value: Tensor) -> None:
    """Set the parameter `name` of `module`, or its free weights if it is tied, to `value`."""
    if parametrize.is_parametrized(module, name):
        setattr(module, name, value)
    else:
        getattr(module, name).copy_(value)


def _pass_on(weight_OIHW: Tensor, groups: int) -> None:
    """Make filter i of every group copy the group's input channel i, if the kernel has a centre."""
    outputs, inputs, height, width = weight_OIHW.shape
    if height % 2 == 0 or width % 2 == 0:
        return
    for first in range(0, outputs, outputs // groups):
        for i in range(min(inputs, outputs // groups)):
            weight_OIHW[first + i] = 0.0
            weight_OIHW[first + i, i, height // 2, width // 2] = 1.0


def _last_leaf(module: nn.Module) -> nn.Module | None:
    """Return the module that runs last in `module`, or None if it is empty or ends in branches."""
    while isinstance(module, nn.Sequential):
        if len(module) == 0:
            return None
        module = module[-1]
    return None if isinstance(module, Branches) else module


def _fill(module: nn.Module, name: str, value: float) -> None:
    """Fill the parameter `name` of `module` with `value`, unless it is None."""
    parameter: Tensor | None = getattr(module, name)
    if parameter is not None:
        _set(module, name, torch.full_like(parameter, value))

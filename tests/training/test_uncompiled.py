"""Optimizers without the compiler: the same steps and the same state as torch's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from archsearch.training import uncompiled

KINDS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "AdamW": {"lr": 0.01, "weight_decay": 0.01},
}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_and_states_are_those_of_torch(kind: str, fused: bool) -> None:
    start = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    weights = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    ours = getattr(uncompiled, kind)([weights[0]], fused=fused, **KINDS[kind])
    theirs = getattr(torch.optim, kind)([weights[1]], fused=fused, **KINDS[kind])
    for _ in range(3):
        for weight, optimizer in zip(weights, (ours, theirs), strict=True):
            weight.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    assert torch.equal(*weights)
    assert weights[0].grad is None
    assert str(ours.state_dict()) == str(theirs.state_dict())
    again = getattr(uncompiled, kind)([weights[0]], fused=fused, **KINDS[kind])
    again.load_state_dict(theirs.state_dict())
    assert str(again.state_dict()) == str(theirs.state_dict())


def test_a_training_step_loads_no_compiler(printed_apart: Callable[[str], list[str]]) -> None:
    code = """
import sys, torch
from archsearch.settings.training import OptimizerSettings
from archsearch.training.optimizers import make_optimizers
network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 3), torch.nn.BatchNorm2d(4))
for name in ("muon", "sgd", "adamw"):
    for optimizer in make_optimizers(network, OptimizerSettings(name=name), batch_size=2):
        network(torch.zeros(2, 3, 8, 8)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        optimizer.load_state_dict(optimizer.state_dict())
print(sorted({"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)))
"""
    assert printed_apart(code) == ["[]"]

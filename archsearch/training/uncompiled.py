"""torch's optimizers without what lets `torch.compile` trace them; imports torch only.

torch wraps the methods of its optimizers so that the compiler steps around them, and a wrapper loads the compiler with
its first call: two thirds of the time that `import torch` takes, in runs that compile nothing. Here only the forward
is ever compiled, never a step of an optimizer, so the methods are called bare.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.optim import Optimizer


class Uncompiled(Optimizer):
    """An optimizer whose methods are torch's own without their wrappers."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)


class SGD(Uncompiled, torch.optim.SGD):
    """Stochastic gradient descent, as torch steps it."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step on every parameter that has a gradient."""
        _SGD_STEP(self, closure)


class AdamW(Uncompiled, torch.optim.AdamW):
    """Adam with decoupled weight decay, as torch steps it."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step on every parameter that has a gradient."""
        _ADAMW_STEP(self, closure)


_SGD_STEP, _ADAMW_STEP = inspect.unwrap(torch.optim.SGD.step), inspect.unwrap(torch.optim.AdamW.step)

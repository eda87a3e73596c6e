"""CUDA graphs: refused where they cannot be; the whole steps that they hold are tested by test_step.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsearch.errors import RunError, SpecError
from archsearch.training.cuda_graphs import GraphedStep, check_graphs, wants_graphs

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_they_need_a_cuda_device_and_a_scale_that_does_not_depend_on_values() -> None:
    check_graphs(True, CUDA, "bf16")
    check_graphs("auto", CPU, "fp32")
    check_graphs(False, CPU, "fp32")
    with pytest.raises(SpecError, match=r"train.cuda_graphs: needs a CUDA device, the run is on cpu. Set it to auto."):
        check_graphs(True, CPU, "fp32")
    with pytest.raises(SpecError, match=r"cannot be combined with fp16"):
        check_graphs(True, CUDA, "fp16")


class Foreign(nn.Module):
    """A module of which nobody here knows what it does."""


@pytest.mark.parametrize(
    ("asked", "device", "precision", "network", "wanted"),
    [
        ("auto", CUDA, "bf16", nn.Linear(2, 2), True),
        ("auto", CUDA, "bf16", Foreign(), False),
        ("auto", CUDA, "fp16", nn.Linear(2, 2), False),
        ("auto", CPU, "fp32", nn.Linear(2, 2), False),
        (False, CUDA, "bf16", nn.Linear(2, 2), False),
        (True, CUDA, "bf16", Foreign(), True),
    ],
)
def test_auto_records_on_cuda_what_is_known(asked: Any, device, precision: Any, network, wanted) -> None:
    assert wants_graphs(asked, device, precision, network) is wanted


def falling(network: nn.Linear, looks: bool) -> tuple[Any, list[torch.optim.Optimizer]]:
    """Return a step that descends, and that with `looks` waits for a value, and its optimizer."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5, fused=True)

    def step(form: Any, tensors: tuple[Tensor, ...]) -> None:
        loss = (network(tensors[0]) - tensors[1]).square().mean()
        loss.backward()
        if looks:
            assert loss.item() >= 0
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, [optimizer]


@pytest.mark.cuda
@pytest.mark.parametrize("looks", [False, True])
def test_every_step_counts_once_recorded_or_not(looks) -> None:
    found = []
    for graphed in (True, False):
        torch.manual_seed(0)
        network = nn.Linear(4, 1).to(CUDA)
        step, optimizers = falling(network, looks)
        notices: list[str] = []
        if graphed:
            step = GraphedStep(step, optimizers, torch.device("cuda:0"), required=False, failed=notices.append)
        generator = torch.Generator().manual_seed(1)
        for i in range(12):
            optimizers[0].param_groups[0]["lr"] = 0.1 / (1 + i)
            size = 8 if i < 7 else 6
            given = (torch.randn(size, 4, generator=generator), torch.randn(size, 1, generator=generator))
            step(size, tuple(one.pin_memory() for one in given) if graphed else tuple(one.to(CUDA) for one in given))
        found.append(network.weight.detach().cpu())
        assert isinstance(optimizers[0].param_groups[0]["lr"], float)
        assert len(notices) == (graphed and looks)
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.cuda
def test_where_they_are_asked_for_a_failure_is_an_error() -> None:
    network = nn.Linear(4, 1).to(CUDA)
    step, optimizers = falling(network, looks=True)
    graphed = GraphedStep(step, optimizers, torch.device("cuda:0"), required=True, failed=print)
    given = (torch.ones(8, 4, device=CUDA), torch.ones(8, 1, device=CUDA))
    graphed(0, given)
    with pytest.raises(RunError, match=r"train.cuda_graphs=true: recording failed: .*Set train.cuda_graphs=false."):
        graphed(0, given)
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert nn.functional.dropout(torch.ones(1000, device=CUDA)).count_nonzero() < 1000  # the generator is free again

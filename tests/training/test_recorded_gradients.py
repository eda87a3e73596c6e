"""Recorded gradients against plain ones, over the shipped blocks and networks by the kernels: equal bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsearch.config_files import config_folder
from archsearch.kernels import Kernels, calls_into, prepare
from archsearch.library import build, load_design
from archsearch.training.recording import RecordedGradients
from archsearch.training.step import Gradients, Loss

CPU = torch.device("cpu")
KEEPS_CHANNELS = "tiniest"
BLOCKS = sorted(file.stem for file in (config_folder() / "block").glob("*.yaml") if file.stem != KEEPS_CHANNELS)
NETWORKS = ["assignment", "brisk", "c1c2c3c4", "mobilenet_v2", "nas_bench_macro", "quick", "resnet20"]


def of_block(block: str, width: int = 16) -> dict[str, Any]:
    return {
        "name": "a",
        "input": [3, 16, 16],
        "stem": {"block": "strided", "out": width},
        "stages": {
            "c1": {"block": block, "width": width, "repeats": 2},
            "c2": {"block": block, "width": 2 * width, "repeats": 1},
        },
        "head": {"pool": "global_average", "classes": 10},
    }


def made(arch: str | dict[str, Any], kernels: Kernels, *, in_bf16: bool) -> tuple[nn.Module, Loss]:
    network = build(load_design(arch)).to(memory_format=torch.channels_last).train()
    prepare(network, kernels, in_bf16=in_bf16)
    return network, Loss(forward=network, device=CPU, precision="fp32", label_smoothing=0.1)


def plain_step(loss: Loss) -> Gradients:
    return Gradients(loss, torch.amp.GradScaler("cpu", enabled=False))


def recorded_step(loss: Loss, network: nn.Module) -> RecordedGradients:
    return RecordedGradients(loss, plain_step(loss), network, calls_into)


def batches(side: int, count: int = 4, size: int = 6) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(size, 3, side, side, generator=generator) for _ in range(count)]
    labels = [torch.randint(0, 10, (size,), generator=generator) for _ in range(count)]
    return [
        (one.contiguous(memory_format=torch.channels_last), label) for one, label in zip(images, labels, strict=True)
    ]


def descend(network: nn.Module) -> None:
    with torch.no_grad():
        for weight in network.parameters():
            if weight.grad is not None:
                weight -= 0.02 * weight.grad
                weight.grad = None


def assert_equal_steps(arch: str | dict[str, Any], kernels: Kernels, side: int, *, in_bf16: bool) -> None:
    plain, loss = made(arch, kernels, in_bf16=in_bf16)
    recorded, other = made(arch, kernels, in_bf16=in_bf16)
    one, two = plain_step(loss), recorded_step(other, recorded)
    for given in batches(side):
        torch.manual_seed(1)
        expected = one(*given)
        torch.manual_seed(1)
        found = two(*given)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
        descend(plain)
        descend(recorded)
    assert two.calls
    for name, value in plain.state_dict().items():
        assert torch.equal(recorded.state_dict()[name], value), name


@pytest.mark.parametrize("symmetry", ["none", "flip"])
@pytest.mark.parametrize("block", BLOCKS)
def test_every_block(kernels: Kernels, block: str, symmetry: str) -> None:
    assert_equal_steps({**of_block(block), "symmetry": symmetry}, kernels, 16, in_bf16=True)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_at_a_width_that_fills_no_vector(kernels: Kernels, block: str) -> None:
    assert_equal_steps({**of_block(block, 10), "divisor": 1}, kernels, 16, in_bf16=True)


@pytest.mark.parametrize("arch", NETWORKS)
def test_shipped_networks(kernels: Kernels, arch: str) -> None:
    assert_equal_steps(arch, kernels, 32, in_bf16=arch != "quick")


def test_another_batch_size_is_recorded_anew(kernels: Kernels) -> None:
    network, loss = made("brisk", kernels, in_bf16=True)
    step = recorded_step(loss, network)
    for size in (4, 4, 6, 6, 4):
        (given,) = batches(32, count=1, size=size)
        found, _ = step(*given)
        statistics = {name: value.clone() for name, value in network.named_buffers()}
        descend(network)
        assert found.isfinite()
    assert all(value.isfinite().all() for value in statistics.values())


def test_what_cannot_be_recorded_runs_as_it_is(tiny_network) -> None:
    network = tiny_network()
    network[0].register_forward_hook(lambda *_: None)
    step = recorded_step(Loss(forward=network, device=CPU, precision="fp32", label_smoothing=0.0), network)
    images, labels = torch.randn(4, 3, 8, 8), torch.zeros(4, dtype=torch.long)
    for _ in range(2):
        value, correct = step(images, labels)
        assert network[0].weight.grad is not None
        assert not value.requires_grad
        assert 0 <= correct <= 4
        network.zero_grad()
    assert not step.calls

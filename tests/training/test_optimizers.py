from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from archsearch.network.symmetry import tie
from archsearch.settings.training import OptimizerSettings
from archsearch.training import optimizers as ours
from archsearch.training.optimizers import (
    Muon,
    clip_gradients,
    make_average,
    make_optimizers,
    orthogonalise,
    set_learning_rate,
    update_average,
)


def make(network: nn.Module, **values):
    return make_optimizers(network, OptimizerSettings(**values), batch_size=512)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_every_parameter_is_held_once(tiny_network, name):
    network = tiny_network()
    held = [id(weight) for one in make(network, name=name) for group in one.param_groups for weight in group["params"]]
    assert sorted(held) == sorted(id(weight) for weight in network.parameters())


def test_muon_takes_the_dense_convolutions_and_sgd_the_rest(tiny_network):
    network = tiny_network()
    muon, sgd = make(network, name="muon", muon_learning_rate=0.03, learning_rate=0.4, muon_stem=True)
    assert isinstance(muon, Muon)
    assert isinstance(sgd, SGD)
    assert [id(weight) for weight in muon.param_groups[0]["params"]] == [id(network[0].weight)]
    assert muon.param_groups[0]["lr"] == 0.03
    assert {group["lr"] for group in sgd.param_groups} == {0.4}


def test_muon_without_a_dense_convolution_is_sgd_alone():
    (only,) = make(nn.Linear(3, 2), name="muon")
    assert isinstance(only, SGD)


def test_muon_takes_both_halves_of_tied_convolutions():
    convolutions = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=8)
    for module, symmetry in zip(convolutions, ("lift", "pairs", "pairs"), strict=True):
        tie(module, symmetry)
    network = nn.Sequential(*convolutions)
    muon, rest = make_optimizers(network, OptimizerSettings(name="muon"), batch_size=8)
    assert [tuple(weight.shape) for weight in muon.param_groups[0]["params"]] == [(4, 4, 3, 3)] * 2
    assert {id(one) for group in rest.param_groups for one in group["params"]} | {
        id(one) for one in muon.param_groups[0]["params"]
    } == {id(one) for one in network.parameters()}


def test_weight_decay_spares_vectors_unless_asked(tiny_network):
    (sgd,) = make(tiny_network(), weight_decay=0.01)
    assert [(group["weight_decay"], {weight.ndim for weight in group["params"]}) for group in sgd.param_groups] == [
        (0.01, {2, 4}),
        (0.0, {1}),
    ]
    (sgd,) = make(tiny_network(), weight_decay=0.01, decay_norm_and_bias=True)
    assert [group["weight_decay"] for group in sgd.param_groups] == [0.01, 0.01]


def test_adamw_takes_its_betas_from_the_settings(tiny_network):
    (adamw,) = make(tiny_network(), name="adamw", momentum=0.8, beta2=0.95)
    assert isinstance(adamw, AdamW)
    assert adamw.param_groups[0]["betas"] == (0.8, 0.95)


def test_the_stem_is_left_to_sgd_unless_asked():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    muon, _ = make(network, name="muon")
    assert [id(weight) for weight in muon.param_groups[0]["params"]] == [id(network[1].weight)]


def test_vectors_have_a_learning_rate_of_their_own(tiny_network):
    (sgd,) = make(tiny_network(), learning_rate=0.1, norm_and_bias_ratio=64.0)
    assert [group["lr"] for group in sgd.param_groups] == pytest.approx([0.1, 6.4])


def test_the_ratio_applies_to_each_groups_own_peak(tiny_network):
    optimizers = make(
        tiny_network(), name="muon", learning_rate=0.4, muon_learning_rate=0.1, muon_stem=True, scaling="linear"
    )
    for ratio in (0.5, 0.25):  # of the peak each time, never of the rate before
        set_learning_rate(optimizers, ratio)
        assert [one.param_groups[0]["lr"] for one in optimizers] == pytest.approx([0.2 * ratio, 0.8 * ratio])


def test_clipping_scales_all_gradients_together(tiny_network):
    network = tiny_network()
    for weight in network.parameters():
        weight.grad = torch.full_like(weight, 3.0)
    clip_gradients(network, 1.0)
    norm = torch.cat([weight.grad.flatten() for weight in network.parameters()]).norm()
    assert norm.item() == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("shape", [(2, 8, 30), (3, 30, 8), (1, 16, 16)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    near = orthogonalise(matrices)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    singular = torch.linalg.svdvals(near)
    assert singular.max() < 1.3
    if shape[1] != shape[2]:  # a square one may have a singular value near 0, which five steps leave low
        assert singular.min() > 0.5
    # The singular vectors are those of the input: u^T near v is diagonal.
    inner = u.mT @ near @ v.mT
    assert torch.allclose(inner, torch.diag_embed(torch.diagonal(inner, dim1=-2, dim2=-1)), atol=1e-4)


def test_a_matrix_of_zeros_stays_finite():
    assert torch.equal(orthogonalise(torch.zeros(1, 3, 5)), torch.zeros(1, 3, 5))


def test_weights_of_one_shape_are_stepped_as_each_alone():
    def step(count: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        weights = [nn.Parameter(torch.randn(6, 4, 3, 3, generator=generator)) for _ in range(2)]
        for weight in weights:
            weight.grad = torch.randn(6, 4, 3, 3, generator=generator)
        for part in [weights] if count == 2 else [weights[:1], weights[1:]]:
            Muon(part, lr=0.1, weight_decay=0.1).step()
        return [weight.detach() for weight in weights]

    for together, alone in zip(step(2), step(1), strict=True):
        torch.testing.assert_close(together, alone)


def test_a_learning_rate_may_be_a_tensor():
    def step(rate: float | torch.Tensor) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        muon = Muon(weights, lr=1.0, weight_decay=0.1)
        muon.param_groups[0]["lr"] = rate
        muon.step()
        return [weight.detach() for weight in weights]

    for one, other in zip(step(0.1), step(torch.tensor(0.1)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.cuda
def test_a_gpu_steps_weights_of_all_shapes_together():
    def steps(device: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        weights = [nn.Parameter(torch.randn(shape, generator=generator).to(device)) for shape in SHAPES]
        muon = Muon(weights, lr=0.1, momentum=0.6, weight_decay=0.01, normalise=True)
        for _ in range(3):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=generator).to(device)
            muon.step()
        return [weight.detach().cpu() for weight in weights]

    for one, other in zip(steps("cuda"), steps("cpu"), strict=True):  # the GPU multiplies in bf16
        assert (one - other).norm() < 0.02 * other.norm()


def test_one_step_by_hand():
    weight = nn.Parameter(torch.eye(2)[:, :, None, None].clone())
    weight.grad = torch.tensor([[3.0, 0.0], [0.0, 3.0]])[:, :, None, None]
    Muon([weight], lr=0.5, momentum=0.9, weight_decay=0.2).step()
    update = orthogonalise(torch.eye(2)[None])[0]
    expected = torch.eye(2) * (1 - 0.5 * 0.2) - 0.5 * update
    torch.testing.assert_close(weight.detach()[:, :, 0, 0], expected)


def test_normalise_holds_the_norm_at_the_root_of_the_filters():
    weight = nn.Parameter(torch.randn(9, 4, 3, 3, generator=torch.Generator().manual_seed(0)) * 7)
    weight.grad = torch.randn(9, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    Muon([weight], lr=1e-9, normalise=True).step()
    assert weight.norm().item() == pytest.approx(3.0, rel=1e-4)


def test_a_weight_without_gradient_is_left_alone():
    weight = nn.Parameter(torch.ones(2, 2))
    Muon([weight], lr=0.5, weight_decay=0.5).step()
    assert torch.equal(weight.detach(), torch.ones(2, 2))


SHAPES = [(32, 16, 3, 3), (16, 32, 3, 3), (24, 40, 1, 1), (40, 24, 1, 1), (20, 3, 5, 5), (7, 5, 1, 1), (10, 64)]


KINDS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "AdamW": {"lr": 0.01, "weight_decay": 0.01},
}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_and_states_are_those_of_torch(kind: str, fused: bool) -> None:
    start = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    weights = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    bare = getattr(ours, kind)([weights[0]], fused=fused, **KINDS[kind])
    theirs = getattr(torch.optim, kind)([weights[1]], fused=fused, **KINDS[kind])
    for _ in range(3):
        for weight, optimizer in zip(weights, (bare, theirs), strict=True):
            weight.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    assert torch.equal(*weights)
    assert weights[0].grad is None
    assert str(bare.state_dict()) == str(theirs.state_dict())
    again = getattr(ours, kind)([weights[0]], fused=fused, **KINDS[kind])
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


def test_the_average_follows_by_its_decay_and_forgets_the_start(tiny_network):
    network: Any = tiny_network()
    average: Any = make_average(network)
    start, fresh = network[0].weight.detach().clone(), torch.full_like(network[0].weight, 2.0)
    with torch.no_grad():
        network[0].weight.copy_(fresh)
        network[1].running_mean.fill_(4.0)
        network[1].num_batches_tracked.fill_(9)
    update_average(average, network, decay=0.5, steps=1)  # (1 + 1) / (10 + 1) is below 0.5
    share = 2 / 11
    torch.testing.assert_close(average[0].weight, start * share + fresh * (1 - share))
    torch.testing.assert_close(average[1].running_mean, torch.full((8,), 4.0 * (1 - share)))
    assert average[1].num_batches_tracked.item() == 9
    before = average[0].weight.clone()
    update_average(average, network, decay=0.5, steps=10_000)
    torch.testing.assert_close(average[0].weight, (before + fresh) / 2)


def test_the_average_is_a_copy_with_the_same_names_that_learns_nothing(tiny_network):
    network = tiny_network()
    average = make_average(network)
    assert list(average.state_dict()) == list(network.state_dict())
    assert not average.training
    assert network.training
    assert not any(weight.requires_grad for weight in average.parameters())
    assert all(weight.requires_grad for weight in network.parameters())

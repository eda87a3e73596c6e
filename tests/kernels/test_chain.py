"""A chain with kernels computes what it computes without them, and leaves them alone where they do not fit."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from kernel_values import apart, normal
from torch import Tensor, nn

from archsearch.kernels import Kernels, conv2d, prepare


def network() -> nn.Sequential:
    torch.manual_seed(0)
    modules = [
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.SiLU(), nn.Dropout(0.0)),
        nn.Conv2d(16, 24, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(24),
        nn.Hardswish(),
        nn.Conv2d(24, 24, 3, padding=2, dilation=2, groups=24, bias=False),
        nn.Conv2d(24, 32, 1, bias=False),
        nn.BatchNorm2d(32),
        nn.Conv2d(32, 32, 3, padding=1, groups=4),  # no kernel for groups
        nn.GroupNorm(4, 32),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 5),
    ]
    return nn.Sequential(*modules).to(memory_format=torch.channels_last)


def everything(chain: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the logits, the gradients of all weights, and the running statistics."""
    logits = chain(images)
    torch.nn.functional.cross_entropy(logits, torch.arange(len(images)) % 5).backward()
    gradients = [one.grad for one in chain.parameters() if one.grad is not None]
    return [logits.detach(), *gradients, *[one.double() for one in chain.buffers()]]


def test_logits_gradients_and_statistics_are_those_without(kernels: Kernels) -> None:
    plain, fast = network(), network()
    prepare(fast, kernels)
    images = normal(20, 3, 16, 16)
    names = ["logits", *[name for name, _ in plain.named_parameters()], *[name for name, _ in plain.named_buffers()]]
    without_slope = {"3.0.bias"}  # the normalisation behind it takes it out again: its gradient is rounding alone
    for name, found, expected in zip(names, everything(fast, images), everything(plain, images), strict=True):
        if name not in without_slope:
            assert apart(found, expected) < 1e-3, name


def test_maps_in_bfloat16_come_near(kernels: Kernels) -> None:
    plain, fast = network(), network()
    prepare(fast, kernels, in_bf16=True)
    images = normal(20, 3, 16, 16)
    found, expected = everything(fast, images), everything(plain, images)
    assert found[0].dtype == torch.float32
    assert apart(found[0], expected[0]) < 0.05
    weight = 1  # that of the first convolution: the error of all the others has gone through it
    similarity = torch.nn.functional.cosine_similarity(found[weight].flatten(), expected[weight].flatten(), dim=0)
    assert similarity > 0.99


def of_odd_widths(act: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    modules = [
        nn.Conv2d(3, 12, 3, padding=1, bias=False),
        nn.BatchNorm2d(12),
        act,
        nn.Conv2d(12, 12, 3, padding=1, groups=12),
        nn.Conv2d(12, 14, 1),
        act,
        nn.BatchNorm2d(14),
        nn.Dropout(0.0),
        nn.Sequential(nn.Conv2d(14, 28, 3, padding=1, groups=14), nn.Conv2d(28, 20, 1, bias=False), nn.BatchNorm2d(20)),
        nn.Sequential(
            nn.BatchNorm2d(20), act, nn.Conv2d(20, 20, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(20)
        ),
        nn.ReLU6(),
        nn.Conv2d(20, 10, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ]
    return nn.Sequential(*modules).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("act", [nn.ReLU(), nn.ReLU6(), nn.GELU(), nn.Tanh()])
@pytest.mark.parametrize("in_bf16", [False, True])
def test_channels_that_fill_no_vector_have_zeros_behind_them(kernels: Kernels, act, in_bf16) -> None:
    plain, fast, compared = of_odd_widths(act), of_odd_widths(act), set()
    prepare(fast, kernels, in_bf16=in_bf16)
    images, within = normal(20, 3, 9, 9), 0.05 if in_bf16 else 1e-3
    names = ["logits", *[name for name, _ in plain.named_parameters()], *[name for name, _ in plain.named_buffers()]]
    for name, found, expected in zip(names, everything(fast, images), everything(plain, images), strict=True):
        has_slope = expected.abs().max() > 1e-5  # a norm takes scales and offsets before it out again, but for rounding
        if has_slope and (not in_bf16 or name == "logits" or "running" in name):
            assert apart(found, expected) < within, name
            compared.add(name)
    exact = set() if in_bf16 else {"0.weight", "4.weight", "8.0.weight", "8.1.weight", "9.2.weight", "9.3.bias"}
    assert {"logits", "1.running_var", "6.running_mean", "9.0.running_var"} | exact <= compared
    fast.eval()
    plain.eval()
    with torch.no_grad():
        assert apart(fast(images), plain(images)) < within


def test_nothing_of_odd_widths_stays_with_torch(kernels: Kernels, monkeypatch) -> None:
    chain = of_odd_widths(nn.ReLU())[:11]  # without the logits
    prepare(chain, kernels)
    for stays in (nn.Conv2d, nn.BatchNorm2d):
        monkeypatch.setattr(stays, "forward", lambda *_: pytest.fail("torch was called"))
    chain(normal(2, 3, 9, 9)).sum().backward()


def test_a_map_leaves_a_chain_with_its_own_channels(kernels: Kernels) -> None:
    chain = nn.Sequential(nn.Conv2d(16, 12, 1, bias=False), nn.BatchNorm2d(12))
    expected = chain(normal(4, 16, 5, 5))
    prepare(chain, kernels)
    assert apart(chain(normal(4, 16, 5, 5)), expected) < 1e-4
    assert chain(normal(4, 16, 5, 5)).shape == (4, 12, 5, 5)


def test_evaluation_is_in_float32(kernels: Kernels) -> None:
    plain, fast = network().eval(), network().eval()
    prepare(fast, kernels, in_bf16=True)
    images = normal(6, 3, 16, 16)
    with torch.no_grad():
        assert apart(fast(images), plain(images)) < 1e-4
    given = images.clone().requires_grad_()  # with a gradient, as the effective receptive field asks for it
    fast(given).sum().backward()
    other = images.clone().requires_grad_()
    plain(other).sum().backward()
    assert given.grad is not None
    assert other.grad is not None
    assert apart(given.grad, other.grad) < 1e-4


def test_images_that_want_a_gradient_get_one(kernels: Kernels) -> None:
    chain, images = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False)), normal(2, 3, 8, 8)
    found: list[Tensor] = []
    for prepared in (False, True):
        if prepared:
            prepare(chain, kernels)
        given = images.clone().requires_grad_()
        chain(given).square().sum().backward()
        assert given.grad is not None
        found.append(given.grad)
    assert apart(found[1], found[0]) < 1e-4


def test_under_autocast_in_other_types_and_when_compiled_torch_computes(kernels: Kernels, monkeypatch) -> None:
    chain = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1))
    prepare(chain, kernels)
    monkeypatch.setattr(conv2d, "winograd_conv", lambda *_: pytest.fail("the kernel was called"))
    images = normal(2, 8, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        chain(images)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    chain(images)
    monkeypatch.undo()
    chain.double()(images.double())


def test_one_value_a_channel_is_refused_in_torchs_words(kernels: Kernels) -> None:
    chain = nn.Sequential(nn.BatchNorm2d(8))
    prepare(chain, kernels)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        chain(normal(1, 8, 1, 1))


def test_a_copy_has_weights_of_its_own_and_the_same_kernels(kernels: Kernels) -> None:
    chain = network()
    prepare(chain, kernels)
    for other in (copy.deepcopy(chain), pickle.loads(pickle.dumps(chain))):
        assert other[0].weight is not chain[0].weight
        assert [type(one) for one in other.modules()] == [type(one) for one in chain.modules()]
        assert other._kernels is kernels


class Pair(nn.Module):
    """Gives what no kernel knows to the module behind it."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, images


class First(nn.Module):
    def forward(self, given: tuple[Tensor, Tensor]) -> Tensor:
        return given[0]


def test_what_is_no_tensor_passes_between_modules(kernels: Kernels) -> None:
    chain = nn.Sequential(nn.Conv2d(8, 8, 1), Pair(), First(), nn.Conv2d(8, 8, 1))
    expected = chain(normal(2, 8, 4, 4))
    prepare(chain, kernels)
    assert apart(chain(normal(2, 8, 4, 4)), expected) < 1e-5

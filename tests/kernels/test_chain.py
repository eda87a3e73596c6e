"""A chain with kernels computes what it computes without them, and leaves them alone where they do not fit."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from kernel_values import apart, normal
from torch import Tensor, nn

from archsearch.kernels import Chain, Kernels, equip
from archsearch.kernels import chain as chains


def network() -> Chain:
    torch.manual_seed(0)
    modules = [
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Chain(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.SiLU(), nn.Dropout(0.0)),
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
    return Chain(*modules).to(memory_format=torch.channels_last)


def everything(chain: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the logits, the gradients of all weights, and the running statistics."""
    logits = chain(images)
    torch.nn.functional.cross_entropy(logits, torch.arange(len(images)) % 5).backward()
    gradients = [one.grad for one in chain.parameters() if one.grad is not None]
    return [logits.detach(), *gradients, *[one.double() for one in chain.buffers()]]


def test_logits_gradients_and_statistics_are_those_without(kernels: Kernels) -> None:
    plain, fast = network(), network()
    equip(fast, kernels)
    images = normal(20, 3, 16, 16)
    names = ["logits", *[name for name, _ in plain.named_parameters()], *[name for name, _ in plain.named_buffers()]]
    without_slope = {"3.0.bias"}  # the normalisation behind it takes it out again: its gradient is rounding alone
    for name, found, expected in zip(names, everything(fast, images), everything(plain, images), strict=True):
        if name not in without_slope:
            assert apart(found, expected) < 1e-3, name


def test_maps_in_bfloat16_come_near(kernels: Kernels) -> None:
    plain, fast = network(), network()
    equip(fast, kernels, in_bf16=True)
    images = normal(20, 3, 16, 16)
    found, expected = everything(fast, images), everything(plain, images)
    assert found[0].dtype == torch.float32
    assert apart(found[0], expected[0]) < 0.05
    weight = 1  # that of the first convolution: the error of all the others has gone through it
    similarity = torch.nn.functional.cosine_similarity(found[weight].flatten(), expected[weight].flatten(), dim=0)
    assert similarity > 0.99


def test_evaluation_is_in_float32(kernels: Kernels) -> None:
    plain, fast = network().eval(), network().eval()
    equip(fast, kernels, in_bf16=True)
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


def test_a_convolution_goes_the_way_that_suits_it(kernels: Kernels, monkeypatch) -> None:
    gone: list[str] = []
    for name in ("winograd_conv", "patches_conv", "images_conv", "depthwise_conv"):
        real = getattr(chains, name)
        monkeypatch.setattr(chains, name, lambda *a, _r=real, _n=name, **k: gone.append(_n) or _r(*a, **k))
    for conv, expected in (
        (nn.Conv2d(16, 16, 3, padding=1), ["winograd_conv"]),
        (nn.Conv2d(16, 8, 3, padding=2, dilation=2), ["winograd_conv"]),
        (nn.Conv2d(16, 8, 3, padding=3, dilation=3), []),  # 8 rows are not three maps of equal height
        (nn.Conv2d(16, 8, 3, stride=2, padding=1), ["patches_conv"]),
        (nn.Conv2d(16, 8, 2, stride=2), ["patches_conv"]),
        (nn.Conv2d(16, 8, 5, stride=2, padding=2), ["patches_conv"]),
        (nn.Conv2d(16, 8, 1), ["patches_conv"]),
        (nn.Conv2d(16, 16, 5, padding=2, groups=16), ["depthwise_conv"]),
        (nn.Conv2d(16, 16, 9, padding=4, groups=16), []),
        (nn.Conv2d(16, 16, 3, padding=1, groups=2), []),
        (nn.Conv2d(16, 12, 3, padding=1), []),
        (nn.Conv2d(16, 16, (3, 1), padding=(1, 0)), []),
        (nn.Conv2d(16, 16, 3, padding="same"), []),
        (nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"), []),
        (nn.Conv2d(16, 8, 5, padding=2), []),
        (nn.Conv2d(3, 8, 5, padding=2), ["images_conv"]),
        (nn.Conv2d(1, 16, 3, stride=2), ["images_conv"]),
        (nn.Conv2d(3, 8, 3, dilation=2), []),
        (nn.Conv2d(3, 12, 3), []),
        (nn.Conv2d(6, 8, 3, groups=2), []),
    ):
        gone.clear()
        chain, images = Chain(conv), normal(2, conv.in_channels, 8, 8)
        expected_values = chain(images)
        equip(chain, kernels)
        assert apart(chain(images), expected_values) < 1e-4
        assert gone == expected, conv


def test_images_that_want_a_gradient_stay_with_torch(kernels: Kernels) -> None:
    chain, images = Chain(nn.Conv2d(3, 8, 3, bias=False)), normal(2, 3, 8, 8)
    equip(chain, kernels, in_bf16=True)
    assert chain(images).dtype == torch.bfloat16
    assert chain(images.requires_grad_()).dtype == torch.float32


def test_under_autocast_in_other_types_and_when_compiled_torch_computes(kernels: Kernels, monkeypatch) -> None:
    chain = Chain(nn.Conv2d(8, 8, 3, padding=1))
    equip(chain, kernels)
    monkeypatch.setattr(chains, "winograd_conv", lambda *_: pytest.fail("the kernel was called"))
    images = normal(2, 8, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        chain(images)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    chain(images)
    monkeypatch.undo()
    chain.double()(images.double())


def test_one_value_a_channel_is_refused_in_torchs_words(kernels: Kernels) -> None:
    chain = Chain(nn.BatchNorm2d(8))
    equip(chain, kernels)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        chain(normal(1, 8, 1, 1))


def test_a_copy_has_weights_of_its_own_and_the_same_kernels(kernels: Kernels) -> None:
    chain = network()
    equip(chain, kernels)
    for other in (copy.deepcopy(chain), pickle.loads(pickle.dumps(chain))):
        assert other[0].weight is not chain[0].weight
        assert other.kernels is kernels
    saved = io.BytesIO()
    torch.save(chain.state_dict(), saved)
    equip(chain, None)
    assert chain.kernels is None
    assert chain[3].kernels is None

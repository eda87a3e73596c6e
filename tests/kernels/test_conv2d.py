"""Which kernel computes a convolution, and that it does so."""

from __future__ import annotations

import pytest
import torch
from kernel_values import apart, normal
from torch import nn

from archsearch.kernels import Kernels, conv2d, prepare
from archsearch.network.symmetry import PairedBatchNorm2d


def test_a_convolution_goes_the_way_that_suits_it(kernels: Kernels, monkeypatch) -> None:
    gone: list[str] = []
    for name in ("winograd_conv", "patches_conv", "images_conv", "depthwise_conv"):
        real = getattr(conv2d, name)
        monkeypatch.setattr(conv2d, name, lambda *a, _r=real, _n=name, **k: gone.append(_n) or _r(*a, **k))
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
        (nn.Conv2d(16, 32, 3, padding=1, groups=16), ["depthwise_conv"]),
        (nn.Conv2d(8, 24, 3, padding=2, dilation=2, groups=8), ["depthwise_conv"]),
        ((nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), nn.Conv2d(12, 24, 3, groups=12)), ["patches_conv"]),
        (nn.Conv2d(16, 16, 3, padding=1, groups=2), []),
        (nn.Conv2d(16, 12, 3, padding=1), []),
        ((nn.Conv2d(16, 12, 3, padding=1), nn.BatchNorm2d(12)), ["winograd_conv"]),
        ((nn.Conv2d(16, 12, 3, padding=1), nn.BatchNorm2d(12), nn.Conv2d(12, 8, 1)), ["winograd_conv", "patches_conv"]),
        ((nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12), nn.Conv2d(12, 8, 1)), ["images_conv", "patches_conv"]),
        ((nn.Conv2d(16, 12, 3, padding=1), PairedBatchNorm2d(6)), []),
        (nn.Conv2d(16, 16, (3, 1), padding=(1, 0)), []),
        (nn.Conv2d(16, 16, 3, padding="same"), []),
        (nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"), []),
        (nn.Conv2d(16, 8, 5, padding=2), ["winograd_conv"]),
        (nn.Conv2d(16, 8, 5, padding=1), []),
        (nn.Conv2d(16, 8, 7, padding=3), []),
        (nn.Conv2d(3, 8, 5, padding=2), ["images_conv"]),
        (nn.Conv2d(1, 16, 3, stride=2), ["images_conv"]),
        (nn.Conv2d(3, 8, 3, dilation=2), []),
        (nn.Conv2d(3, 12, 3), []),
        (nn.Conv2d(6, 8, 3, groups=2), []),
    ):
        gone.clear()
        modules = conv if isinstance(conv, tuple) else (conv,)
        chain, images = nn.Sequential(*modules), normal(2, modules[0].in_channels, 8, 8)
        expected_values = chain(images)
        prepare(chain, kernels)
        assert apart(chain(images), expected_values) < 1e-4
        assert gone == expected, conv


@pytest.mark.parametrize("conv", [nn.Conv2d(16, 8, 7, padding=3), nn.Conv2d(16, 8, 3, padding=3, dilation=3)])
@pytest.mark.parametrize("tiles", [False, True])
def test_with_tiles_any_dense_convolution_of_maps_in_bfloat16_goes_by_them(
    kernels: Kernels, monkeypatch, conv, tiles
) -> None:
    gone: list[str] = []
    real = conv2d.patches_conv
    monkeypatch.setattr(conv2d, "patches_conv", lambda *a, **k: gone.append("patches") or real(*a, **k))
    monkeypatch.setattr(kernels, "tiles", tiles)
    chain, images = nn.Sequential(conv), normal(2, 16, 8, 8)
    expected = chain(images)
    prepare(chain, kernels, in_bf16=True)
    assert apart(chain(images), expected) < 2**-6
    assert gone == ["patches"] * tiles
    chain.eval()
    chain(images)
    assert gone == ["patches"] * tiles


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("times", "dtype"), [(2, torch.float32), (3, torch.float32), (2, torch.bfloat16)])
def test_gradients_of_a_depthwise_convolution_that_multiplies_channels(kernels: Kernels, times, dtype, stride) -> None:
    conv = nn.Conv2d(16, 16 * times, 3, padding=1, stride=stride, groups=16, bias=False)
    chain = nn.Sequential(conv)
    found: list[list[torch.Tensor]] = []
    for own in (None, kernels):
        if own is not None:
            prepare(chain, own, in_bf16=dtype == torch.bfloat16)
        images = normal(3, 16, 9, 7).to(dtype if own else torch.float32).requires_grad_()
        result = chain(images)
        gradient = normal(*result.shape, seed=1)
        result.backward(gradient.to(result.dtype))
        assert images.grad is not None
        assert conv.weight.grad is not None
        found.append([result, images.grad, conv.weight.grad])
        conv.weight.grad = None
    for ours, theirs in zip(found[1], found[0], strict=True):
        assert apart(ours, theirs) < (1e-5 if dtype == torch.float32 else 2**-6)

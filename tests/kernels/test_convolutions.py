"""Every convolution by the kernels against torch's in double precision: values and both gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kernel_values import apart, normal, taking
from torch import Tensor
from torch.nn import functional as F

from archsearch.kernels import Kernels
from archsearch.kernels.convolutions import depthwise_conv, images_conv, patches_conv, winograd_conv

SIZES = [(8, 8), (7, 9), (4, 4), (3, 5), (16, 16)]


def compare(
    ours: Callable[[Tensor, Tensor], Tensor],
    theirs: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    weight: Tensor,
    within: float,
) -> None:
    """Assert that values and gradients agree with those in double precision of the same inputs."""
    found = [images.clone().requires_grad_(images.shape[1] % 8 == 0), weight.clone().requires_grad_()]
    true = [one.detach().double().requires_grad_() for one in found]
    result, expected = ours(*found), theirs(*true)
    gradient = normal(*result.shape, seed=5).to(result.dtype)
    result.backward(gradient)
    expected.backward(gradient.double())
    assert apart(result, expected) < within
    for one, other in zip(found, true, strict=True):
        if one.requires_grad:
            assert one.grad is not None
            assert other.grad is not None
            assert one.grad.dtype == one.dtype
            assert apart(one.grad, other.grad) < within


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("channels", "filters"), [(8, 8), (16, 24), (64, 48)])
def test_winograd_agrees_with_the_direct_way(kernels: Kernels, size, channels, filters, taps) -> None:
    images = normal(3, channels, *size)
    weight = normal(filters, channels, taps, taps, seed=1) / (taps * channels**0.5)
    compare(
        lambda x, w: winograd_conv(x, w, 1, taking(kernels, channels, filters)),
        lambda x, w: F.conv2d(x, w, padding=taps // 2),
        images,
        weight,
        1e-4,
    )


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize(("gap", "size"), [(2, 8), (3, 9), (2, 12), (4, 16)])
def test_a_dilation_is_maps_that_do_not_touch(kernels: Kernels, gap, size, taps) -> None:
    images, weight = normal(2, 16, size, size), normal(16, 16, taps, taps, seed=1) / (4 * taps)
    compare(
        lambda x, w: winograd_conv(x, w, gap, kernels),
        lambda x, w: F.conv2d(x, w, padding=taps // 2 * gap, dilation=gap),
        images,
        weight,
        1e-4,
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(1, 1, 0, 1), (1, 2, 0, 1), (3, 2, 1, 1), (3, 1, 0, 1), (2, 2, 0, 1), (3, 2, 2, 2), (5, 1, 2, 1)],
)
@pytest.mark.parametrize("channels", [3, 16])
def test_patches_agree_with_the_direct_way(kernels: Kernels, size, kernel, stride, padding, dilation, channels) -> None:
    if min(size) + 2 * padding < dilation * (kernel - 1) + 1:
        pytest.skip("the kernel is larger than the padded map")
    images, weight = normal(3, channels, *size), normal(24, channels, kernel, kernel, seed=1) / (kernel * channels**0.5)
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    compare(
        lambda x, w: patches_conv(x, w, **how, kernels=taking(kernels, 24)),
        lambda x, w: F.conv2d(x, w, **how),
        images,
        weight,
        1e-5,
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 2, 2), (5, 1, 2, 1), (7, 2, 3, 1), (3, 1, 0, 1), (2, 1, 1, 1)],
)
def test_depthwise_agrees_with_the_direct_way(kernels: Kernels, size, kernel, stride, padding, dilation) -> None:
    images, weight = normal(3, 16, *size), normal(16, 1, kernel, kernel, seed=1) / kernel
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    compare(
        lambda x, w: depthwise_conv(x, w, **how, kernels=kernels),
        lambda x, w: F.conv2d(x, w, **how, groups=16),
        images,
        weight,
        1e-5,
    )


def test_maps_in_bfloat16_are_off_by_their_rounding_alone(kernels: Kernels) -> None:
    images, weight = normal(3, 16, 8, 8).bfloat16(), normal(16, 16, 3, 3, seed=1) / 12
    depthwise = normal(16, 1, 3, 3, seed=1) / 3
    for ours, theirs, by in (
        (lambda x, w: winograd_conv(x, w, 1, kernels), lambda x, w: F.conv2d(x, w, padding=1), weight),
        (
            lambda x, w: patches_conv(x, w, stride=2, padding=1, dilation=1, kernels=kernels),
            lambda x, w: F.conv2d(x, w, stride=2, padding=1),
            weight,
        ),
        (
            lambda x, w: depthwise_conv(x, w, stride=1, padding=1, dilation=1, kernels=kernels),
            lambda x, w: F.conv2d(x, w, padding=1, groups=16),
            depthwise,
        ),
    ):
        compare(ours, theirs, images, by, 2**-8)


@pytest.mark.parametrize(
    ("channels", "filters", "gap", "size", "batch"),
    [
        (64, 64, 1, (8, 8), 5),
        (24, 40, 1, (7, 9), 3),
        (16, 16, 2, (8, 8), 1),
        (8, 8, 1, (3, 5), 70),
        (64, 48, 1, (32, 32), 2),
        (32, 96, 4, (16, 16), 3),
        (16, 8, 3, (9, 9), 7),
        (128, 136, 1, (4, 4), 33),
    ],
)
@pytest.mark.parametrize("taps", [3, 5])
def test_convolutions_of_stride_1_of_maps_in_bfloat16(
    kernels: Kernels, channels, filters, gap, size, batch, taps
) -> None:
    """By tiles where the processor has them; several images at a time where they are small."""
    images = normal(batch, channels, *size).bfloat16()
    weight = normal(filters, channels, taps, taps, seed=1) / (taps * channels**0.5)
    compare(
        lambda x, w: winograd_conv(x, w, gap, taking(kernels, channels, filters)),
        lambda x, w: F.conv2d(x, w, padding=taps // 2 * gap, dilation=gap),
        images,
        weight,
        2**-7,
    )


@pytest.mark.parametrize(
    ("channels", "filters", "kernel", "stride", "padding", "dilation", "size"),
    [
        (24, 64, 3, 2, 1, 1, 32),
        (64, 128, 1, 1, 0, 1, 8),
        (24, 24, 1, 1, 0, 1, 16),
        (128, 96, 1, 1, 0, 1, 7),
        (8, 40, 3, 2, 1, 1, 15),
        (16, 16, 5, 2, 2, 1, 9),
        (48, 8, 2, 2, 0, 1, 8),
        (32, 32, 1, 2, 0, 1, 9),
        (16, 24, 3, 2, 2, 2, 11),
        (136, 72, 3, 2, 1, 1, 5),
    ],
)
def test_patches_of_maps_in_bfloat16(
    kernels: Kernels, channels, filters, kernel, stride, padding, dilation, size
) -> None:
    """By tiles where the processor has them, and weights rounded as the maps are; sizes that fill none included."""
    images = normal(5, channels, size, size).bfloat16()
    weight = normal(filters, channels, kernel, kernel, seed=1) / (kernel * channels**0.5)
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    compare(
        lambda x, w: patches_conv(x, w, **how, kernels=taking(kernels, channels, filters)),
        lambda x, w: F.conv2d(x, w, **how),
        images,
        weight,
        2**-7,
    )


@pytest.mark.parametrize("taps", [3, 5])
def test_the_same_threads_give_the_same_bits(kernels: Kernels, taps) -> None:
    images, weight = normal(9, 16, 16, 16), normal(32, 16, taps, taps, seed=1)

    def once() -> list[Tensor]:
        given = [images.clone().requires_grad_(), weight.clone().requires_grad_()]
        result = winograd_conv(given[0], given[1], 1, kernels)
        return [result, *torch.autograd.grad(result.square().sum(), given)]

    first = once()
    for _ in range(5):
        assert all(torch.equal(one, other) for one, other in zip(first, once(), strict=True))


@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("window", [(3, 1, 1), (5, 2, 2), (3, 2, 0), (1, 1, 0), (2, 2, 0), (4, 3, 5)])
@pytest.mark.parametrize(("size", "channels", "filters"), [((32, 32), 3, 24), ((9, 7), 1, 8), ((6, 13), 5, 40)])
def test_images_of_few_channels(kernels: Kernels, size, channels, filters, window, kept) -> None:
    kernel, stride, padding = window
    images, weight = normal(3, channels, *size), normal(filters, channels, kernel, kernel, seed=1)
    how = {"stride": stride, "padding": padding}
    compare(
        lambda x, w: images_conv(x, w, **how, kept=kept, kernels=taking(kernels, filters)),
        lambda x, w: F.conv2d(x, w, **how),
        images,
        weight,
        1e-4 if kept == torch.float32 else 2**-8,
    )

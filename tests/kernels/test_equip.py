"""Who is given the kernels, and when they may be called."""

from __future__ import annotations

import pytest
import torch
from kernel_values import normal
from torch import nn

from archsearch.kernels import Chain, Equipped, Kernels, equip, fitting, suited, usable


class Own(nn.Module, Equipped):
    """Any module that uses the kernels."""


def test_every_module_that_can_use_them_gets_the_kernels_and_loses_them(kernels: Kernels) -> None:
    inner, own = Chain(), Own()
    can, plain = [Chain(nn.ReLU(), inner), inner, own], nn.Sequential(own)
    network = nn.Sequential(can[0], plain)
    equip(network, kernels, in_bf16=True)
    assert all(module.kernels is kernels and module.in_bf16 for module in can)
    assert not hasattr(plain, "kernels")
    equip(network, None)
    assert not any(module.kernels or module.in_bf16 for module in can)


def test_usable_only_where_nothing_is_traced_or_cast(kernels: Kernels, monkeypatch) -> None:
    assert usable(None) is None
    assert usable(kernels) is kernels
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert usable(kernels) is None
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert usable(kernels) is None


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (normal(2, 8, 3, 3), True),
        (normal(2, 24, 1, 1).bfloat16(), True),
        (normal(2, 8, 3, 3).double(), False),
        (normal(2, 8, 3, 3).half(), False),
        (normal(2, 6, 3, 3), False),
        (normal(2, 8), False),
        (normal(2, 8, 3, 3)[:0], False),
        (torch.empty(2, 8, 3, 3, device="meta"), False),
    ],
)
def test_maps_that_fit(kernels: Kernels, images, expected) -> None:
    found = fitting(images, kernels)
    assert (found is not None) is expected
    if found is not None:
        assert images.shape[1] % found.lanes == 0
        assert fitting(images, kernels, 12) is None


def test_only_what_has_arithmetic_of_its_own_is_spared_bfloat16() -> None:
    images = normal(2, 8, 3, 3)
    for module in (Chain(), Own(), nn.ReLU(), nn.ReLU6(), nn.GELU(), nn.Dropout(0.1)):
        assert suited(images.bfloat16(), module).dtype == torch.bfloat16
    for module in (nn.Conv2d(8, 8, 1), nn.MaxPool2d(2), nn.Sequential(Chain())):
        assert suited(images.bfloat16(), module).dtype == torch.float32
        assert suited(images.double(), module).dtype == torch.float64

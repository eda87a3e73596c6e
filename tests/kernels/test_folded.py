from __future__ import annotations

import pytest
import torch
from kernel_values import apart, normal
from torch import nn

from archsearch.kernels import Chain, Folded, Kernels, equip


class Norm(Folded, nn.BatchNorm2d):
    pass


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_pairs_lie_side_by_side_and_come_back(layout: torch.memory_format) -> None:
    images = normal(2, 6, 3, 4).contiguous(memory_format=layout)
    folded = Folded.fold(images)
    assert folded.shape == (2, 3, 3, 8)
    assert torch.equal(folded[:, 1, 2, 0::2], images[:, 1, 2])
    assert torch.equal(folded[:, 1, 2, 1::2], images[:, 4, 2])
    assert torch.equal(Folded.unfold(folded), images)


def test_channels_last_maps_are_not_copied() -> None:
    images = normal(2, 6, 3, 4).contiguous(memory_format=torch.channels_last)
    folded = Folded.fold(images)
    assert folded.data_ptr() == images.data_ptr()
    assert folded.is_contiguous(memory_format=torch.channels_last)
    assert Folded.unfold(folded).data_ptr() == images.data_ptr()


def test_a_folded_norm_by_the_kernels_is_that_of_torch(kernels: Kernels) -> None:
    plain, fast = (Chain(Norm(16), nn.SiLU()) for _ in range(2))
    equip(fast, kernels)
    images = normal(4, 32, 5, 6).contiguous(memory_format=torch.channels_last)
    results = [chain(images.clone().requires_grad_()) for chain in (plain, fast)]
    assert apart(results[1], results[0]) < 1e-5
    for name, value in plain.named_buffers():
        assert apart(fast.get_buffer(name).double(), value.double()) < 1e-5, name
    assert plain[0].running_mean.shape == (16,)
    with torch.no_grad():
        assert apart(fast.eval()(images), plain.eval()(images)) < 1e-5


def test_a_folded_norm_of_other_channels_stays_with_torch(kernels: Kernels) -> None:
    for channels, given in ((12, 24), (16, 40)):
        chain = Chain(Norm(channels), nn.ReLU())
        equip(chain, kernels)
        images = normal(2, given, 3, 4)
        if given == 2 * channels:
            assert torch.equal(chain(images), torch.relu(Norm(channels)(images)))
        else:
            with pytest.raises(RuntimeError, match="running_mean"):
                chain(images)

"""The rarer layers: norms and dense layers over channels, parts of channels, learnt factors, zeros, fixed filters."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.design.lower import lower
from archsearch.design.plan import design_id, primitives
from archsearch.design.spec import decode_design, no_blocks, self_contained
from archsearch.importer.from_module import from_module
from archsearch.network.assemble import assemble

SHAPE = (3, 17, 17)


class Net(nn.Module):
    """A convolution to 8 channels, `between` two of them what a test does, and a classifier."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.conv2, self.out = nn.Conv2d(3, 8, 3, padding=1), nn.LazyConv2d(4, 3), nn.Linear(4, 5)
        self.norm, self.expand = nn.LayerNorm(8, eps=1e-6), nn.Linear(8, 16)
        self.gain, self.shift = nn.Parameter(torch.full((8,), 1e-6)), nn.Parameter(torch.zeros(8))
        self.one = nn.Parameter(torch.zeros(()))
        taps = torch.tensor([comb(2, tap) / 4 for tap in range(3)])
        self.register_buffer("filter", (taps[:, None] * taps)[None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.conv2(self.between(self.conv(x))).mean((2, 3)))

    def between(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class ConvNext(Net):
    def between(self, x: Tensor) -> Tensor:
        y = self.expand(self.norm(x.permute(0, 2, 3, 1)))
        y = functional.dropout(functional.gelu(y), 0.1, self.training)[..., :8] * self.gain
        return x + y.permute(0, 3, 1, 2)


class Rezero(Net):
    def between(self, x: Tensor) -> Tensor:
        return x + self.one * functional.relu(x * self.gain.view(1, -1, 1, 1) + self.shift[None, :, None, None])


class Shuffled(Net):
    def between(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        x = torch.cat([left, functional.relu(right)], dim=1)
        return x.view(-1, 2, 4, 17, 17).transpose(1, 2).contiguous().view(-1, 8, 17, 17)


class Gated(Net):
    def between(self, x: Tensor) -> Tensor:
        value, gate = torch.split(x, [4, 4], 1)
        return value * functional.silu(gate)


class Parts(Net):
    def between(self, x: Tensor) -> Tensor:
        one, two, rest = x.split((2, 2, 4), 1)
        return torch.cat([functional.relu(one), torch.tanh(two), rest[:, 1:3], x.narrow(1, 0, 3)], 1)


class Zeros(Net):
    """The shortcut of ResNet's option A."""

    def between(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) + functional.max_pool2d(
            torch.cat([x, x[:, :4]], 1), 1, 2
        )


class Partial(Net):
    """The sum of ReXNet, over some of the channels."""

    def between(self, x: Tensor) -> Tensor:
        y = torch.cat([x, x], 1).relu()
        return torch.cat([y[:, :8] + x, y[:, 8:]], 1)


class Aggregated(Net):
    """Joined with everything that is computed from it, one from the other."""

    def __init__(self) -> None:
        super().__init__()
        self.one_after, self.two_after = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def between(self, x: Tensor) -> Tensor:
        one = self.one_after(x)
        return torch.cat([x, one, self.two_after(one)], 1)


class Pools(Net):
    def between(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(x, 2, 2, ceil_mode=True) + functional.max_pool2d(x, 3, 2, 1)
        return functional.avg_pool2d(x, 3, 2, 1) * functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)


class Blurred(Net):
    def between(self, x: Tensor) -> Tensor:
        return functional.conv2d(
            functional.pad(x, (1,) * 4, mode="reflect"), self.filter.expand(8, 1, 3, 3), None, 2, 0, 1, 8
        )


class Spatial(Net):
    """The second gate of CBAM."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2, 1, 3, padding=1)

    def between(self, x: Tensor) -> Tensor:
        both = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)
        return x * torch.sigmoid(self.gate(both))


class Written(Net):
    """Activations that are written out, and arithmetic that does nothing."""

    def between(self, x: Tensor) -> Tensor:
        x = functional.softplus(functional.hardtanh(x, -2, 3) + 0) * 1
        x = x * functional.relu6(x + 3) / 6
        return x * (x.mean((2, 3), keepdim=True).add_(3).clamp_(0, 6).div_(6)).expand_as(x)


class Mean(Net):
    def between(self, x: Tensor) -> Tensor:
        return (x + functional.relu(x)) / 2


class Late(Net):
    """TensorFlow's padding, and two batch norms with an eps of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.bn = nn.Conv2d(8, 8, 5, 2), nn.BatchNorm2d(8, eps=1e-3)
        self.norms = nn.GroupNorm(4, 8, eps=1e-4)

    def between(self, x: Tensor) -> Tensor:
        x = self.norms(self.bn(x[:, :, :, :]))
        return self.down(functional.pad(functional.avg_pool2d(x, 2, 1), (1, 2, 1, 2)))


class Windows(Net):
    """Kernels that are not square, and borders of px of the map."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = nn.Sequential(
            nn.Conv2d(8, 8, (1, 5), padding=(0, 2), padding_mode="circular"),
            nn.Conv2d(8, 8, (3, 1), padding="same", dilation=2),
            nn.Conv2d(8, 8, 3, padding=1, stride=2, padding_mode="reflect", groups=8),
        )

    def between(self, x: Tensor) -> Tensor:
        return self.windows(functional.pad(x, (0, 1, 2, 0), mode="replicate"))


class Bordered(Net):
    """A border of zeros that a pool and a convolution read, as HGNet's, and one that is mirrored."""

    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Conv2d(8, 8, 2)

    def between(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, 1, 0, 1))
        x = functional.max_pool2d(x, 2, 1) + self.side(x)
        return functional.relu(functional.pad(x, (1, 0, 0, 2), mode="reflect"))


class BlurredZeros(Net):
    def between(self, x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1)), self.filter.expand(8, 1, 3, 3), stride=2, groups=8)


class Differences(Net):
    def between(self, x: Tensor) -> Tensor:
        x = x - functional.gelu(0.5 * x, approximate="tanh")
        return torch.sub(x / 4, torch.tanh(x), alpha=2)


class Larger(Net):
    def between(self, x: Tensor) -> Tensor:
        y = functional.interpolate(functional.max_pool2d(x, 4), scale_factor=2)
        y = functional.interpolate(y, size=(16, 16), mode="bilinear", align_corners=False)
        return y + functional.avg_pool2d(x, 2, 1)


class Headed(nn.Module):
    """Several layers behind the pool."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.classifier = nn.Sequential(
            nn.Linear(8, 12, bias=False), nn.BatchNorm1d(12), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(12, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(functional.relu(self.conv(x)).mean((2, 3)))


EXPECTED: dict[Callable[[], nn.Module], set[str]] = {
    ConvNext: {"Norm", "Narrow", "Scale", "Dropout"},
    Rezero: {"Scale"},
    Shuffled: {"Shuffle", "Narrow"},
    Gated: {"Narrow"},
    Parts: {"Narrow"},
    Zeros: {"PadChannels", "Pool"},
    Partial: {"PadChannels"},
    Aggregated: set(),
    Pools: {"Pool"},
    Blurred: {"BlurPool"},
    Spatial: {"ChannelPool"},
    Written: {"Clamp", "Activation", "GlobalPool"},
    Mean: {"Activation"},
    Late: {"Norm"},
    Windows: {"GeneralConv"},
    Bordered: {"Pad", "Pool"},
    BlurredZeros: {"Pad", "BlurPool"},
    Differences: {"Scale"},
    Larger: {"Upsample", "Pool"},
    Headed: {"Dropout"},
}


def made(kind: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = kind().eval()
    network(torch.zeros(1, *SHAPE))
    return network


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_design_is_the_same_network(kind: Callable[[], nn.Module]) -> None:
    network = made(kind)
    imported = from_module(network, SHAPE)
    ours = assemble(lower(imported.design)).eval()
    ours.load_state_dict(dict(imported.weights))
    images = torch.randn(4, *SHAPE)
    torch.testing.assert_close(ours(images), network(images), rtol=1e-4, atol=1e-6)
    assert EXPECTED[kind] <= {type(layer).__name__ for _, layer in primitives(lower(imported.design).layers)}
    again = decode_design(self_contained(imported.design), no_blocks)
    assert design_id(lower(again)) == design_id(lower(imported.design))


def written(kind: Callable[[], nn.Module]) -> str:
    return str(from_module(made(kind), SHAPE).design.source)


def test_parts_of_the_channels_are_a_split() -> None:
    assert "'combine': 'multiply', 'split': 'equal'" in written(Gated)


def test_learnt_factors_begin_with_the_value_that_they_have() -> None:
    assert "{'scale': {'init': 1e-06}}" in written(ConvNext)
    text = written(Rezero)
    assert "{'init': 1e-06, 'bias': True}" in text
    assert "{'init': 0.0, 'per': 'layer'}" in text


def test_fields_that_torch_has_are_written_by_its_names() -> None:
    text = written(Pools)
    assert "'count_include_pad': True" in text
    assert "'ceil_mode': True" in text
    assert "'padding': 1, 'ceil_mode': True" in written(Late)
    assert "{'norm': {'kind': 'batch', 'eps': 0.001}" in written(Late)
    assert "{'norm': {'kind': 'group', 'groups': 4, 'eps': 0.0001}" in written(Late)


def test_layers_behind_the_pool_are_the_classifier() -> None:
    head = from_module(made(Headed), SHAPE).design.source["head"]
    assert head["pool"] == "global_average"
    kinds = [next(iter(layer)) for layer in head["classifier"]]
    assert kinds == ["linear", "norm", "act", "dropout", "linear"]
    assert head["classifier"][-1]["linear"]["out"] == "classes"


def test_a_pointwise_projection_that_keeps_the_shape_is_a_branch() -> None:
    """A residual of the language would have the identity there."""

    class Branched(Net):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.bn, self.other = nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8), nn.BatchNorm2d(8)

        def between(self, x: Tensor) -> Tensor:
            return self.other(x) + self.bn(self.a(x))

    assert "'combine': 'add'" in written(Branched)


def test_a_module_without_weights_is_used_twice() -> None:
    class Twice(Net):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2, 1))

        def between(self, x: Tensor) -> Tensor:
            return self.act(self.act(x))

    kinds = [type(layer).__name__ for _, layer in primitives(lower(from_module(made(Twice), SHAPE).design).layers)]
    assert kinds.count("Activation") == kinds.count("Pool") == 2

"""Shipped networks against packages or papers: the same parameters, MACs and, with the same weights, logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archsearch.analysis.measure import measure
from archsearch.decode import is_mapping
from archsearch.design.lower import lower
from archsearch.library import build, check, load_design


def from_torchvision(name: str) -> Callable[[int], nn.Module]:
    def make(classes: int) -> nn.Module:
        import torchvision

        return torchvision.models.get_model(name, num_classes=classes)

    return make


def from_timm(name: str) -> Callable[[int], nn.Module]:
    def make(classes: int) -> nn.Module:
        timm: Any = pytest.importorskip("timm", reason="its source, timm, is not installed")
        return timm.create_model(name, pretrained=False, num_classes=classes)

    return make


class ConvMixer(nn.Sequential):
    """The network of the paper's appendix, for CIFAR-10."""

    def __init__(self, dim: int, depth: int, kernel: int, patch: int, classes: int) -> None:
        blocks = [
            nn.Sequential(
                Added(nn.Conv2d(dim, dim, kernel, groups=dim, padding="same"), nn.GELU(), nn.BatchNorm2d(dim)),
                nn.Conv2d(dim, dim, 1),
                nn.GELU(),
                nn.BatchNorm2d(dim),
            )
            for _ in range(depth)
        ]
        patches = (nn.Conv2d(3, dim, patch, stride=patch), nn.GELU(), nn.BatchNorm2d(dim))
        super().__init__(*patches, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(dim, classes))


class Added(nn.Sequential):
    """Its layers plus their input."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        return super().forward(input) + input


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)


class WideBlock(nn.Module):
    """A block of a wide residual network: `shortcut` reads the activated map."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.first = conv(inputs, outputs, 3, stride)
        self.second = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU(), conv(outputs, outputs))
        self.shortcut = None if inputs == outputs else conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        active = self.before(x)
        main = self.second(self.first(active))
        return main + (x if self.shortcut is None else self.shortcut(active))


def wide_resnet(depth: int, widen: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [conv(3, 16)]
    inputs = 16
    for width, stride in ((16 * widen, 1), (32 * widen, 2), (64 * widen, 2)):
        for index in range((depth - 4) // 6):
            layers.append(WideBlock(inputs, width, 1 if index else stride))
            inputs = width
    end = (nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
    return nn.Sequential(*layers, *end)


class TinyResidual(nn.Module):
    """A block of MLPerf Tiny's ResNet-8: a convolution without a norm is the shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            conv(inputs, outputs, 3, stride, bias=True),
            nn.BatchNorm2d(outputs, eps=1e-3),
            nn.ReLU(),
            conv(outputs, outputs, bias=True),
            nn.BatchNorm2d(outputs, eps=1e-3),
        )
        self.shortcut = nn.Identity() if stride == 1 else conv(inputs, outputs, 1, stride, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.main(x) + self.shortcut(x))


def resnet8(classes: int) -> nn.Module:
    blocks = (TinyResidual(16, 16, 1), TinyResidual(16, 32, 2), TinyResidual(32, 64, 2))
    stem = (conv(3, 16, bias=True), nn.BatchNorm2d(16, eps=1e-3), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def densenet_bc(classes: int) -> nn.Module:
    """Return torchvision's DenseNet with the paper's first layer for CIFAR: 3 x 3, then no norm and no pool."""
    from torchvision.models import DenseNet

    make: Any = DenseNet  # annotated for four stages
    network = make(12, (6, 6, 6), 24, bn_size=4, num_classes=classes)
    network.features = nn.Sequential(conv(3, 24), *list(network.features)[4:])
    return network


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What makes the source's network, its classes and the side of its images; our parameters and MACs for CIFAR-10."""

    make: Callable[[int], nn.Module]
    parameters: int
    macs: int
    classes: int = 1000
    side: int = 224


def of_cifar(make: Callable[[int], nn.Module], parameters: int, macs: int) -> Source:
    return Source(make=make, parameters=parameters, macs=macs, classes=10, side=32)


def of_imagenet(make: Callable[[int], nn.Module], parameters: int, macs: int) -> Source:
    return Source(make=make, parameters=parameters, macs=macs)


SOURCES = {
    "convmixer_256_8": of_cifar(lambda classes: ConvMixer(256, 8, 5, 2, classes), 594_186, 148_113_920),
    "convnext_atto": of_imagenet(from_timm("convnext_atto"), 3_377_730, 11_166_720),
    "densenet_bc_40": of_cifar(densenet_bc, 176_122, 72_365_352),
    "efficientnet_lite0": of_imagenet(from_timm("efficientnet_lite0"), 3_383_818, 7_847_648),
    "ghostnet": of_imagenet(from_timm("ghostnet_100"), 3_914_318, 5_539_376),
    "mobilenet_v3_small": of_imagenet(from_torchvision("mobilenet_v3_small"), 1_528_106, 2_169_792),
    "repvgg_a0": of_imagenet(from_timm("repvgg_a0"), 7_840_778, 30_855_680),
    "resnet8": of_cifar(resnet8, 78_186, 12_501_632),
    "shufflenet_v2_x0_5": of_imagenet(from_torchvision("shufflenet_v2_x0_5"), 352_042, 815_392),
    "squeezenet": of_imagenet(from_torchvision("squeezenet1_1"), 727_626, 2_995_904),
    "wrn16_2": of_cifar(lambda classes: wide_resnet(16, 2, classes), 691_674, 101_106_944),
}


def in_order_of_use(network: nn.Module, images: Tensor) -> list[tuple[str, Tensor]]:
    """Return the parameters and statistics, and their own names, of the modules in the order in which they end."""
    found: list[tuple[str, Tensor]] = []

    def note(module: nn.Module, *_: object) -> None:
        found.extend(module.named_parameters(recurse=False))
        found.extend((name, one) for name, one in module.named_buffers(recurse=False) if one.dim())

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    assert len({value.data_ptr() for _, value in found}) == len(found), "no module is used twice"
    return found


def randomise(network: nn.Module) -> None:
    """Draw all parameters and statistics: none is zero or one."""
    with torch.no_grad():
        for name, value in (*network.named_parameters(), *network.named_buffers()):
            if value.dim() > 1:
                nn.init.kaiming_normal_(value)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("bias", "running_mean")):
                value.normal_(0, 0.3)
            elif value.dim():
                value.uniform_(0.5, 1.5)


def copy_weights(theirs: nn.Module, ours: nn.Module, images: Tensor) -> None:
    """Copy the weights of `theirs`; both have the same layers in the same order, or the test fails."""
    given, taken = in_order_of_use(theirs, images), in_order_of_use(ours, images)
    names = {"gamma": "weight"}  # the layer scale of timm's ConvNeXt is a parameter of the block
    assert [(names.get(name, name), value.numel()) for name, value in given] == [
        (name, value.numel()) for name, value in taken
    ]
    with torch.no_grad():
        for (_, value), (_, own) in zip(given, taken, strict=True):
            own.copy_(value.reshape(own.shape))


@pytest.mark.parametrize("name", SOURCES)
def test_a_network_is_that_of_its_source(name: str) -> None:
    source = SOURCES[name]
    torch.manual_seed(0)
    theirs = source.make(source.classes).double().eval()
    raw = load_design(name).source
    assert is_mapping(raw["head"])
    input_shape = [3, source.side, source.side]
    design = load_design({**raw, "input": input_shape, "head": {**raw["head"], "classes": source.classes}})
    ours = build(design).double().eval()
    randomise(theirs)
    images = torch.randn(2, *input_shape, dtype=torch.float64)
    copy_weights(theirs, ours, images)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        expected = theirs(images)
    with torch.no_grad():
        logits = ours(images)
    footprint = measure(lower(design))
    assert expected.std() > 1e-3
    assert (logits - expected).abs().max() <= 1e-9 * expected.abs().max()
    assert footprint.parameters == sum(one.numel() for one in theirs.parameters())
    assert 2 * 2 * footprint.macs == counter.get_total_flops()


@pytest.mark.parametrize("name", SOURCES)
def test_a_network_for_cifar_has_its_known_size(name: str) -> None:
    found = check(name, "none").footprint
    assert (found.parameters, found.macs) == (SOURCES[name].parameters, SOURCES[name].macs)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("symmetry", ["none", "flip"])
def test_widths_of_a_network_scale(name: str, symmetry: str) -> None:
    raw = {**load_design(name).source, "symmetry": symmetry}
    full, half = (check({**raw, "width": width}, "none").footprint for width in (1.0, 0.5))
    fitted = check({**raw, "width": "fit"}, {"macs": {"at_most": half.macs}}).footprint
    assert half.parameters < full.parameters
    assert half.macs <= full.macs
    assert fitted.macs <= half.macs


def test_keras_counts_the_statistics_of_resnet8_too() -> None:
    """The figure that MLPerf Tiny publishes, 78 666, has those that are not trained."""
    network = build("resnet8")
    statistics = sum(value.numel() for value in network.buffers() if value.dim())
    assert check("resnet8", "none").footprint.parameters + statistics == 78_666

"""Modules of many forms become the same network as a design, folded into stages with the author's names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.analysis.measure import measure
from archsearch.design.lower import lower
from archsearch.design.plan import design_id
from archsearch.design.spec import decode_design, no_blocks, self_contained
from archsearch.errors import SpecError
from archsearch.importer.from_module import from_module
from archsearch.importer.steps import Recorder
from archsearch.network.assemble import assemble

SHAPE = (3, 16, 16)


def conv_norm(inputs: int, outputs: int, stride: int = 1, groups: int = 1, kernel: int = 3) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class Assignment(nn.Module):
    """What students write: sequential blocks, a dilated and a depthwise convolution, a pool by window, log_softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.convblock1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(8), nn.Dropout(0.1))
        self.convblock2 = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1, dilation=2), nn.ReLU())
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.pointwise = nn.Conv2d(16, 24, 1, bias=False)
        self.gap = nn.AvgPool2d(kernel_size=7)
        self.fc = nn.Conv2d(24, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convblock2(self.convblock1(x))
        x = self.pointwise(self.depthwise(x))
        x = self.fc(self.gap(functional.relu(x)))
        return functional.log_softmax(x.view(-1, 10), dim=-1)


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_norm(inputs, outputs, stride)
        self.conv2, self.bn2 = conv_norm(outputs, outputs)
        self.shortcut = nn.Sequential(*(conv_norm(inputs, outputs, stride, kernel=1) if inputs != outputs else []))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(self.shortcut(x) + out)


class ResNet(nn.Module):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(3, 8), nn.ReLU(inplace=inplace))
        self.layer1 = nn.Sequential(*(Residual(8, 8, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Residual(8, 16, 2), Residual(16, 16, 1), Residual(16, 16, 1))
        self.linear = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.stem(x)))
        return self.linear(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.fc1, self.fc2 = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.out = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        scale = torch.sigmoid(self.fc2(functional.relu(self.fc1(x.mean((2, 3), keepdim=True)))))
        return self.out((x * scale).amax((2, 3)))


class Dense(nn.Module):
    """Every layer reads all maps before it, joined anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(6 + 4 * i, 4, 3, padding=1) for i in range(3))
        self.out = nn.Linear(18, 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.first(x)]
        for layer in self.layers:
            maps.append(torch.relu(layer(torch.cat(maps, 1))))
        return self.out(torch.cat(maps, 1).mean((2, 3)))


class Overwritten(nn.Module):
    """The activation in place changes what the sum reads too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.next, self.out = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = self.next(functional.relu(x, inplace=True))
        return self.out((x + y).mean((2, 3)))


class Classic(nn.Module):
    """Flattened maps, several dense layers, a batch norm over features, an eps of its own, unused layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5, padding="same")
        self.norm = nn.BatchNorm2d(4, eps=1e-3)
        self.fc1, self.bn, self.fc2 = nn.Linear(4 * 4 * 4, 12, bias=False), nn.BatchNorm1d(12), nn.Linear(12, 10)
        self.old = nn.Linear(7, 7)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x + self.old.weight.sum()
        x = functional.avg_pool2d(functional.max_pool2d(functional.silu(self.norm(self.conv(x))), 2), 2)
        x = functional.dropout(torch.flatten(x, 1), 0.2, self.training)
        return self.fc2(functional.gelu(self.bn(self.fc1(x))))


class Inverted(nn.Module):
    """The block of MobileNetV2: a shortcut where shapes allow it, and a branch of training alone."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.conv = nn.Sequential(
            *conv_norm(inputs, hidden, kernel=1), nn.ReLU6(), *conv_norm(hidden, hidden, stride, hidden), nn.ReLU6(),
            *conv_norm(hidden, outputs, kernel=1),
        )  # fmt: skip
        self.path = DropPath()
        self.same = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.path(self.conv(x)) if self.same else self.conv(x)


class DropPath(nn.Module):
    """Stochastic depth."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand(len(x), 1, 1, 1) < 0.8) if self.training else x


class MobileNet(nn.Module):
    """Stages whose first block differs from the others: by the shortcut, or by the expansion; a convolutional head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(*conv_norm(3, 8, 2), nn.ReLU6()),
            *(Inverted(8, 16, 2, 6), Inverted(16, 16, 1, 6), Inverted(16, 16, 1, 6)),
            *(Inverted(16, 24, 1, 3), Inverted(24, 24, 1, 4)),
            nn.Dropout2d(0.1),
            nn.Conv2d(24, 10, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.adaptive_max_pool2d(self.features(x), 1).squeeze()


class Copied(nn.Module):
    """The activation in place of a copy leaves the original; plain convolutions of one form; functions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(nn.Conv2d(3, 8, 3), *(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)))
        self.act, self.out = nn.Tanh(), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(functional.silu(self.convs(x)))
        return functional.softmax(self.out((x.clone().relu_() + x).mean((2, 3))), 1)


FINAL = {Assignment: torch.log_softmax, Copied: torch.softmax}
KINDS = [Assignment, ResNet, lambda: ResNet(inplace=True), Gate, Dense, Overwritten, Classic, MobileNet, Copied]


@pytest.mark.parametrize("kind", KINDS)
def test_the_design_is_the_same_network(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = kind()
    with torch.no_grad():
        for buffer in network.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    imported = from_module(network, SHAPE)
    ours = assemble(lower(imported.design)).eval()
    ours.load_state_dict(dict(imported.weights))
    images = torch.randn(4, *SHAPE)
    expected = network.eval()(images)
    got = FINAL[kind](ours(images), 1) if kind in FINAL else ours(images)
    torch.testing.assert_close(got, expected.flatten(1), rtol=1e-4, atol=1e-5)
    used = sum(each.numel() for name, each in network.named_parameters() if not name.startswith("old"))
    assert measure(lower(imported.design)).parameters == imported.parameters == used


def test_equal_blocks_fold_into_stages_whose_sizes_follow_the_width() -> None:
    imported = from_module(ResNet(), SHAPE)
    stages = imported.design.source["stages"]
    assert {
        name: (stage["width"], stage.get("repeats", 1), stage.get("stride", 1)) for name, stage in stages.items()
    } == {
        "stem": (8, 1, 1),
        "layer1": (8, 3, 1),
        "layer2": (16, 3, 2),
    }
    assert imported.design.source["head"] == {"pool": "global_average", "classes": 10}
    doubled, whole = measure(lower(imported.design.at_width(2.0))), measure(lower(imported.design))
    assert 3.5 < doubled.parameters / whole.parameters < 4.0


def test_blocks_fold_by_their_shortcut_and_behind_an_entry() -> None:
    design = from_module(MobileNet(), SHAPE).design
    stages = design.source["stages"]
    shapes = {name: (stage["width"], stage.get("repeats", 1), stage.get("stride", 1)) for name, stage in stages.items()}
    assert shapes == {"features_0": (8, 1, 2), "features_1": (16, 3, 2), "features_4": (24, 2, 1)}
    assert stages["features_1"]["block"]["residual"] == "if_same_shape"
    assert stages["features_1"]["block"]["options"] == {"kernel": 3, "stride": 1, "dilation": 1}
    assert "entry" not in stages["features_1"]
    assert stages["features_4"]["entry"]["block"]["layers"][0] == {
        "conv": {"out": "in * 3", "kernel": 1},
        "name": "conv_0",
    }
    assert design.source["head"]["layers"][1]["conv"]["out"] == "classes"


@pytest.mark.parametrize("kind", [ResNet, Gate, Classic, MobileNet, Copied, Assignment])
def test_an_import_has_other_widths_and_classes(kind: type[nn.Module]) -> None:
    source = from_module(kind(), SHAPE).design.source
    changed = decode_design({**source, "head": {**source["head"], "classes": 7}, "width": 2.0}, no_blocks)
    assert assemble(lower(changed)).eval()(torch.zeros(1, *SHAPE)).shape == (1, 7)


def test_the_windows_of_an_import_are_options() -> None:
    source = from_module(Assignment(), SHAPE).design.source
    stages = source["stages"]
    assert stages["convblock1"]["block"]["options"] == {"kernel": 3, "stride": 1, "dilation": 1}
    assert stages["convblock2"]["stride"] == 2
    stages = {**stages, "convblock1": {**stages["convblock1"], "dilation": 2, "kernel": 5}}
    wide, narrow = (measure(lower(decode_design({**source, "stages": each}, no_blocks))) for each in
                    (stages, source["stages"]))  # fmt: skip
    assert wide.receptive_field == narrow.receptive_field + 6


def separable(inputs: int, outputs: int) -> nn.Sequential:
    depthwise, pointwise = conv_norm(inputs, inputs, groups=inputs), conv_norm(inputs, outputs, kernel=1)
    return nn.Sequential(*depthwise, *pointwise, nn.ReLU())


class Listed(nn.Module):
    """Blocks that a function makes, in a list; none has a class of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(*conv_norm(3, 8), nn.ReLU())
        self.body = nn.Sequential(separable(8, 16), separable(16, 16), separable(16, 16))
        self.out = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(self.first(x)).mean((2, 3)))


def test_sequential_items_of_a_list_are_blocks() -> None:
    stages = from_module(Listed(), SHAPE).design.source["stages"]
    assert {name: stage.get("repeats", 1) for name, stage in stages.items()} == {"first": 1, "body": 3}


def test_plain_convolutions_of_one_form_are_one_stage() -> None:
    source = from_module(Copied(), SHAPE).design.source
    assert {name: stage.get("repeats", 1) for name, stage in source["stages"].items()} == {
        "convs_0": 1,
        "convs_1": 2,
        "convs_3": 1,
        "stage": 1,
    }


def test_the_weights_have_the_paths_of_the_author() -> None:
    weights = from_module(ResNet(), SHAPE).weights
    assert {"stages.layer1.2.residual.main.conv1.weight", "stages.layer2.0.residual.shortcut.conv.weight"} <= set(
        weights
    )


def test_what_differs_is_noted() -> None:
    notes = from_module(Classic(), SHAPE).notes
    assert notes == ("56 parameters are not used in inference and left out: old",)
    assert from_module(Assignment(), (3, 16, 16)).notes == (
        "the output is that before log_softmax: a design gives logits",
    )


def test_modules_of_training_alone_are_noted() -> None:
    (note,) = from_module(MobileNet(), SHAPE).notes
    assert note.startswith("modules of class DropPath do nothing in inference and are left out: features.1.path, ")
    assert note.endswith(" and 1 more")


@pytest.mark.parametrize("kind", [Assignment, ResNet, Gate, Dense, Overwritten, Classic, MobileNet, Copied])
def test_the_written_design_reads_back_as_the_same_network(kind: type[nn.Module]) -> None:
    design = from_module(kind(), SHAPE).design
    again = decode_design(self_contained(design), no_blocks)
    assert design_id(lower(again)) == design_id(lower(design))


def test_the_module_is_left_as_it_was() -> None:
    network = ResNet()
    network.train()
    network.layer1.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    from_module(network, SHAPE)
    assert network.training
    assert not network.layer1.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_layer_that_fresh_weights_hide_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scale of zero, as trainings of residual networks begin with, hides what is wrong before it."""
    from archsearch.importer.operations import OPERATIONS

    network = ResNet()
    with torch.no_grad():
        for block in (*network.layer1, *network.layer2):
            block.bn2.weight.zero_()  # type: ignore[union-attr]
            block.bn2.bias.zero_()  # type: ignore[union-attr]
    network.stem[2] = nn.Identity()
    kept = from_module(network, SHAPE).weights["stages.layer1.0.residual.main.bn2.weight"]
    assert torch.equal(kept, torch.zeros(8))
    right, count = OPERATIONS["relu"], iter(range(100))

    def relu(recorder: Recorder, given: dict[str, object]) -> int:  # wrong within blocks, right behind the sums
        return (OPERATIONS["tanh"] if next(count) % 2 == 0 else right)(recorder, given)

    monkeypatch.setitem(OPERATIONS, "relu", relu)
    with pytest.raises(SpecError, match="not the same network: its logits differ"):
        from_module(network, SHAPE)


def test_an_import_that_would_differ_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from archsearch.importer.operations import OPERATIONS

    monkeypatch.setitem(OPERATIONS, "relu", OPERATIONS["tanh"])
    with pytest.raises(SpecError, match="not the same network: its logits differ"):
        from_module(ResNet(), SHAPE)

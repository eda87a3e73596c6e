"""Modules that leave the map as large as it is, and the blur: their values, gradients, pairs and exported programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.library import build, check, load_design
from archsearch.network.initialise import initialise
from archsearch.network.modules import BlurPool2d, Branches, PaddedPool2d
from archsearch.network.pointwise import (
    ChannelNorm2d,
    ChannelPool2d,
    ChannelShuffle,
    DropPath,
    Narrow,
    PadChannels,
    Scale2d,
    TanhExp,
)
from archsearch.network.portable import (
    as_function,
    compare,
    read_onnx,
    read_torch_export,
    write_onnx,
    write_torch_export,
)
from archsearch.network.symmetry import tie_values, untied
from archsearch.runs.export import TOLERANCE
from archsearch.training.recording import Recording

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=dtype)


def mirrored(images_BCHW: Tensor) -> Tensor:
    """Return maps of pairs as those of the mirrored images should be."""
    return images_BCHW.flip(3).roll(images_BCHW.shape[1] // 2, 1)


def test_tanh_exp_is_what_it_is_called_and_has_a_gradient_everywhere() -> None:
    act, values = TanhExp(), torch.linspace(-8, 6, 57, dtype=torch.float64)
    torch.testing.assert_close(act(values), values * torch.tanh(torch.exp(values)), rtol=1e-15, atol=0)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        far = torch.tensor([-1e4, -90.0, 0.0, 90.0, 1e4], dtype=dtype, requires_grad=True)
        act(far).sum().backward()
        assert far.grad is not None
        assert far.grad.tolist() == pytest.approx([0, 0, np.tanh(1), 1, 1], abs=5e-3)
        assert act(far)[3:].tolist() == far[3:].tolist()


def test_a_norm_over_channels_is_torchs_layer_norm_of_every_position() -> None:
    norm, images = ChannelNorm2d(6, eps=1e-3), normal(2, 6, 4, 5)
    initialise(norm, generator=GENERATOR)
    nn.init.uniform_(norm.weight)
    expected = functional.layer_norm(images[1, :, 2, 3], (6,), norm.weight, norm.bias, 1e-3)
    torch.testing.assert_close(norm(images)[1, :, 2, 3], expected)
    assert list(norm.state_dict()) == ["weight", "bias"]
    last = images.contiguous(memory_format=torch.channels_last)
    assert norm(last).is_contiguous(memory_format=torch.channels_last)


def test_factors_and_shifts() -> None:
    scale, images = Scale2d(3, 0.5, bias=True), normal(2, 3, 4, 4)
    with torch.no_grad():
        assert scale.bias is not None
        scale.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(scale(images)[:, 2], images[:, 2] / 2 + 3)
    initialise(scale, generator=GENERATOR)
    torch.testing.assert_close(scale(images), images / 2)
    assert list(Scale2d(1, 1.0, bias=False).state_dict()) == ["weight"]


def test_whole_images_are_dropped_and_the_others_scaled_up() -> None:
    drop, images = DropPath(0.25), torch.ones(4000, 2, 1, 2)
    torch.manual_seed(0)
    dropped = drop(images)
    assert dropped.flatten(1).std(1).max() == 0
    assert sorted(set(dropped.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)
    assert drop.eval()(images) is images


def test_channels_are_chosen_moved_and_added() -> None:
    images = normal(2, 6, 3, 4)
    assert torch.equal(Narrow(1, 3)(images), images[:, 1:4])
    assert torch.equal(ChannelShuffle(2)(images), nn.ChannelShuffle(2)(images))
    assert torch.equal(ChannelShuffle(3)(images)[:, 1], images[:, 2])
    padded = PadChannels(1, 2)(images)
    assert torch.equal(padded[:, 1:7], images)
    assert padded[:, [0, 7, 8]].abs().max() == 0
    assert torch.equal(ChannelPool2d("max")(images)[:, 0], images.max(1).values)
    torch.testing.assert_close(ChannelPool2d("average")(images)[:, 0], images.mean(1))


def test_a_blur_weighs_a_mirrored_map_by_a_binomial() -> None:
    image = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    blur = BlurPool2d(3, 2, before=1, after=1)
    assert blur.weight.tolist() == [[[[0.0625, 0.125, 0.0625], [0.125, 0.25, 0.125], [0.0625, 0.125, 0.0625]]]]
    expected = functional.conv2d(functional.pad(image, (1, 1, 1, 1), mode="reflect"), blur.weight, stride=2)
    assert torch.equal(blur(image), expected)
    assert blur(image)[0, 0, 0, 0] == (1 * 4 + 2 * 2 * 2 + 2 * 2 * 5 + 4 * 6) / 16
    assert not blur.state_dict()
    assert not list(blur.parameters())
    even = BlurPool2d(4, 1, before=1, after=2)
    torch.testing.assert_close(even.weight.sum(), torch.tensor(1.0))
    torch.testing.assert_close(even(torch.ones(1, 3, 5, 6)), torch.ones(1, 3, 5, 6))


def test_means_of_branches_and_padding_that_counts() -> None:
    images = normal(2, 3, 4, 4)
    mean = Branches({"a": nn.Identity(), "b": nn.ReLU(), "c": nn.Tanh()}, "mean")
    torch.testing.assert_close(mean(images), (images + images.relu() + images.tanh()) / 3)
    pool = PaddedPool2d("average", 3, 2, before=1, after=1, counts_padding=True)
    torch.testing.assert_close(pool(images), functional.avg_pool2d(images, 3, 2, 1))


@pytest.mark.parametrize(
    "module",
    [
        Narrow(2, 4, pairs=True),
        ChannelShuffle(3, pairs=True),
        PadChannels(2, 4, pairs=True),
        ChannelNorm2d(12),
        Scale2d(12, 0.5, bias=True),
    ],
)
def test_pairs_stay_pairs(module: nn.Module) -> None:
    if isinstance(module, ChannelNorm2d | Scale2d):
        tie_values(module)
        for values in module.parameters():
            assert values.shape == (6,)
            nn.init.uniform_(values)
    images = normal(2, 12, 3, 4)
    torch.testing.assert_close(module(mirrored(images)), mirrored(module(images)))
    torch.testing.assert_close(untied(nn.Sequential(module))(images), module(images))


SPLIT = {
    "parallel": {
        "combine": "concat",
        "split": {"a": "in // 2", "b": "in // 4", "c": "in // 4"},
        "branches": {"a": [], "b": [{"conv": {"out": "in", "groups": "in"}}], "c": ["scale", {"clamp": 2}]},
    }
}
GATED = {
    "parallel": {"combine": "multiply", "split": "equal", "branches": {"gate": [{"act": "tanh_exp"}], "value": []}}
}
ATTENTION = {
    "parallel": {
        "combine": "multiply",
        "branches": {
            "map": [],
            "spatial": [{"pool": "channel_max"}, {"conv": {"out": 1, "kernel": 5}}, {"act": "sigmoid"}],
        },
    }
}
MEAN = {"parallel": {"combine": "mean", "branches": {"a": [], "b": [{"scale": {"per": "layer", "bias": True}}]}}}
BORDERED: list[Any] = [
    {"conv": {"out": "in", "kernel": [3, 1], "padding_mode": "reflect"}},
    {"conv": {"out": "in", "kernel": [1, 3], "padding": [2, 1], "padding_mode": "replicate", "groups": "in"}},
    {"conv": {"out": "in", "kernel": [2, 3], "padding": {"bottom": 1, "left": 1, "right": 1}}},
    {"pad": {"padding": {"top": 2}, "padding_mode": "circular"}},
    {"conv": {"out": "in", "stride": 2, "kernel": 2}},
    {"upsample": {"factor": 4, "mode": "bilinear"}},
    {"pool": {"kind": "average", "kernel": 2}},
    {"upsample": 2},
    {"conv": {"out": "in", "stride": 2, "kernel": 2}},
]
LAYERS: list[Any] = [
    {"conv": {"out": "out"}},
    {"norm": {"kind": "channel", "eps": 1e-6}},
    *BORDERED,
    SPLIT,
    {"shuffle": 2},
    MEAN,
    {"conv": {"out": "2 * out", "kernel": 1}},
    GATED,
    {"pool": {"kind": "blur", "kernel": 4, "stride": 2}},
    {"pad_channels": {"out": "out + 4", "before": 2}},
    {"drop_path": 0.1},
    {"pool": {"kind": "average", "kernel": 3, "stride": 1, "count_include_pad": True}},
]


def network(*more: Any, symmetry: str = "none") -> nn.Module:
    arch = {
        "input": [3, 16, 16],
        "stages": {"c1": {"block": {"layers": [*LAYERS, *more]}, "width": 16, "repeats": 2}},
        "head": {"classes": 4},
        "symmetry": symmetry,
    }
    made = check(load_design(arch), "none")
    built = build(made.design)
    assert sum(one.numel() for one in built.parameters()) == made.footprint.parameters
    return built


def test_a_network_of_pairs_gives_the_same_for_a_mirrored_image() -> None:
    made, images = network(symmetry="flip").eval(), normal(4, 3, 16, 16)
    for name, values in made.named_parameters():
        if "scale" in name or "norm" in name:
            nn.init.uniform_(values)
    # Windows of 4 px lie in the middle of what the stride of 2 merges.
    torch.testing.assert_close(made(images.flip(3)), made(images))
    torch.testing.assert_close(untied(made)(images), made(images))


@pytest.mark.parametrize("symmetry", ["none", "flip"])
def test_gradients_are_those_of_the_other_memory_format(symmetry: str) -> None:
    made, images = network(symmetry=symmetry), normal(4, 3, 16, 16)
    found: list[list[Tensor]] = []
    for layout in (torch.contiguous_format, torch.channels_last):
        copied = images.clone(memory_format=layout).requires_grad_()
        torch.manual_seed(0)
        made.to(memory_format=layout).zero_grad()
        made(copied).square().sum().backward()
        found.append([copied.grad, *(one.grad.clone() for one in made.parameters() if one.grad is not None)])  # type: ignore[list-item]
    assert len(found[0]) == 1 + len(list(made.parameters()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("symmetry", ["none", "flip"])
def test_an_exported_network_is_the_same(symmetry: str, tmp_path: Path) -> None:
    made = (network(ATTENTION) if symmetry == "none" else network(symmetry="flip")).eval()
    images = normal(5, 3, 16, 16).numpy()
    file = tmp_path / "net.pt2"
    write_torch_export(made, images[:2], file, json.dumps({}))
    found = compare(as_function(made), read_torch_export(file), images, batch_size=2)
    assert (found.same, found.images) == (5, 5)
    assert found.relative < TOLERANCE


def test_an_onnx_file_is_the_same(tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package, reason="the extra `export` is not installed")
    made, images = network(ATTENTION).eval(), normal(5, 3, 16, 16).numpy()
    write_onnx(made, images[:2], tmp_path / "net.onnx", {})
    found = compare(as_function(made), read_onnx(tmp_path / "net.onnx"), images, batch_size=2)
    assert (found.same, found.images) == (5, 5)
    assert found.relative < TOLERANCE


@pytest.mark.parametrize("symmetry", ["none", "flip"])
def test_a_recorded_step_is_the_step_with_its_own_draws(symmetry: str) -> None:
    plain, recorded = (network(symmetry=symmetry) for _ in range(2))
    recording: Recording | None = None
    for step in range(3):
        images, labels = normal(4, 3, 16, 16), torch.arange(4)
        torch.manual_seed(step)  # for the drop paths
        value, _ = loss_of(plain)(images, labels)
        value.backward()
        torch.manual_seed(step)
        if recording is None:
            recording = Recording(loss_of(recorded), recorded, images, labels)
            found = recording.results
            assert recording.unrepeatable is None
        else:
            found = recording.replay(images, labels)
        assert torch.equal(found[0], value)
        for one, other in zip(recorded.parameters(), plain.parameters(), strict=True):
            assert one.grad is not None
            assert other.grad is not None
            assert torch.equal(one.grad, other.grad)
            one.grad = other.grad = None


def loss_of(made: nn.Module) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    def loss(images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        logits_BK = made(images_BCHW)
        return functional.cross_entropy(logits_BK, labels_B), (logits_BK.argmax(1) == labels_B).sum()

    return loss


def test_a_compiled_network_is_the_same() -> None:
    made, images = network(ATTENTION).eval(), normal(2, 3, 16, 16)
    compiled = torch.compile(made, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), made(images))

"""Tied weights: a mirrored image gives mirrored maps, by any layer, and half of the weights are kept."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsearch.library import build, check, load_design
from archsearch.network.initialise import initialise
from archsearch.network.symmetry import Folded, PairedBoth, PairedColumns, PairedRows, free_weights, tie, untied

GENERATOR = torch.Generator().manual_seed(0)
BRANCHES = {"a": [{"conv": {"out": "out // 2"}}], "b": [{"conv": {"out": "out // 2", "kernel": 1, "bias": True}}]}


def mirrored(images_BCHW: Tensor) -> Tensor:
    """Return maps of pairs as those of the mirrored images should be."""
    return images_BCHW.flip(3).roll(images_BCHW.shape[1] // 2, 1)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR)


@pytest.mark.parametrize(("out", "groups", "kernel"), [(6, 1, 3), (16, 4, 3), (8, 8, 3), (16, 8, 1), (10, 2, 2)])
def test_pairs_give_pairs(out: int, groups: int, kernel: int) -> None:
    conv = nn.Conv2d(8, out, kernel, groups=groups)
    tie(conv, "pairs")
    initialise(conv, scheme="torch", generator=GENERATOR)
    images = normal(2, 8, 5, 6)
    torch.testing.assert_close(conv(mirrored(images)), mirrored(conv(images)))
    assert sum(one.numel() for one in conv.parameters()) == (out * 8 // groups * kernel**2 + out) // 2


def test_images_give_pairs_and_pairs_give_plain_values() -> None:
    lift, project = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 3)
    tie(lift, "lift")
    tie(project, "project")
    images = normal(2, 3, 7, 8)
    torch.testing.assert_close(lift(images.flip(3)), mirrored(lift(images)))
    torch.testing.assert_close(project(lift(images.flip(3))), project(lift(images)).flip(3))
    assert project.bias is not None
    assert project.bias.shape == (5,)


@pytest.mark.parametrize("shape", [(6, 8, 3, 3), (6, 8), (4, 2, 3, 2)])
def test_even_and_odd_are_the_weights_in_another_orthonormal_basis(shape: tuple[int, ...]) -> None:
    paired = PairedBoth()
    halves = normal(shape[0] // 2, shape[1] // 2, *shape[2:]), normal(shape[0] // 2, shape[1] // 2, *shape[2:])
    whole = paired(*halves)
    assert whole.shape == shape
    for again, half in zip(paired.right_inverse(whole), halves, strict=True):
        torch.testing.assert_close(again, half)
    torch.testing.assert_close(whole.square().sum(), 2 * sum(half.square().sum() for half in halves))


@pytest.mark.parametrize("kind", [PairedRows(), PairedColumns()])
def test_halves_come_back(kind: nn.Module) -> None:
    half = normal(4, 6, 3, 3)
    torch.testing.assert_close(kind.right_inverse(kind(half)), half)  # type: ignore[operator]


def network(**changes: Any) -> nn.Module:
    """Return a network whose strided windows lie in the middle of what they halve."""
    arch = {
        "name": "a",
        "input": [3, 16, 16],
        "stem": {"block": "strided", "out": 16, "kernel": 4, "act": "silu"},
        "stages": {
            "c1": {"block": "squeeze_excite", "width": 16, "repeats": 2, "reduction": 2},
            "c2": {"block": "bottleneck", "width": 32, "repeats": 1},
            "c3": {
                "block": "depthwise",
                "width": 32,
                "repeats": 2,
                "dilation": 2,
                "entry": {"block": "strided", "kernel": 4, "dilation": 1},
            },
            "c4": {"block": {"layers": [{"parallel": {"combine": "concat", "branches": BRANCHES}}]}, "width": 12},
            "c5": {"block": "inverted", "width": 12},
        },
        "head": {"classes": 10},
        "symmetry": "flip",
        **changes,
    }
    design = check(load_design(arch), "none")
    made = build(design.design)
    assert sum(one.numel() for one in made.parameters()) == design.footprint.parameters
    return made


def test_a_whole_network_gives_the_same_for_a_mirrored_image() -> None:
    made = network().train()
    images = normal(4, 3, 16, 16)
    made(images)  # running statistics other than those of the beginning
    made.eval()
    torch.testing.assert_close(made(images.flip(3)), made(images))
    plain = network(symmetry="none").eval()
    assert (plain(images.flip(3)) - plain(images)).abs().max() > 1e-2


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_parameters_lie_densely_in_memory(layout: torch.memory_format) -> None:
    made = network().to(memory_format=layout)
    for name, weight in made.named_parameters():  # fused optimizers take their values as they lie
        assert weight.is_contiguous() or weight.is_contiguous(memory_format=torch.channels_last), name
        assert weight.untyped_storage().nbytes() == 4 * weight.numel(), name


def test_the_plain_copy_computes_the_same_and_leaves_the_original_alone() -> None:
    made = network().train()
    images = normal(4, 3, 16, 16)
    made(images)
    plain = untied(made.eval())
    torch.testing.assert_close(plain(images), made(images))
    assert not any(name.startswith("parametrizations") for name, _ in plain.named_modules())
    assert {type(module) for module in plain.modules() if isinstance(module, nn.Conv2d)} <= {
        type(module).__base__ if hasattr(module, "parametrizations") else type(module) for module in made.modules()
    }
    assert made.state_dict().keys() == network().state_dict().keys()
    assert sum(one.numel() for one in plain.parameters()) > sum(one.numel() for one in made.parameters())


def test_a_copy_is_trained_on_its_own() -> None:
    made = network()
    other = copy.deepcopy(made)
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    assert made(normal(2, 3, 16, 16)).abs().max() > 0


def test_free_weights_are_what_an_optimizer_steps() -> None:
    tied, plain = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
    tie(tied, "pairs")
    assert free_weights(plain) == [plain.weight]
    assert [tuple(one.shape) for one in free_weights(tied)] == [(4, 4, 3, 3)] * 2


@pytest.mark.parametrize("scheme", ["kaiming", "xavier", "torch", "dirac"])
def test_weights_are_drawn_as_untied_ones_are(scheme: Any) -> None:
    spreads: list[float] = []
    for symmetry in ("none", "pairs"):
        conv = nn.Conv2d(64, 64, 3, bias=False)
        if symmetry == "pairs":
            tie(conv, "pairs")
        initialise(conv, scheme=scheme, generator=torch.Generator().manual_seed(0))
        spreads.append(conv.weight.std().item())
        if scheme == "dirac":
            images = normal(1, 64, 5, 5)
            torch.testing.assert_close(conv(images), images[:, :, 1:-1, 1:-1])
    assert spreads[1] == pytest.approx(spreads[0], rel=0.03)


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

"""Shipped networks against their authors': the same parameters, MACs and logits with the same weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from archsearch.library import build, check


class Permuted(nn.Module):
    """nn.LayerNorm over the channels of every position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Quarters(nn.Module):
    """A block of `tiniest`, in torch's own layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        part = channels // 4
        self.small = nn.Conv2d(part, part, 3, padding="same", groups=part)
        self.large = nn.Conv2d(part, part, 7, padding="same", groups=part)
        self.dilated = nn.Conv2d(part, part, 7, padding="same", dilation=3, groups=part)
        self.norm = Permuted(channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        same, small, large, dilated = x.chunk(4, 1)
        means = functional.avg_pool2d(dilated, 3, 1, 1)
        mixed = self.norm(torch.cat([same, self.small(small), self.large(large), self.dilated(means)], 1))
        gate, value = self.widen(mixed).chunk(2, 1)
        return self.project(torch.tanh(torch.exp(gate)) * gate * value) + x * self.scale


def tiniest() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 48, 3, padding=1),
        Permuted(48),
        *(Quarters(48) for _ in range(3)),
        nn.Conv2d(48, 80, 4, groups=16, stride=2, padding=1),
        Permuted(80),
        *(Quarters(80) for _ in range(3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(80, 10),
    )


PARTS = {
    "residual.main.scales.small.conv": "small",
    "residual.main.scales.large.conv": "large",
    "residual.main.scales.dilated.conv": "dilated",
    "residual.main.norm": "norm.norm",
    "residual.main.widen": "widen",
    "residual.main.project": "project",
}


def keys_of_tiniest() -> dict[str, str]:
    """Return the author's path of every layer by ours, without those of the learnt residual weights."""
    keys = {"stem.conv": "0", "stem.norm": "1.norm", "stages.c2.0.conv": "5", "stages.c2.0.norm": "6.norm"}
    blocks = {f"stages.c1.{i}": 2 + i for i in range(3)} | {f"stages.c2.{i}": 6 + i for i in range(1, 4)}
    for path, place in blocks.items():
        keys |= {f"{path}.{ours}": f"{place}.{theirs}" for ours, theirs in PARTS.items()}
        keys[f"{path}.residual.shortcut.scale"] = f"{place}"
    return {**keys, "head.linear": "12"}


def test_tiniest_is_its_authors_network() -> None:
    torch.manual_seed(0)
    theirs, found = tiniest().eval(), check("tiniest", "none")
    for values in theirs.parameters():  # nothing is zero or one
        nn.init.normal_(values, std=0.3)
    ours, state = build(found.design).eval(), theirs.state_dict()
    copied: dict[str, Tensor] = {}
    for path, place in keys_of_tiniest().items():
        if path.endswith("scale"):
            copied[f"{path}.weight"] = state[f"{place}.scale"].flatten()
        else:
            copied |= {f"{path}.{name}": state[f"{place}.{name}"] for name in ("weight", "bias")}
    ours.load_state_dict(copied)
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        expected = theirs(images)
    with torch.no_grad():
        logits = ours(images)
    assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert found.footprint.parameters == sum(one.numel() for one in theirs.parameters()) == 97_530
    assert 3 * 2 * found.footprint.macs == counter.get_total_flops()
    assert found.footprint.macs == 43_878_176

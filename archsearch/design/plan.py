"""The plan: a network as a tree of primitive layers, the one truth that analysis and torch both read.

A plan is fully resolved (every number is known) and says nothing about where it came from.
This module imports the standard library only.

`Sequence` nests, and a layer's path (`stages.c2.1.conv`) is the names down to it joined by dots:
the key of its row in the analysis and of its weights in the state dict alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NormKind = Literal["batch", "group", "layer", "instance"]
ActivationKind = Literal[
    "relu", "relu6", "leaky_relu", "elu", "silu", "gelu", "mish", "hardswish", "sigmoid", "hardsigmoid", "tanh"
]
Combine = Literal["add", "concat", "multiply"]
Symmetry = Literal["none", "lift", "pairs", "project"]
"""How a layer's weights are tied so that a mirrored input gives a mirrored output (docs/language.md, "Symmetry").

Channels c and c + C / 2 are a pair, each the other's for the mirror image. `lift` makes pairs of an image's plain
channels, `pairs` takes and makes pairs, `project` makes plain values of pairs.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv:
    """A square 2-d convolution; `padding` is (before, after) on both axes and may be uneven."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    padding: tuple[int, int] = (0, 0)
    bias: bool = False
    symmetry: Symmetry = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A normalisation with one scale and one shift a channel; `groups` counts for kind 'group' alone.

    With symmetry `pairs` both channels of a pair share them, and their statistics; groups are then those of the pairs.
    """

    name: str
    kind: NormKind
    channels: int
    groups: int = 1
    symmetry: Symmetry = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """An elementwise non-linearity without parameters."""

    name: str
    kind: ActivationKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout:
    """Dropout with probability `rate`: of single elements, or of whole channels."""

    name: str
    rate: float
    channelwise: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A max or average pooling window; padded positions never win a max and do not count in an average."""

    name: str
    kind: Literal["max", "average"]
    kernel: int
    stride: int
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPool:
    """Reduction of every channel's map to one value: (C, H, W) to (C, 1, 1)."""

    name: str
    kind: Literal["max", "average"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A dense layer over the flattened map: (C, H, W) to (out_features, 1, 1)."""

    name: str
    in_features: int
    out_features: int
    bias: bool = True
    symmetry: Symmetry = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Layers one after another; empty means the identity."""

    name: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """Branches over the same input, added, concatenated along channels, or multiplied.

    A residual is `add` over the branches `main` and `shortcut`. In `multiply` a branch that ends
    in one value a channel (squeeze and excitation) is spread over the map. A `concat` of symmetry
    `pairs` keeps the pairs of its branches as pairs.
    """

    name: str
    branches: tuple[Sequence, ...]
    combine: Combine
    symmetry: Symmetry = "none"


Layer = Conv | Norm | Activation | Dropout | Pool | GlobalPool | Linear | Sequence | Parallel


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A network: the input's shape (C, H, W) and the tree `stem`, `stages`, `head` below `layers`.

    The head's logits leave as (classes, 1, 1); the network gives them as (B, K).
    """

    input_shape: tuple[int, int, int]
    layers: tuple[Sequence, ...]

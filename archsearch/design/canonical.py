"""Canonical plans: what makes two designs the same network, and the `design_id` that says so.

Names, nesting and layers that do nothing do not count; nor does the order of branches that are
added or multiplied. Imports the standard library and `design.plan` only.
"""

from __future__ import annotations

import hashlib
from typing import assert_never

from archsearch.design.plan import (
    Activation,
    Conv,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    Norm,
    Parallel,
    Plan,
    Pool,
    Sequence,
)


def design_id(plan: Plan) -> str:
    """Return 16 hexadecimal digits that equal networks share (SHA-256 of the canonical text)."""
    return hashlib.sha256(canonical_text(plan).encode()).hexdigest()[:16]


def canonical_text(plan: Plan) -> str:
    """Return `plan` as text without names, nesting and layers that do nothing."""
    return f"{plan.input_shape}:{_sequence(plan.layers)}"


def _sequence(layers: tuple[Layer, ...]) -> str:
    return ";".join(text for layer in layers if (text := _layer(layer)))


def _layer(layer: Layer) -> str:
    match layer:
        case Conv(in_channels=i, out_channels=o, kernel=k, stride=s, dilation=d, groups=g, padding=p, bias=b):
            return f"conv{i},{o},{k},{s},{d if k > 1 else 1},{g},{p[0]},{p[1]},{b:d}{_tied(layer)}"
        case Norm(kind=kind, channels=channels, groups=groups):
            return f"{kind}{channels},{groups}{_tied(layer)}"
        case Activation(kind=kind):
            return kind
        case Dropout(rate=rate, channelwise=channelwise):
            return f"drop{rate},{channelwise:d}" if rate else ""
        case Pool(kind=kind, kernel=k, stride=s, padding=p):
            return "" if k == s == 1 and p == (0, 0) else f"{kind}{k},{s},{p[0]},{p[1]}"
        case GlobalPool(kind=kind):
            return f"global{kind}"
        case Linear(in_features=i, out_features=o, bias=b):
            return f"linear{i},{o},{b:d}{_tied(layer)}"
        case Sequence(layers=inner):
            return _sequence(inner)
        case Parallel(branches=branches, combine=combine):
            texts = [_sequence(branch.layers) for branch in branches]
            if combine != "concat":
                texts.sort()
            return f"{combine}({'|'.join(texts)}){_tied(layer)}"
        case _:
            assert_never(layer)


def _tied(layer: Conv | Norm | Linear | Parallel) -> str:
    return "" if layer.symmetry == "none" else f",{layer.symmetry}"

"""Flip symmetry: the layers of a plan told how their weights are tied, so that mirrored images give mirrored maps.

A network of `arch.symmetry: flip` is equivariant to the mirroring of its images left to right: a group convolution
network (Cohen and Welling, ICML 2016) of the group of two elements. Its maps hold pairs of channels, c and c + C / 2;
of a mirrored image each is the mirror image of what the other was. Half of the weights say the rest.

Imports the standard library, `errors` and the plan only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from archsearch.design.plan import Conv, Layer, Linear, Norm, Parallel, Sequence
from archsearch.errors import SpecError

MapKind = Literal["plain", "image", "pairs"]
"""What a map's channels are: of a network without symmetry, of an image that nothing has lifted yet, or pairs."""


def first_map(symmetry: Literal["none", "flip"]) -> MapKind:
    """Return the kind of the map that enters a design of `symmetry`."""
    return "plain" if symmetry == "none" else "image"


def tied(layers: tuple[Layer, ...], kind: MapKind) -> tuple[tuple[Layer, ...], MapKind]:
    """Return `layers`, which are given a map of `kind`, with their symmetries, and the kind of the map they make."""
    if kind == "plain":
        return layers, kind
    made: list[Layer] = []
    for layer in layers:
        one, kind = _tied_layer(layer, kind)
        made.append(one)
    return tuple(made), kind


def tied_head(layers: tuple[Layer, ...], kind: MapKind) -> tuple[Layer, ...]:
    """Return the layers of a head with their symmetries: the last convolution or dense layer makes plain values.

    Raises `SpecError` where none can.
    """
    if kind == "plain":
        return layers
    for index in reversed(range(len(layers))):
        layer = layers[index]
        if isinstance(layer, Conv | Linear):
            before, after = tied(layers[:index], kind)
            last = replace(layer, symmetry="project") if after == "pairs" else layer
            return (*before, last, *layers[index + 1 :])
        if isinstance(layer, Sequence | Parallel):
            break
    made, after = tied(layers, kind)
    if after == "image":
        return made
    raise SpecError(
        "arch.head",
        "with arch.symmetry=flip it ends in pairs of channels, which no layer makes classes of",
        "Set arch.head.linear=true, or end arch.head.layers with a 1x1 convolution to the classes.",
    )


def _tied_layer(layer: Layer, kind: MapKind) -> tuple[Layer, MapKind]:
    match layer:
        case Conv() | Linear():
            return replace(layer, symmetry="lift" if kind == "image" else "pairs"), "pairs"
        case Norm() if kind == "pairs":
            return replace(layer, symmetry="pairs"), kind
        case Sequence(layers=inner):
            made, kind = tied(inner, kind)
            return replace(layer, layers=made), kind
        case Parallel():
            return _tied_parallel(layer, kind)
        case _:
            return layer, kind


def _tied_parallel(parallel: Parallel, kind: MapKind) -> tuple[Layer, MapKind]:
    branches: list[Sequence] = []
    kinds: list[MapKind] = []
    for branch in parallel.branches:
        made, after = tied(branch.layers, kind)
        branches.append(replace(branch, layers=made))
        kinds.append(after)
    ends = set(kinds)
    if len(ends) > 1:
        plain = parallel.branches[kinds.index("image")].name
        what = (
            f"with arch.symmetry=flip its branch '{plain}' passes the image on, while another makes pairs of channels"
        )
        raise SpecError(parallel.name, what, f"Give '{plain}' a convolution, or the network a stem.")
    after = kinds[0] if kinds else kind
    joins = parallel.combine == "concat" and after == "pairs"
    return replace(parallel, branches=tuple(branches), symmetry="pairs" if joins else "none"), after

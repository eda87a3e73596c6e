"""The plan: a network as a tree of primitive layers, from which both the analysis and the torch module are made.

A plan is fully resolved (every number is known) and independent of the YAML that it came from. A layer's path
(`stages.c2.1.conv`) joins the names down to it by dots; it is the key of its row in the analysis and of its weights in
the state dict. Imports the standard library, `errors` and the layers only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Listed
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Literal, NamedTuple, NoReturn

from archsearch.design.geometry import Shape, shape_text
from archsearch.design.layers import Activation, Clamp, Conv, MapKind, Norm, Primitive, Symmetry, Trait, tie_text
from archsearch.errors import ChannelsError, SpecError

Combine = Literal["add", "concat", "multiply", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Layers in sequence; an empty sequence is the identity."""

    name: str
    layers: tuple[Layer, ...]

    def channels_after(self, channels: int) -> int:
        """Return the number of output channels for an input of `channels`."""
        for layer in self.layers:
            channels = layer.channels_after(channels)
        return channels

    @property
    def total_stride(self) -> int | Fraction:
        """The product of the strides."""
        return prod(layer.total_stride for layer in self.layers)

    def tied(self, kind: MapKind) -> tuple[Sequence, MapKind]:
        """Return the sequence tied for `symmetry: flip` and an input of `kind`, and the kind of its output."""
        layers, kind = tie_layers(self.layers, kind)
        return replace(self, layers=layers), kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """Branches over the same input, added, averaged, concatenated along channels, or multiplied.

    A residual is `add` over the branches `main` and `shortcut`. In `multiply`, a branch with one value per channel
    (squeeze and excitation) is broadcast over all positions, and one with a single channel (spatial attention) over
    the channels. A `concat` with symmetry `pairs` keeps the pairs of its branches.
    """

    name: str
    branches: tuple[Sequence, ...]
    combine: Combine
    symmetry: Symmetry = "none"

    def merged_shape(self, shapes: Listed[Shape], path: str) -> Shape:
        """Return the shape of the merge of branches with `shapes`; raises `SpecError` that names two that do not match.

        `add` and `mean` need equal shapes, `concat` equal heights and widths. In `multiply`, each branch has the shape
        of the largest one, but may be 1 x 1 or have one channel.
        """
        if not shapes:
            raise SpecError(path, "has no branches", "Add at least one.")
        first = shapes[0]
        if self.combine == "concat":
            for i, shape in enumerate(shapes):
                if shape[1:] != first[1:]:
                    self._reject_branches(0, i, shapes, path)
            return sum(shape[0] for shape in shapes), first[1], first[2]
        if shapes.count(first) == len(shapes):  # most merges
            return first
        whole = 0
        if self.combine == "multiply":
            whole = max(range(len(shapes)), key=lambda i: (shapes[i][1] * shapes[i][2], shapes[i][0]))
            first = shapes[whole]
        for i, shape in enumerate(shapes):
            spread = self.combine == "multiply" and shape[0] in (1, first[0]) and shape[1:] in ((1, 1), first[1:])
            if shape != first and not spread:
                self._reject_branches(min(whole, i), max(whole, i), shapes, path)
        return first

    def channels_after(self, channels: int) -> int:
        """Return the number of output channels for an input of `channels`."""
        ends = [branch.channels_after(channels) for branch in self.branches]
        return sum(ends) if self.combine == "concat" else max(ends)

    @property
    def total_stride(self) -> int | Fraction:
        """The largest stride of the branches."""
        return max(branch.total_stride for branch in self.branches)

    def traits(self) -> tuple[Trait, ...]:
        """Return the traits of the merge itself; a sum or mean with a shortcut branch is a residual."""
        if len(self.branches) < 2:
            return ()
        if self.combine in ("add", "mean") and any(map(_is_shortcut, self.branches)):
            return ("residual",)
        return ("gate",) if self.combine == "multiply" else ()

    def flattened(self) -> Parallel:
        """Return the merge with the branches of nested merges that it `continues` as its own; paths do not change."""
        if not any(map(_may_be_merge, self.branches)):  # most merges
            return self
        branches: list[Sequence] = []
        for branch in self.branches:
            acting = _acting(branch.layers, branch.name)
            only, path = next(acting, (None, ""))
            if isinstance(only, Parallel) and self.continues(only) and next(acting, None) is None:
                branches += [
                    Sequence(name=f"{path}.{one.name}", layers=one.layers) for one in only.flattened().branches
                ]
            else:
                branches.append(branch)
        return self if len(branches) == len(self.branches) else replace(self, branches=tuple(branches))

    def continues(self, inner: Parallel) -> bool:
        """Return whether the branches of `inner`, the only layer of a branch, could be branches of this merge."""
        return inner.combine == self.combine != "mean" and inner.symmetry == self.symmetry

    def tied(self, kind: MapKind) -> tuple[Parallel, MapKind]:
        """Return the merge tied for `symmetry: flip` and an input of `kind`, and the kind of its output."""
        made = [branch.tied(kind) for branch in self.branches]
        kinds: list[MapKind] = [after for _, after in made]
        if len(set(kinds)) > 1:
            plain = self.branches[kinds.index("image")].name
            what = f"arch.symmetry=flip: branch '{plain}' outputs an image, another outputs pairs of channels"
            raise SpecError(self.name, what, f"Add a convolution to '{plain}', or a stem to the network.")
        after = kinds[0] if kinds else kind
        joins = self.combine == "concat" and after == "pairs"
        branches = tuple(branch for branch, _ in made)
        return replace(self, branches=branches, symmetry="pairs" if joins else "none"), after

    def _reject_branches(self, one: int, other: int, shapes: Listed[Shape], path: str) -> NoReturn:
        verbs = {"add": "added", "mean": "averaged", "concat": "concatenated", "multiply": "multiplied"}
        verb = verbs[self.combine]
        names = self.branches[one].name, self.branches[other].name
        if shapes[one][1:] != shapes[other][1:]:
            fix = "Use the same strides in both, and padding that gives maps of equal size."
        else:
            fix = f"End '{names[1]}' with a 1x1 convolution to {shapes[one][0]} channels."
        kind = SpecError if shapes[one][1:] != shapes[other][1:] else ChannelsError
        texts = shape_text(shapes[one]), shape_text(shapes[other])
        what = f"branches '{names[0]}' ({texts[0]}) and '{names[1]}' ({texts[1]}) cannot be {verb}"
        raise kind(path, what, fix)


Layer = Primitive | Sequence | Parallel


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A network: the input shape (C, H, W), and the trees `stem`, `stages` and `head` in `layers`.

    The head outputs logits of shape (classes, 1, 1); the torch module returns them as (B, K).
    """

    input_shape: Shape
    layers: tuple[Sequence, ...]


def _may_be_merge(branch: Sequence) -> bool:
    """Return whether a branch may consist of a merge only: a fast check without false negatives."""
    first = branch.layers[0] if branch.layers else None
    return first is not None and (isinstance(first, Sequence) or isinstance(first, Parallel) or first.is_idle)  # noqa: SIM101 - a union takes as long again


def _acting(layers: Iterable[Layer], path: str) -> Iterator[tuple[Primitive | Parallel, str]]:
    """Yield the non-identity layers, with paths that start with `path`; merges of one branch are inlined."""
    for layer in layers:
        if isinstance(layer, Sequence):
            yield from _acting(layer.layers, f"{path}.{layer.name}")
        elif isinstance(layer, Parallel) and len(layer.branches) == 1:
            (only,) = layer.branches
            yield from _acting(only.layers, f"{path}.{layer.name}.{only.name}")
        elif isinstance(layer, Parallel) or not layer.is_idle:
            yield layer, f"{path}.{layer.name}"


def _is_shortcut(layer: Layer) -> bool:
    """Return whether a branch of a sum is an identity or a projection: only 1x1 convolutions, no activation or gate."""
    if isinstance(layer, Sequence):
        return all(map(_is_shortcut, layer.layers))
    if isinstance(layer, Parallel):
        return layer.combine != "multiply" and all(map(_is_shortcut, layer.branches))
    if isinstance(layer, Conv):
        return layer.longest == 1
    return not isinstance(layer, Activation | Clamp)


def shape_behind(layer: Layer, shape: Shape) -> Shape:
    """Return the output shape of `layer` for an input of `shape`; raises `SpecError` if it does not fit."""
    if isinstance(layer, Sequence):
        for inner in layer.layers:
            shape = shape_behind(inner, shape)
        return shape
    if isinstance(layer, Parallel):
        return layer.merged_shape([shape_behind(branch, shape) for branch in layer.branches], layer.name)
    return layer.output_shape(shape)


def primitives(layers: Iterable[Layer], prefix: str = "") -> Iterator[tuple[str, Primitive]]:
    """Yield the path, which starts with `prefix`, and the layer of every primitive layer below `layers`, in order."""
    for layer in layers:
        path = f"{prefix}{layer.name}"
        match layer:
            case Sequence():
                yield from primitives(layer.layers, f"{path}.")
            case Parallel():
                yield from primitives(layer.branches, f"{path}.")
            case _:
                yield path, layer


def canonical_text(plan: Plan) -> str:
    """Return the text that equal networks share: the simplest equivalent layers, without names and nesting.

    Raises `SpecError` if branches cannot be merged.
    """
    texts: list[str | _Merge] = []
    _add_texts(plan.layers, plan.input_shape, texts)
    return f"{plan.input_shape}:{_joined(texts)}"


class _Merge(NamedTuple):
    """The canonical text of a merge in parts: the kind, and the texts of the branches."""

    kind: tuple[Combine, Symmetry]
    branches: list[str]

    def text(self) -> str:
        """Return the text, which depends on the order of the branches only for `concat`."""
        combine, symmetry = self.kind
        texts = self.branches if combine == "concat" else sorted(self.branches)
        return f"{combine}({'|'.join(texts)}){tie_text(symmetry)}"


def _joined(texts: Iterable[str | _Merge]) -> str:
    return ";".join([one if isinstance(one, str) else one.text() for one in texts])


def _add_texts(layers: Iterable[Layer], shape: Shape, found: list[str | _Merge]) -> Shape:
    """Add to `found` the canonical texts of `layers`, without nesting or identities, for an input of `shape`.

    Returns the output shape.
    """
    for layer in layers:
        if isinstance(layer, Conv):
            found.append(layer.simplified(shape).canonical())
            shape = layer.shape_after(shape)
        elif isinstance(layer, Activation) or (isinstance(layer, Norm) and layer.kind == "batch"):
            found.append(layer.canonical())  # already the simplest, and the shape stays
        elif isinstance(layer, Sequence):
            shape = _add_texts(layer.layers, shape, found)
        elif isinstance(layer, Parallel):
            shape = _add_merge(layer, shape, found)
        else:
            plain = layer.simplified(shape)
            shape = layer.shape_after(shape)
            if plain is not None and (text := plain.canonical()):
                found.append(text)
    return shape


def _add_merge(parallel: Parallel, shape: Shape, found: list[str | _Merge]) -> Shape:
    if len(parallel.branches) == 1:
        end = _add_texts(parallel.branches[0].layers, shape, found)
        return parallel.merged_shape([end], parallel.name)
    kind = parallel.combine, parallel.symmetry
    texts: list[str] = []
    shapes: list[Shape] = []
    for branch in parallel.branches:
        inner: list[str | _Merge] = []
        shapes.append(_add_texts(branch.layers, shape, inner) if branch.layers else shape)
        if len(inner) == 1 and isinstance(only := inner[0], _Merge) and only.kind == kind and kind[0] != "mean":
            texts += only.branches
        else:
            texts.append(_joined(inner))
    found.append(_Merge(kind, texts))
    return parallel.merged_shape(shapes, parallel.name)


def design_id(plan: Plan) -> str:
    """Return 16 hexadecimal digits that equal networks share (SHA-256 of the canonical text)."""
    return hashlib.sha256(canonical_text(plan).encode()).hexdigest()[:16]


def tie_layers(layers: Iterable[Layer], kind: MapKind) -> tuple[tuple[Layer, ...], MapKind]:
    """Return `layers` tied for an input of `kind`, and the kind of their output."""
    if kind == "plain":
        return tuple(layers), kind
    made: list[Layer] = []
    for layer in layers:
        tied, kind = layer.tied(kind)
        made.append(tied)
    return tuple(made), kind

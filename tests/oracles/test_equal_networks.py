"""Equal networks are equal however they are spelled: ids, traits and footprints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import prod
from random import Random

import pytest
import torch

from archsearch.analysis.measure import measure
from archsearch.analysis.traits import read_traits
from archsearch.design.geometry import Shape
from archsearch.design.layers import Activation, Clamp, Conv, Dropout, GlobalPool, Linear, Norm, Pool, Scale
from archsearch.design.plan import Layer, Parallel, Plan, Sequence, design_id
from archsearch.design.resize import PaddingMode
from archsearch.errors import SpecError
from archsearch.network.assemble import assemble

Grow = Callable[[int], Plan]
SEEDS = range(300)


class Respeller:
    """Spells layers in another way: the same network, by what each kind of layer computes."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.shuffles = self.chance()
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def chance(self, probability: float = 0.5) -> bool:
        return self.random.random() < probability

    def layers(
        self, layers: tuple[Layer, ...], shape: Shape, *, in_branch: bool = False
    ) -> tuple[tuple[Layer, ...], Shape]:
        made: list[Layer] = []
        for layer in layers:
            if self.chance(0.3):
                made.append(self.idle(shape, in_branch))
            if isinstance(layer, Sequence):
                inner, shape = self.layers(layer.layers, shape, in_branch=in_branch)
                made += inner if self.chance() else [Sequence(name=self.name(), layers=inner)]
            elif isinstance(layer, Parallel):
                one, shape = self.parallel(layer, shape)
                made.append(one)
            else:
                made.append(self.leaf(layer, shape))
                shape = layer.output_shape(shape)
        if self.chance(0.3):
            made.append(self.idle(shape, in_branch))
        named = [replace(layer, name=self.name()) for layer in made]
        return tuple(named), shape

    def idle(self, shape: Shape, in_branch: bool) -> Layer:
        if shape[1:] == (1, 1) and not in_branch and self.chance():
            kernel = self.random.randint(1, 3)
            pads = (self.random.randint(0, kernel - 1), self.random.randint(0, kernel - 1))
            if sum(pads) >= kernel - 1 and self.chance():
                return Pool(name="idle", kind="max", kernel=kernel, stride=3, padding=pads)
            return GlobalPool(name="idle", kind=self.random.choice(["max", "average"]))
        return self.random.choice(
            [
                Dropout(name="idle", rate=0.0),
                Pool(name="idle", kind="average", kernel=1, stride=1),
                Sequence(name="idle", layers=()),
                Parallel(name="idle", branches=(Sequence(name="only", layers=()),), combine="add"),
            ]
        )

    def parallel(self, layer: Parallel, shape: Shape) -> tuple[Parallel, Shape]:
        made = [self.layers(branch.layers, shape, in_branch=True) for branch in layer.branches]
        after = layer.merged_shape([end for _, end in made], "")
        branches = [Sequence(name=self.name(), layers=layers) for layers, _ in made]
        if layer.combine != "concat" and self.shuffles:
            self.random.shuffle(branches)
        if len(branches) > 2 and layer.combine != "mean" and self.chance(0.7):
            first = self.random.choice([0, 1])
            inner = Parallel(name="inner", branches=tuple(branches[first : first + 2]), combine=layer.combine)
            branches[first : first + 2] = [Sequence(name=self.name(), layers=(inner,))]
        return replace(layer, branches=tuple(branches)), after

    def leaf(self, layer: Layer, shape: Shape) -> Layer:
        other = layer
        match layer:
            case Linear() if shape[1] == shape[2]:
                kernel, stride = shape[1], self.random.choice([1, 2, shape[1]])
                other = Conv(
                    name="as_conv",
                    in_channels=shape[0],
                    out_channels=layer.out_features,
                    kernel=kernel,
                    stride=stride,
                    bias=layer.bias,
                )
            case Conv(groups=1) if layer.covers(shape):
                features, classes = prod(shape), layer.out_channels
                other = Linear(name="as_linear", in_features=features, out_features=classes, bias=layer.bias)
            case GlobalPool() if shape[1] == shape[2]:
                kernel, before = self.random.choice([(shape[1], 0), (shape[1] + 2, 1)])
                other = Pool(name="as_window", kind=layer.kind, kernel=kernel, stride=5, padding=(before, before))
            case Norm(kind="layer") if shape[1:] == (1, 1) and self.chance():
                other = replace(layer, kind="channel")
            case Norm(kind="layer"):
                other = replace(layer, kind="group", groups=1)
            case Activation(kind="relu6"):
                other = Clamp(name="clamp", low=0.0, high=6.0)
            case Scale(channels=1):
                other = replace(layer, per="layer" if layer.per == "channel" else "channel")
            case Pool(kind="max"):
                other = replace(layer, counts_padding=True)
            case Norm(kind="instance"):
                other = replace(layer, kind="group", groups=layer.channels)
            case Conv() if layer.longest == 1:
                other = replace(layer, dilation=3)
            case Conv(padding=(0, 0)) if type(layer) is Conv and self.chance():
                modes: list[PaddingMode] = ["reflect", "replicate", "circular"]
                other = layer.with_windows(layer.kernel, layer.sides, self.random.choice(modes))
            case Conv() | Pool() if layer.stride > 1:
                other = with_rest(layer, shape)
            case _:
                pass
        return other if self.chance(0.7) else layer


def with_rest(layer: Conv | Pool, shape: Shape) -> Layer:
    """Return `layer` with more or less padding in a rest of the map that fills no window."""
    other, (before, after) = layer, layer.padding
    for more in (after + 1, max(after - 1, 0)):
        changed = replace(layer, padding=(before, more))
        fits = isinstance(layer, Conv) or more < layer.kernel
        with suppress(SpecError):  # less padding than the window needs, or more than the map can be mirrored by
            if fits and changed.output_shape(shape) == layer.output_shape(shape):
                other = changed
    return other


def respelled(plan: Plan, seed: int) -> tuple[Plan, bool]:
    """Return `plan` in another spelling, and whether its branches run in the same order."""
    speller = Respeller(seed)
    layers, _ = speller.layers(plan.layers, plan.input_shape)
    return replace(plan, layers=(Sequence(name="stages", layers=layers),)), not speller.shuffles


@pytest.mark.parametrize("first", range(0, len(SEEDS), 50))
def test_they_have_the_same_id_traits_and_footprint(first: int, random_plan: Grow) -> None:
    changed = 0
    for seed in SEEDS[first : first + 50]:
        plan = random_plan(seed)
        other, in_order = respelled(plan, seed)
        changed += plan != other
        assert design_id(plan) == design_id(other), seed
        assert read_traits(plan) == read_traits(other), seed
        one, two = measure(plan), measure(other)
        assert not in_order or one.peak_bytes == two.peak_bytes, seed
        for name in ("parameters", "macs", "activations", "receptive_field", "output_shape"):
            assert getattr(one, name) == getattr(two, name), (seed, name)
    assert changed == 50


@pytest.mark.parametrize("first", range(0, len(SEEDS), 50))
def test_they_compute_the_same(first: int, random_plan: Grow) -> None:
    compared = 0
    for seed in SEEDS[first : first + 50]:
        plan = random_plan(seed)
        other, in_order = respelled(plan, seed)
        if not in_order:
            continue
        compared += 1
        one, two = assemble(plan).double().eval(), assemble(other).double().eval()
        state, known = list(one.state_dict().values()), two.state_dict()
        two.load_state_dict(
            {key: value.reshape(own.shape) for (key, own), value in zip(known.items(), state, strict=True)}
        )
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(2, *plan.input_shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            torch.testing.assert_close(one(images), two(images), rtol=1e-9, atol=1e-9)
    assert compared > 15

"""Random plans over the whole of the plan's language, from a seed; knows shapes by itself, not through analysis."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import get_args

import pytest

from archsearch.design.layers import (
    Activation,
    BlurPool,
    ChannelPool,
    Clamp,
    Conv,
    Dropout,
    DropPath,
    GlobalPool,
    Linear,
    Narrow,
    Norm,
    Pad,
    PadChannels,
    Pool,
    Scale,
    Shuffle,
    Upsample,
)
from archsearch.design.plan import Combine, Layer, Parallel, Plan, Sequence
from archsearch.design.pointwise import ActivationKind, NormKind
from archsearch.design.resize import PaddingMode

sys.path.insert(0, str(Path(__file__).parent))  # for the module that these tests share
CLASSES = 3


@dataclass
class Grower:
    """Grows layers one after another and remembers channels C and the side N of the square map."""

    random: Random
    channels: int
    side: int
    strides: int = 1

    def pick(self, *choices: int) -> int:
        return self.random.choice(choices)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def conv(self, name: str, *, out: int | None = None, stride: int = 1, same: bool = True, kernel: int = 0) -> Conv:
        """A convolution of random kernel, dilation, groups; `same`: padding, split anyhow, keeps ceil(N / stride)."""
        if not kernel and self.chance(0.25):
            return self.general_conv(name, out=out, stride=stride, same=same)
        kernel = kernel or self.pick(1, 1, 2, 3, 3, 3, 4, 5)
        dilation = self.pick(1, 1, 1, 2, 3) if kernel > 1 else 1
        span = dilation * (kernel - 1)
        before = self.random.randint(0, span)
        after = span - before if same else self.random.randint(max(0, span + 1 - before - self.side), span)
        out = out or self.pick(1, 2, 3, 4, 6)
        groups = self.random.choice([g for g in range(1, 7) if self.channels % g == out % g == 0])
        conv = Conv(
            name=name,
            in_channels=self.channels,
            out_channels=out,
            kernel=kernel,
            stride=stride,
            dilation=dilation,
            groups=groups,
            padding=(before, after),
            bias=self.chance(0.5),
        )
        self.channels, self.side = out, (self.side + before + after - span - 1) // stride + 1
        return conv

    def general_conv(self, name: str, *, out: int | None, stride: int, same: bool) -> Conv:
        """A convolution with a kernel and padding for each axis, and any border; the map stays a square."""
        kernels = self.pick(1, 1, 2, 3, 5), self.pick(1, 2, 3, 4)
        dilation = self.pick(1, 1, 2) if max(kernels) > 1 else 1
        spans = [dilation * (kernel - 1) for kernel in kernels]
        more = 0 if same else self.random.randint(1 - min(self.side, min(spans) + 1), 2)  # than keeps the map
        (top, bottom), (left, right) = (self.parts(span + more) for span in spans)
        mode: PaddingMode = self.random.choice(get_args(PaddingMode))
        if max(top, bottom, left, right) >= self.side:
            mode = "replicate"
        out = out or self.pick(1, 2, 3, 4, 6)
        groups = self.random.choice([g for g in range(1, 7) if self.channels % g == out % g == 0])
        conv = Conv(
            name=name,
            in_channels=self.channels,
            out_channels=out,
            kernel=kernels[0],
            stride=stride,
            dilation=dilation,
            groups=groups,
            bias=self.chance(0.5),
        ).with_windows(kernels[1], ((top, bottom), (left, right)), mode)
        self.channels, self.side = out, (self.side + more - 1) // stride + 1
        return conv

    def parts(self, total: int) -> tuple[int, int]:
        """`total` px on two sides."""
        first = self.random.randint(0, total)
        return first, total - first

    def pad(self, name: str) -> Pad:
        total = self.pick(1, 2, 3)
        rows, columns = self.parts(total), self.parts(total)
        mode = self.random.choice(get_args(PaddingMode))
        if max(*rows, *columns) >= self.side:
            mode = "replicate"
        self.side += total
        return Pad(name=name, rows=rows, columns=columns, mode=mode)

    def upsample(self, name: str) -> Layer:
        """A larger map, where it stays small; by odd factors not bilinear, which torch does not round to whole px."""
        factor = self.pick(2, 2, 3, 4)
        if self.side * factor > 16:
            return self.pointwise(name)
        self.side *= factor
        return Upsample(name=name, factor=factor, mode="bilinear" if factor != 3 and self.chance(0.6) else "nearest")

    def pool(self, name: str, *, stride: int = 1, same: bool = True) -> Layer:
        if self.side > 2 and self.chance(0.2):
            kernel = self.pick(2, 3, 4)
            self.side = -(-self.side // stride)
            return BlurPool(name=name, kernel=kernel, stride=stride, padding=((kernel - 1) // 2, kernel // 2))
        kernel = self.pick(1, 2, 3, 4)
        before = self.random.randint(0, kernel - 1)
        after = kernel - 1 - before if same else self.random.randint(max(0, kernel - before - self.side), kernel - 1)
        self.side = (self.side + before + after - kernel) // stride + 1
        kind = "max" if self.chance(0.5) else "average"
        counts = kind == "average" and self.chance(0.5)
        padding = before, after
        return Pool(name=name, kind=kind, kernel=kernel, stride=stride, padding=padding, counts_padding=counts)

    def norm(self, name: str) -> Layer:
        kind = self.random.choice(get_args(NormKind))
        groups = self.random.choice([g for g in range(1, 7) if self.channels % g == 0]) if kind == "group" else 1
        values = self.channels * self.side**2 // (self.channels if kind == "instance" else groups)
        if (kind != "batch" and values == 1) or (kind == "channel" and self.channels == 1):
            kind = "batch"
        eps = 1e-3 if self.chance(0.2) else 1e-5
        return Norm(name=name, kind=kind, channels=self.channels, groups=groups, eps=eps)

    def pointwise(self, name: str) -> Layer:
        """A layer that leaves the shape alone."""
        which = self.pick(0, 0, 1, 1, 2, 3)
        if which == 0:
            return self.norm(name)
        if which == 1:
            return Activation(name=name, kind=self.random.choice(get_args(ActivationKind)))
        if which == 2:
            return Dropout(name=name, rate=self.random.choice([0.0, 0.05, 0.5]), channelwise=self.chance(0.5))
        return self.rare(name)

    def rare(self, name: str) -> Layer:
        channels, init = self.channels, self.random.choice([1.0, 0.1])
        groups = self.random.choice([g for g in range(1, channels + 1) if channels % g == 0])
        per = "layer" if self.chance(0.3) else "channel"
        low, high = self.random.choice([(0.0, 6.0), (-1.0, 1.0)])
        return self.random.choice(
            [
                Scale(name=name, channels=channels, init=init, per=per, bias=self.chance(0.3)),
                Scale(name=name, channels=channels, init=-0.5, learnt=False),
                Shuffle(name=name, channels=channels, groups=groups),
                Clamp(name=name, low=low, high=high),
                DropPath(name=name, rate=self.random.choice([0.0, 0.2])),
            ]
        )

    def chain(self, name: str, *, out: int | None, stride: int, depth: int) -> Sequence:
        """A branch: layers of which the first window has the stride, ending in `out` channels."""
        layers: list[Layer] = [self.pointwise("before")] if self.chance(0.4) else []
        if self.chance(0.2):
            layers.append(self.pool("pool", stride=stride))
            stride = 1
        layers.extend(
            layer
            for i in range(self.pick(0, 1, 2))
            for layer in (self.conv(f"conv{i}", stride=stride if i == 0 else 1), self.pointwise(f"point{i}"))
        )
        stride = 1 if any(isinstance(layer, Conv) for layer in layers) else stride
        if depth < 2 and self.chance(0.3):
            layers.append(self.parallel("inner", stride=stride, depth=depth + 1))
            stride = 1
        if out is not None and self.channels < out and stride == 1 and self.chance(0.3):
            before = self.random.randint(0, out - self.channels)
            layers.append(PadChannels(name="pad", in_channels=self.channels, out_channels=out, before=before))
            self.channels = out
        if out not in (None, self.channels) or stride > 1:
            layers.append(self.conv("last", out=out, stride=stride))
        return Sequence(name=name, layers=tuple(layers))

    def gate(self) -> Sequence:
        """Squeeze and excitation: one value a channel, through dense layers or 1x1 convolutions."""
        channels, middle = self.channels, self.pick(1, 2, 4)
        if self.chance(0.5):
            squeeze: Layer = Linear(name="squeeze", in_features=channels, out_features=middle)
            excite: Layer = Linear(name="excite", in_features=middle, out_features=channels, bias=False)
        else:
            squeeze = Conv(name="squeeze", in_channels=channels, out_channels=middle, kernel=1, bias=True)
            excite = Conv(name="excite", in_channels=middle, out_channels=channels, kernel=1)
        pool = GlobalPool(name="pool", kind="max" if self.chance(0.3) else "average")
        act = Activation(name="act", kind="sigmoid")
        return Sequence(name="gate", layers=(pool, squeeze, Activation(name="mid", kind="silu"), excite, act))

    def spatial(self) -> Sequence:
        """Spatial attention: one value a position, of the channels' largest or mean."""
        pool = ChannelPool(name="pool", kind="max" if self.chance(0.5) else "average", channels=self.channels)
        self.channels = 1
        conv = self.conv("conv", out=1)
        return Sequence(name="spatial", layers=(pool, conv, Activation(name="act", kind="sigmoid")))

    def split(self, name: str, depth: int) -> Sequence:
        """Branches over parts of the channels, which a convolution has made of all: they see the same px."""
        sizes = [self.pick(1, 2, 3) for _ in range(self.pick(2, 2, 3))]
        total, side = sum(sizes), self.side
        mix = Conv(name="mix", in_channels=self.channels, out_channels=total, kernel=1)
        combine = self.random.choice(get_args(Combine))
        out = None if combine == "concat" else self.pick(1, 2, 4)
        branches: list[Sequence] = []
        ends = 0
        for i, size in enumerate(sizes):
            part = Narrow(name="split", in_channels=total, start=sum(sizes[:i]), out_channels=size)
            self.channels, self.side = size, side
            made = self.chain(f"part{i}", out=out, stride=1, depth=depth + 1)
            branches.append(Sequence(name=f"part{i}", layers=(part, *made.layers)))
            ends += self.channels
        self.channels, self.side = ends if combine == "concat" else self.channels, side
        return Sequence(name=name, layers=(mix, Parallel(name="parts", branches=tuple(branches), combine=combine)))

    def parallel(self, name: str, *, stride: int = 1, depth: int = 0) -> Parallel:
        combine = self.random.choice(get_args(Combine))
        channels, side = self.channels, self.side
        if combine == "multiply" and stride == 1 and self.chance(0.6):
            gate = self.gate() if self.chance(0.7) else self.spatial()
            self.channels, self.side = channels, side
            main = self.chain("main", out=channels, stride=1, depth=depth) if self.chance(0.3) else None
            branches = [main or Sequence(name="main", layers=()), gate]
            self.random.shuffle(branches)
            return Parallel(name=name, branches=tuple(branches), combine="multiply")
        out = None if combine == "concat" else self.pick(channels, 2, 4)
        branches = []
        total = 0
        for i in range(self.pick(1, 2, 2, 3)):
            self.channels, self.side = channels, side
            if stride == 1 and out in (None, channels) and self.chance(0.3):
                branches.append(Sequence(name=f"identity{i}", layers=()))
            else:
                branches.append(self.chain(f"branch{i}", out=out, stride=stride, depth=depth))
            total += self.channels
        self.side = -(-side // stride)
        if combine == "concat":
            self.channels = total
        self.random.shuffle(branches)
        return Parallel(name=name, branches=tuple(branches), combine=combine)

    def block(self, name: str) -> Sequence:
        layers: list[Layer] = []
        for i in range(self.pick(1, 2, 3)):
            which = self.pick(0, 0, 0, 1, 2, 2, 3, 4, 5, 6)
            stride = self.pick(1, 1, 1, 2, 3) if which < 2 else self.pick(1, 1, 2) if which == 2 else 1
            if stride * self.strides > 8:  # fields, and the images that the oracle needs for them, stay small
                stride = 1
            self.strides *= stride
            if which == 0:
                layers += [self.conv(f"conv{i}", stride=stride, same=False), self.pointwise(f"point{i}")]
            elif which == 1:
                layers.append(self.pool(f"pool{i}", stride=stride, same=False))
            elif which == 2:
                layers.append(self.parallel(f"parallel{i}", stride=stride))
            elif which == 6:
                layers.append(self.upsample(f"up{i}"))
            elif which == 5:
                layers.append(self.pad(f"pad{i}"))
            elif which == 4:
                layers.append(self.split(f"split{i}", depth=1))
            else:
                layers.append(Sequence(name=f"group{i}", layers=(self.pointwise("a"), self.conv("b"))))
        return Sequence(name=name, layers=tuple(layers))

    def head(self) -> Sequence:
        which = self.pick(0, 1, 2, 3, 3, 3)
        if which == 1:
            features = self.channels * self.side**2
            return Sequence(name="head", layers=(Linear(name="linear", in_features=features, out_features=CLASSES),))
        if which == 2:
            return Sequence(name="head", layers=(self.conv("conv", out=CLASSES), self.reduction("pool")))
        layers: list[Layer] = []
        if which == 3:  # layers of its own, then layers behind the pool
            layers += [self.conv("own"), self.pointwise("between")] if self.chance(0.5) else []
            layers += [self.pool("smooth")] if self.chance(0.3) else []
            layers.append(self.reduction("pool"))
            layers += [self.conv("hidden", kernel=1), self.pointwise("act")] if self.chance(0.5) else []
        else:
            layers.append(self.reduction("pool"))
        if self.chance(0.5):
            linear = Linear(name="linear", in_features=self.channels, out_features=CLASSES, bias=self.chance(0.5))
            return Sequence(name="head", layers=(*layers, linear))
        return Sequence(name="head", layers=(*layers, self.conv("classes", out=CLASSES, kernel=1)))

    def reduction(self, name: str) -> Layer:
        """A global pool, or a window that leaves one value: the whole map, or all but a rest of it."""
        side, self.side = self.side, 1
        kind = "average" if self.chance(0.7) else "max"
        if self.chance(0.4):
            return GlobalPool(name=name, kind=kind)
        kernel = self.random.randint(side // 2 + 1, side)
        return Pool(name=name, kind=kind, kernel=kernel, stride=self.random.choice([kernel, side]))


def grow_plan(seed: int) -> Plan:
    """Return the plan of `seed`: a body of one to four blocks, and a head."""
    random = Random(seed)
    channels, side = random.choice([1, 3, 4]), random.choice([5, 8, 13])
    grower = Grower(random=random, channels=channels, side=side)
    stages = tuple(grower.block(f"c{i}") for i in range(random.choice([1, 2, 2, 3])))
    body = Sequence(name="stages", layers=stages)
    return Plan(input_shape=(channels, side, side), layers=(body, grower.head()))


@pytest.fixture(scope="session")
def random_plan() -> Callable[[int], Plan]:
    return grow_plan

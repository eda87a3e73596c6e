"""The small networks whose steps are measured: each has mostly layers of one kind and one feature map size. No torch.

The model is fitted to those of `probes`; those of `checks` resemble real networks, and give its error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from archsearch.design.layers import Activation, Conv, Dropout, GlobalPool, Linear, MapKind, Norm, Pool, Scale
from archsearch.design.plan import Combine, Layer, Parallel, Plan, Sequence
from archsearch.design.pointwise import ActivationKind, NormKind

CLASSES = 10
LARGE, MIDDLE, SMALL, TINY = (32, 32), (16, 64), (8, 96), (4, 128)
"""Side in px and channels of feature maps."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A network; `name` describes its layers."""

    name: str
    plan: Plan


Fill = Callable[["Stack"], object]


@dataclass(slots=True)
class Stack:
    """A sequence of layers, named by their numbers, whose output has `channels`; every method appends to it."""

    channels: int
    layers: list[Layer] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def conv(self, out: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1) -> Stack:
        reach = dilation * (kernel - 1)
        self.layers.append(
            Conv(
                name=self._name(),
                in_channels=self.channels,
                out_channels=out,
                kernel=kernel,
                stride=stride,
                dilation=dilation,
                groups=groups,
                padding=(reach // 2, reach - reach // 2),
            )
        )
        self.channels = out
        return self

    def depthwise(self, kernel: int, *, stride: int = 1, dilation: int = 1) -> Stack:
        return self.conv(self.channels, kernel, stride=stride, dilation=dilation, groups=self.channels)

    def norm(self, kind: NormKind = "batch") -> Stack:
        groups = 8 if kind == "group" else 1
        self.layers.append(Norm(name=self._name(), kind=kind, channels=self.channels, groups=groups))
        return self

    def act(self, kind: ActivationKind = "relu") -> Stack:
        self.layers.append(Activation(name=self._name(), kind=kind))
        return self

    def unit(self, out: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> Stack:
        """Add a convolution, norm and activation."""
        return self.conv(out, kernel, stride=stride, dilation=dilation).norm().act()

    def dropout(self) -> Stack:
        self.layers.append(Dropout(name=self._name(), rate=0.1))
        return self

    def scale(self) -> Stack:
        self.layers.append(Scale(name=self._name(), channels=self.channels, per="channel", init=1.0, bias=False))
        return self

    def pool(self) -> Stack:
        self.layers.append(Pool(name=self._name(), kind="max", kernel=3, stride=1, padding=(1, 1)))
        return self

    def mean(self) -> Stack:
        self.layers.append(GlobalPool(name=self._name(), kind="average"))
        return self

    def merge(self, combine: Combine, *branches: Fill) -> Stack:
        made = [Stack(self.channels) for _ in branches]
        for stack, fill in zip(made, branches, strict=True):
            fill(stack)
        named = tuple(Sequence(name=f"b{place}", layers=tuple(one.layers)) for place, one in enumerate(made))
        self.layers.append(Parallel(name=self._name(), branches=named, combine=combine))
        widths = [one.channels for one in made]
        self.channels = sum(widths) if combine == "concat" else max(widths)
        return self

    def residual(self, fill: Fill) -> Stack:
        return self.merge("add", fill, lambda _: None)

    def gate(self) -> Stack:
        """Add squeeze and excitation."""
        wide = self.channels
        return self.merge("multiply", lambda _: None, lambda b: b.mean().conv(8, 1).act().conv(wide, 1).act("sigmoid"))

    def inverted(self, kernel: int = 3, dilation: int = 1) -> Stack:
        """Add the inverted residual block of MobileNetV2 with an expansion of four."""
        wide = self.channels
        return self.residual(
            lambda b: b.unit(4 * wide, 1).depthwise(kernel, dilation=dilation).norm().act().conv(wide, 1).norm()
        )

    def basic(self, kernel: int = 3) -> Stack:
        """Add the basic block of ResNet."""
        wide = self.channels
        return self.residual(lambda b: b.unit(wide, kernel).conv(wide, kernel).norm()).act()

    def _name(self) -> str:
        return f"l{next(self._numbers)}"


def probes() -> Iterator[Probe]:
    """Yield the networks that the model is fitted to."""
    for name, times, fill, sizes in _BODIES:
        for side, channels in sizes:
            yield _probe(f"{name} x {times}, {channels} x {side} px", side, channels, _repeated(times, fill))
    for name, times, fill, sizes in _PAIRED:
        for side, channels in sizes:
            named = f"paired {name} x {times}, {channels} x {side} px"
            yield _probe(named, side, channels, _repeated(times, fill), paired=True)


def checks() -> Iterator[Probe]:
    """Yield networks of three stages, as in designs, that the model is not fitted to."""
    for name, block, channels in (
        ("plain", lambda b: b.unit(b.channels, 3), 24),
        ("residual", lambda b: b.basic(), 16),
        ("separable", lambda b: b.depthwise(3).norm().act().unit(b.channels, 1), 40),
        ("inverted", lambda b: b.inverted(), 16),
        ("inverted dilated", lambda b: b.inverted(5, 2), 16),
    ):
        yield _probe(f"{name} network", 32, channels, _staged(block))
    yield _probe("paired network", 16, 32, _staged(lambda b: b.unit(b.channels, 3)), paired=True)


def _repeated(times: int, fill: Fill) -> Fill:
    def filled(stack: Stack) -> None:
        for _ in range(times):
            fill(stack)

    return filled


def _staged(block: Fill) -> Fill:
    """Add three stages of two blocks, each with half the side and twice the channels of the one before it."""

    def filled(stack: Stack) -> None:
        for stage in range(3):
            if stage:
                stack.unit(2 * stack.channels, 3, stride=2)
            block(stack)
            block(stack)

    return filled


def _probe(name: str, side: int, channels: int, fill: Fill, *, paired: bool = False) -> Probe:
    """Return a network for images of `side` px: a convolution to `channels`, the layers of `fill`, and a head."""
    stem, body = Stack(3).conv(channels, 3), Stack(channels)
    fill(body)
    head = Stack(body.channels).mean()
    head.layers.append(
        Linear(
            name="linear",
            in_features=body.channels,
            out_features=CLASSES,
            bias=True,
            symmetry="project" if paired else "none",
        )
    )
    parts = (Sequence(name=part, layers=tuple(one.layers)) for part, one in (("stem", stem), ("stages", body)))
    kind: MapKind = "image" if paired else "plain"
    tied: list[Sequence] = []
    for part in parts:
        one, kind = part.tied(kind) if paired else (part, kind)
        tied.append(one)
    layers = (*tied, Sequence(name="head", layers=tuple(head.layers)))
    return Probe(name, Plan(input_shape=(3, side, side), layers=layers))


_Bodies = tuple[tuple[str, int, Fill, tuple[tuple[int, int], ...]], ...]

_BODIES: _Bodies = (
    ("nothing", 0, lambda b: None, ((32, 16), (32, 48), MIDDLE, TINY)),
    ("conv 3", 2, lambda b: b.unit(b.channels, 3), ((32, 16), (32, 48), MIDDLE, (8, 128), TINY)),
    ("bare conv 3", 2, lambda b: b.conv(b.channels, 3), (LARGE, SMALL)),
    ("conv 1", 3, lambda b: b.unit(b.channels, 1), (LARGE, MIDDLE, (8, 128))),
    ("bare conv 1", 3, lambda b: b.conv(b.channels, 1), (LARGE, SMALL)),
    ("conv 5", 1, lambda b: b.unit(b.channels, 5), ((32, 16), (8, 64))),
    ("wide conv", 1, lambda b: b.unit(b.channels, 7), ((32, 16), (8, 64))),
    ("strided conv", 1, lambda b: b.unit(2 * b.channels, 3, stride=2), (LARGE, SMALL)),
    ("grouped conv", 1, lambda b: b.conv(b.channels, 3, groups=4).norm().act(), (LARGE, SMALL)),
    ("depthwise 3", 3, lambda b: b.depthwise(3).norm().act(), (LARGE, MIDDLE, (8, 128))),
    ("depthwise 5", 3, lambda b: b.depthwise(5).norm().act(), (LARGE, SMALL)),
    ("depthwise 7", 2, lambda b: b.depthwise(7).norm().act(), (LARGE, SMALL)),
    ("dilated depthwise 3", 3, lambda b: b.depthwise(3, dilation=2).norm().act(), (LARGE, SMALL)),
    ("dilated depthwise 5", 2, lambda b: b.depthwise(5, dilation=2).norm().act(), (LARGE, SMALL)),
    ("inverted", 2, lambda b: b.inverted(), ((32, 16), (16, 32), (8, 64))),
    ("norm", 4, lambda b: b.norm(), (LARGE, MIDDLE, (8, 128))),
    ("norm and activation", 4, lambda b: b.norm().act(), (LARGE, MIDDLE, (8, 128))),
    ("norm and other activation", 4, lambda b: b.norm().act("gelu"), (LARGE, SMALL)),
    ("activation", 4, lambda b: b.act("silu"), (LARGE, SMALL)),
    ("other activation", 4, lambda b: b.act("gelu"), (LARGE, SMALL)),
    ("norm over channels", 3, lambda b: b.norm("channel"), (LARGE, SMALL)),
    ("group norm", 3, lambda b: b.norm("group"), (LARGE, SMALL)),
    ("residual norm", 4, lambda b: b.residual(lambda inner: inner.norm()), (LARGE, SMALL)),
    ("gate", 2, lambda b: b.gate(), (LARGE, SMALL)),
    ("concatenation", 1, lambda b: b.merge("concat", lambda one: one.norm(), lambda one: one.norm()), (LARGE, SMALL)),
    ("dropout", 4, lambda b: b.dropout(), (LARGE, SMALL)),
    ("scale", 3, lambda b: b.scale(), (LARGE, SMALL)),
    ("pool", 2, lambda b: b.pool(), (LARGE, SMALL)),
)
"""Name, repetitions, layers and sizes."""

_PAIRED: _Bodies = (
    ("conv 3", 2, lambda b: b.unit(b.channels, 3), ((16, 32), (8, 64), TINY)),
    ("conv 1", 2, lambda b: b.unit(b.channels, 1), ((16, 32), (8, 64), TINY)),
    ("conv 5", 1, lambda b: b.unit(b.channels, 5), ((16, 32), (8, 64))),
    ("strided conv", 1, lambda b: b.unit(2 * b.channels, 3, stride=2), ((16, 32), SMALL)),
    ("norm and activation", 4, lambda b: b.norm().act(), ((16, 32), (8, 64), TINY)),
)
"""The same with `symmetry: flip`."""

"""The layer kinds of the YAML language: their fields, and how field values make a layer of the plan.

`KINDS` is the table; `FieldValues` checks what a field may hold.
Imports the standard library, `errors`, `decode` and this package only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite, isqrt
from typing import get_args

from archsearch.decode import describe, quoted, suggest
from archsearch.design.channels import PoolKind
from archsearch.design.expression import MAX_VALUE, Expression, Value, compute, condition, integer
from archsearch.design.geometry import pool_padding
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
    Primitive,
    Scale,
    Shuffle,
    Upsample,
)
from archsearch.design.pointwise import EPS, ActivationKind, NormKind
from archsearch.design.resize import PaddingMode, Sides, UpsampleMode
from archsearch.errors import ChannelsError, SpecError

NORMS = (*get_args(NormKind), "none")
ACTIVATIONS = (*get_args(ActivationKind), "none")
POOLS = ("max", "average", "blur", "global_max", "global_average", "channel_max", "channel_average")
SCALES = ("channel", "layer")
PADDINGS = ("same", "valid")
MODES: tuple[PaddingMode, ...] = get_args(PaddingMode)
UPSAMPLINGS: tuple[UpsampleMode, ...] = get_args(UpsampleMode)
MAX_FACTOR = 64
"""Maximum factor of an upsampling."""
SIDES = ("top", "bottom", "left", "right")
MAX_SPAN = 4096
"""Maximum kernel, stride, dilation and padding of a window in px; no side of an input is longer."""
AXES = ("[0]", "[1]")
"""Suffixes of the name of a field with one value for the vertical and one for the horizontal axis."""
WINDOW = (
    *("kernel", "stride", "dilation", "padding", "ceil_mode"),
    *(f"{field}{axis}" for field in ("kernel", "padding") for axis in AXES),
    *(f"padding.{side}" for side in SIDES),
    *("factor", "mode"),
)
"""Fields of a layer that determine shapes and receptive fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """One primitive layer: its kind, and its fields as expressions over channels and options."""

    kind: str
    name: str | None
    where: str
    fields: Mapping[str, Expression]
    when: Expression | None


class FieldValues:
    """The fields of one layer, evaluated with the names in `scope`; its input has `channels`."""

    __slots__ = ("_fields", "_scope", "channels", "where")

    def __init__(self, spec: LayerSpec, scope: Mapping[str, Value], channels: int) -> None:
        self._fields, self.where, self._scope, self.channels = spec.fields, spec.where, scope, channels

    def integer(self, field: str) -> int:
        """Return an integer of at least 1; raises `SpecError` for any other value, as all methods do."""
        value = self._fields[field].value
        if type(value) is int and 1 <= value <= MAX_VALUE:
            return value
        return integer(self._fields[field], self._scope, f"{self.where}.{field}", 1)

    def span(self, field: str) -> int:
        """Return an integer from 1 to `MAX_SPAN`."""
        value = self.integer(field)
        if value > MAX_SPAN:
            raise self.error(field, f"must be at most {MAX_SPAN} px, got {value}")
        return value

    def count(self, field: str) -> int:
        """Return an integer of at least 0."""
        return integer(self._fields[field], self._scope, f"{self.where}.{field}", 0)

    def real(self, field: str) -> float:
        """Return a finite number."""
        value = compute(self._fields[field], self._scope, f"{self.where}.{field}")
        if isinstance(value, str | bool) or not isfinite(value):
            raise self.error(field, f"must be a number, got {describe(value)}")
        return float(value)

    def flag(self, field: str) -> bool:
        """Return whether the value is true."""
        return condition(self._fields[field], self._scope, f"{self.where}.{field}")

    def choice(self, field: str, choices: tuple[str, ...]) -> str:
        """Return one of `choices`."""
        value = self._fields[field].value
        if isinstance(value, str) and value in choices:
            return value
        return choice_of(self._fields[field], self._scope, f"{self.where}.{field}", choices)

    def rate(self, field: str) -> float:
        """Return a probability below 1."""
        value = compute(self._fields[field], self._scope, f"{self.where}.{field}")
        if isinstance(value, str) or not 0 <= value < 1:
            raise SpecError(f"{self.where}.{field}", f"must be at least 0 and below 1, got {describe(value)}")
        return float(value)

    def padding(self, field: str, reach: int) -> tuple[int, int]:
        """Return (before, after); 'same' splits `reach` = dilation * (kernel - 1), with an odd px after."""
        where = f"{self.where}.{field}"
        value = compute(self._fields[field], self._scope, where)
        if value == "same":
            return reach // 2, reach - reach // 2
        if value == "valid":
            return 0, 0
        if isinstance(value, str):
            raise unknown_padding(value, where)
        amount = self.border(field)
        return amount, amount

    def border(self, field: str) -> int:
        """Return an integer from 0 to `MAX_SPAN`."""
        amount = self.count(field)
        if amount > MAX_SPAN:
            raise self.error(field, f"must be at most {MAX_SPAN} px, got {amount}")
        return amount

    def spans(self, field: str) -> tuple[int, int]:
        """Return the `span` of height and width, given as one number or two."""
        if field in self._fields:
            one = self.span(field)
            return one, one
        return self.span(f"{field}[0]"), self.span(f"{field}[1]")

    def sides(self, field: str, reaches: tuple[int, int]) -> Sides:
        """Return the padding of each side, given as one value, one per axis, or one number per side."""
        if field in self._fields:
            rows = self.padding(field, reaches[0])
            return rows, rows if reaches[0] == reaches[1] else self.padding(field, reaches[1])
        if f"{field}[0]" in self._fields:
            return self.padding(f"{field}[0]", reaches[0]), self.padding(f"{field}[1]", reaches[1])
        top, bottom, left, right = (self.border(f"{field}.{side}") for side in SIDES)
        return (top, bottom), (left, right)

    def is_same(self, field: str) -> bool:
        """Return whether the value is the text 'same'."""
        given = self._fields.get(field)
        return given is not None and compute(given, self._scope, f"{self.where}.{field}") == "same"

    def error(self, field: str, what: str, fix: str = "") -> SpecError:
        """Return the error for a value of `field` that cannot be used."""
        return SpecError(f"{self.where}.{field}", what, fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKind:
    """A kind of layer in YAML.

    `fields` has the defaults by name, `choices` the words that some fields allow. A single value in YAML sets the field
    `main`. A field in `by_axis` may be a list of two values for height and width, kept as `NAME[0]` and `NAME[1]`; if
    it is `padding`, it may also be a mapping of sides, kept as `padding.top` and so on. `make` takes the field values
    and the layer's name, and returns the layer, or None for no layer.
    """

    main: str
    fields: Mapping[str, Value]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    by_axis: tuple[str, ...] = ()
    make: Callable[[FieldValues, str], Primitive | None]


def _conv(values: FieldValues, name: str) -> Conv:
    (kernel, width), dilation, stride = values.spans("kernel"), values.span("dilation"), values.span("stride")
    reaches = dilation * (kernel - 1), dilation * (width - 1)
    sides = values.sides("padding", reaches)
    if values.flag("ceil_mode") and not values.is_same("padding"):
        rows, columns = (
            own if values.is_same(f"padding{axis}") else pool_padding(reach + 1, stride, own, ceil_mode=True)
            for axis, own, reach in zip(AXES, sides, reaches, strict=True)
        )
        sides = rows, columns
    mode: PaddingMode = values.choice("padding_mode", MODES)  # type: ignore[assignment]
    conv = Conv(
        name=name,
        in_channels=values.channels,
        out_channels=values.integer("out"),
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        groups=values.integer("groups"),
        padding=sides[0],
        bias=values.flag("bias"),
    )
    return conv.with_windows(width, sides, mode)


def _pad(values: FieldValues, name: str) -> Pad | None:
    rows, columns = values.sides("padding", (0, 0))
    mode: PaddingMode = values.choice("padding_mode", MODES)  # type: ignore[assignment]
    return Pad(name=name, rows=rows, columns=columns, mode=mode) if any((*rows, *columns)) else None


def _upsample(values: FieldValues, name: str) -> Upsample | None:
    factor = values.integer("factor")
    if factor > MAX_FACTOR:
        raise values.error("factor", f"must be at most {MAX_FACTOR}, got {factor}")
    mode: UpsampleMode = values.choice("mode", UPSAMPLINGS)  # type: ignore[assignment]
    return Upsample(name=name, factor=factor, mode=mode) if factor > 1 else None


def _norm(values: FieldValues, name: str) -> Norm | None:
    kind = values.choice("kind", NORMS)
    if kind == "none":
        return None
    groups, channels = values.integer("groups") if kind == "group" else 1, values.channels
    if channels % groups:
        nearest = min(_divisors(channels), key=lambda divisor: (abs(divisor - groups), divisor))
        what = f"{channels} channels are not divisible by {groups} groups"
        raise ChannelsError(f"{values.where}.groups", what, f"Use groups={nearest}.")
    eps = values.real("eps")
    if not 0 < eps < 1:
        raise values.error("eps", f"must be above 0 and below 1, got {eps:g}")
    return Norm(name=name, kind=kind, channels=channels, groups=groups, eps=eps)  # type: ignore[arg-type]


def _divisors(number: int) -> list[int]:
    small = [divisor for divisor in range(1, isqrt(number) + 1) if number % divisor == 0]
    return [*small, *(number // divisor for divisor in small)]


def _act(values: FieldValues, name: str) -> Activation | None:
    kind = values.choice("kind", ACTIVATIONS)
    return None if kind == "none" else Activation(name=name, kind=kind)  # type: ignore[arg-type]


def _dropout(values: FieldValues, name: str) -> Dropout | None:
    rate, channelwise = values.rate("rate"), values.flag("channelwise")
    return Dropout(name=name, rate=rate, channelwise=channelwise) if rate else None


def _drop_path(values: FieldValues, name: str) -> DropPath | None:
    rate = values.rate("rate")
    return DropPath(name=name, rate=rate) if rate else None


def _clamp(values: FieldValues, name: str) -> Clamp:
    low, high = values.real("min"), values.real("max")
    if low >= high:
        raise values.error("max", f"must be above min, {low:g}, got {high:g}")
    return Clamp(name=name, low=low, high=high)


def _scale(values: FieldValues, name: str) -> Scale | None:
    per = values.choice("per", SCALES)
    init, bias, learnt = values.real("init"), values.flag("bias"), values.flag("learnt")
    if bias and not learnt:
        raise values.error("bias", "a constant factor has no shift", "Set learnt to true, or bias to false.")
    if init == 1 and not learnt:
        return None
    return Scale(name=name, channels=values.channels, init=init, per=per, bias=bias, learnt=learnt)  # type: ignore[arg-type]


def _narrow(values: FieldValues, name: str) -> Narrow:
    return Narrow(
        name=name, in_channels=values.channels, start=values.count("start"), out_channels=values.integer("out")
    )


def _shuffle(values: FieldValues, name: str) -> Shuffle:
    return Shuffle(name=name, channels=values.channels, groups=values.integer("groups"))


def _pad_channels(values: FieldValues, name: str) -> PadChannels:
    out, before = values.integer("out"), values.count("before")
    return PadChannels(name=name, in_channels=values.channels, out_channels=out, before=before)


def _pool(values: FieldValues, name: str) -> Pool | BlurPool | GlobalPool | ChannelPool:
    kind = values.choice("kind", POOLS)
    own: PoolKind = "max" if kind.endswith("max") else "average"
    if kind.startswith("global_"):
        return GlobalPool(name=name, kind=own)
    if kind.startswith("channel_"):
        return ChannelPool(name=name, kind=own, channels=values.channels)
    kernel, stride = values.span("kernel"), values.span("stride")
    if kind == "blur" and kernel > 1:
        return BlurPool(name=name, kernel=kernel, stride=stride, padding=values.padding("padding", kernel - 1))
    given = None if values.is_same("padding") else values.padding("padding", 0)
    padding = pool_padding(kernel, stride, given, ceil_mode=values.flag("ceil_mode"))
    counted = kind == "average" and values.flag("count_include_pad") and padding != (0, 0)
    if counted and padding[0] != padding[1] and values.flag("ceil_mode"):
        what = "with count_include_pad the windows that end outside of the map would count too much padding"
        raise values.error("ceil_mode", what, "Set one of both to false.")
    return Pool(name=name, kind=own, kernel=kernel, stride=stride, padding=padding, counts_padding=counted)


def _linear(values: FieldValues, name: str) -> Linear:
    features = values.integer("in")  # channels x height x width if the map is not pooled to 1 x 1
    return Linear(name=name, in_features=features, out_features=values.integer("out"), bias=values.flag("bias"))


_POOL = {"kind": "max", "kernel": 2, "stride": 2, "padding": "same", "ceil_mode": False, "count_include_pad": False}
_NORM = {"kind": "batch", "groups": 8, "eps": EPS}
_CONV: dict[str, Value] = {
    "out": "out",
    "kernel": 3,
    "stride": 1,
    "dilation": 1,
    "groups": 1,
    "padding": "same",
    "padding_mode": "zeros",
    "bias": False,
    "ceil_mode": False,
}
KINDS: Mapping[str, LayerKind] = {
    "conv": LayerKind(
        main="out",
        fields=_CONV,
        choices={"padding": PADDINGS, "padding_mode": MODES},
        by_axis=("kernel", "padding"),
        make=_conv,
    ),
    "norm": LayerKind(main="kind", fields=_NORM, choices={"kind": NORMS}, make=_norm),
    "act": LayerKind(main="kind", fields={"kind": "relu"}, choices={"kind": ACTIVATIONS}, make=_act),
    "dropout": LayerKind(main="rate", fields={"rate": 0.1, "channelwise": False}, make=_dropout),
    "pool": LayerKind(main="kind", fields=_POOL, choices={"kind": POOLS, "padding": PADDINGS}, make=_pool),
    "scale": LayerKind(
        main="init",
        fields={"init": 1.0, "per": "channel", "bias": False, "learnt": True},
        choices={"per": SCALES},
        make=_scale,
    ),
    "narrow": LayerKind(main="out", fields={"start": 0, "out": "out"}, make=_narrow),
    "shuffle": LayerKind(main="groups", fields={"groups": 2}, make=_shuffle),
    "pad": LayerKind(
        main="padding",
        fields={"padding": 1, "padding_mode": "zeros"},
        choices={"padding_mode": MODES},
        by_axis=("padding",),
        make=_pad,
    ),
    "upsample": LayerKind(
        main="factor", fields={"factor": 2, "mode": "nearest"}, choices={"mode": UPSAMPLINGS}, make=_upsample
    ),
    "pad_channels": LayerKind(main="out", fields={"out": "out", "before": 0}, make=_pad_channels),
    "clamp": LayerKind(main="max", fields={"min": 0.0, "max": 6.0}, make=_clamp),
    "drop_path": LayerKind(main="rate", fields={"rate": 0.1}, make=_drop_path),
    "linear": LayerKind(main="out", fields={"in": "in", "out": "out", "bias": True}, make=_linear),
}
"""The layer kinds by their names in YAML."""


def unknown_padding(value: str, where: str, options: Iterable[str] = ()) -> SpecError:
    """Return the error for a text `value` that is neither a padding nor one of the `options` that may hold one."""
    if value in MODES:
        fix = f"Write 'padding_mode: {value}'; the padding is a size."
    else:
        fix = suggest(value, (*PADDINGS, *options))
    return SpecError(where, f"unknown value {quoted(value)}", fix)


def choice_of(expression: Expression, scope: Mapping[str, Value], where: str, choices: tuple[str, ...]) -> str:
    """Return the value of `expression`, one of `choices`; raises `SpecError` for any other."""
    value = compute(expression, scope, where)
    if value not in choices:
        raise SpecError(where, f"unknown value {quoted(value)}", suggest(str(value), choices))
    return str(value)

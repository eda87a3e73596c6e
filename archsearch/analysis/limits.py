"""Limits: what a design must keep, decoded from YAML, and the signed margin of each.

Imports `errors`, `decode`, the plan and this room; no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from archsearch.analysis.footprint import Footprint
from archsearch.analysis.traits import HEADS, TRAITS, HeadKind, Trait, Traits, read_traits
from archsearch.decode import decode, describe, is_list, is_mapping, join
from archsearch.design.plan import Plan
from archsearch.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A bound on a number; at least one of the four is given, each is kept on its own."""

    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Downsampling:
    """At least `layers` convolutions that are strided, dilated, or either."""

    layers: int
    by: tuple[Literal["strided", "dilated"], ...] = ("strided", "dilated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a design must keep; None means that nothing is asked."""

    receptive_field: Bound | None = None
    parameters: Bound | None = None
    macs: Bound | None = None
    activations: Bound | None = None
    peak_bytes: Bound | None = None
    contains: tuple[Trait, ...] | None = None
    forbids: tuple[Trait, ...] | None = None
    downsampling: Downsampling | None = None
    head: HeadKind | None = None


NUMBERS = ("receptive_field", "parameters", "macs", "activations", "peak_bytes")
UNITS = {"receptive_field": "px", "peak_bytes": "bytes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How a design stands to one limit: the `bound` as the YAML gives it, what was `found`, and the signed `slack`.

    `slack` is relative to the bound: positive where the limit is kept with room, 0 at an inclusive
    bound, negative where it is broken; -1 for each trait that is missing or too much.
    """

    limit: str
    bound: Any
    found: Any
    kept: bool
    slack: float
    fixes: tuple[str, ...] = ()

    @property
    def excess(self) -> float:
        """The relative excess over the limit: 0 where it is kept, above 0 where it is broken."""
        return 0.0 if self.kept else max(-self.slack, 1e-9)


def decode_limits(raw: object, where: str = "constraints") -> Limits:
    """Return the limits that the mapping `raw` describes; raises `SpecError` below `where`."""
    if raw is None:
        return Limits()
    if is_mapping(raw):
        for key, known in (("contains", TRAITS), ("forbids", TRAITS)):
            if raw.get(key) is not None and not is_list(raw[key]):
                raise SpecError(join(where, key), f"must be a list of {', '.join(known)}, is {describe(raw[key])}")
        if raw.get("head") is not None and raw["head"] not in HEADS:
            raise SpecError(join(where, "head"), f"{describe(raw['head'])} is not one of {', '.join(HEADS)}")
    limits = decode(Limits, raw, where, called="the limits")
    for name in NUMBERS:
        bound: Bound | None = getattr(limits, name)
        if bound is not None and all(getattr(bound, field.name) is None for field in fields(Bound)):
            raise SpecError(join(where, name), "gives no bound", "Say above, below, at_least or at_most; or null.")
    if limits.downsampling is not None and not limits.downsampling.by:
        raise SpecError(join(where, "downsampling.by"), "must name strided, dilated or both")
    return limits


def margins(plan: Plan, footprint: Footprint, limits: Limits) -> tuple[Margin, ...]:
    """Return one margin for every limit that is set, in the order of `Limits`."""
    found: list[Margin] = []
    for name in NUMBERS:
        bound: Bound | None = getattr(limits, name)
        if bound is not None:
            found.append(_number(name, bound, getattr(footprint, name)))
    if limits.contains is None and limits.forbids is None and limits.downsampling is None and limits.head is None:
        return tuple(found)
    return (*found, *_structure(read_traits(plan, footprint.output_shape), limits))


def _structure(traits: Traits, limits: Limits) -> list[Margin]:
    found: list[Margin] = []
    if limits.contains is not None:
        there = [trait for trait in limits.contains if trait in traits.present]
        slack = float(len(there) - len(limits.contains))
        found.append(_margin("contains", list(limits.contains), there, slack))
    if limits.forbids is not None:
        there = [trait for trait in limits.forbids if trait in traits.present]
        found.append(_margin("forbids", list(limits.forbids), there, -float(len(there))))
    if limits.downsampling is not None:
        asked = limits.downsampling
        count = traits.either
        if "dilated" not in asked.by:
            count = traits.strided_layers
        elif "strided" not in asked.by:
            count = traits.dilated_layers
        slack = (count - asked.layers) / max(asked.layers, 1)
        found.append(_margin("downsampling", {"layers": asked.layers, "by": list(asked.by)}, count, slack))
    if limits.head is not None:
        found.append(_margin("head", limits.head, traits.head, 0.0 if traits.head == limits.head else -1.0))
    return found


def _margin(limit: str, bound: Any, found: Any, slack: float) -> Margin:
    return Margin(limit=limit, bound=bound, found=found, kept=slack >= 0, slack=slack)


def _number(limit: str, bound: Bound, found: int) -> Margin:
    """Return the margin of a number; of several bounds, that of the tightest."""
    kept, slack = True, float("inf")
    said: dict[str, float] = {}
    for name, value, room, strict in (
        ("above", bound.above, 1, True),
        ("at_least", bound.at_least, 1, False),
        ("below", bound.below, -1, True),
        ("at_most", bound.at_most, -1, False),
    ):
        if value is None:
            continue
        said[name] = int(value) if float(value).is_integer() else value
        distance = room * (found - value)
        kept = kept and (distance > 0 if strict else distance >= 0)
        slack = min(slack, distance / max(abs(value), 1.0))
    return Margin(limit=limit, bound=said, found=found, kept=kept, slack=slack)


def margin_record(margin: Margin) -> dict[str, Any]:
    """Return one margin as the JSON of `show` and `result.json` has it."""
    return {
        "limit": margin.limit,
        "bound": margin.bound,
        "found": margin.found,
        "kept": margin.kept,
        "slack": margin.slack,
        "fixes": list(margin.fixes),
    }

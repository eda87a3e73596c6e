"""Limits: the bounds that a design must keep, decoded from YAML, and the signed margin of each.

`LIMITS` is the table of all limits. A limit is one object: its name and unit, how it is measured, how its bound and its
margin are written, and the changes of a design that may keep it. docs/extending.md explains how to add one.
Imports `errors`, `decode`, `formatting`, the design and this package; no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import ceil, floor, inf
from typing import Annotated, Any, Literal

from archsearch.analysis import fixes
from archsearch.analysis.fixes import Change
from archsearch.analysis.measure import Footprint, rows, stage_ends
from archsearch.analysis.seconds import SECONDS, Estimate
from archsearch.analysis.traits import HEADS, TRAITS, HeadKind, Traits, read_traits
from archsearch.decode import Range, decode, describe, is_list, is_mapping, join
from archsearch.design.layers import Trait
from archsearch.design.plan import Plan
from archsearch.design.spec import DesignSpec
from archsearch.errors import SpecError
from archsearch.formatting import number, percent, pluralize

Number = Annotated[float, Range(at_least=-1e18, at_most=1e18)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Bounds on a number; at least one of the four is given, and all that are given must be kept."""

    above: Number | None = None
    below: Number | None = None
    at_least: Number | None = None
    at_most: Number | None = None

    def is_empty(self, *, whole: bool) -> bool:
        """Return whether no number of at least 0 keeps all bounds; only whole numbers count if `whole`."""
        low = max(0.0, self.at_least or 0.0, self.above or 0.0)
        high = min(inf if bound is None else bound for bound in (self.at_most, self.below))
        if not whole:
            return low > high or (low == high and high in (self.above, self.below))
        least = max(ceil(low), 0 if self.above is None else floor(self.above) + 1)
        return least > high or (least == high and high == self.below)


@dataclass(frozen=True, slots=True, kw_only=True)
class Downsampling:
    """At least `layers` convolutions that are strided or dilated, as listed in `by`."""

    layers: Annotated[int, Range(at_least=0)]
    by: tuple[Literal["strided", "dilated"], ...] = ("strided", "dilated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a design; None means no limit."""

    receptive_field: Bound | None = None
    parameters: Bound | None = None
    macs: Bound | None = None
    activations: Bound | None = None
    peak_bytes: Bound | None = None
    train_seconds: Bound | None = None
    contains: tuple[Trait, ...] | None = None
    forbids: tuple[Trait, ...] | None = None
    downsampling: Downsampling | None = None
    head: HeadKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """The margin of a design for one limit: the `bound` as in the YAML, the value `found`, and the signed `slack`.

    `slack` is relative to the bound: positive if the limit is kept with room to spare, 0 at an inclusive bound,
    negative if it is broken. It is -1 for each trait that is missing or forbidden.
    """

    limit: str
    bound: Any
    found: Any
    kept: bool
    slack: float
    fixes: tuple[str, ...] = ()
    error: float | None = None  # predicted values only: the median relative error

    @property
    def excess(self) -> float:
        """The relative excess over the limit: 0 if it is kept, above 0 if it is broken."""
        return 0.0 if self.kept else max(-self.slack, 1e-9)


class Measured:
    """The footprint, the estimated training time and the traits of a plan; traits are read when a limit needs them."""

    def __init__(self, plan: Plan, footprint: Footprint, training: Estimate | None = None) -> None:
        self.footprint, self.training, self._plan = footprint, training, plan
        self._traits: Traits | None = None

    @property
    def traits(self) -> Traits:
        """The traits, read on first use."""
        if self._traits is None:
            self._traits = read_traits(self._plan)
        return self._traits


class Limit:
    """One limit: how it is measured and written, and the changes of a design that may keep it."""

    def __init__(
        self,
        name: str,
        changes: Callable[[DesignSpec, Margin], Iterator[Change]],
        *,
        unit: str = "",
        grows_with_width: bool = False,
    ) -> None:
        """Take the name of a field of `Limits`, the unit, and the function that yields the changes to try.

        `width: fit` can keep upper bounds on a number that `grows_with_width`.
        """
        self.name, self.changes, self.unit, self.grows_with_width = name, changes, unit, grows_with_width

    def margin(self, bound: Any, measured: Measured) -> Margin:
        """Return the margin of `measured` to `bound`, the value of the field of `Limits`."""
        raise NotImplementedError

    def bound_text(self, bound: Any) -> str:
        """Return `bound`, as in a margin, as text."""
        raise NotImplementedError

    def text(self, margin: Margin) -> str:
        """Return the margin as text."""
        raise NotImplementedError

    def result_text(self, margin: Margin) -> str:
        """Return the result of a change, such as ` gives 47 px`; empty if it is clear from the change."""
        return ""

    def detail(self, plan: Plan) -> str:
        """Return details about a broken limit, which its message shows in parentheses; empty if there are none."""
        return ""


class NumberLimit(Limit):
    """Bounds on the field of the footprint that has the name of the limit."""

    def margin(self, bound: Bound, measured: Measured) -> Margin:
        """Return the margin; with several bounds, the smallest slack."""
        return self._margin(bound, getattr(measured.footprint, self.name))

    def _margin(self, bound: Bound, found: float) -> Margin:
        kept, slack = True, float("inf")
        given: dict[str, float] = {}
        for name, value, sign, strict in (
            ("above", bound.above, 1, True),
            ("at_least", bound.at_least, 1, False),
            ("below", bound.below, -1, True),
            ("at_most", bound.at_most, -1, False),
        ):
            if value is None:
                continue
            given[name] = int(value) if float(value).is_integer() else value
            distance = sign * (found - value)
            kept = kept and (distance > 0 if strict else distance >= 0)
            slack = min(slack, distance / max(abs(value), 1.0))
        return Margin(limit=self.name, bound=given, found=found, kept=kept, slack=slack)

    def _value_text(self, value: float) -> str:
        """Return a value with its unit: `31 px`."""
        return f"{number(value)} {self.unit}" if self.unit else number(value)

    def bound_text(self, bound: Mapping[str, float]) -> str:
        """Return the bound: `above 44`."""
        return " and ".join(
            f"{name.replace('_', ' ')} {number(int(value) if float(value).is_integer() else value)}"
            for name, value in bound.items()
        )

    def text(self, margin: Margin) -> str:
        """Return the margin: `31 px, must be above 44`."""
        return f"{self._value_text(margin.found)}, must be {self.bound_text(margin.bound)}"

    def result_text(self, margin: Margin) -> str:
        return f" gives {self._value_text(margin.found)}"


class SecondsLimit(NumberLimit):
    """Bounds on the predicted training time in seconds; the margin includes the error of the prediction."""

    def margin(self, bound: Bound, measured: Measured) -> Margin:
        """Return the margin of the estimate; raise `SpecError` if there is none."""
        if measured.training is None:
            raise unpredicted()
        seconds, error = measured.training.seconds, measured.training.error
        return replace(self._margin(bound, seconds), found=round(seconds, 1), error=error)

    def text(self, margin: Margin) -> str:
        """Return the margin: `412 s +- 12 % (predicted), must be below 300`."""
        error = "" if margin.error is None else f" +- {percent(margin.error, 0)}"
        return f"{self._value_text(margin.found)}{error} (predicted), must be {self.bound_text(margin.bound)}"


class ReceptiveFieldLimit(NumberLimit):
    """Bounds on the receptive field; the message shows how it grows over the stages."""

    def detail(self, plan: Plan) -> str:
        ends = [(name, row.receptive_field) for name, row in stage_ends(rows(plan)) if name != "head"]
        return f"grows {' > '.join(str(size) for _, size in ends)} over {' '.join(name for name, _ in ends)}"


class TraitLimit(Limit):
    """Traits that a plan must have (`contains`), or must not have (`forbids`)."""

    def margin(self, bound: tuple[str, ...], measured: Measured) -> Margin:
        """Return the margin; `found` lists the traits of the bound that are present."""
        present = [trait for trait in bound if trait in measured.traits.present]
        slack = -float(len(present)) if self.name == "forbids" else float(len(present) - len(bound))
        return _margin(self.name, list(bound), present, slack)

    def bound_text(self, bound: Iterable[str]) -> str:
        """Return the traits: `depthwise_separable, dilated`."""
        return ", ".join(bound)

    def text(self, margin: Margin) -> str:
        """Return the margin: `lacks dilated`, `has max_pool`."""
        bound, found = list(margin.bound), list(margin.found)
        if not bound:
            return "no traits listed"
        if self.name == "forbids":
            return f"has {', '.join(found)}" if found else f"has no {', no '.join(bound)}"
        missing = [trait for trait in bound if trait not in found]
        return f"lacks {', '.join(missing)}" if missing else f"has {', '.join(bound)}"


class DownsamplingLimit(Limit):
    """A minimum number of layers that are strided or dilated, as listed in the bound."""

    def margin(self, bound: Downsampling, measured: Measured) -> Margin:
        """Return the margin; `found` is the number of layers."""
        count = measured.traits.either
        if "dilated" not in bound.by:
            count = measured.traits.strided_layers
        elif "strided" not in bound.by:
            count = measured.traits.dilated_layers
        slack = (count - bound.layers) / max(bound.layers, 1)
        return _margin(self.name, {"layers": bound.layers, "by": list(bound.by)}, count, slack)

    def bound_text(self, bound: Mapping[str, Any]) -> str:
        """Return the bound: `3 strided or dilated layers`."""
        return f"{bound['layers']} {' or '.join(bound['by'])} layers"

    def text(self, margin: Margin) -> str:
        """Return the margin: `2 strided layers, must be at least 3`."""
        return f"{margin.found} {' or '.join(margin.bound['by'])} layers, must be at least {margin.bound['layers']}"


class HeadLimit(Limit):
    """The pooling at the end of the network."""

    def margin(self, bound: str, measured: Measured) -> Margin:
        """Return the margin; `found` is the pooling of the head."""
        head = measured.traits.head
        return _margin(self.name, bound, head, 0.0 if head == bound else -1.0)

    def bound_text(self, bound: str) -> str:
        """Return the bound: `global_average`."""
        return bound

    def text(self, margin: Margin) -> str:
        """Return the margin: `global_max, must be global_average`."""
        return f"{margin.found}, must be {margin.bound}"


def _field_changes(design: DesignSpec, margin: Margin) -> Iterator[Change]:
    upper = "below" in margin.bound or "at_most" in margin.bound
    if upper:
        yield from fixes.set_option(design, "dilation", 1)
        yield from fixes.set_option(design, "stride", 1)
        yield from fixes.set_option(design, "kernel", 1, 3)
    yield from fixes.set_option(design, "dilation", 2, 3, 4)
    yield from fixes.set_option(design, "stride", 2)
    yield from fixes.set_option(design, "kernel", 5, 7)
    yield from fixes.add_repeats(design, 1, 2, 3)
    if upper:
        yield from fixes.add_repeats(design, -1, -2)


def _parameter_changes(design: DesignSpec, margin: Margin) -> Iterator[Change]:
    if design.symmetry == "none":
        yield fixes.set_key(("symmetry",), "flip")
    yield from _cost_changes(design, margin)


def _cost_changes(design: DesignSpec, margin: Margin) -> Iterator[Change]:
    yield from fixes.narrow(design, margin.excess)
    yield from fixes.add_repeats(design, -1, -2)


def _added_traits(design: DesignSpec, margin: Margin) -> Iterator[Change]:
    """Yield changes that add one missing trait, or a missing trait together with dilation."""
    missing = [trait for trait in margin.bound if trait not in margin.found]
    for trait, option in (("dilated", "dilation"), ("strided", "stride")):
        if trait in missing:
            yield from fixes.set_option(design, option, 2)
    blocks = [_BLOCKS[trait] for trait in missing if trait in _BLOCKS]
    for block in blocks:
        yield from fixes.set_block(design, block)
    if "dilated" in missing and len(missing) > 1:
        for block in blocks:
            yield from fixes.set_block(design, block, dilation=2)


def _removed_traits(design: DesignSpec, margin: Margin) -> Iterator[Change]:
    """Yield changes that remove the traits from all parts of the design: options first, then blocks."""
    for trait, (option, value) in _WITHOUT.items():
        if trait in margin.found:
            yield from fixes.remove(design, (trait,), option, value)
    for block in ("normal", "strided"):
        yield from fixes.replace_blocks(design, margin.found, block)


def _downsampling_changes(design: DesignSpec, margin: Margin) -> Iterator[Change]:
    for way, option in (("dilated", "dilation"), ("strided", "stride")):
        if way in margin.bound["by"]:
            yield from fixes.set_option(design, option, 2)


def _head_changes(_: DesignSpec, margin: Margin) -> Iterator[Change]:
    yield fixes.set_key(("head", "pool"), margin.bound)


_WITHOUT = {"dropout": ("dropout", 0.0), "dilated": ("dilation", 1), "strided": ("stride", 1)}
"""The option of shipped blocks, and its value, that removes a trait."""
_BLOCKS = {"depthwise_separable": "depthwise", "depthwise": "depthwise", "dilated": "dilated", "strided": "strided"}
"""Shipped blocks that have a trait."""
_IMPLIED = {"depthwise_separable": ("depthwise", "pointwise")}
"""Traits that a trait implies."""
LIMITS: Mapping[str, Limit] = {
    limit.name: limit
    for limit in (
        ReceptiveFieldLimit("receptive_field", _field_changes, unit="px"),
        NumberLimit("parameters", _parameter_changes, grows_with_width=True),
        NumberLimit("macs", _cost_changes, grows_with_width=True),
        NumberLimit("activations", _cost_changes, grows_with_width=True),
        NumberLimit("peak_bytes", _cost_changes, unit="bytes", grows_with_width=True),
        SecondsLimit(SECONDS, _cost_changes, unit="s", grows_with_width=True),
        TraitLimit("contains", _added_traits),
        TraitLimit("forbids", _removed_traits),
        DownsamplingLimit("downsampling", _downsampling_changes),
        HeadLimit("head", _head_changes),
    )
}
"""Every limit by its name, in the order of the margins; each has a field in `Limits`."""


def decode_limits(raw: object, where: str = "constraints") -> Limits:
    """Return the limits that the mapping `raw` describes; raise `SpecError` for a key below `where`."""
    if raw is None:
        return Limits()
    if is_mapping(raw):
        for key in ("contains", "forbids"):
            if raw.get(key) is not None and not is_list(raw[key]):
                raise SpecError(join(where, key), f"must be a list of {', '.join(TRAITS)}, got {describe(raw[key])}")
        if raw.get("head") is not None and raw["head"] not in HEADS:
            raise SpecError(join(where, "head"), f"'{raw['head']}' is not one of {', '.join(HEADS)}")
    limits = decode(Limits, raw, where, label="the limits")
    for field in fields(limits):
        bound = getattr(limits, field.name)
        if bound == Bound():
            fix = "Give above, below, at_least or at_most; or null for no limit."
            raise SpecError(join(where, field.name), "no bound given", fix)
    if limits.downsampling is not None and not limits.downsampling.by:
        raise SpecError(join(where, "downsampling.by"), "must name strided, dilated or both")
    _require_possible(limits, where)
    return limits


def _require_possible(limits: Limits, where: str) -> None:
    """Raise `SpecError` for limits that contradict each other, so that no design can keep them."""
    for field in fields(limits):
        bound = getattr(limits, field.name)
        if isinstance(bound, Bound) and bound.is_empty(whole=field.name != "train_seconds"):
            text = bound_text(field.name, {name: value for name, value in asdict(bound).items() if value is not None})
            raise SpecError(join(where, field.name), f"no design keeps it: {text}", "Change one of the bounds.")
    forbidden = set(limits.forbids or ())
    for trait in limits.contains or ():
        if lost := forbidden.intersection((trait, *_IMPLIED.get(trait, ()))):
            what = f"no design keeps it: contains has {trait}, and forbids has {', '.join(sorted(lost))}"
            raise SpecError(join(where, "forbids"), what, "Remove one of them.")
    wanted = limits.downsampling
    if wanted is not None and wanted.layers > 0 and forbidden >= set(wanted.by):
        what = f"no design keeps it: downsampling asks for layers that are {' or '.join(wanted.by)}"
        raise SpecError(join(where, "forbids"), what, f"Remove {' or '.join(wanted.by)} here.")


def unpredicted() -> SpecError:
    """Return the error for a limit on the training time without a predictor."""
    fix = "python -m archsearch.show and run predict it; leave the limit out elsewhere."
    return SpecError(f"constraints.{SECONDS}", "needs the settings of a training on this machine", fix)


def margins(plan: Plan, footprint: Footprint, limits: Limits, training: Estimate | None = None) -> tuple[Margin, ...]:
    """Return one margin for every limit that is set, in the order of `LIMITS`; one on seconds needs `training`."""
    measured = Measured(plan, footprint, training)
    given = ((limit, getattr(limits, name)) for name, limit in LIMITS.items())
    return tuple([limit.margin(bound, measured) for limit, bound in given if bound is not None])


def margin_text(margin: Margin) -> str:
    """Return one margin as text: `31 px, must be above 44`."""
    return LIMITS[margin.limit].text(margin)


def margins_text(margins: Sequence[Margin]) -> str:
    """Return how many limits are kept: `keeps all 6 limits`, `breaks 2 of 6 limits`, `no limits`."""
    if broken := sum(not margin.kept for margin in margins):
        return f"breaks {broken} of {pluralize(len(margins), 'limit')}"
    return {0: "no limits", 1: "keeps the limit"}.get(len(margins), f"keeps all {len(margins)} limits")


def bound_text(limit: str, bound: Any) -> str:
    """Return the bound of a limit as text: `above 44`, `depthwise_separable, dilated`, `3 strided layers`."""
    return LIMITS[limit].bound_text(bound)


def margin_record(margin: Margin) -> dict[str, Any]:
    """Return one margin as plain values, for the JSON of `show` and `result.json`."""
    record = {field.name: getattr(margin, field.name) for field in fields(margin)}
    if margin.error is None:
        del record["error"]
    return {**record, "fixes": list(margin.fixes)}


def _margin(limit: str, bound: Any, found: Any, slack: float) -> Margin:
    return Margin(limit=limit, bound=bound, found=found, kept=slack >= 0, slack=slack)

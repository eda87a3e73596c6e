"""`width: fit`: the widest multiplier of a design's widths that keeps every upper limit.

Imports the design and this package; no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain

from archsearch.analysis.limits import LIMITS, Bound, Limits, unpredicted
from archsearch.analysis.measure import Footprint, Widths, measure, measure_design
from archsearch.analysis.seconds import SECONDS, Predictor
from archsearch.design.lower import lower
from archsearch.design.plan import Plan
from archsearch.design.spec import DesignSpec
from archsearch.errors import ChannelsError, SpecError

STEP = 1 / 1024
"""Step of the multipliers: finer than 8 channels, the default divisor, for widths up to 8 192."""
WIDEST = 64.0
# Parameters of the search; the result depends on them only if counts decrease with the width (see `resolve`):
DENSITY = 4  # parameters of a block per squared channel: 1 for a pointwise, 9 for a 3 x 3 convolution
POWER = 1.8  # first guess of the power with which counts grow with the multiplier
BEYOND = 0.01  # relative distance by which a step passes the guess
NARROW = 1.04  # ratio high / low below which the bracket is bisected
MAX_LOG_STEP = 20.0  # logarithm of the largest step
LEAST_SECONDS = 1e-3  # smaller bounds and values are treated as this


def resolve(design: DesignSpec, limits: Limits, predictor: Predictor | None = None) -> DesignSpec:
    """Return `design` with `width: fit` replaced by the widest multiplier; unchanged if its width is a number.

    Counts grow with the multiplier, so bisection finds it, deterministically. They decrease a little if rounding makes
    two widths equal, so that a shortcut needs no projection: an even wider network may then keep the bounds too.
    If even the narrowest network breaks an upper limit, it is returned, and its margins show by how much.
    Multipliers whose channels do not fit the design, for example because groups do not divide them, are skipped.
    Raises `SpecError` if no upper limit is set, or if no multiplier gives a network.
    """
    if design.width != "fit":
        return design
    fitted = [name for name, limit in LIMITS.items() if limit.grows_with_width]
    upper = {name: bound for name in fitted if (bound := _upper(getattr(limits, name)))}
    if not upper:
        what = f"'fit' needs an upper limit on {', '.join(fitted[:-1])} or {fitted[-1]}"
        raise SpecError("arch.width", what, "Set constraints.parameters={below: 200000}, or arch.width to a number.")
    if SECONDS in upper and predictor is None:
        raise unpredicted()
    return design.at_width(widest(design, upper, predictor))


def widest(design: DesignSpec, upper: Mapping[str, Bound], predictor: Predictor | None = None) -> float:
    """Return the largest multiple of `STEP` up to `WIDEST` at which every bound of `upper` is kept.

    `predictor` is needed if the training time is bounded.

    Counts are assumed to grow with a power of the multiplier. Each step goes a little past the point at which they
    would reach their bounds; a narrow bracket is bisected. Multipliers with the same channels are measured once.
    """
    counts = _Counts(design, upper, predictor)
    low, high = 0, round(WIDEST / STEP) + 1  # low keeps the bounds, high breaks them
    power, beyond = POWER, BEYOND
    at: int = min(max(round(_guessed(design, upper) / STEP), 1), high - 1)
    before: tuple[int, bool, float] | None = None
    while high - max(low, 1) > 1:
        found = counts.near(at, max(low, 1), high)
        if found is None:
            break
        at, kept, headroom = found
        if kept:
            low = at
        else:
            high = at
        if high <= max(low, 1) * NARROW:
            at = (max(low, 1) + high) // 2
            continue
        if before is not None and at != before[0]:
            power = min(max((before[2] - headroom) / math.log(at / before[0]), 0.5), 2.5)
            beyond *= 2 if before[1] == kept else 1
        before = (at, kept, headroom)
        guess = at * math.exp(min(headroom, MAX_LOG_STEP) / power) * (1 + beyond if kept else 1 - beyond)
        at = min(max(round(guess), max(low, 1) + 1), high - 1)
    if not low:  # no multiplier between the narrowest and `high` fits the design
        low = 1 if counts.at(1) is not None else high
    if low * STEP > WIDEST:
        measure(lower(design.at_width(1.0)))  # raises, with the path of the layer
    return low * STEP


class _Counts:
    """The counts of a design by multiplier (in units of `STEP`), compared with upper bounds."""

    def __init__(self, design: DesignSpec, upper: Mapping[str, Bound], predictor: Predictor | None) -> None:
        self._design, self._widths, self._upper = design, Widths(design), upper
        self._predictor = predictor if SECONDS in upper else None
        self._known: dict[tuple[int, ...], tuple[bool, float] | None] = {}

    def at(self, steps: int) -> tuple[bool, float] | None:
        """Return whether the bounds are kept, and the headroom; None if the channels do not fit the design."""
        channels = self._widths.channels(steps * STEP)
        if channels not in self._known:
            try:
                self._known[channels] = _headroom(self._values(steps * STEP), self._upper)
            except ChannelsError:
                self._known[channels] = None
        return self._known[channels]

    def _values(self, width: float) -> Mapping[str, float]:
        """Return the values that can be bounded, by name, at the multiplier `width`."""
        values: dict[str, float] = self._widths.totals(width)._asdict()
        if self._predictor is not None:
            values[SECONDS] = self._predictor(self._design.at_width(width)).seconds
        return values

    def near(self, steps: int, low: int, high: int) -> tuple[int, bool, float] | None:
        """Return a multiplier in (`low`, `high`) that fits, at most `steps` if possible, with the result of `at`."""
        for one in chain(range(steps, low, -1), range(steps + 1, high)):
            if (found := self.at(one)) is not None:
                return one, *found
        return None


def lowered(
    design: DesignSpec, limits: Limits, predictor: Predictor | None = None
) -> tuple[DesignSpec, Plan, Footprint]:
    """Return `design` with its width resolved, its plan and its footprint."""
    resolved = resolve(design, limits, predictor)
    plan = lower(resolved)
    return resolved, plan, measure_design(resolved, plan)


def _guessed(design: DesignSpec, upper: Mapping[str, Bound]) -> float:
    """Return a first multiplier from the bound on parameters: near the result, more blocks are cached."""
    most = min(_ends(upper.get("parameters", Bound())), default=None)
    squares = sum((stage.width or 0) ** 2 * stage.repeats for stage in design.stages)
    return 1.0 if most is None or not squares else math.sqrt(max(most, 1.0) / (DENSITY * squares))


def _ends(bound: Bound) -> list[float]:
    return [value for value in (bound.below, bound.at_most) if value is not None]


def _upper(bound: Bound | None) -> Bound | None:
    if bound is None or not _ends(bound):
        return None
    return Bound(below=bound.below, at_most=bound.at_most)


def _headroom(found: Mapping[str, float], upper: Mapping[str, Bound]) -> tuple[bool, float]:
    """Return whether every bound is kept, and the logarithm of the smallest ratio of a bound to the value found."""
    kept, headroom = True, math.inf
    for name, bound in upper.items():
        value = found[name]
        least = LEAST_SECONDS if name == SECONDS else 1.0
        kept = kept and (bound.below is None or value < bound.below)
        kept = kept and (bound.at_most is None or value <= bound.at_most)
        for most in _ends(bound):
            headroom = min(headroom, math.log(max(most, least)) - math.log(max(value, least)))
    return kept, headroom

"""`width: fit`: the widest multiplier of a design's widths that keeps every upper limit.

Imports the design and this room; no torch.
"""

from __future__ import annotations

from archsearch.analysis.footprint import Footprint, measure
from archsearch.analysis.limits import NUMBERS, Bound, Limits
from archsearch.design.lower import lower
from archsearch.design.plan import Plan
from archsearch.design.spec import DesignSpec
from archsearch.errors import SpecError

STEP = 1 / 1024
"""Multipliers are tried in these steps: finer than one divisor of channels for widths up to 8 192."""
WIDEST = 64.0


def resolve(design: DesignSpec, limits: Limits) -> DesignSpec:
    """Return `design` with `width: fit` replaced by the widest multiplier; unchanged where it has a number.

    Parameters, MACs and activations never fall as the multiplier grows, so bisection finds it.
    Where even the narrowest network breaks an upper limit that one is returned, for its margins to
    say by how much. Raises `SpecError` where no upper limit is set.
    """
    if design.width != "fit":
        return design
    upper = {name: bound for name in NUMBERS if (bound := _upper(getattr(limits, name))) and name != "receptive_field"}
    if not upper:
        mend = "Set constraints.parameters={below: 200000}, or arch.width to a number."
        raise SpecError("arch.width", "'fit' needs an upper limit on parameters, macs, activations or peak_bytes", mend)
    return design.at_width(widest(design, upper))


def widest(design: DesignSpec, upper: dict[str, Bound]) -> float:
    """Return the largest multiple of `STEP` up to `WIDEST` at which every bound of `upper` is kept."""
    low, high = 1, round(WIDEST / STEP)
    if _keeps(design.at_width(high * STEP), upper):
        return high * STEP
    while high - low > 1:
        middle = (low + high) // 2
        if _keeps(design.at_width(middle * STEP), upper):
            low = middle
        else:
            high = middle
    return low * STEP


def lowered(design: DesignSpec, limits: Limits) -> tuple[DesignSpec, Plan, Footprint]:
    """Return `design` with its width resolved, its plan and its footprint."""
    resolved = resolve(design, limits)
    plan = lower(resolved)
    return resolved, plan, measure(plan)


def _upper(bound: Bound | None) -> Bound | None:
    if bound is None or (bound.below is None and bound.at_most is None):
        return None
    return Bound(below=bound.below, at_most=bound.at_most)


def _keeps(design: DesignSpec, upper: dict[str, Bound]) -> bool:
    footprint = measure(lower(design))
    for name, bound in upper.items():
        found = getattr(footprint, name)
        if (bound.below is not None and found >= bound.below) or (bound.at_most is not None and found > bound.at_most):
            return False
    return True

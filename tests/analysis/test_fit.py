"""`width: fit` gives the widest network that keeps every upper limit."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping

import pytest

from archsearch.analysis import fit
from archsearch.analysis.fit import STEP, WIDEST, lowered, resolve, widest
from archsearch.analysis.limits import Bound, Limits, decode_limits
from archsearch.analysis.measure import measure
from archsearch.design.lower import lower
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design
from archsearch.errors import SpecError

Make = Callable[..., DesignSpec]


def parameters(design: DesignSpec) -> int:
    return measure(lower(design)).parameters


@pytest.mark.parametrize("bound", [5_000, 50_000, 200_000, 1_000_000])
def test_one_step_wider_breaks_the_limit(make_design: Make, bound: int) -> None:
    limits = decode_limits({"parameters": {"below": bound}})
    design = resolve(make_design(width="fit"), limits)
    assert isinstance(design.width, float)
    assert parameters(design) < bound <= parameters(design.at_width(design.width + STEP))


def test_all_upper_limits_hold_at_once(make_design: Make) -> None:
    limits = decode_limits({"parameters": {"below": 200_000}, "macs": {"at_most": 5_000_000}})
    _, _, footprint = lowered(make_design(width="fit"), limits)
    assert footprint.parameters < 200_000
    assert footprint.macs <= 5_000_000
    alone = lowered(make_design(width="fit"), decode_limits({"parameters": {"below": 200_000}}))[2]
    assert footprint.parameters < alone.parameters


def test_channels_come_in_multiples_of_the_divisor(make_design: Make) -> None:
    limits = decode_limits({"parameters": {"below": 100_000}})
    plan = lowered(make_design(width="fit", divisor=12), limits)[1]
    names = str(plan).split("out_channels=")[1:]
    assert {int(name.partition(",")[0]) % 12 for name in names} == {0}


def test_it_is_the_same_every_time(make_design: Make) -> None:
    limits = decode_limits({"parameters": {"below": 100_000}})
    assert len({resolve(make_design(width="fit"), limits).width for _ in range(3)}) == 1


def test_a_number_is_left_alone(make_design: Make) -> None:
    design = make_design(width=1.5)
    assert resolve(design, Limits()) is design


def test_what_cannot_be_kept_gives_the_narrowest(make_design: Make) -> None:
    design = resolve(make_design(width="fit"), decode_limits({"parameters": {"below": 10}}))
    assert design.width == STEP


def test_what_is_always_kept_gives_the_widest(make_design: Make) -> None:
    design = resolve(make_design(width="fit"), decode_limits({"parameters": {"below": 10**12}}))
    assert design.width == WIDEST


def test_without_an_upper_limit_there_is_nothing_to_fit(make_design: Make) -> None:
    with pytest.raises(
        SpecError, match="'fit' needs an upper limit on parameters, macs, activations, peak_bytes or train_seconds"
    ):
        resolve(make_design(width="fit"), decode_limits({"receptive_field": {"above": 3, "below": 99}}))


BOUNDS: list[dict[str, Bound]] = [
    {"parameters": Bound(below=200_000)},
    {"parameters": Bound(at_most=30_000.5), "macs": Bound(below=4_000_000)},
    {"activations": Bound(at_most=90_000)},
    {"peak_bytes": Bound(below=100_000)},
    {"macs": Bound(at_most=10**13)},
    {"parameters": Bound(at_most=0)},
]


def bisected(design: DesignSpec, upper: Mapping[str, Bound]) -> float:
    """Return what `widest` gives, by plain bisection over whole plans."""
    low, high = 1, round(WIDEST / STEP) + 1
    while high - low > 1:
        middle = (low + high) // 2
        found = measure(lower(design.at_width(middle * STEP)))
        kept = [
            (bound.below is None or getattr(found, name) < bound.below)
            and (bound.at_most is None or getattr(found, name) <= bound.at_most)
            for name, bound in upper.items()
        ]
        low, high = (middle, high) if all(kept) else (low, middle)
    return low * STEP


def random_design(rng: random.Random, blocks: BlockLookup) -> DesignSpec:
    stages = {
        f"c{i}": {
            "block": rng.choice(["normal", "depthwise", "inverted", "bottleneck", "dilated", "squeeze_excite"]),
            "width": rng.randrange(1, 200),
            "repeats": rng.randrange(0, 4),
        }
        for i in range(rng.randrange(1, 5))
    }
    stem = {"block": "normal", "out": rng.randrange(4, 40)} if rng.random() < 0.5 else None
    raw = {"stem": stem, "stages": stages, "head": {"classes": 10}, "width": "fit", "divisor": rng.choice([1, 4, 8])}
    return decode_design(raw, blocks)


@pytest.mark.parametrize("upper", BOUNDS, ids=str)
def test_it_is_what_a_plain_bisection_finds(upper: dict[str, Bound], shipped: BlockLookup) -> None:
    rng = random.Random(0)
    for _ in range(8):
        design = random_design(rng, shipped)
        assert widest(design, upper) == bisected(design, upper)


def test_of_tied_weights_too(shipped: BlockLookup) -> None:
    upper = {"parameters": Bound(below=200_000)}
    stages = {"c1": {"block": "normal", "width": 30, "repeats": 2}, "c2": {"block": "depthwise", "width": 50}}
    raw = {"stages": stages, "head": {"classes": 10}, "width": "fit", "divisor": 1}
    plain, tied = (decode_design({**raw, "symmetry": symmetry}, shipped) for symmetry in ("none", "flip"))
    assert widest(tied, upper) == bisected(tied, upper)
    assert widest(tied, upper) == pytest.approx(2**0.5 * widest(plain, upper), rel=0.02)


def test_few_widths_are_looked_at(shipped: BlockLookup, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[float] = []
    counted = fit.Widths.totals
    monkeypatch.setattr(fit.Widths, "totals", lambda self, width: (looked_at.append(width), counted(self, width))[1])
    rng = random.Random(0)
    designs = [decode_design({**random_design(rng, shipped).source, "divisor": 8}, shipped) for _ in range(20)]
    for design in designs:
        widest(design, {"parameters": Bound(below=100_000)})
    assert len(looked_at) < 7 * len(designs)  # a plain bisection takes 16 each


GROUPED = {"layers": [{"conv": {"groups": "groups"}}, {"norm": "batch"}], "options": {"groups": 1}}


@pytest.mark.parametrize("groups", [3, 7, 12])
@pytest.mark.parametrize("bound", [100, 20_000, 60_000, 10**12])
def test_widths_that_groups_do_not_divide_are_skipped(shipped: BlockLookup, groups: int, bound: int) -> None:
    stages = {
        "a": {"block": "normal", "width": 48},
        "b": {"block": GROUPED, "width": 48, "groups": groups},
        "c": {"block": GROUPED, "width": 96, "groups": groups},
    }
    design = decode_design({"stages": stages, "head": {"classes": 10}, "width": "fit"}, shipped)
    fitting: dict[float, int] = {}
    for step in (1, *range(7, round(WIDEST / STEP) + 1, 5)):
        with contextlib.suppress(SpecError):
            fitting[step * STEP] = parameters(design.at_width(step * STEP))
        if len(fitting) > 300 and fitting[max(fitting)] > bound:
            break
    found = resolve(design, decode_limits({"parameters": {"at_most": bound}}))
    assert isinstance(found.width, float)
    kept = [width for width, count in fitting.items() if count <= bound]
    known = max(kept) if kept else min(fitting)
    assert parameters(found) == fitting[known]
    if kept:
        assert found.width >= known


def test_a_design_that_no_width_fits_is_an_error_with_the_path_of_its_layer(shipped: BlockLookup) -> None:
    stages = {"a": {"block": GROUPED, "width": 48, "groups": 2}}
    design = decode_design({"stages": stages, "head": {"classes": 10}, "width": "fit"}, shipped)
    with pytest.raises(SpecError, match=r"^stages\.a\.0\.conv: 3 input channels are not divisible by 2 groups"):
        resolve(design, decode_limits({"parameters": {"at_most": 1000}}))


def test_stages_without_a_width_keep_their_channels(make_design: Make) -> None:
    grow = {"layers": [{"parallel": {"branches": [[], [{"conv": 12}]]}}]}
    stages = {"c1": {"block": "normal", "width": 16}, "c2": {"block": grow, "repeats": 3}, "c3": {"block": "normal"}}
    stages["c3"] |= {"width": 32}
    limits = decode_limits({"parameters": {"below": 50_000}})
    design, plan, footprint = lowered(make_design(stages, width="fit"), limits)
    assert isinstance(design.width, float)
    assert footprint == measure(plan)
    assert footprint.parameters < 50_000 <= parameters(design.at_width(design.width + STEP))
    narrow, wide = (lower(design.at_width(width)).layers[0].layers[1] for width in (1.0, 2.0))
    assert (narrow.channels_after(16), wide.channels_after(32)) == (16 + 36, 32 + 36)

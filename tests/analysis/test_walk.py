from __future__ import annotations

from dataclasses import replace

import pytest

from archsearch.analysis.footprint import measure, rows
from archsearch.design.plan import Activation, Conv, GlobalPool, Layer, Linear, Parallel, Plan, Pool, Sequence
from archsearch.errors import SpecError

RELU = Activation(name="act", kind="relu")
GLOBAL = GlobalPool(name="pool", kind="average")


def conv(channels: int = 3, out: int = 3, kernel: int = 3, stride: int = 1, name: str = "conv") -> Conv:
    pad = (kernel - 1) // 2
    return Conv(name=name, in_channels=channels, out_channels=out, kernel=kernel, stride=stride, padding=(pad, pad))


def plan_of(*layers: Layer, side: int = 32) -> Plan:
    return Plan(input_shape=(3, side, side), layers=(Sequence(name="stem", layers=layers),))


def add(*branches: tuple[Layer, ...], combine: str = "add") -> Parallel:
    parts = tuple(Sequence(name=f"b{i}", layers=layers) for i, layers in enumerate(branches))
    return Parallel(name="join", branches=parts, combine=combine)  # type: ignore[arg-type]


GATE: tuple[Layer, ...] = (
    GLOBAL,
    conv(kernel=1, name="squeeze"),
    conv(kernel=1, name="excite"),
    Activation(name="gate", kind="sigmoid"),
)


def test_rows_are_leaves_and_merges_by_path_in_the_order_they_run() -> None:
    table = rows(plan_of(conv(), add((conv(name="deep"), RELU), ())))
    assert [(row.name, row.kind) for row in table] == [
        ("stem.conv", "conv"),
        ("stem.join.b0.deep", "conv"),
        ("stem.join.b0.act", "activation"),
        ("stem.join", "add"),
    ]
    assert [row.receptive_field for row in table] == [3, 5, 5, 5]


def test_the_receptive_field_is_that_of_the_last_convolution_before_pools_and_global_pools() -> None:
    pool = Pool(name="shrink", kind="average", kernel=3, stride=3)
    footprint = measure(plan_of(conv(stride=2), conv(name="last"), pool, GLOBAL, conv(kernel=1, name="classes")))
    assert (footprint.receptive_field, footprint.jump, footprint.start) == (7, 2, -3)
    assert footprint.output_shape == (3, 1, 1)


def test_a_dense_layer_sees_everything_and_ends_the_count() -> None:
    linear = Linear(name="linear", in_features=3 * 64, out_features=3)
    footprint = measure(plan_of(conv(), linear, conv(kernel=1, name="after"), side=8))
    assert footprint.receptive_field == 3


def test_without_a_convolution_an_output_sees_one_pixel() -> None:
    assert measure(plan_of(Pool(name="shrink", kind="max", kernel=4, stride=4))).receptive_field == 1


def test_a_convolution_in_a_branch_stands_for_the_whole_parallel() -> None:
    inception = add((conv(kernel=5),), (Pool(name="shrink", kind="max", kernel=7, stride=1, padding=(3, 3)),))
    assert measure(plan_of(conv(), inception, RELU)).receptive_field == 9
    without_conv = add((RELU,), (Pool(name="shrink", kind="max", kernel=7, stride=1, padding=(3, 3)),))
    assert measure(plan_of(conv(), without_conv)).receptive_field == 3


@pytest.mark.parametrize("branches", [((), GATE), (GATE, ())])
def test_a_squeeze_and_excitation_gate_adds_nothing_to_the_field(branches: tuple[tuple[Layer, ...], ...]) -> None:
    gated = plan_of(conv(), add(*branches, combine="multiply"), conv(name="last"))
    assert measure(gated).receptive_field == 5
    only_gated = plan_of(
        conv(), Pool(name="shrink", kind="max", kernel=2, stride=2), add(*branches, combine="multiply")
    )
    assert measure(only_gated).receptive_field == 3


def test_a_branch_that_is_spread_over_the_map_adds_nothing_to_the_field() -> None:
    whole = Conv(name="whole", in_channels=3, out_channels=3, kernel=8)
    assert measure(plan_of(add((conv(),), (whole,), combine="multiply"), side=8)).receptive_field == 3


def test_branches_that_all_pool_globally_end_the_count() -> None:
    both = add((GLOBAL,), (GlobalPool(name="pool", kind="max"),), combine="concat")
    assert measure(plan_of(conv(), both, conv(channels=6, kernel=1, name="classes"))).receptive_field == 3


def test_branches_with_equal_maps_but_other_strides_are_refused() -> None:
    stride = Conv(name="conv", in_channels=3, out_channels=3, kernel=1, stride=2)
    window = Conv(name="conv", in_channels=3, out_channels=3, kernel=2)
    with pytest.raises(SpecError) as caught:
        measure(plan_of(add((stride,), (window,)), side=3))
    assert str(caught.value) == (
        "stem.join: its branches have maps of one size but step over the input at different strides "
        "('b0' 2 px, 'b1' 1 px). Give every branch the same product of strides."
    )
    assert measure(plan_of(add((stride,), (window,)), side=2)).output_shape == (3, 1, 1)


def test_a_refusal_names_the_path_down_to_the_layer() -> None:
    wrong = replace(conv(), in_channels=5)
    with pytest.raises(SpecError, match=r"^stem\.join\.b1\.inner\.conv: takes 5 channels"):
        measure(plan_of(add((conv(),), (Sequence(name="inner", layers=(wrong,)),))))


@pytest.mark.parametrize(
    ("layers", "elements"),
    [
        ((RELU, conv(out=8)), 3 + 8),
        # The source waits while the first branch runs past its first layer: 3 beside 8 + 8.
        ((add((conv(out=8), Activation(name="again", kind="relu"), conv(8, 3, name="last")), ()),), 3 + 8 + 8),
        # The identity's output is the source: it waits during the second branch too, and is read by the merge.
        ((add((), (conv(out=8), Activation(name="again", kind="relu"), conv(8, 3, name="last"))),), 3 + 8 + 8),
        # The last branch sets the source free: the first's 4 wait beside 4 + 4.
        ((add((conv(out=4),), (conv(out=4), Activation(name="again", kind="relu"))),), 4 + 4 + 4),
        # Nested: the outer source waits beside the inner merge of 3 + 3 to 3, and is its own identity there.
        ((add((add((conv(),), (conv(),)),), ()),), 3 + 3 + 3 + 3),
        ((add((add((conv(),), ()),), ()),), 3 + 3 + 3),
        ((add((conv(out=5),), (conv(out=4),), combine="concat"),), 5 + 4 + 9),
    ],
)
def test_the_peak_holds_what_waits_in_a_parallel(layers: tuple[Layer, ...], elements: int) -> None:
    assert measure(plan_of(*layers, side=1)).peak_bytes == 4 * elements

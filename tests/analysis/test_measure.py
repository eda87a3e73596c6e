"""Footprints: totals and rows, receptive fields, the peak, and that blocks add up to the whole plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from archsearch.analysis.measure import Widths, field_of, joined, measure, measure_design, rows
from archsearch.cli.compose import Composer
from archsearch.design.block import decode_block
from archsearch.design.layers import Activation, Conv, GlobalPool, Linear, Norm, Pool
from archsearch.design.lower import blocks_of, lower, stages_of, with_options
from archsearch.design.plan import Layer, Parallel, Plan, Sequence
from archsearch.design.spec import DesignSpec, decode_design
from archsearch.errors import SpecError

PLAN = Plan(
    input_shape=(3, 32, 32),
    layers=(
        Sequence(
            name="stem",
            layers=(
                Conv(name="conv", in_channels=3, out_channels=16, stride=2, padding=(1, 1)),
                Norm(name="norm", kind="batch", channels=16),
                Activation(name="act", kind="relu"),
            ),
        ),
        Sequence(
            name="head",
            layers=(
                GlobalPool(name="pool", kind="average"),
                Linear(name="linear", in_features=16, out_features=10),
            ),
        ),
    ),
)


def test_totals_of_a_small_network_by_hand() -> None:
    footprint = measure(PLAN)
    map_elements = 16 * 16 * 16
    assert footprint.parameters == 16 * 27 + 32 + 170
    assert footprint.macs == map_elements * 27 + 160
    assert footprint.activations == 3 * map_elements + 16 + 10
    assert footprint.activation_bytes == 4 * (3 * 32 * 32 + footprint.activations)
    assert footprint.peak_bytes == 4 * 2 * map_elements
    assert footprint.output_shape == (10, 1, 1)
    assert (footprint.receptive_field, footprint.jump, footprint.start) == (3, 2, -1)


def test_layers_are_the_rows_of_the_plan() -> None:
    footprint = measure(PLAN)
    assert footprint.layers == rows(PLAN)
    assert [row.name for row in footprint.layers] == ["stem.conv", "stem.norm", "stem.act", "head.pool", "head.linear"]


def test_rows_behind_a_global_pool_report_the_field_of_its_input() -> None:
    assert [row.receptive_field for row in rows(PLAN)] == [3] * 5


def test_a_plan_without_layers_is_the_image_itself() -> None:
    footprint = measure(Plan(input_shape=(3, 8, 8), layers=()))
    assert (footprint.parameters, footprint.macs, footprint.output_shape) == (0, 0, (3, 8, 8))


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


@pytest.mark.parametrize(
    "last", [conv(kernel=1, name="classes"), Linear(name="classes", in_features=3, out_features=3)]
)
@pytest.mark.parametrize("window", [GLOBAL, *(Pool(name="pool", kind="average", kernel=k, stride=k) for k in (6, 8))])
def test_the_head_is_measured_the_same_however_it_is_spelled(last: Layer, window: Layer) -> None:
    footprint = measure(plan_of(conv(stride=2), conv(stride=2, name="last"), window, last))
    assert (footprint.receptive_field, footprint.jump, footprint.output_shape) == (7, 4, (3, 1, 1))


def test_a_convolution_over_the_whole_map_is_a_dense_layer() -> None:
    body = (conv(stride=2), conv(stride=2, name="second"))
    dense = Linear(name="classes", in_features=3 * 64, out_features=5)
    whole = Conv(name="classes", in_channels=3, out_channels=5, kernel=8, stride=8, bias=True)
    for last in (dense, whole):
        footprint = measure(plan_of(*body, last))
        assert (footprint.receptive_field, footprint.parameters) == (7, 2 * 81 + 5 * 193)
    assert measure(plan_of(*body, replace(whole, kernel=6, stride=3))).receptive_field == 7 + 4 * 5


def test_pools_on_one_value_do_nothing() -> None:
    strided = [conv(kernel=5, stride=4, name=f"c{i}") for i in range(3)]
    padded = Pool(name="padded", kind="max", kernel=3, stride=1, padding=(1, 1))
    last = conv(name="last")
    footprint = measure(plan_of(*strided, last))
    for idle in ((GLOBAL,), (padded, GLOBAL)):
        found = measure(plan_of(*strided, *idle, last))
        assert found == replace(footprint, plan=found.plan)


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


def test_branches_with_equal_maps_but_other_strides_are_errors() -> None:
    stride = Conv(name="conv", in_channels=3, out_channels=3, kernel=1, stride=2)
    window = Conv(name="conv", in_channels=3, out_channels=3, kernel=2)
    with pytest.raises(SpecError) as caught:
        measure(plan_of(add((stride,), (window,)), side=3))
    assert str(caught.value) == (
        "stem.join: its branches give maps of the same size but with different strides relative to the input "
        "('b0' 2 px, 'b1' 1 px). Give every branch the same product of strides."
    )
    assert measure(plan_of(add((stride,), (window,)), side=2)).output_shape == (3, 1, 1)


def test_an_error_names_the_path_down_to_the_layer() -> None:
    wrong = replace(conv(), in_channels=5)
    with pytest.raises(SpecError, match=r"^stem\.join\.b1\.inner\.conv: expected 5 input channels"):
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


ARCHES = ["c1c2c3c4", "resnet20", "mobilenet_v2", "wrn28_2_blueprint", "assignment", "all_dilated", "vgg16"]


@pytest.mark.parametrize("symmetry", ["none", "flip"])
@pytest.mark.parametrize("arch", ARCHES)
def test_they_are_those_of_the_plan(arch: str, symmetry: str) -> None:
    composer = Composer([f"arch={arch}", "data=shapes", f"arch.symmetry={symmetry}"])
    whole = decode_design(composer.compose({})["arch"], composer.blocks)
    for width in (0.3, 1.0, 1.7):
        design = whole.at_width(width)
        found, footprint = Widths(whole).totals(width), measure(lower(design))
        assert measure_design(design, lower(design)) == footprint
        for name in ("parameters", "macs", "activations", "peak_bytes"):
            assert getattr(found, name) == getattr(footprint, name), (width, name)


def test_an_error_by_blocks_is_that_of_the_whole_plan(make_design: Callable[..., DesignSpec]) -> None:
    block = {"layers": [{"conv": {"kernel": 9, "padding": "valid"}}]}
    design = make_design({"a": {"block": "normal", "width": 8}, "b": {"block": block, "width": 8, "repeats": 5}})
    with pytest.raises(SpecError, match=r"^stages\.b\.3\.conv: a kernel of 9 is larger") as whole:
        measure(lower(design.at_width(1.0)))
    with pytest.raises(SpecError) as by_blocks:
        Widths(design).totals(1.0)
    assert str(by_blocks.value) == str(whole.value)


def test_a_convolution_behind_a_gate_or_a_dense_layer_counts_as_in_the_whole_plan(
    make_design: Callable[..., DesignSpec],
) -> None:
    pooled = {"layers": [{"conv": {}}, {"pool": "global_average"}, {"conv": {"kernel": 1}}]}
    stages = {
        "a": {"block": "squeeze_excite", "width": 8, "repeats": 2, "dilation": 2},
        "b": {"block": pooled, "width": 8},
        "c": {"block": {"layers": [{"conv": {"kernel": 1}}]}, "width": 16},
    }
    for some in (stages, {"a": stages["a"]}, {"a": stages["a"], "b": stages["b"]}):
        plan = lower(design := make_design(some))
        assert measure_design(design, plan) == measure(plan)


HEADS = [
    {"pool": "average", "kernel": 4},
    {"pool": "average", "kernel": 3},
    {"pool": "average", "kernel": 3, "linear": False, "layers": [{"conv": {"out": "classes", "kernel": 1}}]},
    {"pool": "none", "linear": False, "layers": [{"pool": "global_max"}, {"conv": {"out": "classes", "kernel": 1}}]},
    {"pool": "none", "linear": False, "layers": [{"conv": {"out": "classes", "kernel": 4, "padding": "valid"}}]},
    {"pool": "none", "linear": False, "layers": [{"pool": {"kind": "average", "kernel": 4}}, {"conv": "classes"}]},
]


@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("side", [32, 17, 16, 8])
def test_by_blocks_a_head_is_measured_as_in_the_whole_plan(
    make_design: Callable[..., DesignSpec], head: dict[str, object], side: int
) -> None:
    pooled = {"layers": [{"conv": {}}, {"pool": {"kind": "max", "kernel": 4, "stride": 1, "padding": "valid"}}]}
    stages = {name: {"block": "strided", "width": 8} for name in ("a", "b")}
    for last in ({"block": "strided", "width": 8, "kernel": 5}, {"block": pooled, "width": 8}):
        design = make_design({**stages, "c": last}, head={"classes": 10, **head}, input=[3, side, side])
        assert outcome(lambda d=design: measure_design(d, lower(d))) == outcome(lambda d=design: measure(lower(d)))


def outcome(count: Callable[[], object]) -> object:
    try:
        return count()
    except SpecError as error:
        return str(error)


@pytest.mark.parametrize("arch", ARCHES)
def test_fields_joined_are_the_receptive_field(arch: str) -> None:
    composer = Composer([f"arch={arch}", "data=shapes"])
    design = decode_design(composer.compose({})["arch"], composer.blocks)
    *_, head = Widths(design).parts(Widths(design).channels(1.0))
    blocks = [block for stage in stages_of(design) for block in blocks_of(stage)]
    field = joined([*map(field_of, blocks), head])
    assert field is not None
    assert field.at_last_conv is not None
    assert field.at_last_conv.size == measure(lower(design)).receptive_field


def test_a_field_that_depends_on_channels_is_not_known() -> None:
    block = {"layers": [{"conv": {"kernel": "3 if in > 40 else 5"}}]}
    assert field_of(with_options(decode_block(block, "b"))) is None
    assert joined([None]) is None

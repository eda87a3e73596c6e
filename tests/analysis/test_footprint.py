from __future__ import annotations

from archsearch.analysis.footprint import measure, rows
from archsearch.design.plan import Activation, Conv, GlobalPool, Linear, Norm, Plan, Sequence

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

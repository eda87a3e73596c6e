"""Features: from any plan, by one function."""

from __future__ import annotations

import math

from archsearch.analysis.footprint import measure
from archsearch.design.plan import Conv, GlobalPool, Linear, Parallel, Plan, Sequence
from archsearch.search.evaluator import features_of


def conv(channels: int, width: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> Conv:
    side = dilation * (kernel - 1) // 2
    return Conv(
        name=f"conv{kernel}{stride}{groups}",
        in_channels=channels,
        out_channels=width,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        groups=groups,
        padding=(side, side),
    )


PLAN = Plan(
    input_shape=(3, 32, 32),
    layers=(
        Sequence(name="stem", layers=(conv(3, 8, 3),)),
        Sequence(name="stages", layers=(Sequence(name="a", layers=(conv(8, 8, 5, stride=2), conv(8, 8, 1))),)),
        Sequence(
            name="head",
            layers=(
                Parallel(
                    name="residual",
                    branches=(
                        Sequence(name="main", layers=(conv(8, 8, 3, stride=2, groups=8), conv(8, 8, 3, dilation=2))),
                        Sequence(name="shortcut", layers=(conv(8, 8, 1, stride=2),)),
                    ),
                    combine="add",
                ),
                conv(8, 8, 3),
                GlobalPool(name="pool", kind="average"),
                Linear(name="linear", in_features=8, out_features=10),
            ),
        ),
    ),
)


def test_convolutions_are_counted_by_kernel_and_resolution() -> None:
    found = features_of(PLAN, measure(PLAN))
    counts = {name: value for name, value in found.items() if not name.startswith("log_")}
    assert counts == {
        "depth": 7,
        "level0.kernel3": 1,
        "level1.kernel5": 1,
        "level2.kernel3": 3,
        "dilated": 1,
        "depthwise": 1,
    }


def test_costs_are_logarithms() -> None:
    footprint = measure(PLAN)
    found = features_of(PLAN, footprint)
    assert found["log_parameters"] == math.log(footprint.parameters)
    assert found["log_macs"] == math.log(footprint.macs)
    assert found["log_receptive_field"] == math.log(footprint.receptive_field)

"""Equal networks share a design id; different ones do not."""

from __future__ import annotations

from dataclasses import replace

from archsearch.design.layers import Activation, Conv, Dropout, GlobalPool, Linear, Pool
from archsearch.design.plan import Layer, Parallel, Plan, Sequence, canonical_text, design_id

CONV = Conv(name="conv", in_channels=3, out_channels=3, kernel=3, padding=(1, 1))
RELU = Activation(name="act", kind="relu")


def plan(*layers: Layer) -> Plan:
    return Plan(input_shape=(3, 8, 8), layers=(Sequence(name="body", layers=layers),))


def parallel(*branches: tuple[Layer, ...], combine: str = "add") -> Parallel:
    named = tuple(Sequence(name=str(i), layers=branch) for i, branch in enumerate(branches))
    return Parallel(name="p", branches=named, combine=combine)  # type: ignore[arg-type]


def test_names_nesting_and_idle_layers_do_not_count() -> None:
    wrapped = Sequence(name="x", layers=(replace(CONV, name="other"), Sequence(name="empty", layers=())))
    idle = (Dropout(name="d", rate=0.0), Pool(name="p", kind="max", kernel=1, stride=1))
    assert design_id(plan(CONV, RELU)) == design_id(plan(wrapped, *idle, RELU))


def test_dilation_of_a_single_tap_does_not_count() -> None:
    one = replace(CONV, kernel=1, padding=(0, 0))
    assert design_id(plan(one)) == design_id(plan(replace(one, dilation=3)))


def test_the_order_of_summed_branches_does_not_count_and_that_of_joined_ones_does() -> None:
    assert design_id(plan(parallel((CONV,), (RELU,)))) == design_id(plan(parallel((RELU,), (CONV,))))
    joined = [design_id(plan(parallel(*pair, combine="concat"))) for pair in (((CONV,), (RELU,)), ((RELU,), (CONV,)))]
    assert joined[0] != joined[1]


def test_every_number_counts() -> None:
    changes = [
        {"kernel": 5},
        {"stride": 2},
        {"dilation": 2},
        {"groups": 3},
        {"padding": (0, 2)},
        {"bias": True},
        {"out_channels": 6},
    ]
    ids = {design_id(plan(replace(CONV, **change))) for change in changes}
    assert len(ids | {design_id(plan(CONV))}) == len(changes) + 1


def test_order_and_kind_count() -> None:
    assert design_id(plan(CONV, RELU)) != design_id(plan(RELU, CONV))
    assert design_id(plan(RELU)) != design_id(plan(replace(RELU, kind="gelu")))
    assert design_id(plan(GlobalPool(name="p", kind="max"))) != design_id(plan(GlobalPool(name="p", kind="average")))
    linear = Linear(name="l", in_features=3, out_features=10)
    assert design_id(plan(linear)) != design_id(plan(replace(linear, bias=False)))


def test_the_input_counts_and_the_id_is_sixteen_digits() -> None:
    assert design_id(plan(CONV)) != design_id(replace(plan(CONV), input_shape=(3, 16, 16)))
    assert len(design_id(plan(CONV))) == 16
    assert canonical_text(plan(CONV)) == "(3, 8, 8):conv3,3,3,1,1,1,1,1,0"

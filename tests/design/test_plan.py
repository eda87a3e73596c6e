"""Equal networks share a design id; different ones do not."""

from __future__ import annotations

from dataclasses import replace

from archsearch.design.layers import Activation, Conv, Dropout, GlobalPool, Linear, Norm, Pool
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


def test_a_dense_layer_is_a_convolution_over_the_whole_map() -> None:
    classes = Linear(name="l", in_features=3, out_features=10)
    pointwise = Conv(name="c", in_channels=3, out_channels=10, kernel=1, stride=2, bias=True)
    pools = (
        GlobalPool(name="p", kind="average"),
        Pool(name="p", kind="average", kernel=8, stride=8),
        Pool(name="p", kind="average", kernel=10, stride=3, padding=(1, 1)),
    )
    assert len({design_id(plan(CONV, pool, last)) for pool in pools for last in (classes, pointwise)}) == 1
    assert design_id(plan(CONV, pools[0], classes)) != design_id(plan(CONV, replace(pools[1], kernel=7), classes))
    assert design_id(plan(CONV, pools[0], classes)) != design_id(plan(CONV, pools[0], replace(pointwise, bias=False)))
    dense = Linear(name="l", in_features=3 * 64, out_features=10, bias=False)
    whole = Conv(name="c", in_channels=3, out_channels=10, kernel=8, stride=4)
    assert (
        design_id(plan(CONV, dense)) == design_id(plan(CONV, whole)) != design_id(plan(CONV, replace(whole, kernel=7)))
    )


def test_merges_in_merges_of_their_kind_are_one_merge() -> None:
    one, two, three = (CONV,), (RELU,), (CONV, RELU)
    for combine in ("add", "concat", "multiply"):
        flat = parallel(one, two, three, combine=combine)
        left = parallel((parallel(one, two, combine=combine),), three, combine=combine)
        right = parallel(one, (Sequence(name="x", layers=(parallel(two, three, combine=combine),)),), combine=combine)
        single = parallel((flat,), combine="add")
        assert len({design_id(plan(each)) for each in (flat, left, right, single)}) == 1
    assert design_id(plan(parallel(one, (parallel(two, three), RELU)))) != design_id(plan(parallel(one, two, three)))
    mixed = parallel(one, (parallel(two, three, combine="multiply"),))
    assert design_id(plan(mixed)) != design_id(plan(parallel(one, two, three)))


def test_padding_that_no_window_reaches_does_not_count() -> None:
    pool = Pool(name="p", kind="max", kernel=2, stride=2)
    assert design_id(plan(CONV, pool)) == design_id(plan(CONV, replace(pool, padding=(0, 1))))
    odd = Plan(input_shape=(3, 7, 7), layers=(pool,))  # type: ignore[arg-type]
    assert design_id(odd) != design_id(replace(odd, layers=(replace(pool, padding=(0, 1)),)))


def test_norms_of_one_group_or_one_channel_a_group_are_those_of_their_name() -> None:
    norms = {kind: Norm(name="n", kind=kind, channels=3) for kind in ("layer", "instance", "group", "batch")}
    assert design_id(plan(norms["group"])) == design_id(plan(norms["layer"]))
    assert design_id(plan(replace(norms["group"], groups=3))) == design_id(plan(norms["instance"]))
    assert len({design_id(plan(norms[kind])) for kind in ("layer", "instance", "batch")}) == 3

"""Traits are read off primitives, never off names."""

from __future__ import annotations

from archsearch.analysis.traits import Traits, read_traits
from archsearch.design.channels import PoolKind
from archsearch.design.layers import Activation, Conv, Dropout, GlobalPool, Linear, Norm, Pool
from archsearch.design.plan import Layer, Parallel, Plan, Sequence


def conv(kernel: int = 3, groups: int = 1, stride: int = 1, dilation: int = 1, channels: int = 8) -> Conv:
    side = dilation * (kernel - 1) // 2
    return Conv(
        name="c",
        in_channels=8,
        out_channels=channels,
        kernel=kernel,
        groups=groups,
        stride=stride,
        dilation=dilation,
        padding=(side, side),
    )


NORM = Norm(name="n", kind="batch", channels=8)
RELU = Activation(name="a", kind="relu")


def traits(*layers: Layer, side: int = 8) -> Traits:
    return read_traits(Plan(input_shape=(8, side, side), layers=(Sequence(name="s", layers=layers),)))


def parallel(*branches: tuple[Layer, ...], combine: str = "add") -> Parallel:
    named = tuple(Sequence(name=f"b{i}", layers=branch) for i, branch in enumerate(branches))
    return Parallel(name="p", branches=named, combine=combine)  # type: ignore[arg-type]


def test_depthwise_separable_is_depthwise_then_pointwise() -> None:
    assert "depthwise_separable" in traits(conv(groups=8), conv(1)).present
    assert "depthwise_separable" in traits(conv(groups=8), NORM, RELU, conv(1)).present
    assert "depthwise_separable" not in traits(conv(groups=8)).present
    assert "depthwise_separable" not in traits(conv(groups=4), conv(1)).present
    assert "depthwise_separable" not in traits(conv(1), conv(groups=8)).present
    assert "depthwise_separable" not in traits(conv(groups=8), conv(3), conv(1)).present


def test_depthwise_separable_reaches_through_a_residual() -> None:
    assert "depthwise_separable" in traits(parallel((conv(1), conv(groups=8)), ()), conv(1)).present
    assert "depthwise_separable" in traits(conv(groups=8), parallel((NORM, RELU, conv(1)), ())).present


def test_kinds_of_convolutions() -> None:
    assert traits(conv(groups=4)).present == {"grouped"}
    assert traits(conv(groups=8)).present == {"depthwise"}
    assert traits(conv(1)).present == {"pointwise"}
    assert traits(conv(dilation=2)).present == {"dilated"}
    assert traits(conv(1, dilation=2)).present == {"pointwise"}
    assert traits(conv(stride=2)).present == {"strided"}


def test_structure() -> None:
    assert traits(parallel((conv(),), ())).present == {"residual"}
    assert traits(parallel((), (GlobalPool(name="g", kind="average"),), combine="multiply")).present == {"gate"}
    assert traits(Dropout(name="d", rate=0.1)).present == {"dropout"}


def pool(kind: PoolKind = "average", kernel: int = 2, stride: int = 0, padding: tuple[int, int] = (0, 0)) -> Pool:
    return Pool(name="p", kind=kind, kernel=kernel, stride=stride or kernel, padding=padding)


def test_pools_on_the_way_count_and_the_heads_does_not() -> None:
    average = pool(kernel=3)
    assert traits(pool("max"), conv()).present == {"max_pool"}
    assert traits(conv(), GlobalPool(name="g", kind="average")).head == "global_average"
    last = traits(conv(), average, side=4)
    assert (last.head, last.present) == ("global_average", frozenset())
    partly = traits(conv(), average)
    assert (partly.head, partly.present) == ("none", {"average_pool"})
    assert traits(average, conv(3, stride=2), side=9).present == {"average_pool", "strided"}
    assert traits(conv(), GlobalPool(name="g", kind="max")).head == "global_max"
    assert traits(conv()).head == "none"


def test_an_average_of_stride_1_is_smoothing_and_a_maximum_is_always_a_pool() -> None:
    assert traits(pool(kernel=3, stride=1, padding=(1, 1)), conv()).present == {"smoothing"}
    assert traits(pool(kernel=3, stride=2, padding=(1, 1)), conv()).present == {"average_pool"}
    assert traits(pool("max", 3, 1, (1, 1)), conv()).present == {"max_pool"}


def test_layers_that_do_nothing_have_no_traits() -> None:
    assert traits(conv(), Dropout(name="d", rate=0.0), pool("max", 1), pool(kernel=1)).present == frozenset()
    assert traits(conv(), GLOBAL, pool("max", 3, 1, (1, 1))) == traits(conv(), GLOBAL)


GLOBAL = GlobalPool(name="g", kind="average")
LINEAR = Linear(name="l", in_features=8, out_features=8)


def test_what_follows_the_pool_has_no_traits_however_it_is_spelled() -> None:
    for last in (conv(1), conv(1, stride=2), LINEAR):
        for reduce in (GLOBAL, pool(kernel=8), pool(kernel=8, stride=1), pool(kernel=7)):
            found = traits(conv(groups=8), reduce, last)
            assert (found.head, found.present, found.strided_layers) == ("global_average", {"depthwise"}, 0)


def test_the_pool_in_front_of_a_dense_layer_over_a_map_is_not_the_head() -> None:
    dense = Linear(name="l", in_features=8 * 16, out_features=4)
    as_conv = Conv(name="c", in_channels=8, out_channels=4, kernel=4, stride=3)
    for last in (dense, as_conv):
        found = traits(pool(), last)
        assert (found.head, found.present, found.either) == ("none", {"average_pool"}, 0)


def test_a_map_that_strides_leave_as_one_value_is_its_own_average() -> None:
    strided = (conv(stride=2), conv(stride=2), conv(stride=2))
    assert traits(*strided) == traits(*strided, GLOBAL) == traits(*strided, pool("max", 2, 1, (0, 1)))
    assert traits(*strided).head == "global_average"


def test_windows_on_the_one_value_make_its_pool_an_ordinary_one() -> None:
    found = traits(pool("max", kernel=7), conv(), GLOBAL)
    assert (found.head, found.present) == ("global_average", {"max_pool"})


def test_sums_are_residuals_by_their_branches_not_by_name_or_nesting() -> None:
    flat = parallel((conv(),), (conv(1), NORM), (conv(), RELU))
    nested = parallel((parallel((conv(),), (conv(1), NORM)),), (conv(), RELU))
    assert traits(flat) == traits(nested)
    assert traits(flat).present == {"residual", "pointwise"}
    assert traits(parallel((conv(),), (conv(), RELU))).present == frozenset()
    assert traits(parallel((conv(),), (Dropout(name="d", rate=0.0),))).present == {"residual"}


def test_the_order_of_summed_branches_does_not_count() -> None:
    one, other = (conv(groups=8), NORM), (conv(), NORM)
    assert traits(parallel(one, other), conv(1)) == traits(parallel(other, one), conv(1))


def test_downsampling_layers_are_counted_once_and_along_the_longest_branch() -> None:
    both = traits(conv(stride=2, dilation=2), conv(stride=2), conv(dilation=2))
    assert (both.strided_layers, both.dilated_layers, both.either) == (2, 2, 3)
    branched = traits(parallel((conv(stride=2), conv(dilation=2)), (conv(1, stride=2),)))
    assert (branched.strided_layers, branched.dilated_layers, branched.either) == (1, 1, 2)

"""Traits are read off primitives, never off names."""

from __future__ import annotations

from archsearch.analysis.traits import Traits, read_traits
from archsearch.design.layers import Activation, Conv, Dropout, GlobalPool, Norm, Pool
from archsearch.design.plan import Layer, Parallel, Plan, Sequence


def conv(kernel: int = 3, groups: int = 1, stride: int = 1, dilation: int = 1, channels: int = 8) -> Conv:
    return Conv(
        name="c", in_channels=8, out_channels=channels, kernel=kernel, groups=groups, stride=stride, dilation=dilation
    )


NORM = Norm(name="n", kind="batch", channels=8)
RELU = Activation(name="a", kind="relu")


def traits(*layers: Layer, shape: tuple[int, int, int] = (8, 4, 4)) -> Traits:
    return read_traits(Plan(input_shape=(8, 8, 8), layers=(Sequence(name="s", layers=layers),)), shape)


def parallel(*branches: tuple[Layer, ...], combine: str = "add") -> Parallel:
    named = tuple(Sequence(name=f"b{i}", layers=branch) for i, branch in enumerate(branches))
    return Parallel(name="p", branches=named, combine=combine)  # type: ignore[arg-type]


def test_depthwise_separable_is_depthwise_then_pointwise() -> None:
    assert "depthwise_separable" in traits(conv(groups=8), conv(1)).present
    assert "depthwise_separable" in traits(conv(groups=8, channels=16), NORM, RELU, conv(1)).present
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


def test_pools_on_the_way_count_and_the_heads_does_not() -> None:
    pool = Pool(name="p", kind="max", kernel=2, stride=2)
    average = Pool(name="p", kind="average", kernel=3, stride=3)
    assert traits(pool, conv()).present == {"max_pool"}
    assert traits(conv(), GlobalPool(name="g", kind="average")).head == "global_average"
    last = traits(conv(), average, shape=(8, 1, 1))
    assert (last.head, last.present) == ("global_average", frozenset())
    partly = traits(conv(), average, shape=(8, 2, 2))
    assert (partly.head, partly.present) == ("none", {"average_pool"})
    assert traits(average, conv(), shape=(8, 1, 1)).present == {"average_pool"}
    assert traits(conv(), GlobalPool(name="g", kind="max")).head == "global_max"
    assert traits(conv()).head == "none"


def test_downsampling_layers_are_counted_once_and_along_the_longest_branch() -> None:
    both = traits(conv(stride=2, dilation=2), conv(stride=2), conv(dilation=2))
    assert (both.strided_layers, both.dilated_layers, both.either) == (2, 2, 3)
    branched = traits(parallel((conv(stride=2), conv(dilation=2)), (conv(1, stride=2),)))
    assert (branched.strided_layers, branched.dilated_layers, branched.either) == (1, 1, 2)

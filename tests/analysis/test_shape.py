from __future__ import annotations

import pytest

from archsearch.analysis.shape import check_norm, conv_shape, linear_shape, merge_shape, pool_shape
from archsearch.design.plan import Conv, Linear, Norm, Parallel, Pool, Sequence
from archsearch.errors import SpecError


def parallel(combine: str, *names: str) -> Parallel:
    return Parallel(name="join", branches=tuple(Sequence(name=name, layers=()) for name in names), combine=combine)  # type: ignore[arg-type]


def test_a_convolution_counts_the_positions_of_its_window() -> None:
    conv = Conv(name="conv", in_channels=3, out_channels=8, kernel=4, stride=2, dilation=2, padding=(2, 3))
    assert conv_shape((3, 32, 20), conv, "") == (8, 16, 10)


def test_a_pool_keeps_channels_and_drops_a_rest_that_fills_no_window() -> None:
    pool = Pool(name="pool", kind="max", kernel=2, stride=2)
    assert pool_shape((5, 7, 9), pool, "") == (5, 3, 4)


def test_merges() -> None:
    assert merge_shape([(4, 8, 8), (6, 8, 8)], parallel("concat", "a", "b"), "") == (10, 8, 8)
    assert merge_shape([(4, 8, 8), (4, 8, 8)], parallel("add", "a", "b"), "") == (4, 8, 8)
    assert merge_shape([(4, 1, 1), (4, 8, 8)], parallel("multiply", "gate", "main"), "") == (4, 8, 8)


def refusal_of(call: object, *arguments: object) -> str:
    with pytest.raises(SpecError) as caught:
        call(*arguments)  # type: ignore[operator]
    return str(caught.value)


def test_a_kernel_larger_than_its_padded_input_is_refused_with_what_would_fit() -> None:
    conv = Conv(name="conv", in_channels=3, out_channels=8, kernel=5, dilation=2, padding=(1, 1))
    assert refusal_of(conv_shape, (3, 4, 4), conv, "stages.c2.1.") == (
        "stages.c2.1.conv: a kernel of 5 with dilation 2 (spanning 9 px) is larger than its input of 4 x 4 px with "
        "padding 1+1: nothing is left. Use a kernel of at most 3, padding of at least 3 on each side, "
        "or fewer strides before it."
    )


def test_what_the_refusal_of_a_window_proposes_fits() -> None:
    for kernel, padding in ((3, (1, 1)), (5, (3, 3))):
        conv = Conv(name="conv", in_channels=3, out_channels=8, kernel=kernel, dilation=2, padding=padding)
        assert conv_shape((3, 4, 4), conv, "")[1] >= 1


def test_a_pool_larger_than_its_input_or_padded_by_a_whole_window_is_refused() -> None:
    large = Pool(name="pool", kind="max", kernel=3, stride=3)
    assert "a kernel of 3 is larger than its input of 2 x 2 px without padding: nothing is left" in refusal_of(
        pool_shape, (3, 2, 2), large, "stages."
    )
    padded = Pool(name="pool", kind="average", kernel=2, stride=2, padding=(0, 2))
    assert refusal_of(pool_shape, (3, 8, 8), padded, "stages.") == (
        "stages.pool: padding 0+2 lets a window of 2 px see nothing but padding. Use padding of at most 1 on each side."
    )


def test_groups_that_do_not_divide_name_the_side_and_the_nearest_width() -> None:
    out = Conv(name="conv", in_channels=32, out_channels=50, groups=32, padding=(1, 1))
    assert refusal_of(conv_shape, (32, 8, 8), out, "stem.") == (
        "stem.conv: 32 groups do not divide 50 out channels. Use 64 out channels, or 2 groups."
    )
    into = Conv(name="conv", in_channels=9, out_channels=4, groups=4)
    assert refusal_of(conv_shape, (9, 8, 8), into, "") == (
        "conv: 4 groups do not divide 9 in channels. Use 8 in channels, or 1 group."
    )


def test_channels_that_differ_from_the_input_are_refused() -> None:
    conv = Conv(name="conv", in_channels=9, out_channels=4)
    assert refusal_of(conv_shape, (3, 8, 8), conv, "stem.").startswith(
        "stem.conv: takes 9 channels, but its input has 3"
    )
    norm = Norm(name="norm", kind="batch", channels=4)
    assert "takes 4 channels, but its input has 3" in refusal_of(check_norm, (3, 8, 8), norm, "")


def test_norms_that_cannot_work_are_refused() -> None:
    group = Norm(name="norm", kind="group", channels=12, groups=8)
    assert refusal_of(check_norm, (12, 4, 4), group, "stem.") == (
        "stem.norm: 8 groups do not divide 12 channels. Use 16 channels, or 4 groups."
    )
    instance = Norm(name="norm", kind="instance", channels=12)
    assert "is always zero" in refusal_of(check_norm, (12, 1, 1), instance, "stem.")
    check_norm((12, 2, 1), instance, "stem.")


def test_a_dense_layer_of_another_length_says_the_length() -> None:
    linear = Linear(name="linear", in_features=100, out_features=10)
    assert linear_shape((25, 2, 2), linear, "head.") == (10, 1, 1)
    assert refusal_of(linear_shape, (64, 4, 4), linear, "head.") == (
        "head.linear: takes 100 features, but its input has 64 x 4 x 4 = 1024. "
        "Set in_features to 1024, or pool the map before it."
    )


def test_branches_that_differ_are_named_with_both_shapes() -> None:
    assert refusal_of(merge_shape, [(64, 8, 8), (32, 8, 8)], parallel("add", "main", "shortcut"), "stages.c1.join") == (
        "stages.c1.join: branches 'main' (64 x 8 x 8) and 'shortcut' (32 x 8 x 8) cannot be added. "
        "End 'shortcut' with a 1x1 convolution to 64 channels."
    )
    assert refusal_of(merge_shape, [(64, 8, 8), (32, 4, 4)], parallel("concat", "a", "b"), "join").endswith(
        "cannot be concatenated. Give both the same strides, and padding that keeps their maps equal."
    )
    assert "cannot be multiplied" in refusal_of(
        merge_shape, [(3, 1, 1), (4, 8, 8)], parallel("multiply", "gate", "main"), "join"
    )
    assert "cannot be added" in refusal_of(merge_shape, [(4, 1, 1), (4, 8, 8)], parallel("add", "a", "b"), "join")
    assert refusal_of(merge_shape, [], parallel("add"), "join") == "join: has no branches. Give it at least one."


def test_what_cannot_be_paired_is_refused_with_what_could() -> None:
    def conv(**changes: object) -> Conv:
        return Conv(name="conv", **{"in_channels": 12, "out_channels": 12, "kernel": 1, "symmetry": "pairs", **changes})

    odd = refusal_of(conv_shape, (12, 8, 8), conv(out_channels=9), "stem.")
    assert odd == (
        "stem.conv: with arch.symmetry=flip out channels come in pairs, and there are 9. "
        "Use 10 of them, or arch.symmetry=none."
    )
    groups = refusal_of(conv_shape, (12, 8, 8), conv(groups=3), "")
    assert groups == (
        "conv: with arch.symmetry=flip its 3 groups cannot be paired. Use an even number of groups, or one."
    )
    assert "Use one group on images" in refusal_of(conv_shape, (12, 8, 8), conv(groups=2, symmetry="lift"), "")
    assert "one group before the classes" in refusal_of(conv_shape, (12, 8, 8), conv(groups=2, symmetry="project"), "")
    linear = Linear(name="linear", in_features=12, out_features=7, symmetry="pairs")
    assert "there are 7" in refusal_of(linear_shape, (12, 1, 1), linear, "")
    for accepted in (conv(), conv(groups=12), conv(out_channels=7, symmetry="project")):
        assert conv_shape((12, 8, 8), accepted, "")[0] == accepted.out_channels


def test_groups_of_a_norm_over_pairs_are_those_of_pairs() -> None:
    norm = Norm(name="norm", kind="group", channels=12, groups=4, symmetry="pairs")
    assert "4 groups do not divide 6 channels" in refusal_of(check_norm, (12, 8, 8), norm, "")
    check_norm((12, 8, 8), Norm(name="norm", kind="group", channels=12, groups=3, symmetry="pairs"), "")
    check_norm((2, 1, 1), Norm(name="norm", kind="layer", channels=2, symmetry="pairs"), "")

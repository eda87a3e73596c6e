"""Layers: the shapes that they make, their parameters and MACs, and the message for a layer that does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from archsearch.analysis.measure import measure
from archsearch.analysis.traits import read_traits
from archsearch.design.geometry import Shape
from archsearch.design.layers import Conv, Leaf, Linear, Norm, Pool
from archsearch.design.plan import Parallel, Plan, Sequence, canonical_text, design_id
from archsearch.errors import SpecError


def test_a_convolution_holds_out_by_in_over_groups_by_kernel_squared() -> None:
    conv = Conv(name="conv", in_channels=32, out_channels=64, kernel=3)
    grouped = Conv(name="conv", in_channels=32, out_channels=64, kernel=3, groups=32, bias=True)
    assert conv.parameters == 64 * 32 * 9
    assert grouped.parameters == 64 * 9 + 64


def test_macs_are_weights_times_positions_and_biases_are_free() -> None:
    conv = Conv(name="conv", in_channels=4, out_channels=6, kernel=5, groups=2, bias=True)
    assert conv.macs((6, 7, 9)) == 6 * 2 * 25 * 63


def test_a_dense_layer_counts_its_bias_as_parameters_only() -> None:
    linear = Linear(name="linear", in_features=128, out_features=10)
    assert linear.parameters == 1290
    assert linear.macs((10, 1, 1)) == 1280


def test_tied_weights_count_once_and_their_macs_twice() -> None:
    conv = Conv(name="conv", in_channels=4, out_channels=6, kernel=5, bias=True, symmetry="pairs")
    last = Conv(name="conv", in_channels=4, out_channels=5, kernel=1, bias=True, symmetry="project")
    linear = Linear(name="linear", in_features=128, out_features=10, symmetry="project")
    assert conv.parameters == (6 * 4 * 25 + 6) // 2
    assert last.parameters == 5 * 4 // 2 + 5
    assert linear.parameters == 640 + 10
    assert Norm(name="norm", kind="batch", channels=6).parameters == 12
    assert Norm(name="norm", kind="batch", channels=6, symmetry="pairs").parameters == 6
    assert conv.macs((6, 2, 2)) == 6 * 4 * 25 * 4


def parallel(combine: str, *names: str) -> Parallel:
    return Parallel(name="join", branches=tuple(Sequence(name=name, layers=()) for name in names), combine=combine)  # type: ignore[arg-type]


def test_a_convolution_counts_the_positions_of_its_window() -> None:
    conv = Conv(name="conv", in_channels=3, out_channels=8, kernel=4, stride=2, dilation=2, padding=(2, 3))
    assert conv.output_shape((3, 32, 20), "") == (8, 16, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelShuffle(Leaf):
    """A kind that the project does not have: the channels of groups, interleaved."""

    row: ClassVar[str] = "channel_shuffle"
    groups: int = 2

    def output_shape(self, shape: Shape, prefix: str = "") -> Shape:
        if shape[0] % self.groups:
            raise SpecError(prefix + self.name, f"{shape[0]} channels are not divisible by {self.groups} groups")
        return shape


def test_a_class_is_all_that_analysis_needs_of_a_new_kind() -> None:
    def plan(groups: int) -> Plan:
        shuffle = ChannelShuffle(name="shuffle", groups=groups)
        layers = (Conv(name="conv", in_channels=3, out_channels=8, padding=(1, 1)), shuffle)
        return Plan(input_shape=(3, 8, 8), layers=(Sequence(name="stem", layers=layers),))  # type: ignore[arg-type]

    footprint = measure(plan(2))
    assert (footprint.output_shape, footprint.parameters, footprint.receptive_field) == ((8, 8, 8), 8 * 27, 3)
    assert [row.kind for row in footprint.layers] == ["conv", "channel_shuffle"]
    assert canonical_text(plan(2)).endswith(";channel_shuffle,2")
    assert design_id(plan(2)) != design_id(plan(4))
    assert read_traits(plan(2)).present == set()
    assert plan(2).layers[0].channels_after(3) == 8
    with pytest.raises(SpecError, match=r"^stem\.shuffle: 8 channels are not divisible by 3 groups"):
        measure(plan(3))


def test_a_pool_keeps_channels_and_drops_a_rest_that_fills_no_window() -> None:
    pool = Pool(name="pool", kind="max", kernel=2, stride=2)
    assert pool.output_shape((5, 7, 9), "") == (5, 3, 4)


def test_merges() -> None:
    assert parallel("concat", "a", "b").merged_shape([(4, 8, 8), (6, 8, 8)], "") == (10, 8, 8)
    assert parallel("add", "a", "b").merged_shape([(4, 8, 8), (4, 8, 8)], "") == (4, 8, 8)
    assert parallel("multiply", "gate", "main").merged_shape([(4, 1, 1), (4, 8, 8)], "") == (4, 8, 8)


def error_of(call: object, *arguments: object) -> str:
    with pytest.raises(SpecError) as caught:
        call(*arguments)  # type: ignore[operator]
    return str(caught.value)


def test_a_kernel_larger_than_its_padded_input_is_an_error_with_what_would_fit() -> None:
    conv = Conv(name="conv", in_channels=3, out_channels=8, kernel=5, dilation=2, padding=(1, 1))
    assert error_of(conv.output_shape, (3, 4, 4), "stages.c2.1.") == (
        "stages.c2.1.conv: a kernel of 5 with dilation 2 (spanning 9 px) is larger than its input of 4 x 4 px with "
        "padding 1+1. Use a kernel of at most 3, padding of at least 3 on each side, "
        "or fewer strides before it."
    )


def test_the_fix_for_a_window_fits() -> None:
    for kernel, padding in ((3, (1, 1)), (5, (3, 3))):
        conv = Conv(name="conv", in_channels=3, out_channels=8, kernel=kernel, dilation=2, padding=padding)
        assert conv.output_shape((3, 4, 4), "")[1] >= 1


def test_a_pool_larger_than_its_input_or_padded_by_a_whole_window_is_an_error() -> None:
    large = Pool(name="pool", kind="max", kernel=3, stride=3)
    assert "a kernel of 3 is larger than its input of 2 x 2 px without padding" in error_of(
        large.output_shape, (3, 2, 2), "stages."
    )
    padded = Pool(name="pool", kind="average", kernel=2, stride=2, padding=(0, 2))
    assert error_of(padded.output_shape, (3, 8, 8), "stages.") == (
        "stages.pool: padding 0+2 must be smaller than the window of 2 px. Use padding of at most 1 on each side."
    )


def test_groups_that_do_not_divide_name_the_side_and_the_nearest_width() -> None:
    out = Conv(name="conv", in_channels=32, out_channels=50, groups=32, padding=(1, 1))
    assert error_of(out.output_shape, (32, 8, 8), "stem.") == (
        "stem.conv: 50 output channels are not divisible by 32 groups. Use 64 output channels, or 2 groups."
    )
    into = Conv(name="conv", in_channels=9, out_channels=4, groups=4)
    assert error_of(into.output_shape, (9, 8, 8), "") == (
        "conv: 9 input channels are not divisible by 4 groups. Use 8 input channels, or 1 group."
    )


def test_channels_that_differ_from_the_input_are_errors() -> None:
    conv = Conv(name="conv", in_channels=9, out_channels=4)
    assert error_of(conv.output_shape, (3, 8, 8), "stem.").startswith(
        "stem.conv: expected 9 input channels, got 3. Set its input channels to 3."
    )
    norm = Norm(name="norm", kind="batch", channels=4)
    assert "expected 4 input channels, got 3" in error_of(norm.output_shape, (3, 8, 8), "")


def test_norms_that_cannot_work_are_errors() -> None:
    group = Norm(name="norm", kind="group", channels=12, groups=8)
    assert error_of(group.output_shape, (12, 4, 4), "stem.") == (
        "stem.norm: 12 channels are not divisible by 8 groups. Use 16 channels, or 4 groups."
    )
    instance = Norm(name="norm", kind="instance", channels=12)
    assert "is always zero" in error_of(instance.output_shape, (12, 1, 1), "stem.")
    instance.output_shape((12, 2, 1), "stem.")


def test_a_dense_layer_of_another_length_says_the_length() -> None:
    linear = Linear(name="linear", in_features=100, out_features=10)
    assert linear.output_shape((25, 2, 2), "head.") == (10, 1, 1)
    assert error_of(linear.output_shape, (64, 4, 4), "head.") == (
        "head.linear: expected 100 features, got 64 x 4 x 4 = 1024. "
        "Set in to 1024, or pool the map before it as arch.head.pool=global_average does."
    )


def test_branches_that_differ_are_named_with_both_shapes() -> None:
    assert error_of(parallel("add", "main", "shortcut").merged_shape, [(64, 8, 8), (32, 8, 8)], "stages.c1.join") == (
        "stages.c1.join: branches 'main' (64 x 8 x 8) and 'shortcut' (32 x 8 x 8) cannot be added. "
        "End 'shortcut' with a 1x1 convolution to 64 channels."
    )
    assert error_of(parallel("concat", "a", "b").merged_shape, [(64, 8, 8), (32, 4, 4)], "join").endswith(
        "cannot be concatenated. Use the same strides in both, and padding that gives maps of equal size."
    )
    assert "cannot be multiplied" in error_of(
        parallel("multiply", "gate", "main").merged_shape, [(3, 1, 1), (4, 8, 8)], "join"
    )
    assert "cannot be added" in error_of(parallel("add", "a", "b").merged_shape, [(4, 1, 1), (4, 8, 8)], "join")
    assert error_of(parallel("add").merged_shape, [], "join") == "join: has no branches. Add at least one."


def test_what_cannot_be_paired_is_an_error_with_what_could() -> None:
    def conv(**changes: object) -> Conv:
        return Conv(name="conv", **{"in_channels": 12, "out_channels": 12, "kernel": 1, "symmetry": "pairs", **changes})

    odd = error_of(conv(out_channels=9).output_shape, (12, 8, 8), "stem.")
    assert odd == (
        "stem.conv: arch.symmetry=flip needs an even number of output channels, got 9. "
        "Use 10, or set arch.symmetry=none."
    )
    groups = error_of(conv(groups=3).output_shape, (12, 8, 8), "")
    assert groups == ("conv: arch.symmetry=flip cannot pair its 3 groups. Use an even number of groups, or one.")
    assert "Use one group on images" in error_of(conv(groups=2, symmetry="lift").output_shape, (12, 8, 8), "")
    assert "one group before the classes" in error_of(conv(groups=2, symmetry="project").output_shape, (12, 8, 8), "")
    linear = Linear(name="linear", in_features=12, out_features=7, symmetry="pairs")
    assert "an even number of output features, got 7" in error_of(linear.output_shape, (12, 1, 1), "")
    for accepted in (conv(), conv(groups=12), conv(out_channels=7, symmetry="project")):
        assert accepted.output_shape((12, 8, 8), "")[0] == accepted.out_channels


def test_groups_of_a_norm_over_pairs_are_those_of_pairs() -> None:
    norm = Norm(name="norm", kind="group", channels=12, groups=4, symmetry="pairs")
    assert "6 channels are not divisible by 4 groups" in error_of(norm.output_shape, (12, 8, 8), "")
    Norm(name="norm", kind="group", channels=12, groups=3, symmetry="pairs").output_shape((12, 8, 8), "")
    Norm(name="norm", kind="layer", channels=2, symmetry="pairs").output_shape((2, 1, 1), "")

"""Lowering: the numbers, names and structure that specs come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from archsearch.design.block import decode_block
from archsearch.design.lower import lower, lower_block
from archsearch.design.plan import Activation, Conv, GlobalPool, Layer, Linear, Norm, Parallel, Pool, Sequence
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design
from archsearch.errors import SpecError


def design(blocks: BlockLookup, **changes: Any) -> DesignSpec:
    stages = changes.pop("stages", {"c1": {"block": "plain", "width": 8}})
    return decode_design({"name": "a", "stages": stages, "head": {"classes": 10}, **changes}, blocks)


def lowered(layers: Any, channels: int = 16, width: int = 32, **options: Any) -> tuple[Layer, ...]:
    raw = {"defaults_of": {"stride": 1, "k": 3, "shortcut": "none", "act": "relu"}, "layers": layers}
    raw |= {"residual": options.pop("residual")} if "residual" in options else {}
    return lower_block(decode_block(raw, "b"), channels, width, tuple(options.items()))


def convs(layers: tuple[Layer, ...]) -> list[Conv]:
    found: list[Conv] = []
    for layer in layers:
        if isinstance(layer, Conv):
            found.append(layer)
        elif isinstance(layer, Sequence):
            found += convs(layer.layers)
        elif isinstance(layer, Parallel):
            found += [conv for branch in layer.branches for conv in convs(branch.layers)]
    return found


def test_channels_flow_from_stem_to_head(blocks: BlockLookup) -> None:
    plan = lower(design(blocks, stem={"block": "plain", "out": 4}))
    assert [top.name for top in plan.layers] == ["stem", "stages", "head"]
    assert [(conv.in_channels, conv.out_channels) for conv in convs(plan.layers)] == [(3, 4), (4, 8)]
    assert plan.layers[-1].layers == (
        GlobalPool(name="pool", kind="average"),
        Linear(name="linear", in_features=8, out_features=10),
    )


def test_a_stages_stride_is_that_of_its_first_block(blocks: BlockLookup) -> None:
    plan = lower(design(blocks, stages={"c1": {"block": "plain", "width": 8, "repeats": 3, "stride": 2}}))
    assert [conv.stride for conv in convs(plan.layers)] == [2, 1, 1]


def test_no_repeats_is_no_stage(blocks: BlockLookup) -> None:
    plan = lower(
        design(
            blocks, stages={"c1": {"block": "plain", "width": 8}, "c2": {"block": "plain", "width": 99, "repeats": 0}}
        )
    )
    assert [conv.out_channels for conv in convs(plan.layers)] == [8]


@pytest.mark.parametrize(("width", "channels"), [(1.0, 10), (1.5, 16), (0.1, 8), (3, 32)])
def test_the_width_multiplies_in_multiples_of_the_divisor(blocks: BlockLookup, width: float, channels: int) -> None:
    plan = lower(design(blocks, stages={"c1": {"block": "plain", "width": 10}}, width=width))
    assert convs(plan.layers)[0].out_channels == channels


def test_fit_has_to_be_resolved_first(blocks: BlockLookup) -> None:
    with pytest.raises(SpecError, match=r"arch.width: 'fit' has no limits to fit to"):
        lower(design(blocks, width="fit"))


def test_layers_are_named_by_kind_and_counted() -> None:
    layers = lowered([{"conv": {}}, {"act": "relu"}, {"conv": {}}, {"conv": {}, "name": "last"}, "conv"])
    assert [layer.name for layer in layers] == ["conv", "act", "conv_2", "last", "conv_3"]


def test_layers_of_a_residual_without_a_shortcut_keep_names_of_their_own() -> None:
    inner = [{"conv": {}}, {"act": "relu"}, {"conv": {}}, {"act": "relu"}]
    layers = lowered([{"residual": {"shortcut": "shortcut", "layers": inner}}, {"act": "relu"}, {"conv": {}}])
    assert [layer.name for layer in layers] == ["conv", "act", "conv_2", "act_2", "act_3", "conv_3"]


def test_a_given_name_is_not_taken_twice() -> None:
    with pytest.raises(SpecError, match=r"the name 'a' is taken twice"):
        lowered([{"conv": {}, "name": "a"}, {"act": "relu", "name": "a"}])


@pytest.mark.parametrize(
    ("kernel", "dilation", "padding", "expected"),
    [
        (3, 1, "same", (1, 1)),
        (3, 2, "same", (2, 2)),
        (2, 1, "same", (0, 1)),
        (4, 3, "same", (4, 5)),
        (5, 1, "valid", (0, 0)),
        (5, 1, 1, (1, 1)),
    ],
)
def test_padding(kernel: int, dilation: int, padding: object, expected: tuple[int, int]) -> None:
    conv = lowered([{"conv": {"kernel": kernel, "dilation": dilation, "padding": padding}}])[0]
    assert isinstance(conv, Conv)
    assert conv.padding == expected


def test_in_follows_the_channels_and_block_in_does_not() -> None:
    layers = lowered([{"conv": {"out": "in * 2"}}, {"conv": {"out": "in * 2"}}, {"conv": {"out": "block_in"}}])
    assert [conv.out_channels for conv in convs(layers)] == [32, 64, 16]


def test_when_leaves_a_layer_out() -> None:
    assert [type(one) for one in lowered([{"conv": {}, "when": "stride != 1 or in != out"}])] == [Conv]
    assert lowered([{"conv": {}, "when": "in != out"}], 32) == ()


def test_none_kinds_are_no_layers() -> None:
    assert lowered([{"norm": "none"}, {"act": "none"}, {"dropout": 0.0}]) == ()


def test_an_option_may_hold_a_kind() -> None:
    assert lowered([{"act": "act"}], act="gelu") == (Activation(name="act", kind="gelu"),)
    with pytest.raises(SpecError, match=r"'bold' is not a choice"):
        lowered([{"act": "act"}], act="bold")


def test_residual_around_equal_shapes_is_a_sum() -> None:
    (parallel,) = lowered([{"conv": {}}], 32, residual="if_same_shape")
    assert isinstance(parallel, Parallel)
    assert (parallel.combine, [branch.name for branch in parallel.branches]) == ("add", ["main", "shortcut"])
    assert parallel.branches[1].layers == ()


@pytest.mark.parametrize("stride", [1, 2])
def test_residual_projects_where_asked(stride: int) -> None:
    (parallel,) = lowered([{"conv": {"stride": "stride"}}], 16, residual="project", stride=stride)
    assert isinstance(parallel, Parallel)
    conv, norm = parallel.branches[1].layers
    assert conv == Conv(name="conv", in_channels=16, out_channels=32, kernel=1, stride=stride)
    assert norm == Norm(name="norm", kind="batch", channels=32)


def test_residual_if_same_shape_is_left_out_where_shapes_differ() -> None:
    assert [type(one) for one in lowered([{"conv": {}}], 16, residual="if_same_shape")] == [Conv]
    assert [type(one) for one in lowered([{"conv": {"stride": 2}}], 32, residual="if_same_shape")] == [Conv]


def test_a_residual_around_nothing_is_nothing() -> None:
    assert lowered([], 32, residual="if_same_shape") == ()


def test_branches_are_concatenated() -> None:
    branches = {"a": [{"conv": {"out": 8}}], "b": []}
    layers = lowered([{"parallel": {"combine": "concat", "branches": branches}}, {"conv": {}}])
    assert convs(layers)[-1].in_channels == 8 + 16


def test_pools_take_their_kernel_as_stride() -> None:
    pool, whole = lowered([{"pool": {"kind": "max", "kernel": 3}}, {"pool": "global_average"}])
    assert pool == Pool(name="pool", kind="max", kernel=3, stride=3, padding=(1, 1))
    assert isinstance(whole, GlobalPool)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([{"conv": {"out": "in - 16"}}], "b.layers[0].conv.out: 'in - 16' gives 0, must be at least 1"),
        ([{"conv": {"padding": -1}}], "b.layers[0].conv.padding: '-1' gives -1, must be at least 0"),
        ([{"norm": {"kind": "group", "groups": 5}}], "5 groups do not divide 16 channels. Use groups=4."),
        ([{"dropout": 1.5}], "b.layers[0].dropout.rate: must be at least 0 and below 1, is 1.5"),
    ],
)
def test_messages(layers: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        lowered(layers)
    assert said in str(caught.value)


def test_a_head_without_linear_needs_as_many_channels_as_classes(blocks: BlockLookup) -> None:
    with pytest.raises(SpecError, match=r"last layer's 8 channels must be the 10 classes"):
        lower(design(blocks, head={"classes": 10, "linear": False}))


def test_a_misplaced_digit_is_no_endless_network(blocks: BlockLookup) -> None:
    with pytest.raises(SpecError, match=r"more than 4096 blocks"):
        lower(design(blocks, stages={"c1": {"block": "plain", "width": 8, "repeats": 100_000}}))


def test_what_a_block_cannot_work_out_is_told_with_its_stage(blocks: BlockLookup) -> None:
    def find(name: str) -> Mapping[str, Any]:
        return blocks(name) if name == "plain" else {"layers": [{"conv": {"out": "out / 3"}}]}

    stages = {"c1": {"block": "plain", "width": 8}, "c2": {"block": "thirds", "width": 8}}
    with pytest.raises(SpecError, match=r"^arch\.stages\.c2, block 'thirds'\.layers\[0\]\.conv\.out: 'out / 3' gives"):
        lower(design(find, stages=stages))
    with pytest.raises(SpecError, match=r"^arch\.stem, block 'thirds'"):
        lower(design(find, stem={"block": "thirds", "out": 8}))
    inline = {"c2": {"block": find("thirds"), "width": 8}}
    with pytest.raises(SpecError, match=r"^arch\.stages\.c2\.block\.layers\[0\]\.conv\.out: 'out / 3' gives"):
        lower(design(find, stages=inline))


@pytest.mark.parametrize(
    "layer", [{"pool": {"kind": "max", "kernel": 2}}, {"dropout": 0.1}, {"conv": {}, "name": "linear"}], ids=str
)
def test_a_layer_of_the_head_does_not_take_the_name_of_the_heads_own(blocks: BlockLookup, layer: Any) -> None:
    head = {"classes": 10, "dropout": 0.2, "layers": [layer]}
    with pytest.raises(SpecError, match=r"^arch\.head\.layers: the name '\w+' is taken by the head's own layer\. Give"):
        lower(design(blocks, head=head))
    lower(design(blocks, head={**head, "layers": [{**layer, "name": "before"}]}))

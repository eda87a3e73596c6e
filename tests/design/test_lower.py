"""Lowering: the numbers, names and structure of designs and blocks, and how flip symmetry ties their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from lowering import convs, design, lowered

from archsearch.config_files import block_lookup, config_folder
from archsearch.design.block import decode_block
from archsearch.design.items import is_shape_settled
from archsearch.design.layers import Activation, Conv, GlobalPool, Linear, Norm, Pool
from archsearch.design.lower import lower, lower_block, lower_items, with_options
from archsearch.design.plan import Layer, Parallel, Plan, Sequence, design_id
from archsearch.design.spec import BlockLookup, BlockReader, DesignSpec, decode_design, self_contained
from archsearch.errors import SpecError


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
    with pytest.raises(SpecError, match=r"arch.width: 'fit' needs limits"):
        lower(design(blocks, width="fit"))


def test_a_head_without_linear_needs_as_many_channels_as_classes(blocks: BlockLookup) -> None:
    with pytest.raises(SpecError, match=r"the last layer needs 10 channels, one per class, got 8"):
        lower(design(blocks, head={"classes": 10, "linear": False}))


def test_a_misplaced_digit_is_no_endless_network(blocks: BlockLookup) -> None:
    with pytest.raises(SpecError, match=r"more than 4096 blocks"):
        lower(design(blocks, stages={"c1": {"block": "plain", "width": 8, "repeats": 100_000}}))


def test_what_a_block_cannot_work_out_names_its_stage(blocks: BlockLookup) -> None:
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
    with pytest.raises(
        SpecError, match=r"^arch\.head\.layers: the name '\w+' is already used by a layer of the head\. Give"
    ):
        lower(design(blocks, head=head))
    lower(design(blocks, head={**head, "layers": [{**layer, "name": "before"}]}))


def test_layers_are_named_by_kind_and_counted() -> None:
    layers = lowered([{"conv": {}}, {"act": "relu"}, {"conv": {}}, {"conv": {}, "name": "last"}, "conv"])
    assert [layer.name for layer in layers] == ["conv", "act", "conv_2", "last", "conv_3"]


def test_layers_of_a_residual_without_a_shortcut_keep_names_of_their_own() -> None:
    inner = [{"conv": {}}, {"act": "relu"}, {"conv": {}}, {"act": "relu"}]
    layers = lowered([{"residual": {"shortcut": "shortcut", "layers": inner}}, {"act": "relu"}, {"conv": {}}])
    assert [layer.name for layer in layers] == ["conv", "act", "conv_2", "act_2", "act_3", "conv_3"]


def test_a_given_name_is_not_taken_twice() -> None:
    with pytest.raises(SpecError, match=r"duplicate name 'a' in one list of layers"):
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
    assert [layer.out_channels for layer in layers if isinstance(layer, Conv)] == [32, 64, 16]


def test_when_leaves_a_layer_out() -> None:
    assert [type(one) for one in lowered([{"conv": {}, "when": "stride != 1 or in != out"}])] == [Conv]
    assert lowered([{"conv": {}, "when": "in != out"}], 32) == ()


def test_none_kinds_are_no_layers() -> None:
    assert lowered([{"norm": "none"}, {"act": "none"}, {"dropout": 0.0}]) == ()


def test_a_mode_of_padding_is_no_padding() -> None:
    with pytest.raises(SpecError, match=r"unknown value 'reflect'\. Write 'padding_mode: reflect'; the padding"):
        lowered([{"conv": {"padding": "act"}}], act="reflect")


def test_an_option_may_hold_a_kind() -> None:
    assert lowered([{"act": "act"}], act="gelu") == (Activation(name="act", kind="gelu"),)
    with pytest.raises(SpecError, match=r"unknown value 'bold'"):
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
    assert isinstance(layers[-1], Conv)
    assert layers[-1].in_channels == 8 + 16


def test_pools_take_their_kernel_as_stride() -> None:
    pool, whole = lowered([{"pool": {"kind": "max", "kernel": 3}}, {"pool": "global_average"}])
    assert pool == Pool(name="pool", kind="max", kernel=3, stride=3, padding=(0, 0))
    assert isinstance(whole, GlobalPool)


def test_the_same_padding_of_a_pool_is_what_its_windows_overlap() -> None:
    def padding(**fields: object) -> tuple[int, int]:
        (pool,) = lowered([{"pool": {"kind": "max", **fields}}])
        assert isinstance(pool, Pool)
        return pool.padding

    assert padding(kernel=2, stride=1) == (0, 1)
    assert padding(kernel=3, stride=2) == (1, 1)
    assert padding(kernel=4, stride=2) == (1, 1)
    assert padding(kernel=4, stride=2, ceil_mode=True) == (1, 2)
    assert padding(kernel=2) == (0, 0)
    assert padding(kernel=2, ceil_mode=True) == (0, 1)
    assert padding(kernel=3, ceil_mode=True) == (0, 2)
    assert padding(kernel=3, stride=2, padding=1, ceil_mode=True) == (1, 2)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{"conv": {"out": "in - 16"}}], "b.layers[0].conv.out: 'in - 16' gives 0, must be at least 1"),
        ([{"conv": {"padding": -1}}], "b.layers[0].conv.padding: '-1' gives -1, must be at least 0"),
        ([{"norm": {"kind": "group", "groups": 5}}], "16 channels are not divisible by 5 groups. Use groups=4."),
        ([{"conv": {"padding": "act"}}], "b.layers[0].conv.padding: unknown value 'relu'. Known: same, valid."),
        ([{"dropout": 1.5}], "b.layers[0].dropout.rate: must be at least 0 and below 1, got 1.5"),
    ],
)
def test_messages(layers: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        lowered(layers)
    assert message in str(caught.value)


BLOCKS = sorted(file.stem for file in (config_folder() / "block").glob("*.yaml"))


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize(
    "changes", [{}, {"stride": 2}, {"kernel": 5, "dilation": 3, "shortcut": "none"}, {"expand": 1}]
)
def test_settled_options_give_what_all_in_one_gives(name: str, changes: dict[str, Any]) -> None:
    block = BlockReader(block_lookup([config_folder()])).read(name, name)
    options = tuple((key, value) for key, value in changes.items() if key in block.defaults)
    for channels, width in ((16, 32), (32, 32)):
        scope = {**block.defaults, **dict(options), "block_in": channels, "in": channels, "out": width}
        assert lower_block(with_options(block, options), channels, width) == lower_items(block.items, scope)


def test_what_options_cannot_settle_raises_where_the_layer_is_made() -> None:
    block = with_options(decode_block({"options": {"k": 0}, "layers": [{"conv": {"kernel": "3 // k"}}]}, "b"))
    with pytest.raises(SpecError, match=r"b\.layers\[0\]\.conv\.kernel: '3 // k' divides by zero"):
        lower_block(block, 8, 8)


@pytest.mark.parametrize(
    ("layers", "is_settled"),
    [
        ([{"conv": {"kernel": "k", "out": "in * 2"}}], True),
        ([{"conv": {}, "when": "k > 1"}], True),
        ([{"conv": {}, "when": "in != out"}], False),
        ([{"residual": [{"conv": {"kernel": "3 if in > 8 else 5"}}]}], False),
        ([{"parallel": {"branches": [[{"pool": {"kernel": "out"}}], []]}}], False),
        ([{"parallel": {"branches": [{"when": "k > 1", "layers": ["conv"]}, []]}}], True),
        ([{"parallel": {"branches": [{"when": "in > 1", "layers": ["conv"]}, []]}}], False),
        ([{"residual": {"layers": ["conv"], "shortcut": [{"pool": {"kernel": "k"}}]}}], True),
        ([{"use": {"block": {"options": {"k": 3}, "layers": [{"conv": {"kernel": "k"}}]}, "k": "k + 2"}}], True),
        ([{"use": {"block": {"options": {"k": 3}, "layers": [{"conv": {"kernel": "k"}}]}, "k": "in"}}], False),
        ([{"residual": {"layers": ["conv"], "shortcut": [{"pool": {"kernel": "in"}}]}}], False),
        ([{"residual": {"layers": ["conv"], "shortcut": {"layers": ["conv"], "always": "in > 8"}}}], False),
    ],
    ids=str,
)
def test_whether_windows_depend_on_channels(layers: Any, is_settled: bool) -> None:
    block = decode_block({"options": {"k": 3}, "layers": layers}, "b")
    assert is_shape_settled(with_options(block).items) == is_settled


FIXED = {
    *("identity", "channel_gate", "dense_transition"),  # without a window of their own
    *("nas_choice", "tiniest"),  # cells of one network
    *("ghost", "ghost_bottleneck"),  # their cheap convolutions keep the map
}
OF_CONVOLUTIONS = [name for name in BLOCKS if name not in FIXED]


@pytest.mark.parametrize("name", OF_CONVOLUTIONS)
def test_every_block_of_convolutions_takes_a_padding_and_biases(name: str) -> None:
    block = BlockReader(block_lookup([config_folder()])).read(name, name)
    assert block.defaults["padding"] == "same"

    def of(**options: Any) -> list[Conv]:
        known = with_options(block, tuple({"shortcut": "none", **options}.items()))
        return [one for one in convs(lower_block(known, 16, 16)) if one.name not in ("squeeze", "excite")]

    assert not any(one.bias for one in of(bias=False))
    assert all(one.bias for one in of(bias=True))
    assert {one.padding for one in of(padding=0)} == {(0, 0)}
    assert {one.padding for one in of(padding=1) if one.kernel > 1} == {(1, 1)}


@pytest.mark.parametrize(("padding", "is_sum"), [("same", True), (1, True), (0, False), ("valid", False)])
def test_a_shortcut_if_the_shape_is_the_same_needs_the_same_map(padding: object, is_sum: bool) -> None:
    layers = lowered([{"conv": {"padding": padding}}], 32, residual="if_same_shape")
    assert [type(one) for one in layers] == [Parallel if is_sum else Conv]


def test_padding_that_another_layer_takes_back_keeps_the_map() -> None:
    main = [{"conv": {"padding": 0}}, {"conv": {"padding": 2}}]
    assert [type(one) for one in lowered(main, 32, residual="if_same_shape")] == [Parallel]


BLOCK = {"layers": [{"conv": {"out": "out"}}, {"norm": "batch"}, {"act": "relu"}], "residual": "if_same_shape"}


def flipped(blocks: BlockLookup, **changes: Any) -> DesignSpec:
    stages = changes.pop("stages", {"c1": {"block": BLOCK, "width": 8, "repeats": 2}})
    return decode_design(
        {"name": "a", "stages": stages, "head": {"classes": 10}, "symmetry": "flip", **changes}, blocks
    )


def symmetries(layers: tuple[Layer, ...]) -> list[str]:
    found: list[str] = []
    for layer in layers:
        if isinstance(layer, Conv | Norm | Linear):
            found.append(layer.symmetry)
        elif isinstance(layer, Sequence):
            found += symmetries(layer.layers)
        elif isinstance(layer, Parallel):
            found += [
                layer.combine,
                layer.symmetry,
                *[one for branch in layer.branches for one in symmetries((branch,))],
            ]
    return found


def of(plan: Plan) -> list[str]:
    return symmetries(plan.layers)


def test_the_first_convolution_lifts_and_the_classifier_projects(blocks: BlockLookup) -> None:
    assert of(lower(flipped(blocks))) == ["lift", "pairs", "add", "none", "pairs", "pairs", "project"]
    assert set(of(lower(flipped(blocks, symmetry="none")))) == {"none", "add"}


def test_a_norm_before_any_convolution_is_plain(blocks: BlockLookup) -> None:
    block = {"layers": [{"norm": "batch"}, {"conv": {"out": "out"}}]}
    assert of(lower(flipped(blocks, stages={"c1": {"block": block, "width": 8}}))) == ["none", "lift", "project"]


def test_a_head_of_convolutions_projects_by_its_last(blocks: BlockLookup) -> None:
    layers = [{"conv": {"out": 8, "kernel": 1}}, {"norm": "batch"}, {"conv": {"out": 10, "kernel": 1}, "name": "last"}]
    head = {"classes": 10, "linear": False, "layers": layers}
    assert of(lower(flipped(blocks, head=head)))[-3:] == ["pairs", "pairs", "project"]


@pytest.mark.parametrize(
    "layers", [[], [{"conv": {"out": 10, "kernel": 1}}, {"residual": {"layers": [{"conv": {"out": "in"}}]}}]]
)
def test_a_head_without_a_last_layer_of_its_own_is_an_error(blocks: BlockLookup, layers: list[Any]) -> None:
    stages = {"c1": {"block": BLOCK, "width": 10}}
    with pytest.raises(SpecError, match=r"arch\.head: .*pairs of channels.*head\.linear=true"):
        lower(flipped(blocks, stages=stages, head={"classes": 10, "linear": False, "layers": layers}))


def test_a_head_that_sees_the_image_lifts_and_projects_by_itself(blocks: BlockLookup) -> None:
    stages = {"c1": {"block": {"layers": [{"act": "relu"}]}, "width": 8}}
    layers = [{"conv": {"out": 8}}, {"norm": "batch"}]
    assert of(lower(flipped(blocks, stages=stages, head={"classes": 10, "layers": layers}))) == [
        "lift",
        "pairs",
        "project",
    ]
    assert of(lower(flipped(blocks, stages=stages))) == ["none"]
    assert of(lower(flipped(blocks, stages=stages, head={"classes": 3, "linear": False}))) == []


def test_a_concatenation_of_pairs_keeps_them(blocks: BlockLookup) -> None:
    branches = {"a": [{"conv": {"out": "out // 2"}}], "b": [{"conv": {"out": "out // 2"}}]}
    block = {"layers": [{"parallel": {"combine": "concat", "branches": branches}}]}
    stages = {"c1": {"block": block, "width": 8, "repeats": 2}}
    concat = ["concat", "pairs"]
    assert of(lower(flipped(blocks, stages=stages))) == [*concat, "lift", "lift", *concat, "pairs", "pairs", "project"]


def test_a_branch_that_passes_the_image_on_is_an_error_with_its_stage(blocks: BlockLookup) -> None:
    block = {"layers": [{"conv": {"out": "in"}}], "residual": "if_same_shape"}
    with pytest.raises(SpecError, match=r"stages\.c1.*'shortcut' outputs an image.*stem"):
        lower(flipped(blocks, stages={"c1": {"block": block, "width": 8}}))


def test_widths_are_multiplied_to_whole_pairs(blocks: BlockLookup) -> None:
    stages = {"c1": {"block": BLOCK, "width": 10}}
    for divisor, expected in ((1, 6), (3, 6), (4, 4)):
        plan = lower(flipped(blocks, stages=stages, width=0.5, divisor=divisor))
        conv = plan.layers[0].layers[0].layers[0].layers[0]  # type: ignore[union-attr]
        assert isinstance(conv, Conv)
        assert conv.out_channels == expected, divisor


def test_it_is_another_network_and_is_written_with_its_design(blocks: BlockLookup) -> None:
    plain, tied = flipped(blocks, symmetry="none"), flipped(blocks)
    assert design_id(lower(plain)) != design_id(lower(tied))
    assert "symmetry" not in self_contained(plain)
    again = decode_design(self_contained(tied), blocks)
    assert lower(again) == lower(tied)


def test_another_word_is_an_error(blocks: BlockLookup) -> None:
    with pytest.raises(SpecError, match=r"arch\.symmetry.*'mirror'"):
        flipped(blocks, symmetry="mirror")

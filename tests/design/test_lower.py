"""Lowering: the numbers, names and structure of designs and blocks, and how flip symmetry ties their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from archsearch.analysis.measure import measure, measure_design
from archsearch.config_files import block_lookup, config_folder
from archsearch.design.block import decode_block
from archsearch.design.items import is_shape_settled
from archsearch.design.layers import Activation, Conv, Dropout, GlobalPool, Linear, Norm, Pool
from archsearch.design.lower import lower, lower_block, lower_items, with_options
from archsearch.design.plan import Layer, Parallel, Plan, Sequence, design_id
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design, no_blocks, self_contained
from archsearch.errors import SpecError


def design(blocks: BlockLookup, **changes: Any) -> DesignSpec:
    stages = changes.pop("stages", {"c1": {"block": "plain", "width": 8}})
    return decode_design({"name": "a", "stages": stages, "head": {"classes": 10}, **changes}, blocks)


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


def lowered(layers: Any, channels: int = 16, width: int = 32, **options: Any) -> tuple[Layer, ...]:
    raw = {"options": {"stride": 1, "k": 3, "shortcut": "none", "act": "relu"}, "layers": layers}
    raw |= {"residual": options.pop("residual")} if "residual" in options else {}
    return lower_block(with_options(decode_block(raw, "b"), tuple(options.items())), channels, width)


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
    with pytest.raises(SpecError, match=r"unknown value 'reflect'\. Write 'padding_mode: reflect' beside the padding"):
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


POOLED = [{"pool": {"kind": "average", "kernel": "stride"}}, {"conv": {"kernel": 1, "bias": True}}]
"""The shortcut of ResNet-D: an average pool before the 1x1 convolution, here with a bias and no norm."""


@pytest.mark.parametrize("stride", [1, 2])
def test_a_shortcut_of_ones_own_is_used_where_the_shape_changes(stride: int) -> None:
    main = [{"conv": {"stride": "stride"}}]
    (parallel,) = lowered(main, 16, residual=POOLED, stride=stride)
    assert isinstance(parallel, Parallel)
    pool, conv = parallel.branches[1].layers
    assert pool == Pool(name="pool", kind="average", kernel=stride, stride=stride)
    assert conv == Conv(name="conv", in_channels=16, out_channels=32, kernel=1, bias=True)
    assert lowered(main, 16, residual={"layers": POOLED}, stride=stride) == (parallel,)


def test_elsewhere_it_is_the_identity_but_where_it_is_for_always() -> None:
    (same,) = lowered([{"conv": {}}], 32, residual=POOLED)
    (forced,) = lowered([{"conv": {}}], 32, residual={"layers": POOLED, "always": "stride == 1"})
    assert isinstance(same, Parallel)
    assert isinstance(forced, Parallel)
    assert [len(branch.layers) for branch in (same.branches[1], forced.branches[1])] == [0, 2]


def test_a_residual_around_nothing_is_its_shortcut_of_ones_own_for_always() -> None:
    layers = {"layers": [{"conv": {}}], "always": True}
    (parallel,) = lowered([{"residual": {"layers": [], "shortcut": layers}}], 32)
    assert isinstance(parallel, Parallel)
    assert [len(branch.layers) for branch in parallel.branches] == [0, 1]
    assert lowered([{"residual": {"layers": [], "shortcut": [{"conv": {}}]}}], 32) == ()


def test_a_projection_written_out_is_the_same_network(blocks: BlockLookup) -> None:
    main = [{"conv": {"stride": "stride"}}, {"norm": "batch"}]
    written = [{"conv": {"kernel": 1, "stride": "stride"}}, "norm"]
    plans: list[Plan] = []
    for residual in ("project", written):
        block = {"options": {"stride": 1}, "layers": main, "residual": residual}
        made = design(blocks, stages={"c1": {"block": block, "width": 8, "repeats": 2, "stride": 2}})
        plans.append(lower(made))
        assert lower(decode_design(self_contained(made), no_blocks)) == plans[-1]
    assert plans[0] == plans[1]


BRANCHES = {"a": {"when": "k > 1", "layers": [{"conv": {"out": 8}}]}, "b": {"layers": [{"conv": {"out": 4}}]}, "c": []}


def test_a_branch_exists_only_if_its_condition_is_true() -> None:
    def of(k: int) -> list[str]:
        (parallel,) = lowered([{"parallel": {"branches": BRANCHES}}], k=k)
        assert isinstance(parallel, Parallel)
        return [branch.name for branch in parallel.branches]

    assert of(3) == ["a", "b", "c"]
    assert of(1) == ["b", "c"]


def test_the_only_branch_left_is_its_layers() -> None:
    branches = {"a": {"when": "k > 1", "layers": []}, "b": [{"conv": {}}, {"act": "relu"}]}
    layers = lowered(["conv", {"parallel": {"branches": branches}}, "conv"], k=1)
    assert [layer.name for layer in layers] == ["conv", "conv_2", "act", "conv_3"]
    assert lowered(["conv", {"parallel": {"branches": branches}, "name": "both"}], k=1) == layers[:3]


def test_a_condition_on_channels_is_asked_at_each_of_them() -> None:
    layers = [{"parallel": {"combine": "add", "branches": {"a": ["conv"], "b": {"when": "in == out", "layers": []}}}}]
    assert [type(one) for one in lowered(layers, 32)] == [Parallel]
    assert [type(one) for one in lowered(layers, 16)] == [Conv]


def test_branches_without_one_that_exists_are_an_error() -> None:
    branches = {name: {"when": "k > 3", "layers": []} for name in "ab"}
    with pytest.raises(SpecError, match=r"parallel\.branches: the conditions of all branches are false\. Let the"):
        lowered([{"parallel": {"branches": branches}}])


USED = {
    "options": {"kernel": 3, "stride": 1, "act": "relu", "padding": "same"},
    "layers": [{"conv": {"kernel": "kernel", "stride": "stride", "padding": "padding"}}, {"act": "act"}],
}


def test_a_used_block_has_names_and_channels_of_its_own() -> None:
    options = {"kernel": "k + 2", "act": "act", "stride": "stride", "padding": 0}
    use = {"use": {"block": USED, "width": "in * 2", **options}}
    one, two, conv = lowered([use, {**use, "name": "mine"}, "conv"], k=1, stride=2, act="silu")
    assert isinstance(one, Sequence)
    assert isinstance(two, Sequence)
    assert isinstance(conv, Conv)
    assert [one.name, two.name, conv.name] == ["use", "mine", "conv"]
    assert one.layers == (
        Conv(name="conv", in_channels=16, out_channels=32, kernel=3, stride=2),
        Activation(name="act", kind="silu"),
    )
    assert conv.in_channels == 64


def test_a_used_block_gives_as_many_channels_as_the_one_around_it() -> None:
    (sequence,) = lowered([{"use": {"block": USED}}])
    assert sequence.channels_after(16) == 32
    assert lowered([{"use": {"block": {"layers": []}}}]) == ()
    assert lowered([{"use": {"block": USED}, "when": "k > 3"}]) == ()


def test_what_a_used_block_gets_from_channels_is_computed_at_each_of_them() -> None:
    layers = [{"use": {"block": USED, "kernel": "3 if in > 8 else 5", "width": "in"}}]
    block = with_options(decode_block({"layers": layers}, "b"))
    for channels, kernel in ((8, 5), (16, 3)):
        (conv,) = convs(lower_block(block, channels, 4))
        assert (conv.kernel, conv.out_channels) == (kernel, channels)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ({"act": "k"}, "b.layers[0].use.act: must be a string, got 3"),
        ({"kernel": "act"}, "b.layers[0].use.kernel: must be a number, got the string 'relu'"),
        ({"kernel": "k / (k - 3)"}, "b.layers[0].use.kernel: 'k / (k - 3)' divides by zero"),
        ({"width": "k - 3"}, "b.layers[0].use.width: 'k - 3' gives 0, must be at least 1"),
        ({"kernel": "k > 1"}, "b.layers[0].use.kernel: must be a number, got true"),
        ({"padding": "act"}, "b.layers[0].use.block.layers[0].conv.padding: unknown value 'relu'"),
    ],
    ids=str,
)
def test_messages_of_used_blocks(use: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        lowered([{"use": {"block": USED, **use}}])
    assert message in str(caught.value)


def test_a_used_block_is_the_same_network_as_its_layers(blocks: BlockLookup) -> None:
    def of(layers: list[Any]) -> Plan:
        stages = {"c1": {"block": {"options": {"stride": 1}, "layers": layers}, "width": 8, "repeats": 2}}
        return lower(design(blocks, stages=stages))

    written = [{"conv": {"kernel": 5}}, {"act": "relu"}]
    assert design_id(of([{"use": {"block": USED, "kernel": 5}}])) == design_id(of(written))


def test_densenet_follows_from_what_it_concatenates(blocks: BlockLookup) -> None:
    """DenseNet-BC of 40 layers with growth 12 (Huang et al., 2017): 176 122 parameters."""
    bottleneck = ["norm", "act", {"conv": {"out": "growth * 4", "kernel": 1}}, "norm", "act", {"conv": "growth"}]
    dense = {"options": {"growth": 12}, "layers": [{"parallel": {"branches": {"before": [], "new": bottleneck}}}]}
    halved = ["norm", "act", {"conv": {"out": "in // 2", "kernel": 1}}, {"pool": {"kind": "average"}}]
    stages: dict[str, Any] = {}
    for i in (1, 2, 3):
        stages[f"dense{i}"] = {"block": dense, "repeats": 6}
        stages[f"transition{i}"] = {"block": {"layers": halved}}
    del stages["transition3"]
    stem = {"block": {"layers": ["conv"]}, "out": 24}
    made = design(blocks, stem=stem, stages=stages, head={"classes": 10, "layers": ["norm", "act"]})
    plan = lower(made)
    assert measure(plan).parameters == 176_122
    assert measure_design(made, plan) == measure(plan)
    assert lower(decode_design(self_contained(made), no_blocks)) == plan


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
    block = decode_block(block_lookup([config_folder()])(name), name, name)
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


OF_CONVOLUTIONS = [name for name in BLOCKS if name not in ("identity", "nas_choice")]


@pytest.mark.parametrize("name", OF_CONVOLUTIONS)
def test_every_block_of_convolutions_takes_a_padding_and_biases(name: str) -> None:
    block = decode_block(block_lookup([config_folder()])(name), name, name)
    assert (block.defaults["padding"], block.defaults["bias"]) == ("same", False)

    def of(**options: Any) -> list[Conv]:
        known = with_options(block, tuple({"shortcut": "none", **options}.items()))
        return [one for one in convs(lower_block(known, 16, 16)) if one.name not in ("squeeze", "excite")]

    assert not any(one.bias for one in of())
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


CLASSIFIER = [{"linear": {"out": 32, "bias": False}}, "act", {"dropout": 0.2}, {"linear": "classes"}]


def test_a_classifier_is_the_layers_behind_the_pool(blocks: BlockLookup) -> None:
    head = {"classes": 10, "layers": [{"act": "silu"}], "classifier": CLASSIFIER}
    assert lower(design(blocks, head=head)).layers[-1].layers == (
        Activation(name="act", kind="silu"),
        GlobalPool(name="pool", kind="average"),
        Linear(name="linear", in_features=8, out_features=32, bias=False),
        Activation(name="act_2", kind="relu"),
        Dropout(name="dropout", rate=0.2),
        Linear(name="linear_2", in_features=32, out_features=10),
    )
    assert measure_head(blocks, head) == 8 * 32 + 32 * 10 + 10


def measure_head(blocks: BlockLookup, head: dict[str, Any]) -> int:
    """Return the parameters of a head behind 8 channels."""
    footprint = measure(lower(design(blocks, head=head)))
    return sum(row.parameters for row in footprint.layers if row.name.startswith("head."))


def test_the_heads_own_linear_layer_may_have_no_bias(blocks: BlockLookup) -> None:
    assert measure_head(blocks, {"classes": 10}) == 90
    assert measure_head(blocks, {"classes": 10, "bias": False}) == 80


def test_the_same_head_has_the_same_id_in_either_spelling(blocks: BlockLookup) -> None:
    short = {"classes": 10, "dropout": 0.1, "bias": False}
    spelt = {"classes": 10, "classifier": [{"dropout": 0.1}, {"linear": {"out": "classes", "bias": False}}]}
    empty = {"classes": 8, "classifier": []}
    one, two = (lower(design(blocks, head=head)) for head in (short, spelt))
    assert one == two
    assert lower(design(blocks, head=empty)) == lower(design(blocks, head={"classes": 8, "linear": False}))


@pytest.mark.parametrize("symmetry", ["none", "flip"])
def test_a_classifier_is_written_with_its_design(blocks: BlockLookup, symmetry: str) -> None:
    made = design(blocks, head={"classes": 10, "classifier": CLASSIFIER, "dropout": None}, symmetry=symmetry)
    assert lower(decode_design(self_contained(made), blocks)) == lower(made)
    last = [layer for layer in lower(made).layers[-1].layers if isinstance(layer, Linear)]
    tied = [] if symmetry == "none" else ["pairs", "project"]
    assert [layer.symmetry for layer in last] == (tied or ["none", "none"])


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"dropout": 0.2}, "arch.head.dropout: is not used where the head has a classifier of its own. Write it as a"),
        ({"linear": True}, "arch.head.linear: is not used where the head has a classifier of its own."),
        ({"bias": False}, "or leave it out: arch.head.bias=null."),
        ({"classifier": [{"linear": 12}]}, "arch.head.classifier: the last layer must give 10 values, one per class"),
        ({"classifier": [{"linear": "clases"}]}, "arch.head.classifier[0].linear.out: unknown parameter 'clases'"),
        ({"classifier": "linear"}, "arch.head.classifier: must be a list of layers, got the string 'linear'"),
        ({"classifier": [{"act": "relu", "name": "pool"}]}, "duplicate name 'pool' in one list of layers"),
    ],
    ids=str,
)
def test_messages_of_classifiers(blocks: BlockLookup, head: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        lower(design(blocks, head={"classes": 10, "classifier": CLASSIFIER, **head}))
    assert message in str(caught.value)


def test_a_linear_layer_reads_a_whole_map(blocks: BlockLookup) -> None:
    def of(*layers: Any) -> DesignSpec:
        head = {"layers": list(layers), "pool": "none", "linear": False, "classes": 10}
        return design(blocks, input=[3, 4, 4], head=head)

    layers = ({"linear": {"in": "in * 16", "out": 20}}, "act", {"linear": "classes"})
    made = [layer for layer in lower(of(*layers)).layers[-1].layers if isinstance(layer, Linear)]
    assert [(one.in_features, one.out_features) for one in made] == [(8 * 16, 20), (20, 10)]
    for wide, message in ((of(layers[0]), "needs 10 channels"), (of({"linear": "classes"}), "Set in to 128, or pool")):
        with pytest.raises(SpecError, match=message):
            measure(lower(wide))
    with pytest.raises(SpecError, match=r"head\.layers\[0\]\.linear\.in: '0' gives 0, must be at least 1"):
        lower(of({"linear": {"in": 0, "out": "classes"}}))

"""Lowering of blocks: what their layers come to, and that settling their options first changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.config_files import block_lookup, config_folder
from archsearch.design.block import decode_block
from archsearch.design.lower_block import lower_block, lower_items, with_options
from archsearch.design.plan import Activation, Conv, GlobalPool, Layer, Norm, Parallel, Pool
from archsearch.errors import SpecError


def lowered(layers: Any, channels: int = 16, width: int = 32, **options: Any) -> tuple[Layer, ...]:
    raw = {"defaults_of": {"stride": 1, "k": 3, "shortcut": "none", "act": "relu"}, "layers": layers}
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
    assert [layer.out_channels for layer in layers if isinstance(layer, Conv)] == [32, 64, 16]


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
    assert isinstance(layers[-1], Conv)
    assert layers[-1].in_channels == 8 + 16


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


def test_what_options_cannot_settle_is_told_where_the_layer_is_made() -> None:
    block = with_options(decode_block({"defaults_of": {"k": 0}, "layers": [{"conv": {"kernel": "3 // k"}}]}, "b"))
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
    ],
    ids=str,
)
def test_whether_windows_depend_on_channels(layers: Any, is_settled: bool) -> None:
    block = decode_block({"defaults_of": {"k": 3}, "layers": layers}, "b")
    assert with_options(block).is_shape_settled == is_settled

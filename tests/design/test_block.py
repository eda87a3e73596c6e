"""Blocks: what a YAML block may hold, and the message for what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.design.block import decode_block, option_defaults
from archsearch.design.items import ParallelSpec, ResidualSpec, UseSpec
from archsearch.design.kinds import LayerSpec
from archsearch.errors import SpecError
from archsearch.notices import notice_once


def block(layers: Any, **more: Any) -> dict[str, Any]:
    return {"options": {"kernel": 3, "act": "relu"}, "layers": layers, **more}


def used(**options: Any) -> dict[str, Any]:
    """Return a layer that uses a block with the options `kernel` and `act`."""
    return {"use": {"block": block([{"conv": {"kernel": "kernel"}}, {"act": "act"}]), **options}}


def test_a_block_keeps_its_defaults_and_layers() -> None:
    decoded = decode_block(block([{"conv": {"out": "out", "kernel": "kernel"}}, {"act": "act"}, "norm"]), "b", "mine")
    assert decoded.name == "mine"
    assert decoded.defaults == {"kernel": 3, "act": "relu"}
    kinds = [item.kind for item in decoded.items if isinstance(item, LayerSpec)]
    assert kinds == ["conv", "act", "norm"]


def test_block_residual_wraps_all_layers() -> None:
    decoded = decode_block(block([{"conv": {}}], residual="project"), "b")
    assert isinstance(decoded.items[0], ResidualSpec)


def test_branches_may_be_a_list() -> None:
    decoded = decode_block(block([{"parallel": {"combine": "add", "branches": [[], [{"conv": {}}]]}}]), "b")
    assert isinstance(decoded.items[0], ParallelSpec)
    assert list(decoded.items[0].branches) == ["branch_1", "branch_2"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (3, "b: a block must be a mapping, got 3"),
        ({"layrs": []}, "b.layrs: unknown key for a block. Did you mean 'layers'?"),
        ({}, "b.layers: missing key for a block. It must be a list of layers, [] for none."),
        (block({}), "b.layers: must be a list of layers, got a mapping"),
        (block([3]), "b.layers[0]: must be a layer such as 'conv: {...}', got 3"),
        (block([{"cnv": {}}]), "b.layers[0].cnv: unknown kind of layer. Did you mean 'conv'?"),
        (block([{"conv": {}, "norm": "batch"}]), "b.layers[0]: must name one kind of layer, got 2. Kinds: "),
        (block([{"when": "in > 1"}]), "b.layers[0]: must name one kind of layer, got 0"),
        (block([{"conv": {"kernal": 3}}]), "b.layers[0].conv.kernal: unknown key for 'conv'. Did you mean 'kernel'?"),
        (block([{"conv": {"out": "in * width"}}]), "b.layers[0].conv.out: unknown parameter 'width' in 'in * width'"),
        (block([{"conv": {"out": "open('x')"}}]), "b.layers[0].conv.out: 'open('x')': "),
        (block([{"conv": {"out": [1]}}]), "b.layers[0].conv.out: must be a number or an expression, got a list"),
        (block([{"norm": "bach"}]), "b.layers[0].norm.kind: unknown value 'bach'. Did you mean 'batch'?"),
        (block([{"act": 3}]), "b.layers[0].act.kind: must be one of relu, "),
        (block([{"conv": {}, "name": "a b"}]), "b.layers[0].name: must be letters, digits and _"),
        (block([], residual="maybe"), "b.residual: unknown value 'maybe'"),
        (
            block([{"parallel": {"branches": [[]]}}]),
            "b.layers[0].parallel.branches: must be a mapping or list of at least",
        ),
        (block([{"parallel": {"combine": "ad", "branches": [[], []]}}]), "Did you mean 'add'?"),
        (block([{"parallel": [[], []]}]), "b.layers[0].parallel: must be a mapping of combine and branches"),
        (block([{"residual": {"layer": []}}]), "b.layers[0].residual.layer: unknown key for 'residual'"),
        (block([{"use": "other"}]), "b.layers[0].use.block: unknown block 'other'. Write the block itself."),
        (block(["use"]), "b.layers[0].use.block: missing key for 'use'. It must be a block's name, or a block."),
        (block([{"use": {"block": {"layer": []}}}]), "b.layers[0].use.block.layer: unknown key for a block."),
        (block([used(kernl=5)]), "b.layers[0].use.kernl: unknown key for 'use'. Did you mean 'kernel'?"),
        (block([used(kernel="kern")]), "b.layers[0].use.kernel: unknown parameter 'kern' in 'kern'"),
        (block([used(kernel=[3])]), "b.layers[0].use.kernel: must be a number, got a list"),
        (block([used(act=3)]), "b.layers[0].use.act: must be a string, got 3"),
        (block([used(width=[3])]), "b.layers[0].use.width: must be a number or an expression, got a list"),
        (block([], residual={"layer": []}), "b.residual.layer: unknown key for a shortcut. Did you mean 'layers'?"),
        (block([], residual={"always": True}), "b.residual.layers: must be a list of layers, got null"),
        (block([], residual=[{"cnv": {}}]), "b.residual[0].cnv: unknown kind of layer. Did you mean 'conv'?"),
        (
            block([{"residual": {"layers": [], "shortcut": [{"conv": {"out": "x"}}]}}]),
            "b.layers[0].residual.shortcut[0].conv.out: unknown parameter 'x' in 'x'",
        ),
        (
            block([{"residual": {"layers": [], "shortcut": {"layers": [], "always": "stride"}}}]),
            "b.layers[0].residual.shortcut.always: unknown parameter 'stride'",
        ),
        (
            block([{"parallel": {"branches": {"a": {"when": "x > 1", "layers": []}, "b": []}}}]),
            "b.layers[0].parallel.branches.a.when: unknown parameter 'x' in 'x > 1'",
        ),
        (
            block([{"parallel": {"branches": {"a": {"conv": {}}, "b": []}}}]),
            "b.layers[0].parallel.branches.a.conv: unknown key for a branch. Known: when, layers.",
        ),
        (
            block([{"parallel": {"branches": {"a": {"when": True}, "b": []}}}]),
            "b.layers[0].parallel.branches.a.layers: must be a list of layers, got null",
        ),
        ({"options": {"in": 3}, "layers": []}, "b.options.in: is not a valid name for an option of a block"),
        ({"options": {"k": [3]}, "layers": []}, "b.options.k: must be a number, true, false or a string"),
        ({"options": 3, "layers": []}, "b.options: must be a mapping, got 3"),
    ],
)
def test_messages(raw: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode_block(raw, "b")
    assert message in str(caught.value)


def test_an_option_of_a_used_block_is_a_value_or_an_expression() -> None:
    decoded = decode_block(
        block([used(kernel="kernel + 2", act="silu"), used(kernel=5, act="act", width="in * 2")]), "b"
    )
    first, second = decoded.items
    assert isinstance(first, UseSpec)
    assert isinstance(second, UseSpec)
    assert {name: (one.text, one.value) for name, one in first.options.items()} == {
        "kernel": ("kernel + 2", None),
        "act": ("silu", "silu"),
    }
    assert {name: (one.text, one.value) for name, one in second.options.items()} == {
        "kernel": ("5", 5),
        "act": ("act", None),
    }
    assert (first.width.text, second.width.text) == ("out", "in * 2")


@pytest.mark.parametrize(
    ("layer", "fix"),
    [
        ({"act": "swish"}, "Did you mean 'silu'?"),
        ({"act": "Swish"}, "Did you mean 'silu'?"),
        ({"act": "hard_swish"}, "Did you mean 'hardswish'?"),
        ({"act": "h_swish"}, "Did you mean 'hardswish'?"),
        ({"act": "nn.Hardswish"}, "Did you mean 'hardswish'?"),
        ({"act": "leakyrelu"}, "Did you mean 'leaky_relu'?"),
        ({"act": "LeakyReLU"}, "Did you mean 'leaky_relu'?"),
        ({"act": "ReLU6"}, "Did you mean 'relu6'?"),
        ({"act": "identity"}, "Did you mean 'none'?"),
        ({"norm": "bn"}, "Did you mean 'batch'?"),
        ({"norm": "BatchNorm2d"}, "Did you mean 'batch'?"),
        ({"norm": "gn"}, "Did you mean 'group'?"),
        ({"pool": "avg"}, "Did you mean 'average'?"),
        ({"pool": "nn.MaxPool2d"}, "Did you mean 'max'?"),
        ({"pool": "gap"}, "Did you mean 'global_average'?"),
        ({"pool": {"kind": "AdaptiveAvgPool2d"}}, "Did you mean 'global_average'?"),
        ({"conv": {"padding": "reflect"}}, "Write 'padding_mode: reflect'; the padding is a size."),
        ({"conv": {"padding": "smae"}}, "Did you mean 'same'?"),
        ({"parallel": {"combine": "sum", "branches": [[], []]}}, "Did you mean 'add'?"),
        ({"parallel": {"combine": "cat", "branches": [[], []]}}, "Did you mean 'concat'?"),
        ({"residual": {"layers": [], "shortcut": "projection"}}, "Did you mean 'project'?"),
        ({"relu": {}}, "Write 'act: relu'."),
        ("LeakyReLU", "Write 'act: leaky_relu'."),
        ({"fc": 10}, "Did you mean 'linear'?"),
        ({"batchnorm": {}}, "Did you mean 'norm'?"),
        ({"Conv2d": {}}, "Did you mean 'conv'?"),
        ({"maxpool": 2}, "Did you mean 'pool'?"),
    ],
    ids=str,
)
def test_what_others_call_a_layer_or_a_word_is_known(layer: Any, fix: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode_block(block([layer]), "b")
    assert caught.value.fix == fix


def test_the_old_name_of_the_options_works_with_one_notice(capsys: pytest.CaptureFixture[str]) -> None:
    notice_once.cache_clear()
    old = {"defaults_of": {"kernel": 3}, "layers": []}
    assert option_defaults(old) == option_defaults({"options": {"kernel": 3}}) == {"kernel": 3}
    assert [decode_block(old, "b").defaults for _ in range(2)] == [{"kernel": 3}] * 2
    notice = "notice: a block's key 'defaults_of' is now called 'options'; the old name still works\n"
    assert capsys.readouterr().err == notice
    with pytest.raises(SpecError, match="has both 'options' and 'defaults_of'"):
        decode_block({**old, "options": {}}, "b")
    with pytest.raises(SpecError, match=r"b\.defaults_of\.in: is not a valid name"):
        decode_block({"defaults_of": {"in": 3}, "layers": []}, "b")

"""Blocks: what a YAML block may say, and the message for what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.design.block import LayerSpec, ParallelSpec, ResidualSpec, decode_block
from archsearch.errors import SpecError


def block(layers: Any, **more: Any) -> dict[str, Any]:
    return {"defaults_of": {"kernel": 3, "act": "relu"}, "layers": layers, **more}


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
    ("raw", "said"),
    [
        (3, "b: a block must be a mapping, is 3"),
        ({"layrs": []}, "b.layrs: unknown key for a block. Did you mean 'layers'?"),
        ({}, "b.layers: missing key for a block. It must be a list of layers, [] for none."),
        (block({}), "b.layers: must be a list of layers, is a mapping"),
        (block([3]), "b.layers[0]: must be a layer such as 'conv: {...}', is 3"),
        (block([{"cnv": {}}]), "b.layers[0].cnv: unknown kind of layer. Did you mean 'conv'?"),
        (block([{"conv": {}, "norm": "batch"}]), "b.layers[0]: names 2 kinds of layer, must name one. Kinds: "),
        (block([{"when": "in > 1"}]), "b.layers[0]: names 0 kinds of layer"),
        (block([{"conv": {"kernal": 3}}]), "b.layers[0].conv.kernal: unknown key for 'conv'. Did you mean 'kernel'?"),
        (block([{"conv": {"out": "in * width"}}]), "b.layers[0].conv.out: 'in * width' names the unknown parameter"),
        (block([{"conv": {"out": "open('x')"}}]), "b.layers[0].conv.out: 'open('x')': "),
        (block([{"conv": {"out": [1]}}]), "b.layers[0].conv.out: must be a number or an expression, is a list"),
        (block([{"norm": "bach"}]), "b.layers[0].norm.kind: the text 'bach' is not a choice. Did you mean 'batch'?"),
        (block([{"act": 3}]), "b.layers[0].act.kind: must be one of relu, "),
        (block([{"conv": {}, "name": "a b"}]), "b.layers[0].name: must be letters, digits and _"),
        (block([], residual="maybe"), "b.residual: the text 'maybe' is not a choice"),
        (
            block([{"parallel": {"branches": [[]]}}]),
            "b.layers[0].parallel.branches: must be a mapping or list of at least",
        ),
        (block([{"parallel": {"combine": "ad", "branches": [[], []]}}]), "Did you mean 'add'?"),
        (block([{"parallel": [[], []]}]), "b.layers[0].parallel: must be a mapping of combine and branches"),
        (block([{"residual": {"layer": []}}]), "b.layers[0].residual.layer: unknown key for 'residual'"),
        ({"defaults_of": {"in": 3}, "layers": []}, "b.defaults_of.in: is not a name for an option of a block"),
        ({"defaults_of": {"k": [3]}, "layers": []}, "b.defaults_of.k: must be a number, true, false or text"),
        ({"defaults_of": 3, "layers": []}, "b.defaults_of: must be a mapping, is 3"),
    ],
)
def test_messages(raw: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode_block(raw, "b")
    assert said in str(caught.value)

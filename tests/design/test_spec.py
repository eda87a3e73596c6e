"""Designs: YAML networks, the message for what they may not hold, and the way back to one mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from archsearch.design.layers import Conv
from archsearch.design.lower import lower
from archsearch.design.plan import design_id, primitives
from archsearch.design.spec import BlockLookup, BlockReader, decode_design, no_blocks, self_contained
from archsearch.errors import SpecError


def arch(**changes: Any) -> dict[str, Any]:
    stage = {"block": "plain", "width": 8}
    return {
        "name": "a",
        "stem": {"block": "plain", "out": 4},
        "stages": {"c1": stage},
        "head": {"classes": 10},
        **changes,
    }


def stage(**changes: Any) -> dict[str, Any]:
    return arch(stages={"late": {"block": "plain", "width": 8, **changes}})


def test_a_design_is_read_with_its_defaults(blocks: BlockLookup) -> None:
    design = decode_design(arch(), blocks)
    assert design.input_shape == (3, 32, 32)
    assert design.stem is not None
    assert design.stem.width == 4
    assert (design.width, design.divisor) == (1.0, 8)
    assert design.head.pool == "global_average"


def test_a_stage_may_hold_its_block_itself(blocks: BlockLookup) -> None:
    inline = {"options": {"k": 5}, "layers": [{"conv": {"kernel": "k"}}]}
    design = decode_design(arch(stages={"c1": {"block": inline, "width": 8, "k": 7}}), blocks)
    assert design.stages[0].use.options == {"k": 7}


def test_a_null_option_is_the_default(blocks: BlockLookup) -> None:
    assert decode_design(stage(dilation=None), blocks).stages[0].use.options == {}


def test_a_stages_options_reach_its_entry_and_the_entrys_own_win(blocks: BlockLookup) -> None:
    design = decode_design(stage(dilation=2, kernel=5, entry={"block": "plain", "kernel": 7}), blocks)
    entry = design.stages[0].entry
    assert entry is not None
    assert entry.options == {"dilation": 2, "kernel": 7}


def test_an_option_of_the_network_is_the_default_of_every_block_that_has_it(blocks: BlockLookup) -> None:
    other = {"options": {"kernel": 1}, "layers": [{"conv": {"kernel": "kernel"}}]}
    stages = {
        "c1": {"block": "plain", "width": 8, "entry": {"block": other}},
        "c2": {"block": other, "width": 8, "kernel": 7, "entry": {"block": "plain", "dilation": 3}},
        "c3": {"block": {"layers": ["conv"]}, "width": 8},
    }
    design = decode_design(arch(options={"kernel": 5, "dilation": 2, "stride": None}, stages=stages), blocks)
    c1, c2, c3 = design.stages
    assert design.stem is not None
    assert c1.entry is not None
    assert c2.entry is not None
    assert design.stem.use.options == c1.use.options == {"kernel": 5, "dilation": 2}
    assert c1.entry.options == {"kernel": 5}
    assert c2.use.options == {"kernel": 7}  # that of the stage
    assert c2.entry.options == {"kernel": 7, "dilation": 3}
    assert c3.use.options == {}
    written = self_contained(design)
    assert "options" not in written
    assert lower(decode_design(written, nothing)) == lower(design)


def test_cached_blocks_take_the_options_of_each_network(blocks: BlockLookup) -> None:
    reader, raw = BlockReader(blocks), arch()
    kernels = []
    for options in ({"kernel": 5}, {"kernel": 7}, None):
        design = decode_design({**raw, "options": options}, reader)
        assert design.stem is not None
        kernels.append((design.stem.use.options.get("kernel"), design.stages[0].use.options.get("kernel")))
    assert kernels == [(5, 5), (7, 7), (None, None)]


def test_an_option_that_is_a_padding_in_words_takes_numbers() -> None:
    block = {"options": {"padding": "same"}, "layers": [{"conv": {"padding": "padding if padding == 0 else 2"}}]}
    for padding, expected in ((0, (0, 0)), (1, (2, 2)), ("same", (2, 2))):
        raw = arch(stem=None, stages={"c1": {"block": block, "width": 8, "padding": padding}})
        design = decode_design(raw, nothing)
        assert design.stages[0].use.options == {"padding": padding}
        conv = next(primitives(lower(design).layers))[1]
        assert isinstance(conv, Conv)
        assert conv.padding == expected
    with pytest.raises(SpecError, match=r"arch\.stages\.c1\.padding: must be an integer or a string, got true"):
        decode_design(arch(stem=None, stages={"c1": {"block": block, "width": 8, "padding": True}}), nothing)


DENSE = {
    "options": {"growth": 12, "stride": 1, "wide": False},
    "layers": [
        {"parallel": {"branches": {"before": [], "new": ["norm", {"conv": {"out": "growth"}}]}}},
        {"conv": {"kernel": 1}, "when": "wide"},
    ],
}
"""A layer of DenseNet, which gives as many channels as it has and `growth` more."""


def test_a_stage_whose_block_never_reads_its_width_has_none() -> None:
    stages = {"c1": {"block": DENSE, "repeats": 3, "growth": 4, "entry": {"block": DENSE, "growth": 2}}}
    design = decode_design(arch(stem=None, stages=stages, width=1.5), nothing)
    assert design.stages[0].width is None
    plan = lower(design)
    assert plan.layers[0].channels_after(3) == 3 + 2 + 2 * 4
    written = self_contained(design)
    assert "width" not in written["stages"]["c1"]
    assert lower(decode_design(written, nothing)) == plan


@pytest.mark.parametrize(
    "stage",
    [
        {"block": DENSE, "wide": True},
        {"block": DENSE, "entry": {"block": DENSE, "wide": True}},
        {"block": {"layers": [{"conv": {"out": "in"}, "when": "out > 3"}]}},
        {"block": {"layers": [{"use": {"block": {"layers": ["conv"]}}}]}},
        {"block": {"layers": [{"parallel": {"branches": [{"when": "out > 1", "layers": []}, []]}}]}},
        {"block": {"layers": [], "residual": {"layers": ["conv"], "always": True}}},
        {"block": {"options": {"stride": 2}, "layers": [{"conv": {}, "when": "stride == 1"}]}, "repeats": 2},
    ],
)
def test_one_whose_block_reads_it_needs_a_width(stage: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"c1\.width: missing key for a stage\. It must be a number of channels"):
        decode_design(arch(stem=None, stages={"c1": stage}), nothing)


def test_a_used_block_with_a_width_of_its_own_reads_no_other() -> None:
    block = {"layers": [{"use": {"block": {"layers": ["conv"]}, "width": "in * 2"}}]}
    design = decode_design(arch(stem=None, stages={"c1": {"block": block, "repeats": 2}}), nothing)
    assert lower(design).layers[0].channels_after(3) == 12


def test_width_may_be_fit(blocks: BlockLookup) -> None:
    assert decode_design(arch(width="fit"), blocks).width == "fit"
    assert decode_design(arch(width="fit"), blocks).at_width(2.0).width == 2.0


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "arch: a network must be a mapping, got a list"),
        (arch(stage={}), "arch.stage: unknown key for a network. Did you mean 'stages'?"),
        (arch(stages={}), "arch.stages: must be a mapping of at least one stage"),
        (arch(stages=[{"block": "plain"}]), "arch.stages: must be a mapping of at least one stage, got a list"),
        (stage(blok="plain"), "arch.stages.late.blok: unknown key for a stage. Did you mean 'block'?"),
        (stage(block=None), "arch.stages.late.block: missing key for a stage"),
        (stage(block="plane"), "arch.stages.late.block: unknown block 'plane'. Known: plain."),
        (stage(width="8"), "arch.stages.late.width: must be an integer, got the string '8'. Write it without quotes."),
        (stage(width=0), "arch.stages.late.width: must be at least 1, got 0"),
        (stage(width=None), "arch.stages.late.width: missing key for a stage"),
        (stage(repeats=-1), "arch.stages.late.repeats: must be at least 0, got -1"),
        (stage(kernel="3"), "arch.stages.late.kernel: must be a number, got the string '3'"),
        (stage(entry={"block": "plain", "kern": 3}), "arch.stages.late.entry.kern: unknown key for an entry"),
        (stage(entry=3), "arch.stages.late.entry: an entry must be a mapping, got 3"),
        (arch(stages={"c 1": {}}), "arch.stages.c 1: a stage's name must be letters, digits and _"),
        (arch(stem={"block": "plain", "out": 4, "width": 4}), "arch.stem: has both 'out' and 'width'"),
        (arch(stem={"block": "plain", "out": 4, "repeats": 2}), "arch.stem: the stem is one block"),
        (arch(width=0), "arch.width: must be above 0 and at most 64, got 0"),
        (arch(width="wide"), "arch.width: must be a number or 'fit', got the string 'wide'"),
        (arch(input=[3, 32]), "arch.input: must be a list of 3, got 2"),
        (arch(input=[3, 32, 0]), "arch.input: must be (channels, height, width) from 1 to 4096"),
        (arch(head={}), "arch.head.classes: missing key for a head"),
        (arch(head={"classes": 10, "pol": "none"}), "arch.head.pol: unknown key for a head. Did you mean 'pool'?"),
        (arch(head={"classes": 10, "pool": "global"}), "arch.head.pool: unknown value 'global'"),
        *[
            (
                arch(head={"classes": 10, "pool": pool}),
                f"arch.head.pool: unknown value '{pool}'. Did you mean '{meant}'?",
            )
            for pool, meant in {
                "avg": "global_average",
                "gap": "global_average",
                "adaptive": "global_average",
                "max": "global_max",
                "avergae": "average",
            }.items()
        ],
        (
            stage(padding_mode="reflect"),
            "late.padding_mode=null; or give its block 'plain' that option in its options.",
        ),
        (arch(head={"classes": 10, "dropout": 1.0}), "arch.head.dropout: must be at least 0 and below 1"),
        (arch(divisor=0), "arch.divisor: must be at least 1, got 0"),
        (stage(width=10**7), "arch.stages.late.width: must be at most 1000000, got 10000000"),
        (
            stage(shortcut="none"),
            "unknown key for a stage. To leave it out set arch.stages.late.shortcut=null; or give",
        ),
        (arch(options=[]), "arch.options: the options of a network must be a mapping, got a list"),
        (arch(options={"kernle": 3}), "arch.options.kernle: no block of the network has this option. Did you mean 'k"),
        (arch(options={"growth": 3}), "this option. To leave it out set arch.options.growth=null."),
        (arch(options={"kernel": "5"}), "arch.options.kernel: must be a number, got the string '5' (option of block"),
        (stage(shortcut="none"), "or give its block 'plain' that option in its options. Known: block, width, repeats"),
    ],
)
def test_messages(raw: Any, message: str, blocks: BlockLookup) -> None:
    with pytest.raises(SpecError) as caught:
        decode_design(raw, blocks)
    assert message in str(caught.value)


def named(**layers: Any) -> BlockLookup:
    """Return a lookup of blocks that have these layers, and the options `kernel` and `act`."""
    options = {"kernel": 3, "act": "relu"}

    def find(name: str) -> Mapping[str, Any]:
        if name not in layers:
            raise SpecError("block", f"unknown block '{name}'", f"Known: {', '.join(layers)}.")
        return {"options": options, "layers": layers[name]}

    return find


INNER = [{"conv": {"kernel": "kernel"}}, {"act": "act"}]


def test_a_used_block_is_read_by_its_name_and_written_out_with_the_design() -> None:
    outer = ["conv", {"use": {"block": "inner", "width": "out * 2", "kernel": 5, "act": "silu"}}]
    branches = {"a": [{"use": "outer"}], "b": {"when": "kernel > 1", "layers": [{"use": "inner"}]}}
    whole = [{"parallel": {"branches": branches}}, {"residual": {"layers": ["conv"], "shortcut": [{"use": "inner"}]}}]
    head = {"classes": 10, "layers": [{"use": {"block": "inner", "width": 6}}]}
    head |= {"classifier": [{"use": {"block": "inner", "width": "classes", "kernel": 1}}]}
    raw = arch(stem=None, stages={"c1": {"block": "whole", "width": 8, "repeats": 2}}, head=head)
    design = decode_design(raw, named(inner=INNER, outer=outer, whole=whole))
    written = yaml.safe_load(yaml.safe_dump(self_contained(design)))
    again = decode_design(written, no_blocks)
    assert lower(again) == lower(design)
    assert design_id(lower(again)) == design_id(lower(design))
    assert self_contained(again) == self_contained(design)
    block = written["stages"]["c1"]["block"]["layers"][0]["parallel"]["branches"]["a"][0]["use"]["block"]
    assert block["name"] == "outer"
    assert block["layers"][1]["use"]["block"] == {
        "options": {"kernel": 3, "act": "relu"},
        "layers": INNER,
        "name": "inner",
    }


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (
            {"a": [{"use": "a"}]},
            "block 'a'.layers[0].use.block: block 'a' uses itself (a -> a). Use another block here.",
        ),
        (
            {"a": [{"use": "b"}], "b": [{"residual": [{"use": {"block": "a"}}]}]},
            "block 'b'.layers[0].residual.layers[0].use.block: block 'a' uses itself (a -> b -> a)",
        ),
        ({"a": [{"use": "c"}], "b": []}, "block 'a'.layers[0].use.block: unknown block 'c'. Known: a, b."),
        (
            {**{f"a{i}": [{"use": f"a{i + 1}"}] for i in range(1, 6)}, "a": [{"use": "a1"}], "a6": []},
            "block 'a4'.layers[0].use.block: blocks are nested more than 4 levels deep",
        ),
        ({"a": [{"use": "b"}] * 512, "b": ["conv", "conv"]}, "block 'a'.layers: has 1536 layers, at most 1024 are"),
    ],
)
def test_messages_of_used_blocks(blocks: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode_design(arch(stem=None, stages={"c1": {"block": "a", "width": 8}}), named(**blocks))
    assert message in str(caught.value)


def nothing(name: str) -> Mapping[str, Any]:
    raise SpecError("block", f"'{name}' was looked up")


def test_the_way_through_yaml_gives_the_same_network(blocks: BlockLookup) -> None:
    entry = {"block": "plain", "kernel": 5}
    stages = {"c1": {"block": "plain", "width": 20, "repeats": 2, "stride": 2, "entry": entry}}
    head = {"classes": 7, "layers": [{"conv": {"out": 16, "kernel": 1}}], "dropout": 0.1}
    raw = {"name": "a", "stem": {"block": "plain", "out": 12}, "stages": stages, "head": head, "width": 1.7}
    design = decode_design(raw, blocks)
    again = decode_design(yaml.safe_load(yaml.safe_dump(self_contained(design))), nothing)
    assert lower(again) == lower(design)
    assert design_id(lower(again)) == design_id(lower(design))
    assert (again.name, again.width, again.divisor) == ("a", 1.7, 8)
    assert again.stages[0].use.block.name == "plain"

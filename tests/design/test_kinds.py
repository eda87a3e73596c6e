"""The kinds of layers in YAML: what their fields may hold, and branches that split the channels."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.design.block import decode_block
from archsearch.design.layers import (
    Activation,
    BlurPool,
    ChannelPool,
    Clamp,
    DropPath,
    Leaf,
    Narrow,
    Norm,
    PadChannels,
    Pool,
    Scale,
    Shuffle,
)
from archsearch.design.lower import lower_block, with_options
from archsearch.design.plan import Layer, Parallel
from archsearch.errors import ChannelsError, SpecError


def lowered(*layers: Any, channels: int = 8, width: int = 12, **options: Any) -> tuple[Layer, ...]:
    block = decode_block({"options": options, "layers": list(layers)}, "b")
    return lower_block(with_options(block), channels, width)


@pytest.mark.parametrize(
    ("raw", "layer"),
    [
        ({"norm": "channel"}, Norm(name="norm", kind="channel", channels=8)),
        ({"norm": {"eps": 0.001}}, Norm(name="norm", kind="batch", channels=8, eps=1e-3)),
        ("scale", Scale(name="scale", channels=8)),
        (
            {"scale": {"init": "1 / in", "per": "layer", "bias": True}},
            Scale(name="scale", channels=8, init=0.125, per="layer", bias=True),
        ),
        ({"scale": -1}, Scale(name="scale", channels=8, init=-1.0)),
        ({"scale": {"init": -1, "learnt": False}}, Scale(name="scale", channels=8, init=-1.0, learnt=False)),
        ({"narrow": 3}, Narrow(name="narrow", in_channels=8, start=0, out_channels=3)),
        (
            {"narrow": {"start": "in // 4", "out": "in // 2"}},
            Narrow(name="narrow", in_channels=8, start=2, out_channels=4),
        ),
        ("shuffle", Shuffle(name="shuffle", channels=8, groups=2)),
        ("pad_channels", PadChannels(name="pad_channels", in_channels=8, out_channels=12)),
        (
            {"pad_channels": {"before": "(out - in) // 2"}},
            PadChannels(name="pad_channels", in_channels=8, out_channels=12, before=2),
        ),
        ("clamp", Clamp(name="clamp", low=0.0, high=6.0)),
        ({"clamp": {"min": -1, "max": 1}}, Clamp(name="clamp", low=-1.0, high=1.0)),
        ({"drop_path": 0.2}, DropPath(name="drop_path", rate=0.2)),
        ({"pool": "channel_max"}, ChannelPool(name="pool", kind="max", channels=8)),
        ({"pool": "channel_average"}, ChannelPool(name="pool", kind="average", channels=8)),
        (
            {"pool": {"kind": "blur", "kernel": 3, "stride": 2}},
            BlurPool(name="pool", kernel=3, stride=2, padding=(1, 1)),
        ),
        (
            {"pool": {"kind": "blur", "kernel": 4, "stride": 2}},
            BlurPool(name="pool", kernel=4, stride=2, padding=(1, 2)),
        ),
        ({"pool": {"kind": "blur", "kernel": 1, "stride": 2}}, Pool(name="pool", kind="average", kernel=1, stride=2)),
        (
            {"pool": {"kind": "average", "kernel": 3, "stride": 1, "count_include_pad": True}},
            Pool(name="pool", kind="average", kernel=3, stride=1, padding=(1, 1), counts_padding=True),
        ),
        ({"act": "tanh_exp"}, Activation(name="act", kind="tanh_exp")),
    ],
)
def test_layers(raw: Any, layer: Leaf) -> None:
    assert lowered(raw) == (layer,)


def test_a_rate_of_nothing_makes_no_layer() -> None:
    assert lowered({"drop_path": 0}) == ()
    assert lowered({"scale": {"init": 1, "learnt": False}}) == ()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"norm": {"eps": 0}}, "norm.eps: must be above 0 and below 1, got 0"),
        ({"norm": {"eps": "act"}}, "norm.eps: must be a number, got the string 'relu'"),
        ({"norm": "chanel"}, "norm.kind: unknown value 'chanel'. Did you mean 'channel'?"),
        ({"scale": {"per": "chanel"}}, "scale.per: unknown value 'chanel'. Did you mean 'channel'?"),
        ({"scale": {"learnt": False, "bias": True}}, "scale.bias: a constant factor has no shift. Set learnt to true"),
        ({"clamp": {"min": 6}}, "clamp.max: must be above min, 6, got 6"),
        ({"drop_path": 1}, "drop_path.rate: must be at least 0 and below 1, got 1"),
        ({"narrow": {"start": -1}}, "narrow.start: '-1' gives -1, must be at least 0"),
        ({"shuffle": 0}, "shuffle.groups: '0' gives 0, must be at least 1"),
        ({"pool": "blurr"}, "pool.kind: unknown value 'blurr'. Did you mean 'blur'?"),
        (
            {"pool": {"kind": "average", "kernel": 2, "stride": 2, "ceil_mode": True, "count_include_pad": True}},
            "pool.ceil_mode: with count_include_pad the windows that end outside of the map would count too much",
        ),
    ],
)
def test_errors_of_fields(raw: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        lowered(raw, act="relu")
    assert str(caught.value).startswith(f"b.layers[0].{message}")


def parallel(split: Any, *, combine: str = "concat", **branches: Any) -> dict[str, Any]:
    branches = branches or {"a": [], "b": ["shuffle"]}
    return {"parallel": {"combine": combine, "split": split, "branches": branches}}


def parts_of(raw: Any, channels: int = 8) -> dict[str, tuple[int, int]]:
    (made,) = lowered(raw, channels=channels, share=4)
    assert isinstance(made, Parallel)
    found: dict[str, tuple[int, int]] = {}
    for branch in made.branches:
        first = branch.layers[0]
        assert isinstance(first, Narrow)
        assert first.name == "split"
        found[branch.name] = first.start, first.out_channels
    return found


def test_branches_get_channels_of_their_own_in_order() -> None:
    assert parts_of(parallel("equal")) == {"a": (0, 4), "b": (4, 4)}
    assert parts_of(parallel({"b": "in // share", "a": "in - in // share"})) == {"a": (0, 6), "b": (6, 2)}
    three = parallel("equal", a=[], b=[], c=[{"conv": {"out": "in"}}])
    assert parts_of(three, channels=9) == {"a": (0, 3), "b": (3, 3), "c": (6, 3)}
    (made,) = lowered(three, channels=9)
    assert made.channels_after(9) == 9
    (gated,) = lowered(parallel("equal", combine="multiply"))
    assert gated.channels_after(8) == 4


def test_the_layers_of_a_branch_read_its_channels() -> None:
    conv = {"conv": {"out": "in", "groups": "in"}}
    (made,) = lowered(parallel({"a": 2, "b": 6}, a=[], b=[conv, {"narrow": 1, "name": "narrow"}]))
    assert isinstance(made, Parallel)
    conv_layer = made.branches[1].layers[1]
    assert getattr(conv_layer, "in_channels", 0) == getattr(conv_layer, "groups", 0) == 6


@pytest.mark.parametrize(
    ("raw", "kind", "message"),
    [
        (
            parallel("equal", a=[], b=[], c=[]),
            ChannelsError,
            "8 channels cannot be split equally into 3. Use 9 channels, or give each branch its own.",
        ),
        (parallel({"a": 2, "b": 3}), ChannelsError, "gives 5 channels, of 8. Let the branches' channels add up."),
        (
            parallel("even"),
            SpecError,
            "must be equal or a mapping of branches to channels, got the string 'even'.",
        ),
    ],
)
def test_errors_of_a_split(raw: Any, kind: type[SpecError], message: str) -> None:
    with pytest.raises(kind) as caught:
        lowered(raw)
    assert str(caught.value).startswith(f"b.layers[0].parallel.split: {message}")


def test_errors_of_the_parts_of_a_split() -> None:
    with pytest.raises(SpecError, match=r"split\.c: unknown key for a split"):
        lowered(parallel({"a": 2, "c": 6}))
    with pytest.raises(SpecError, match=r"split\.b: missing key for a split. Give every branch its channels"):
        lowered(parallel({"a": 2}))
    with pytest.raises(SpecError, match=r"split\.a: '0' gives 0, must be at least 1"):
        lowered(parallel({"a": 0, "b": 8}))
    with pytest.raises(SpecError, match="duplicate name 'split' in one list of layers"):
        lowered(parallel("equal", a=[], b=[{"shuffle": 2, "name": "split"}]))


def test_widths_that_do_not_split_are_left_out_of_a_fit() -> None:
    from archsearch.library import check

    block = {"layers": [{"conv": {"out": "out"}}, parallel("equal", a=[], b=[], c=["shuffle"])]}
    arch = {"stages": {"c1": {"block": block, "width": 24}}, "head": {"classes": 10}, "width": "fit", "divisor": 4}
    found = check({"input": [3, 8, 8], **arch}, {"parameters": {"below": 1500}})
    assert found.kept
    assert found.plan.layers[0].channels_after(3) % 3 == 0

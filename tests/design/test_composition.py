"""Lowering of composed blocks and heads: shortcuts, branches, used blocks, classifiers."""

from __future__ import annotations

from typing import Any

import pytest
from lowering import convs, design, lowered

from archsearch.analysis.measure import measure, measure_design
from archsearch.design.block import decode_block
from archsearch.design.layers import Activation, Conv, Dropout, GlobalPool, Linear, Pool
from archsearch.design.lower import lower, lower_block, with_options
from archsearch.design.plan import Parallel, Plan, Sequence, design_id
from archsearch.design.spec import BlockLookup, DesignSpec, decode_design, no_blocks, self_contained
from archsearch.errors import SpecError

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

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from archsearch.analysis.measure import measure
from archsearch.design.block import decode_block
from archsearch.design.layers import Activation, Conv, Dropout, GlobalPool, Linear, Norm, Pool
from archsearch.design.lower import lower_block, with_options
from archsearch.design.plan import Layer, Parallel, Plan, Sequence
from archsearch.design.pointwise import ActivationKind
from archsearch.errors import SpecError
from archsearch.network.assemble import ACTIVATIONS, assemble

RELU = Activation(name="act", kind="relu")


def conv(name: str = "conv", channels: int = 8, **changes: object) -> Conv:
    return replace(Conv(name=name, in_channels=channels, out_channels=8, padding=(1, 1)), **changes)


def small_plan() -> Plan:
    """A plan with every kind of layer."""
    stem = Sequence(
        name="stem",
        layers=(conv(channels=3, kernel=4, padding=(1, 2)), Norm(name="norm", kind="batch", channels=8), RELU),
    )
    residual = Parallel(
        name="block",
        combine="add",
        branches=(
            Sequence(name="main", layers=(conv(), Norm(name="norm", kind="group", channels=8, groups=4))),
            Sequence(name="shortcut", layers=()),
        ),
    )
    gate = Sequence(
        name="gate",
        layers=(
            GlobalPool(name="pool", kind="max"),
            Linear(name="squeeze", in_features=8, out_features=8),
            Activation(name="act", kind="sigmoid"),
        ),
    )
    excite = Parallel(name="se", combine="multiply", branches=(Sequence(name="main", layers=()), gate))
    both = Parallel(
        name="both",
        combine="concat",
        branches=(
            Sequence(name="a", layers=(Pool(name="pool", kind="max", kernel=2, stride=1, padding=(0, 1)),)),
            Sequence(name="b", layers=(Pool(name="pool", kind="average", kernel=3, stride=1, padding=(1, 1)),)),
        ),
    )
    c1 = Sequence(name="c1", layers=(Sequence(name="0", layers=(residual,)), Sequence(name="1", layers=(excite,))))
    c2 = Sequence(
        name="c2",
        layers=(
            both,
            conv(channels=16, stride=2, groups=8),
            Norm(name="layer", kind="layer", channels=8),
            Norm(name="instance", kind="instance", channels=8),
            Dropout(name="drop", rate=0.1, channelwise=True),
        ),
    )
    head = Sequence(
        name="head",
        layers=(GlobalPool(name="pool", kind="average"), Linear(name="linear", in_features=8, out_features=10)),
    )
    return Plan(input_shape=(3, 16, 16), layers=(stem, Sequence(name="stages", layers=(c1, c2)), head))


def images(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_state_dict_keys_are_the_paths_of_the_layers() -> None:
    keys = assemble(small_plan()).state_dict().keys()
    assert {
        "stem.conv.weight",
        "stem.norm.running_mean",
        "stages.c1.0.block.main.conv.weight",
        "stages.c1.1.se.gate.squeeze.bias",
        "stages.c2.instance.weight",
        "head.linear.weight",
    } <= keys
    rows = {row.name for row in measure(small_plan()).layers if row.parameters}
    assert {key.rpartition(".")[0] for key in keys} == rows


def test_logits_are_one_row_an_image() -> None:
    assert assemble(small_plan())(images()).shape == (2, 10)


def test_weights_repeat_and_the_global_generator_stays_where_it_was() -> None:
    before = torch.random.get_rng_state()
    one, two = assemble(small_plan()).state_dict(), assemble(small_plan()).state_dict()
    other = assemble(small_plan(), generator=torch.Generator().manual_seed(7)).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["stem.conv.weight"], other["stem.conv.weight"])


def test_one_compiled_graph_gives_the_same_logits_and_gradients() -> None:
    network = assemble(small_plan()).eval()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images()), network(images()))
    compiled(images()).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_it_exports_with_any_number_of_images() -> None:
    network = assemble(small_plan()).eval()
    shapes = {"images_BCHW": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(network, (images(),), dynamic_shapes=shapes).module()
    torch.testing.assert_close(exported(images(5)), network(images(5)))


def test_channels_last_and_bfloat16() -> None:
    network = assemble(small_plan()).eval()
    expected = network(images())
    last = network.to(memory_format=torch.channels_last)(images().contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(images())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.1)


def test_the_table_of_activations_is_complete() -> None:
    assert set(ACTIVATIONS) == set(get_args(ActivationKind))
    assert all(isinstance(make()(torch.ones(1)), torch.Tensor) for make in ACTIVATIONS.values())


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (Norm(name="x", kind="batch", channels=3), nn.BatchNorm2d),
        (Norm(name="x", kind="instance", channels=3), nn.InstanceNorm2d),
        (Norm(name="x", kind="layer", channels=3), nn.GroupNorm),
        (Dropout(name="x", rate=0.5), nn.Dropout),
        (Dropout(name="x", rate=0.5, channelwise=True), nn.Dropout2d),
        (Pool(name="x", kind="max", kernel=3, stride=2, padding=(1, 1)), nn.MaxPool2d),
    ],
)
def test_torchs_own_modules_are_used_where_they_do(layer: Layer, kind: type[nn.Module]) -> None:
    pool = GlobalPool(name="pool", kind="average")
    network = assemble(Plan(input_shape=(3, 8, 8), layers=(Sequence(name="a", layers=(layer, pool)),)))
    assert type(network.get_submodule("a.x")) is kind


@pytest.mark.parametrize("name", ["half", "type", "training", "append"])
def test_a_name_that_torch_has_taken_is_refused(name: str) -> None:
    plan = Plan(input_shape=(8, 8, 8), layers=(Sequence(name="stages", layers=(conv(name), conv())),))
    with pytest.raises(
        SpecError, match=rf"^stages\.{name}: the name '{name}' is reserved by torch\. Call it '{name}_'\.$"
    ):
        assemble(replace(plan, layers=(*plan.layers, Sequence(name="p", layers=(GlobalPool(name="x", kind="max"),)))))


def test_two_layers_of_one_name_are_refused() -> None:
    head = Sequence(name="head", layers=(GlobalPool(name="pool", kind="max"),))
    plan = Plan(input_shape=(8, 8, 8), layers=(Sequence(name="stages", layers=(conv(), conv())), head))
    with pytest.raises(SpecError, match=r"^stages\.conv: is a duplicate or invalid layer name"):
        assemble(plan)


def test_an_output_that_is_a_map_is_refused() -> None:
    plan = Plan(input_shape=(8, 4, 4), layers=(Sequence(name="head", layers=(conv(),)),))
    with pytest.raises(SpecError, match=r"^head: the network ends in 8 x 4 x 4, which must be one value per class\."):
        assemble(plan)


def test_layers_that_do_not_fit_are_refused_before_torch_sees_them() -> None:
    plan = Plan(input_shape=(3, 4, 4), layers=(Sequence(name="head", layers=(conv(),)),))
    with pytest.raises(SpecError, match=r"^head\.conv: expected 8 input channels, got 3"):
        assemble(plan)


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 3, 0), (3, 2, 0), (3, 2, 1), (2, 2, 1), (4, 3, 2)]
)
def test_a_pool_in_yaml_is_that_of_torch(kind: str, ceil_mode: bool, kernel: int, stride: int, padding: int) -> None:
    fields = {"kind": kind, "kernel": kernel, "stride": stride, "ceil_mode": ceil_mode}
    given = [padding] if padding else [0, "valid", "same"] if kernel == stride else [0, "valid"]
    for side in range(5, 14):
        images = torch.randn(2, 3, side, side)
        if kind == "max":
            known = nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode)(images)
        else:
            known = nn.AvgPool2d(kernel, stride, padding, ceil_mode, count_include_pad=False)(images)
        for one in given:
            block = decode_block({"layers": [{"pool": {**fields, "padding": one}}]}, "b")
            layers = (*lower_block(with_options(block), 3, 3), GlobalPool(name="global", kind="average"))
            network = assemble(Plan(input_shape=(3, side, side), layers=(Sequence(name="a", layers=layers),)))
            torch.testing.assert_close(network.get_submodule("a.pool")(images), known)

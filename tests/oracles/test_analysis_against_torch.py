"""Analysis against torch on random plans: what is computed without torch is what torch finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archsearch.analysis.measure import LayerFootprint, measure, rows
from archsearch.design.geometry import Extent
from archsearch.design.layers import GlobalPool
from archsearch.design.plan import Plan, Sequence
from archsearch.network.assemble import assemble
from archsearch.network.modules import PaddedPool2d

PLANS = 520
CHUNK = 40
Grow = Callable[[int], Plan]
chunks = pytest.mark.parametrize("first", range(0, PLANS, CHUNK))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@contextmanager
def recorded(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Give the output of every module by its path, as the network runs."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: outputs.__setitem__(name, output)

    handles = [module.register_forward_hook(keep(name)) for name, module in network.named_modules()]
    yield outputs
    for handle in handles:
        handle.remove()


@chunks
def test_parameters_shapes_and_macs_are_those_that_torch_counts(first: int, random_plan: Grow) -> None:
    for seed in range(first, first + CHUNK):
        plan = random_plan(seed)
        footprint, network = measure(plan), assemble(plan).eval()
        table = rows(plan)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), recorded(network) as outputs, counter:
            logits = network(torch.zeros(1, *plan.input_shape))
        assert logits.shape[1:] == footprint.output_shape[:1], seed
        leaves = dict(network.named_modules())
        for row in table:
            assert tuple(outputs[row.name].shape[1:]) == row.output_shape, (seed, row)
            assert row.activations == outputs[row.name].numel(), (seed, row)
            if row.kind not in ("add", "concat", "multiply"):
                assert row.parameters == sum(p.numel() for p in leaves[row.name].parameters()), (seed, row)
        assert footprint.parameters == sum(p.numel() for p in network.parameters()), seed
        assert 2 * footprint.macs == counter.get_total_flops(), seed
        totals = [sum(getattr(row, name) for row in table) for name in ("parameters", "macs", "activations")]
        assert totals == [footprint.parameters, footprint.macs, footprint.activations], seed


@chunks
def test_receptive_fields_are_the_support_of_the_input_gradient(first: int, random_plan: Grow) -> None:
    for seed in range(first, first + CHUNK):
        plan, unit = enlarge(random_plan(seed))
        local = [row for row in rows(plan) if ".gate." not in row.name and not row.name.startswith("head.")]
        chosen = {row.name: row for row in (Random(seed).choice(local), local[-1])}
        network = positive(assemble(plan))
        pixels = torch.ones(1, *plan.input_shape, dtype=torch.float64, requires_grad=True)
        with recorded(network) as outputs:
            network(pixels)
        for row in chosen.values():
            extent = Extent(row.start, row.receptive_field, row.jump)
            if row.output_shape[1] > unit:
                assert support(outputs[row.name], pixels, unit) == extent.interval(unit), (seed, row)
            left, right = support(outputs[row.name], pixels, 0)
            assert right == extent.interval(0)[1], (seed, row)
            assert left == row.start if row.start >= 0 else left >= 0, (seed, row)


def enlarge(plan: Plan) -> tuple[Plan, int]:
    """Return the body of `plan` on an input so large that no row's field at the unit returned leaves the image."""
    body = (plan.layers[0], Sequence(name="head", layers=(GlobalPool(name="pool", kind="average"),)))
    large = replace(plan, input_shape=(plan.input_shape[0], 4096, 4096), layers=body)
    table = rows(large)
    unit = max(-(-max(0, -row.start) // row.jump) for row in table)
    side = max(right_edge(row, unit) for row in table) + max(row.jump for row in table)
    return replace(large, input_shape=(plan.input_shape[0], side, side)), unit


def right_edge(row: LayerFootprint, unit: int) -> int:
    return Extent(row.start, row.receptive_field, row.jump).interval(unit)[1]


def positive(network: nn.Module) -> nn.Module:
    """Return `network` as a linear map of positive weights: what a unit can see has a gradient above 0.

    Gates lose their gradient, as the analysis leaves them out; multiplied branches stay positive.
    """
    for name, module in list(network.named_modules()):
        parent = network.get_submodule(name.rpartition(".")[0])
        child = name.rpartition(".")[2]
        kind = type(module)
        if "norm" in kind.__name__.lower() or kind.__module__.endswith(("activation", "dropout")):
            setattr(parent, child, nn.Identity())
        elif isinstance(module, nn.MaxPool2d):
            kernel, stride, before = module.kernel_size, module.stride, module.padding
            assert isinstance(kernel, int)
            assert isinstance(stride, int)
            assert isinstance(before, int)
            average = PaddedPool2d("average", kernel, stride, before=before, after=before)
            setattr(parent, child, average)
        elif isinstance(module, PaddedPool2d):
            module.kind = "average"
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif child == "gate":
            module.register_forward_hook(lambda _module, _inputs, output: output.detach())
    return network.double()


def support(output: Tensor, pixels: Tensor, unit: int) -> tuple[int, int]:
    """Return the first row of `pixels` that output row `unit` depends on, and the row after the last one."""
    (gradient,) = torch.autograd.grad(output[0, :, unit, unit].sum(), pixels, retain_graph=True)
    seen = gradient[0].amax((0, 2)).nonzero().flatten()
    return int(seen[0]), int(seen[-1]) + 1

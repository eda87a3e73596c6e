"""Analysis against torch on random plans: what is computed without torch is what torch finds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from random import Random
from typing import get_args

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torch_facts import (
    enlarge,
    idle_rows,
    intervals,
    last_local_convolution,
    positive,
    recorded,
    sees_its_corner,
    support,
)

from archsearch.analysis.measure import measure, rows
from archsearch.design.plan import Combine, Plan
from archsearch.network.assemble import assemble

CHUNK = 40
PLANS = 13 * CHUNK if os.environ.get("ARCHSEARCH_SLOW") else 5 * CHUNK
Grow = Callable[[int], Plan]
chunks = pytest.mark.parametrize("first", range(0, PLANS, CHUNK))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
            if row.kind not in get_args(Combine):
                assert row.parameters == sum(p.numel() for p in leaves[row.name].parameters()), (seed, row)
        assert footprint.parameters == sum(p.numel() for p in network.parameters()), seed
        assert 2 * footprint.macs == counter.get_total_flops(), seed
        assert sum(row.parameters for row in table) == footprint.parameters, seed
        assert sum(row.macs for row in table) == footprint.macs, seed
        idle = sum(row.activations for row in table if row.name in idle_rows(plan))
        assert sum(row.activations for row in table) - idle == footprint.activations, seed


@chunks
def test_receptive_fields_are_the_support_of_the_input_gradient(first: int, random_plan: Grow) -> None:
    """Of a row drawn at random and of the last one; the plan's is that of its last convolution before one value."""
    compared = 0
    for seed in range(first, first + CHUNK):
        plan = random_plan(seed)
        large, unit = enlarge(plan)
        table = {row.name: row for row in rows(large)}
        local = [row for row in table.values() if ".gate." not in row.name and row.name != "head.reduced"]
        network = positive(assemble(large))
        pixels = torch.ones(1, *large.input_shape, dtype=torch.float64, requires_grad=True)
        with recorded(network) as outputs:
            network(pixels)
        for row in {row.name: row for row in (Random(seed).choice(local), local[-1])}.values():
            if min(row.output_shape[1:]) > unit:
                assert support(outputs[row.name], pixels, unit) == intervals(row, unit), (seed, row)
            if not sees_its_corner(large):
                continue
            pairs = zip(support(outputs[row.name], pixels, 0), intervals(row, 0), strict=True)
            for (left, right), (start, end) in pairs:
                assert right == end, (seed, row)
                assert left == start if start >= 0 else left >= 0, (seed, row)
        name = last_local_convolution(plan)
        body = [row for row in rows(plan) if row.name.startswith("stages.") and ".gate." not in row.name]
        if any(row.output_shape[1:] == (1, 1) for row in body):
            continue  # what does nothing on one value does something on the enlarged map
        if name is None:
            assert measure(plan).receptive_field == 1, seed
            continue
        compared += 1
        row = table[name]
        assert measure(plan).receptive_field == row.receptive_field, (seed, name)
        if min(row.output_shape[1:]) > unit:
            assert support(outputs[name], pixels, unit) == intervals(row, unit), (seed, name)
    assert compared > CHUNK / 2

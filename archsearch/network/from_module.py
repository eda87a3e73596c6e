"""A design from a torch module: traced, written, and compared with the original before it is returned.

The parameters, the MACs and the logits (with the author's weights) of the design must be those of the module; a design
that differs is never returned. Running a module is running its author's code.
Imports torch, the design, analysis and this package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archsearch.analysis.measure import measure
from archsearch.design.geometry import Shape
from archsearch.design.layers import Primitive
from archsearch.design.lower import lower
from archsearch.design.plan import Layer, Parallel, Plan, Sequence, design_id
from archsearch.design.spec import DesignSpec, decode_design, no_blocks
from archsearch.errors import SpecError
from archsearch.network.assemble import assemble
from archsearch.network.folding import written
from archsearch.network.structure import layers_of_trace
from archsearch.network.trace import Trace, trace

TOLERANCE = 1e-4  # of the logits, relative to the largest
EPS = 1e-5  # of torch's norms and of the plan's


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A design read from a module."""

    design: DesignSpec
    weights: Mapping[str, Tensor]
    """The author's weights by the design's state-dict keys, without those that count batches."""
    notes: tuple[str, ...]
    """What differs from the author's network, one sentence each."""
    difference: float
    """The largest difference of a logit from the author's, relative to the largest logit."""


def from_module(network: nn.Module, input_shape: Shape = (3, 32, 32), *, name: str = "") -> Imported:
    """Return the design of `network` for images of `input_shape` (C, H, W), with the author's weights.

    Raises `SpecError` where torch.export cannot read the network, where a design cannot express an operation, or where
    the design would differ from the network.
    """
    found = trace(network, input_shape)
    layers = layers_of_trace(found)
    classes = found.steps[found.output].shape[0]
    made = written(layers, found.steps, classes)
    source = {
        "name": re.sub(r"\W", "_", name or type(network).__name__.lower()),
        "input": list(input_shape),
        "stages": made.stages,
        "head": made.head,
    }
    design = decode_design(source, no_blocks)
    plan = lower(design)
    traced = Plan(input_shape=input_shape, layers=(Sequence(name="network", layers=layers),))
    _require(design_id(plan) == design_id(traced), network, "its layers were written differently than they were read")
    weights = _weights(network, found, plan, made.order)
    difference = _compare(network, found, plan, weights)
    return Imported(design=design, weights=weights, notes=found.notes, difference=difference)


def _weights(network: nn.Module, found: Trace, plan: Plan, order: tuple[int, ...]) -> dict[str, Tensor]:
    """Return the author's weights under the keys of the plan's network."""
    theirs = {
        **dict(network.named_parameters(remove_duplicate=False)),
        **dict(network.named_buffers(remove_duplicate=False)),
    }
    weights: dict[str, Tensor] = {}
    leaves = list(_leaves(plan.layers, ""))
    _require(len(leaves) == len(order), network, "its layers were lost or doubled")
    for (path, _), index in zip(leaves, order, strict=True):
        step = found.steps[index]
        for tensor, key in step.keys.items():
            value = theirs[key].detach().clone()
            if tensor == "running_var" and step.eps != EPS:
                value = value + (step.eps - EPS)  # the same in inference as its eps
            weights[f"{path}.{tensor}"] = value
    return weights


def _leaves(layers: tuple[Layer, ...], prefix: str) -> list[tuple[str, Primitive]]:
    found: list[tuple[str, Primitive]] = []
    for layer in layers:
        path = f"{prefix}{layer.name}"
        match layer:
            case Sequence():
                found += _leaves(layer.layers, f"{path}.")
            case Parallel():
                found += _leaves(layer.branches, f"{path}.")
            case _:
                found.append((path, layer))
    return found


def _compare(network: nn.Module, found: Trace, plan: Plan, weights: Mapping[str, Tensor]) -> float:
    """Return the difference of the logits; raises `SpecError` where parameters, MACs or logits differ."""
    footprint = measure(plan)
    _require(footprint.parameters == found.parameters, network, "its parameters are counted differently")
    ours = assemble(plan).eval()
    missing, unexpected = ours.load_state_dict(dict(weights), strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    _require(
        not missing and not unexpected, network, f"its weights do not fit ({', '.join((missing + unexpected)[:3])})"
    )
    images = torch.randn(2, *plan.input_shape, generator=torch.Generator().manual_seed(0))
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            counter = FlopCounterMode(display=False)
            with counter:
                expected = network(images)
            got = ours(images)
    finally:
        network.train(training)
    macs = counter.get_total_flops() // 2 // len(images)
    _require(macs == footprint.macs, network, f"its MACs are {macs}, those of the design {footprint.macs}")
    expected = expected.flatten(1)
    if any("softmax" in note for note in found.notes):
        got = got.log_softmax(1) if any("log_softmax" in note for note in found.notes) else got.softmax(1)
    difference = float((got - expected).abs().max() / expected.abs().max().clamp_min(1e-6))
    _require(difference <= TOLERANCE, network, f"its logits differ by {difference:.1e} of the largest")
    return difference


def _require(holds: bool, network: nn.Module, what: str) -> None:
    if not holds:
        fix = "Please report the module: an import is either exact or refused."
        raise SpecError(type(network).__name__, f"the design read from it is not the same network: {what}", fix)

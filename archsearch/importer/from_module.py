"""A design from a torch module: traced, written, and compared with the original before it is returned.

The design must have the module's number of parameters, MACs and, with the author's weights, logits; a design that
differs is never returned. Importing a module runs its author's code.
Imports torch, the design, analysis, network and this package.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archsearch.analysis.measure import measure
from archsearch.design.geometry import Shape
from archsearch.design.lower import lower
from archsearch.design.plan import Plan, Sequence, design_id, primitives
from archsearch.design.spec import DesignSpec, decode_design, decode_input, no_blocks
from archsearch.errors import SpecError
from archsearch.formatting import number
from archsearch.importer.folding import written
from archsearch.importer.steps import Trace
from archsearch.importer.structure import layers_of_trace
from archsearch.importer.trace import trace
from archsearch.network.assemble import assemble

TOLERANCE = 1e-4  # largest difference of a logit, relative to the largest logit


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A design imported from a module, with the module's parameters and MACs, and its logits within `TOLERANCE`."""

    design: DesignSpec
    weights: Mapping[str, Tensor]
    """The weights of the module, as a state dict for the network of the design (`archsearch.build`)."""
    notes: tuple[str, ...]
    """What the design leaves out of the module, one sentence each."""
    parameters: int
    macs: int
    difference: float
    """The largest difference of a logit from that of the module, relative to the largest logit.

    It is measured on random images, with the weights of the module and with random weights other than 0.
    """

    @property
    def comparison(self) -> str:
        """What was compared with the module, and the result, in one line."""
        counts = f"{number(self.parameters)} parameters and {number(self.macs)} MACs, equal to the module's"
        return f"{counts}; with its weights, logits differ by at most {self.difference:.1g} of the largest"


def from_module(network: nn.Module, input_shape: Shape = (3, 32, 32), *, name: str = "") -> Imported:
    """Return the design of `network` for images of `input_shape` (C, H, W), with the author's weights.

    The module itself is not changed: a copy is traced, in evaluation mode and float32 on the CPU.
    Raises `SpecError` if its code raises, torch.export cannot read it, a design cannot express an operation, or the
    design differs from the network.
    """
    label, input_shape = name or type(network).__name__, decode_input(input_shape, "input")
    network = copy.deepcopy(network).cpu().float().eval()
    found = trace(network, input_shape)
    layers, steps = layers_of_trace(found)
    made = written(layers, steps, classes=found.steps[found.output].shape[0])
    source = {
        "name": re.sub(r"\W", "_", label.lower()),
        "input": list(input_shape),
        "stages": made.stages,
        "head": made.head,
    }
    design = decode_design(source, no_blocks)
    plan = lower(design)
    traced = Plan(input_shape=input_shape, layers=(Sequence(name="network", layers=layers),))
    _require(design_id(plan) == design_id(traced), network, "its layers were written differently than they were read")
    footprint = measure(plan)
    counts = f"it has {found.parameters} parameters, the design {footprint.parameters}"
    _require(footprint.parameters == found.parameters, network, counts)
    ours = assemble(plan).eval()
    state = ours.state_dict()
    shapes = {key: value.shape for key, value in state.items()}
    weights = {**state, **_weights(network, found, plan, made.order, shapes)}
    macs, difference = _compare(network, found, ours, weights)
    _require(footprint.macs == macs, network, f"its MACs are {macs}, those of the design {footprint.macs}")
    # A scale that is still at its initial 0 or 1 would hide a wrong layer.
    _draw(network, {key for step in steps for key in step.keys.values()})
    drawn = {**state, **_weights(network, found, plan, made.order, shapes)}
    difference = max(difference, _compare(network, found, ours, drawn)[1])
    return Imported(
        design=design,
        weights=weights,
        notes=found.notes,
        parameters=footprint.parameters,
        macs=macs,
        difference=difference,
    )


def _fitting(value: Tensor, shape: torch.Size | None) -> Tensor:
    """Return a weight in the `shape` that the design has: a dense layer over channels becomes a 1x1 convolution."""
    return value if shape is None or shape.numel() != value.numel() else value.reshape(shape)


def _weights(
    network: nn.Module, found: Trace, plan: Plan, order: tuple[int, ...], shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Return the author's weights with the keys and `shapes` of the plan's network."""
    theirs = {
        **dict(network.named_parameters(remove_duplicate=False)),
        **dict(network.named_buffers(remove_duplicate=False)),
    }
    weights: dict[str, Tensor] = {}
    paths = [path for path, _ in primitives(plan.layers)]
    _require(len(paths) == len(order), network, "its layers were lost or doubled")
    for path, index in zip(paths, order, strict=True):
        step = found.steps[index]
        for tensor, key in step.keys.items():
            weights[f"{path}.{tensor}"] = _fitting(theirs[key].detach().clone(), shapes.get(f"{path}.{tensor}"))
    return weights


def _compare(network: nn.Module, found: Trace, ours: nn.Module, weights: Mapping[str, Tensor]) -> tuple[int, float]:
    """Return the MACs of `network`, and the largest difference of the logits of `ours` with `weights` from its logits.

    The difference is relative to the largest logit; raises `SpecError` if it exceeds `TOLERANCE`.
    """
    try:
        ours.load_state_dict({key: value.clone() for key, value in weights.items()})
    except RuntimeError as error:
        _require(False, network, f"its weights do not fit ({error})")
    shape = found.steps[0].shape
    images_BCHW = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            expected_BK = network(images_BCHW).flatten(1)
        got_BK = ours(images_BCHW)
    match found.final:
        case "softmax":
            got_BK = got_BK.softmax(1)
        case "log_softmax":
            got_BK = got_BK.log_softmax(1)
        case "":
            pass
    difference = float((got_BK - expected_BK).abs().max() / expected_BK.abs().max().clamp_min(1e-6))
    _require(difference <= TOLERANCE, network, f"its logits differ by {difference:.1e} of the largest")
    return counter.get_total_flops() // 2 // len(images_BCHW), difference


def _draw(network: nn.Module, keys: Set[str]) -> None:
    """Set the weights and statistics of `network` with these `keys` to random values, from a fixed seed.

    Fixed filters are not among the `keys`.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, tensor in (*network.named_parameters(), *network.named_buffers()):
            if key not in keys:
                continue
            if tensor.ndim > 1:
                tensor.normal_(0, (tensor.numel() / len(tensor)) ** -0.5, generator=generator)
            elif tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5, generator=generator)


def _require(holds: bool, network: nn.Module, what: str) -> None:
    if not holds:
        fix = "Please report this module."
        raise SpecError(type(network).__name__, f"the design read from it is not the same network: {what}", fix)

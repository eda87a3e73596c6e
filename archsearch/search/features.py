"""What a sampler may learn from a plan: a few numbers that analysis knows for free, from any plan, by one function.

Imports the plan and its footprint; no numpy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from archsearch.analysis.footprint import Footprint
from archsearch.design.plan import Conv, Layer, Parallel, Plan, Sequence


def features_of(plan: Plan, footprint: Footprint) -> dict[str, float]:
    """Return the features of a plan by name; one that a plan lacks is 0.

    They are the logarithms of parameters, MACs, activations and receptive field, the number of convolutions, and how
    many spatial ones (kernel above 1) there are of each kernel at each resolution, counted by halvings of the input.
    """
    found: Counter[str] = Counter()
    for halvings, conv in _convs(plan.layers, 0):
        found["depth"] += 1
        if conv.kernel > 1:
            found[f"level{halvings}.kernel{conv.kernel}"] += 1
            found["dilated"] += conv.dilation > 1
            found["depthwise"] += conv.groups == conv.in_channels > 1
    logs = {
        "log_parameters": math.log(max(footprint.parameters, 1)),
        "log_macs": math.log(max(footprint.macs, 1)),
        "log_activations": math.log(max(footprint.activations, 1)),
        "log_receptive_field": math.log(footprint.receptive_field),
    }
    return {**logs, **{name: float(count) for name, count in found.items()}}


def _convs(layers: tuple[Layer, ...], halvings: int) -> Iterator[tuple[int, Conv]]:
    """Yield every convolution with the halvings behind it: its own stride counts."""
    for layer in layers:
        if isinstance(layer, Conv):
            halvings += _halvings(layer)
            yield halvings, layer
        elif isinstance(layer, Sequence):
            yield from _convs(layer.layers, halvings)
            halvings += _through(layer.layers)
        elif isinstance(layer, Parallel):
            for branch in layer.branches:
                yield from _convs(branch.layers, halvings)
            halvings += max((_through(branch.layers) for branch in layer.branches), default=0)
        else:
            halvings += _halvings(layer)


def _through(layers: tuple[Layer, ...]) -> int:
    total = 0
    for layer in layers:
        if isinstance(layer, Sequence):
            total += _through(layer.layers)
        elif isinstance(layer, Parallel):
            total += max((_through(branch.layers) for branch in layer.branches), default=0)
        else:
            total += _halvings(layer)
    return total


def _halvings(layer: Layer) -> int:
    return round(math.log2(getattr(layer, "stride", 1)))

"""What a sampler may learn from a plan: a few numbers that analysis knows for free, from any plan, by one function.

Imports the plan and its footprint; no numpy.
"""

from __future__ import annotations

import math
import sys
from collections import Counter

from archsearch.analysis.measure import Footprint
from archsearch.design.layers import Conv, Pool
from archsearch.design.plan import Layer, Parallel, Plan, Sequence


def features_of(plan: Plan, footprint: Footprint) -> dict[str, float]:
    """Return the features of a plan by name; one that a plan lacks is 0.

    They are the logarithms of parameters, MACs, activations and receptive field, the number of convolutions, and how
    many spatial ones (kernel above 1) there are of each kernel at each resolution, counted by halvings of the input.
    """
    found: Counter[str] = Counter()
    _count(plan.layers, 0, found)
    logs = {
        "log_parameters": math.log(max(footprint.parameters, 1)),
        "log_macs": math.log(max(footprint.macs, 1)),
        "log_activations": math.log(max(footprint.activations, 1)),
        "log_receptive_field": math.log(footprint.receptive_field),
    }
    return {**logs, **{name: float(count) for name, count in found.items()}}


def _count(layers: tuple[Layer, ...], halvings: int, found: Counter[str]) -> int:
    """Count the convolutions of `layers`, and return the halvings behind them; a convolution's own stride counts."""
    for layer in layers:
        if isinstance(layer, Conv):
            if layer.stride > 1:
                halvings += _halvings(layer.stride)
            found["depth"] += 1
            if layer.kernel > 1:
                found[sys.intern(f"level{halvings}.kernel{layer.kernel}")] += 1  # thousands of designs are remembered
                found["dilated"] += layer.dilation > 1
                found["depthwise"] += layer.groups == layer.in_channels > 1
        elif isinstance(layer, Sequence):
            halvings = _count(layer.layers, halvings, found)
        elif isinstance(layer, Parallel):
            halvings = max((_count(branch.layers, halvings, found) for branch in layer.branches), default=halvings)
        elif isinstance(layer, Pool):
            halvings += _halvings(layer.stride)
    return halvings


def _halvings(stride: int) -> int:
    return round(math.log2(stride))

"""The footprint of a plan: its totals, and its rows where they are asked for.

Both come from the one walk, so they cannot differ. A search measures thousands of plans a second
and reads the rows of few. Imports the plan and the other modules of analysis; no torch, no numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

from archsearch.analysis import count
from archsearch.analysis.extent import ONE_PIXEL
from archsearch.analysis.shape import Shape
from archsearch.analysis.walk import LayerFootprint, Walk
from archsearch.design.plan import Plan
from archsearch.formatting import html_cell, html_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a plan costs and sees, for one image."""

    plan: Plan
    """The plan that was measured."""
    parameters: int
    """Trainable numbers: weights, biases, scales and shifts."""
    macs: int
    """Multiply-accumulates of convolutions and dense layers; half of what torch's counter calls flops."""
    activations: int
    """Output elements of all rows. (pycls' "activations" are those of the convolutions' rows alone.)"""
    activation_bytes: int
    """fp32 bytes kept for the backward pass of one image: the input and every row's output, once each.

    In-place layers and fusion keep less; masks, indices and statistics that some layers keep beside are not counted.
    """
    peak_bytes: int
    """fp32 bytes of the largest working set in inference: a layer's input and output with all that waits.

    The input of a parallel waits until its last branch has begun, finished branches until the merge.
    """
    receptive_field: int
    """px, at the last convolution that is not behind a global pool or a dense layer; 1 without any.

    Pools after that convolution do not count. A convolution inside a parallel stands for the whole
    parallel, whose field is the union over its branches; a branch that passes a global pool (the
    gate of squeeze and excitation) is left out of it, or else every limit would be kept by any gate.
    """
    jump: int
    """px between the fields of neighbouring outputs of that convolution."""
    start: int
    """px at the left edge of the field of its first output."""
    output_shape: Shape
    """(C, H, W) of the plan's last layer."""

    @property
    def layers(self) -> tuple[LayerFootprint, ...]:
        """The rows, made anew at every call: `rows(self.plan)`."""
        return rows(self.plan)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a row for every layer, and the totals."""
        heads = ["layer", "kind", "output", "receptive field, px", "parameters", "MACs"]
        cells = [
            [row.name, row.kind, " × ".join(map(str, row.output_shape)), row.receptive_field, row.parameters, row.macs]
            for row in self.layers
        ]
        totals = (
            f"{html_cell(self.parameters)} parameters, {html_cell(self.macs)} MACs, "
            f"receptive field {self.receptive_field} px"
        )
        return html_table(totals, heads, cells)


def measure(plan: Plan) -> Footprint:
    """Return the footprint of `plan`; raises `SpecError` at the first layer that does not fit its input."""
    walk = Walk(rows=None)
    shape, _ = walk.through(plan.layers, "", plan.input_shape, ONE_PIXEL)
    channels, height, width = plan.input_shape
    start, size, jump = walk.at_last_conv
    return Footprint(
        plan=plan,
        parameters=walk.parameters,
        macs=walk.macs,
        activations=walk.activations,
        activation_bytes=count.BYTES_PER_ACTIVATION * (channels * height * width + walk.activations),
        peak_bytes=count.BYTES_PER_ACTIVATION * walk.peak,
        receptive_field=size,
        jump=jump,
        start=start,
        output_shape=shape,
    )


def rows(plan: Plan) -> tuple[LayerFootprint, ...]:
    """Return one row for every primitive layer and every merge of `plan`, in the order they run; raises `SpecError`."""
    found: list[LayerFootprint] = []
    Walk(rows=found).through(plan.layers, "", plan.input_shape, ONE_PIXEL)
    return tuple(found)

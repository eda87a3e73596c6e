"""Tables of a design as text: layers, growth of the receptive field, margins. Imports rich lazily; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import Checked, say, stage_ends
from archsearch.analysis.footprint import rows
from archsearch.analysis.limits import margin_record
from archsearch.analysis.mends import number

if TYPE_CHECKING:
    from rich.console import Console


def design_record(checked: Checked) -> dict[str, Any]:
    """Return what `show --json` prints."""
    footprint = checked.footprint
    return {
        "name": checked.design.name,
        "design_id": checked.design_id,
        "parameters": footprint.parameters,
        "macs": footprint.macs,
        "receptive_field": footprint.receptive_field,
        "output_shape": list(footprint.output_shape),
        "width": checked.design.width,
        "activations": footprint.activations,
        "activation_bytes": footprint.activation_bytes,
        "peak_bytes": footprint.peak_bytes,
        "kept": checked.kept,
        "margins": [margin_record(margin) for margin in checked.margins],
        "layers": [
            {
                "name": row.name,
                "kind": row.kind,
                "output_shape": list(row.output_shape),
                "receptive_field": row.receptive_field,
                "jump": row.jump,
                "start": row.start,
                "parameters": row.parameters,
                "macs": row.macs,
                "activations": row.activations,
            }
            for row in rows(checked.plan)
        ],
    }


def print_design(checked: Checked, console: Console) -> None:
    """Print the layer table, the growth of the receptive field, the totals and the margins."""
    from rich.markup import escape
    from rich.table import Table

    layers = rows(checked.plan)
    footprint = checked.footprint
    table = Table(
        title=escape(f"{checked.design.name}   {checked.design_id}"), title_justify="left", box=None, pad_edge=False
    )
    table.add_column("layer")
    table.add_column("kind")
    for name in ("output", "RF px", "jump", "parameters", "MACs"):
        table.add_column(name, justify="right")
    for row in layers:
        channels, height, width = row.output_shape
        table.add_row(
            row.name,
            row.kind,
            f"{channels}x{height}x{width}",
            number(row.receptive_field),
            number(row.jump),
            number(row.parameters) if row.parameters else "",
            number(row.macs) if row.macs else "",
        )
    console.print(table)
    console.print()
    growth = Table(title="receptive field", title_justify="left", box=None, pad_edge=False)
    growth.add_column("stage")
    growth.add_column("map", justify="right")
    growth.add_column("RF px", justify="right")
    growth.add_column("")
    ends = [(name, row) for name, row in stage_ends(layers) if name != "head"]
    image = checked.plan.input_shape[2]
    for name, row in ends:
        bar = "#" * max(1, round(20 * min(row.receptive_field / image, 2)))
        growth.add_row(name, f"{row.output_shape[1]}x{row.output_shape[2]}", str(row.receptive_field), bar)
    console.print(growth)
    console.print(f"bars: # is {image / 20:g} px of the {image} px image, cut off at twice its size", style="dim")
    console.print()
    console.print(
        f"parameters {number(footprint.parameters)}   MACs {number(footprint.macs)}   "
        f"receptive field {footprint.receptive_field} px   width {checked.design.width:g}   "
        f"activations {number(footprint.activations)} ({number(footprint.activation_bytes)} bytes to train on, "
        f"{number(footprint.peak_bytes)} bytes at once to run, fp32, an image)",
        soft_wrap=True,
    )
    console.print()
    print_margins(checked, console)


def print_margins(checked: Checked, console: Console) -> None:
    """Print one line for every limit: kept or broken, in words, with the mends of the broken ones."""
    from rich.markup import escape

    if not checked.margins:
        console.print("no limits are set")
    column = max((len(margin.limit) for margin in checked.margins), default=0)
    for margin in checked.margins:
        sign, style = ("kept  ", "green") if margin.kept else ("BROKEN", "bold red")
        console.print(f"[{style}]{sign}[/] {margin.limit:<{column}}  {escape(say(margin))}", soft_wrap=True)
        for mend in margin.mends:
            console.print(f"       {'':<{column}}  mend: {escape(mend)}", soft_wrap=True)

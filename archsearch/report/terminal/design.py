"""Tables of a design as text: layers, growth of the receptive field, margins. Without torch and rich: rich is slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archsearch.analysis.check import Checked, margin_text
from archsearch.analysis.limits import margin_record
from archsearch.analysis.measure import LayerFootprint, rows, stage_ends
from archsearch.analysis.seconds import SECONDS
from archsearch.formatting import duration, number, one_line, percent
from archsearch.report.vocabulary import record_of

_TOTALS = (
    "parameters", "macs", "receptive_field", "output_shape", "activations", "activation_bytes", "peak_bytes",
)  # fmt: skip
_LAYER = (
    "name", "kind", "output_shape", "receptive_field", "receptive_fields", "jump", "start", "parameters", "macs",
    "activations",
)  # fmt: skip
_BOLD, _DIM, _ITALIC, _GREEN, _RED = "1", "2", "3", "32", "1;31"  # SGR codes of a terminal (ECMA-48)


def design_record(checked: Checked) -> dict[str, Any]:
    """Return the record that `show --json` prints."""
    footprint = checked.footprint
    return {
        "name": checked.design.name,
        "design_id": checked.design_id,
        **record_of(footprint, _TOTALS),
        "width": checked.design.width,
        "symmetry": checked.design.symmetry,
        "kept": checked.kept,
        **_training_record(checked),
        "margins": [margin_record(margin) for margin in checked.margins],
        "layers": [record_of(row, _LAYER) for row in rows(checked.plan)],
    }


def field_text(row: LayerFootprint) -> str:
    """Return the receptive field of a row (px): `7`, or `3x7` (height x width) if the axes differ."""
    return "x".join(map(number, dict.fromkeys(row.receptive_fields)))


def _training_record(checked: Checked) -> dict[str, Any]:
    if (training := checked.training) is None:
        return {}
    return {SECONDS: {"seconds": round(training.seconds, 1), "error": training.error}}


def design_text(checked: Checked, *, styled: bool = False) -> str:
    """Return the layer table, the growth of the receptive field, the totals and the margins; see `margins_text`."""
    layers = rows(checked.plan)
    footprint = checked.footprint
    table: list[tuple[str, ...]] = [("layer", "kind", "output", "RF px", "jump", "parameters", "MACs")]
    for row in layers:
        shape = "x".join(map(str, row.output_shape))
        costs = (number(count) if count else "" for count in (row.parameters, row.macs))
        table.append((row.name, row.kind, shape, field_text(row), number(row.jump), *costs))
    growth = [("stage", "map", "RF px", "")]
    image = checked.plan.input_shape[2]
    for name, row in stage_ends(layers):
        if name != "head":
            bar = "#" * max(1, round(20 * min(row.receptive_field / image, 2)))
            growth.append((name, "x".join(map(str, row.output_shape[1:])), field_text(row), bar))
    symmetry = "" if checked.design.symmetry == "none" else f"symmetry {checked.design.symmetry}   "
    totals = (
        f"parameters {number(footprint.parameters)}   MACs {number(footprint.macs)}   "
        f"receptive field {footprint.receptive_field} px   width {checked.design.width:g}   {symmetry}"
        f"activations {number(footprint.activations)} ({number(footprint.activation_bytes)} bytes for training, "
        f"{number(footprint.peak_bytes)} bytes peak for inference; fp32, per image)"
    )
    if (training := checked.training) is not None:
        totals += f"\ntraining, predicted on this machine: {duration(training.seconds)} +- {percent(training.error, 0)}"
    bars = f"bars: # is {image / 20:g} px of the {image} px image, clipped at twice its size"
    return "\n".join(
        [
            _style(f"{one_line(checked.design.name)}   {checked.design_id}", _ITALIC, styled),
            *_columns(table, "<<>>>>>", styled),
            "",
            _style("receptive field", _ITALIC, styled),
            *_columns(growth, "<>><", styled),
            _style(bars, _DIM, styled),
            "",
            totals,
            "",
            margins_text(checked, styled=styled),
        ]
    )


def margins_text(checked: Checked, *, styled: bool = False) -> str:
    """Return one line for every limit: kept or broken, in words, with the fixes of the broken ones.

    `styled` is for a terminal: kept limits are green, broken ones red.
    """
    if not checked.margins:
        return "no limits are set\n"
    column = max(len(margin.limit) for margin in checked.margins)
    lines: list[str] = []
    for margin in checked.margins:
        sign = _style("kept  ", _GREEN, styled) if margin.kept else _style("BROKEN", _RED, styled)
        lines.append(f"{sign} {margin.limit:<{column}}  {one_line(margin_text(margin))}")
        lines += [f"       {'':<{column}}  fix: {one_line(fix)}" for fix in margin.fixes]
    return "\n".join([*lines, ""])


def _columns(table: Sequence[tuple[str, ...]], sides: str, styled: bool) -> list[str]:
    """Return the lines of `table`, whose first row is the header; `sides` aligns each column left (<) or right (>)."""
    table = [tuple(map(one_line, row)) for row in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in table
    ]
    return [_style(lines[0], _BOLD, styled), *lines[1:]]


def _style(text: str, code: str, styled: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if styled else text

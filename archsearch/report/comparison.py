"""Two trials side by side: figures, what was set differently, which layers differ, and both curves in one picture.

Imports yaml and matplotlib inside functions; no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archsearch.analysis.footprint import LayerFootprint, rows
from archsearch.design.lower import lower
from archsearch.design.spec import decode_design
from archsearch.errors import SpecError
from archsearch.report.design_blocks import blocks_of, read_design
from archsearch.report.picture import BLUE, RULE, VERMILLION, blank, fitted, picture_format, style, write_picture
from archsearch.report.study_records import COLUMNS, worth
from archsearch.search.storage.read import StudyRead, TrialRead

_ABSENT = None


def comparison_record(study: StudyRead, one: TrialRead, other: TrialRead) -> dict[str, Any]:
    """Return both trials' figures, and of assignments, blocks and layers what differs, in pairs."""
    both = (one, other)
    names = [*study.objectives, *(name for name in COLUMNS if name not in study.objectives), "test_accuracy"]
    figures = {name: [worth(study, trial, name) for trial in both] for name in names}
    layers = [layers_of(trial) for trial in both]
    known = [layer for layer in layers if layer is not None]
    return {
        "study": study.name,
        "trials": [trial.number for trial in both],
        "states": [trial.state for trial in both],
        "figures": {name: pair for name, pair in figures.items() if pair != [None, None]},
        "assignments": differences(one.assignments, other.assignments),
        "blocks": differences(blocks_of(one), blocks_of(other)),
        "same_design": one.attrs.get("design_id") == other.attrs.get("design_id") if len(known) == 2 else None,
        "layers": differences(known[0], known[1]) if len(known) == 2 else None,
        "run_dirs": [trial.attrs.get("run_dir") for trial in both],
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the keys whose values differ, each with both values, in the order in which they stand."""
    found: dict[str, list[Any]] = {}
    for name in merged(list(one), list(other)):
        pair = [one.get(name, _ABSENT), other.get(name, _ABSENT)]
        if name not in one or name not in other or not _same(*pair):
            found[name] = pair
    return found


def merged(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Return the names of both, each once; what only the second has comes behind what stands before it there."""
    found = list(one)
    at = 0
    for name in other:
        if name in found:
            at = found.index(name) + 1
        else:
            found.insert(at, name)
            at += 1
    return found


def _same(one: Any, other: Any) -> bool:
    nans = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return nans or (one == other and isinstance(one, bool) == isinstance(other, bool))


def layers_of(trial: TrialRead) -> dict[str, dict[str, Any]] | None:
    """Return what analysis says of each layer of the trial's design; None where there is none that can be read."""
    source = read_design(trial)
    if source is None:
        return None
    try:
        plan = lower(decode_design(source, _no_blocks))
    except (SpecError, RecursionError):  # a design of another version
        return None
    return {row.name: _layer(row) for row in rows(plan)}


def _layer(row: LayerFootprint) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "output_shape": list(row.output_shape),
        "receptive_field": row.receptive_field,
        "parameters": row.parameters,
        "macs": row.macs,
    }


def _no_blocks(name: str) -> Mapping[str, object]:
    raise SpecError("", f"the design names the block '{name}', but a trial's design holds its blocks itself")


def draw_comparison(study: StudyRead, trials: Sequence[TrialRead], file: Path) -> None:
    """Write to `file` (PNG, SVG or PDF) the learning curves of two trials in one picture.

    Raises `SpecError` for another ending or where neither has a curve, `StorageError` where it cannot be written.
    """
    from matplotlib.ticker import MaxNLocator

    picture_format(file)
    curves = [
        sorted((step, value) for step, value in trial.history.items() if math.isfinite(value)) for trial in trials
    ]
    if not any(curves):
        raise SpecError("--plot", "neither trial has recorded a learning curve")
    percent = all(0 <= value <= 1 for curve in curves for _, value in curve)
    with style():
        figure = blank(8.0, 4.5)
        axes = figure.add_axes((0.1, 0.13, 0.86, 0.72))
        text, size = fitted(f"Trials {trials[0].number} and {trials[1].number} of {study.name}", 7.2, 13, bold=True)
        figure.text(0.1, 0.915, text, fontsize=size, fontweight="bold")
        drawn = zip(trials, curves, (BLUE, VERMILLION), ("-", "--"), ("o", "s"), strict=True)
        for trial, curve, colour, line, marker in drawn:
            last = f", last {100 * curve[-1][1]:.2f} %" if curve and percent else ""
            axes.plot(
                [step for step, _ in curve],
                [100 * value if percent else value for _, value in curve],
                color=colour,
                linestyle=line,
                marker=marker if len(curve) <= 40 else None,  # beyond that markers run into each other
                markersize=4,
                linewidth=1.7,
                label=f"trial {trial.number} ({trial.state}{last})",
            )
        axes.set(xlabel="epoch", ylabel="accuracy on held-out images, %" if percent else "value reported")
        axes.grid(color=RULE, alpha=0.5, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=10)
        write_picture(figure, file, dpi=120)

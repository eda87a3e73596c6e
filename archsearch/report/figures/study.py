"""The figures of a study and of trainings, each described once: history, trade-offs, importance and learning curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from archsearch.errors import SpecError
from archsearch.formatting import number, percent, pluralize, short_key
from archsearch.report.figures.charts import (
    Axis,
    BarChart,
    Chart,
    Curve,
    Datum,
    Figure,
    Limit,
    Points,
    count_axis,
    sheet,
    stair,
    value_axis,
)
from archsearch.report.figures.render import picture_format, write_drawing
from archsearch.report.series import (
    central_range,
    cost_bounds,
    finite_history,
    is_higher_better,
    last_accuracy,
    pareto_front,
    thinned,
    value_of,
)
from archsearch.report.vocabulary import (
    DUPLICATE,
    INFEASIBLE,
    capitalised,
    finite,
    label,
    labelled_value,
    value_text,
)
from archsearch.search.explain import importances as search_importances
from archsearch.search.storage.read import StudyRead, TrialRead, TrialState, front_of

if TYPE_CHECKING:
    from archsearch.training.result import EpochRecord

MOST_POINTS = 1000
MOST_BARS = 12
MOST_VERTICES = 120
_STATES: dict[TrialState, str] = {"diverged": "diverged", "failed": "failed", INFEASIBLE: "infeasible"}
"""The label of each state without a value; it is also the name of its look."""
_KEYS = "Arrow keys go from trial to trial."
_MARKED = ("pruned", "diverged", "failed")
_LOOKS = ("first", "second")
_MOST_MARKS = 40  # epochs; with more, the marks overlap
_DPI = 100


class Point(NamedTuple):
    """One trial in a chart; `best` is on the front of a trade-off, or the best value so far in a history.

    `pruned` includes complete trials of lower rungs.
    """

    trial: int
    x: float
    y: float
    kind: Literal["best", "complete", "pruned"]


def draw_study(
    study: StudyRead,
    folder: Path,
    formats: Sequence[str] = ("png", "svg"),
    *,
    importances: Mapping[str, float] | None = None,
) -> list[Path]:
    """Draw the figures of `study` into `folder`, in each of `formats`, and return the files.

    `importances` are computed if they are not given. Raises `SpecError` for an unknown format,
    `StorageError` if a file cannot be written.
    """
    for each in formats:
        picture_format(Path(f"study.{each}"))
    shares = search_importances(study) if importances is None else importances
    files: list[Path] = []
    for name, figure in study_figures(study, shares).items():
        drawing = sheet(figure)
        for each in formats:
            files.append(folder / f"{name}.{each}")
            write_drawing(drawing, files[-1])
    return files


def study_figures(study: StudyRead, importances: Mapping[str, float]) -> dict[str, Figure]:
    """Return the figures by file name, without extension; figures without data are left out."""
    panels = {
        "history": history_charts(study),
        "pareto": trade_off_charts(study),
        "importance": [chart] if (chart := importance_chart(importances)) else [],
        "curves": [chart] if (chart := learning_curves(study)) else [],
    }
    return {name: Figure(title=study.name, panels=tuple(charts)) for name, charts in panels.items() if charts}


def history_charts(study: StudyRead) -> list[Chart]:
    """Return one chart for each objective that has data; see `history_chart`."""
    found = (history_chart(study, place) for place in range(len(study.objectives)))
    return [chart for chart in found if chart is not None]


def history_chart(study: StudyRead, place: int = 0) -> Chart | None:
    """Return a chart of the objective at `place` by trial, with the best so far as a step line; None without data.

    If the objective is accuracy, a pruned trial is at its last reported accuracy, with the look of the trials of lower
    rungs. Infeasible, diverged and failed trials are on the lower edge.
    """
    name, higher = study.objectives[place], is_higher_better(study, place)
    points: list[Point] = []
    best: list[tuple[float, float]] = []
    without_value: list[tuple[int, TrialState]] = []
    comparable = {trial.number for trial in study.comparable()}
    for trial in study.trials:
        value = value_of(study, trial, name) if trial.state == "complete" else None
        if value is not None and trial.number not in comparable:
            points.append(Point(trial.number, trial.number, value, "pruned"))
        elif value is not None:
            better = not best or (value > best[-1][1] if higher else value < best[-1][1])
            if better:
                best.append((trial.number, value))
            points.append(Point(trial.number, trial.number, value, "best" if better else "complete"))
        elif trial.state == "pruned" and name == "accuracy" and (last := last_accuracy(trial)) is not None:
            points.append(Point(trial.number, trial.number, last, "pruned"))
        elif trial.state in _STATES:
            without_value.append((trial.number, trial.state))
    numbers = [*(point.trial for point in points), *(number for number, _ in without_value)]
    if not numbers:
        return None
    y = _value_range(points, [value for _, value in best], name)
    drawn = thinned(points, MOST_POINTS, lambda point: point.kind == "best")
    others = thinned(without_value, MOST_POINTS, lambda each: each[1] != INFEASIBLE)
    marks = _points(study, drawn, "best so far", lambda point: labelled_value(name, point.y))
    for state, text in _STATES.items():
        there = [trial for trial, each in others if each == state]
        data = tuple(Datum(x=trial, y=None, hover=f"trial {trial}: {text}", trial=trial) for trial in there)
        marks += [Points(look=text, data=data, label=text, size=3.4)] if data else []
    title = f"{capitalised(label(name))} by trial"
    improved = max(0, len(best) - 1)
    return Chart(
        title=title,
        description=f"Scatter chart: {title}; the best value improved {improved} times. {_KEYS}",
        x=count_axis("Trial", min(numbers), max(numbers)),
        y=y,
        curves=(Curve(look="front", points=stair(best, float(max(numbers)))),),
        points=tuple(marks),
        notes=_notes(_left_out(len(drawn) + len(others), len(numbers), "points"), _beyond(points, y.holds)),
    )


def trade_off_charts(study: StudyRead) -> list[Chart]:
    """Return charts of the first objective against parameters, against MACs, and against every further objective."""
    names = [name for name in ("parameters", "macs", *study.objectives[1:]) if name != study.objectives[0]]
    found = (trade_off_chart(study, name) for name in dict.fromkeys(names))
    return [chart for chart in found if chart is not None]


def trade_off_chart(study: StudyRead, cost: str) -> Chart | None:
    """Return a chart of the first objective against `cost`, an objective or attribute of trials; None without data.

    If `cost` is an objective, the front is that of the study, otherwise that of the two values. Its line joins the
    trials that no other dominates in these two values: all of the front, unless there are more than two objectives.
    """
    name = study.objectives[0]
    less = not (cost in study.objectives and is_higher_better(study, study.objectives.index(cost)))
    complete: dict[int, tuple[float, float]] = {}
    points: list[Point] = []
    comparable = {trial.number for trial in study.comparable()}
    for trial in study.trials:
        x, value = value_of(study, trial, cost), value_of(study, trial, name)
        if x is None:
            continue
        if trial.state == "complete" and value is not None and trial.number not in comparable:
            points.append(Point(trial.number, x, value, "pruned"))
        elif trial.state == "complete" and value is not None:
            complete[trial.number] = (x, value)
        elif trial.state == "pruned" and name == "accuracy" and (last := last_accuracy(trial)) is not None:
            points.append(Point(trial.number, x, last, "pruned"))
    across, up = (1 if less else -1), (-1 if is_higher_better(study) else 1)
    of_pair = front_of({number: (across * x, up * y) for number, (x, y) in complete.items()})
    best = pareto_front(study) & complete.keys() if cost in study.objectives else of_pair
    front = sorted((Point(number, *complete[number], "best") for number in best), key=lambda each: (each.x, each.y))
    points += [Point(number, *place, "complete") for number, place in complete.items() if number not in best]
    points += front
    if not points:
        return None
    xs = [point.x for point in points]
    x_axis = value_axis(cost, min(xs), max(xs), is_log=min(xs) > 0 and max(xs) / min(xs) > 6)
    y_axis = _value_range(points, [point.y for point in front], name)
    drawn = thinned(points, MOST_POINTS, lambda point: point.kind == "best")
    line = sorted({complete[number] for number in of_pair & set(best)})
    title = f"{capitalised(label(name))} by {label(cost)}"
    return Chart(
        title=title,
        description=(
            f"Scatter chart: {title}, {pluralize(len(points), 'trial')}, of which {number(len(front))} form the "
            f"Pareto front. {_KEYS}"
        ),
        x=x_axis,
        y=y_axis,
        curves=(Curve(look="front", points=stair(line, x_axis.high if less else x_axis.low)),),
        points=tuple(
            _points(
                study,
                drawn,
                "Pareto front",
                lambda point: f"{labelled_value(name, point.y)}, {labelled_value(cost, point.x)}",
            )
        ),
        limits=tuple(Limit(value=value, text=text) for text, value in cost_bounds(study, cost).items()),
        notes=_notes(_left_out(len(drawn), len(points), "points"), _beyond(points, y_axis.holds)),
    )


def learning_curves(study: StudyRead, *, best: int = 5, most: int = 60) -> Chart | None:
    """Return a chart of at most `most` learning curves, the `best` with their own colours and dashes; None without any.

    The others are grey, and evenly spaced over the study.
    """
    ranks = {trial.number: rank for rank, trial in enumerate(study.ranked()[:best], start=1)}
    known = [
        (trial, points) for trial in study.trials if trial.state != DUPLICATE and (points := finite_history(trial))
    ]
    if not known:
        return None
    drawn = thinned(known, most, lambda each: each[0].number in ranks)
    epochs = [epoch for _, points in drawn for epoch, _ in points]
    values = [value for _, points in drawn for _, value in points]
    name = "accuracy" if all(0 <= value <= 1 for value in values) else "reported value"
    lines: list[Curve] = []
    ends: list[Points] = []
    for trial, points in sorted(drawn, key=lambda each: (ranks.get(each[0].number, best + 1), -each[0].number)):
        rank, number = ranks.get(trial.number), trial.number
        look = f"c{(rank - 1) % 5 + 1}" if rank else "curve"
        vertices = thinned(points, MOST_VERTICES, lambda point, last=points[-1]: point == last)
        lines.append(Curve(look=look, points=tuple(vertices), label=f"trial {number}" if rank else "", trial=number))
        epoch, value = points[-1]
        text = f"trial {number}, {trial.state}: {value_text(name, value)} after epoch {epoch}"
        kind = "best" if rank else trial.state if trial.state in _MARKED else "complete"
        end = Datum(x=epoch, y=value, hover=text, trial=number)
        ends.append(Points(look=kind, data=(end,), size=2.2 if rank else 1.7))
    coloured = sum(bool(curve.label) for curve in lines)
    if coloured < len(lines):  # one legend entry for all grey curves, after the others
        lines[coloured] = replace(lines[coloured], label="other trials")
    which = "best" if len(study.objectives) == 1 else "front's first"
    return Chart(
        title="Learning curves",
        description=(
            f"Line chart: validation accuracy by epoch of {pluralize(len(lines), 'trial')}. "
            "Arrow keys go from the end of one curve to the next."
        ),
        x=count_axis("Epoch", min(epochs), max(epochs)),
        y=value_axis(name, *central_range(values)),
        curves=tuple(lines),
        points=tuple(ends),
        notes=_notes(
            f"In colour: the {which} trials, best first." if coloured else None,
            _left_out(len(lines), len(known), "curves"),
        ),
    )


def importance_chart(importances: Mapping[str, float]) -> BarChart | None:
    """Return a bar chart of the importance of each setting; None if none is known."""
    known = {short_key(name): share for name, share in importances.items() if finite(share) is not None and share >= 0}
    notes = ["Shares add up to 100 %."]
    return ranked_bars("Importance of settings", known, lambda share: percent(share, 1), notes) if known else None


def infeasible_chart(by_limit: Mapping[str, int], notes: Sequence[str]) -> BarChart:
    """Return a bar chart of how many proposals each limit made infeasible."""
    counts = {name: float(count) for name, count in by_limit.items()}
    return ranked_bars("Infeasible proposals by limit", counts, lambda count: number(round(count)), notes)


def ranked_bars(
    title: str, values: Mapping[str, float], text: Callable[[float], str], notes: Sequence[str]
) -> BarChart:
    """Return a bar chart of `values`, greatest first; those after the first `MOST_BARS` are summed up in a note."""
    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    shown, rest = ordered[:MOST_BARS], ordered[MOST_BARS:]
    more = f"{len(rest)} more have {text(sum(value for _, value in rest))} together." if rest else None
    return BarChart(
        title=title,
        description=f"Bar chart: {title}",
        bars=tuple((name, value, text(value)) for name, value in shown),
        most=max(value for _, value in shown) or 1.0,
        names="above",
        notes=_notes(*notes, more),
    )


def _points(study: StudyRead, points: Iterable[Point], best: str, text: Callable[[Point], str]) -> list[Points]:
    """Return the marks of each kind, the best first, so that they are drawn on top."""
    found: list[Points] = []
    pruned = "pruned, last reported accuracy"
    if study.has_rungs:
        pruned = "fewer epochs, or pruned" if "pruned" in study.counts() else "fewer epochs"
    labels = {"best": best, "complete": "complete", "pruned": pruned}
    listed = list(points)
    for kind, name in labels.items():
        data = tuple(
            Datum(x=each.x, y=each.y, hover=f"trial {each.trial}: {text(each)}", trial=each.trial)
            for each in listed
            if each.kind == kind
        )
        if data:
            found.append(Points(look=kind, data=data, label=name, size=3.0 if kind == "pruned" else 3.6))
    return found


def _value_range(points: Sequence[Point], best: Sequence[float], name: str) -> Axis:
    """Return the y axis, over the complete trials if there are enough: pruned trials are far below them."""
    complete = [point.y for point in points if point.kind != "pruned"]
    low, high = central_range(complete if len(complete) >= 5 else [point.y for point in points])
    return value_axis(name, min([low, *best]), max([high, *best]))


def _beyond(points: Sequence[Point], holds: Callable[[float], bool]) -> str | None:
    count = sum(not holds(point.y) for point in points)
    if not count:
        return None
    lie, are = ("trial lies", "is") if count == 1 else ("trials lie", "are")
    return f"{count} {lie} beyond the axis and {are} drawn at its edge."


def _left_out(drawn: int, total: int, what: str) -> str | None:
    return None if drawn >= total else f"Thinned: {number(drawn)} of {number(total)} {what} are drawn."


def _notes(*notes: str | None) -> tuple[str, ...]:
    return tuple(note for note in notes if note)


def draw_training(records: Sequence[EpochRecord], file: Path, *, title: str) -> None:
    """Write charts of the loss and the accuracy by epoch to `file` (PNG, SVG or PDF).

    Raises `SpecError` for any other extension, `StorageError` if the file cannot be written.
    """
    write_drawing(sheet(training_figure(records, title)), file, dpi=_DPI)


def training_figure(records: Sequence[EpochRecord], title: str) -> Figure:
    """Return charts of the loss and the accuracy by epoch, for the training and the validation images."""
    seen = [record for record in records if record.validation_accuracy is not None]
    losses = [(record.epoch, record.validation_loss) for record in seen]
    accuracies = [(record.epoch, record.validation_accuracy) for record in seen]
    names = ("training (augmented)", "validation")
    loss = _chart("Loss", "Cross entropy", names, [[(r.epoch, r.train_loss) for r in records], losses])
    best = max(seen, key=lambda record: record.validation_accuracy or 0.0, default=None)
    notes = () if best is None else (
        f"Best validation accuracy {percent(best.validation_accuracy or 0.0, 1)}, in epoch {best.epoch}.",
    )  # fmt: skip
    curves = [[(r.epoch, r.train_accuracy) for r in records], accuracies]
    return Figure(title=title, panels=(loss, _chart("Accuracy", "Accuracy", names, curves, notes)))


def draw_comparison(study: StudyRead, trials: Sequence[TrialRead], file: Path) -> None:
    """Write the learning curves of two trials in one chart to `file` (PNG, SVG or PDF).

    Raises `SpecError` for any other extension or if neither has a curve, `StorageError` if `file` cannot be written.
    """
    picture_format(file)
    write_drawing(sheet(comparison_figure(study, trials)), file)


def comparison_figure(study: StudyRead, trials: Sequence[TrialRead]) -> Figure:
    """Return the learning curves of two trials in one chart; raise `SpecError` if neither has one."""
    curves = [finite_history(trial) for trial in trials]
    if not any(curves):
        raise SpecError("--plot", "neither trial has recorded a learning curve")
    is_accuracy = all(0 <= value <= 1 for curve in curves for _, value in curve)
    names: list[str] = []
    for trial, curve in zip(trials, curves, strict=True):
        last = f", last {percent(curve[-1][1])}" if curve and is_accuracy else ""
        names.append(f"trial {trial.number} ({trial.state}{last})")
    title = f"Trials {trials[0].number} and {trials[1].number} of {study.name}"
    name = "Validation accuracy" if is_accuracy else "Reported value"
    panel = _chart("Learning curves", name, names, curves)
    return Figure(title=title, panels=(panel,))


def _chart(
    title: str,
    axis: str,
    names: Sequence[str],
    curves: Sequence[Sequence[tuple[int, float | None]]],
    notes: tuple[str, ...] = (),
) -> Chart:
    """Return a chart of two curves over the epochs; a value that is None or not finite leaves a gap in its line."""
    epochs = [epoch for curve in curves for epoch, _ in curve] or [1]
    values = [found for curve in curves for _, value in curve if (found := finite(value)) is not None] or [0.0, 1.0]
    lines: list[Curve] = []
    marks: list[Points] = []
    for look, name, curve in zip(_LOOKS, names, curves, strict=True):
        parts: list[list[tuple[float, float]]] = [[]]
        for epoch, value in curve:
            if (found := finite(value)) is None:
                parts.append([])
            else:
                parts[-1].append((epoch, found))
        lines += [Curve(look=look, points=tuple(part), label="" if place else name) for place, part in enumerate(parts)]
        known = [point for part in parts for point in part]
        if known and len(curve) <= _MOST_MARKS:
            marks.append(Points(look=f"{look}-point", data=tuple(Datum(x=x, y=y) for x, y in known), size=2.6))
    description = f"Line chart: {title.lower()} by epoch"
    x = count_axis("Epoch", min(epochs), max(epochs))
    y = replace(value_axis(axis.lower(), min(values), max(values)), label=axis)
    return Chart(title=title, description=description, x=x, y=y, curves=tuple(lines), points=tuple(marks), notes=notes)

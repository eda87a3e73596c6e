"""Studies, trials and run directories as JSON values, for `--json` and for the tables."""

from __future__ import annotations

import datetime
import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archsearch.decode import suggest
from archsearch.errors import SpecError
from archsearch.report.designs import blocks_of, read_design
from archsearch.report.series import value_of
from archsearch.report.vocabulary import finite, record_of
from archsearch.search.explain import Why
from archsearch.search.reproduce import command_again
from archsearch.search.storage.doctor import Finding
from archsearch.search.storage.read import Best, Overview, StudyRead, TrialRead, settings_apart
from archsearch.settings.objectives import OBJECTIVES

KNOWN = (
    "result.json", "design.yaml", "model.safetensors", "curves.png", "design.png", "card.json", "card.png", "erf.png",
    "metrics.jsonl",
)  # fmt: skip
TAIL = 5  # lines
COLUMNS = ("parameters", "macs", "receptive_field", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """A run directory: whether it exists, the sizes of its files in bytes by name, and its last log lines."""

    path: Path
    found: bool
    files: dict[str, int]
    tail: tuple[str, ...]


def read_run_folder(trial: TrialRead, *, tail: int = TAIL) -> RunFolder | None:
    """Return the content of the trial's run directory; None if it has none."""
    if trial.place is None:
        return None
    folder = trial.folder()
    if folder is None:
        return RunFolder(path=Path(trial.place), found=False, files={}, tail=())
    try:
        listed = {one.name: one.stat().st_size for one in sorted(folder.iterdir()) if one.is_file()}
        if listed.keys().isdisjoint(KNOWN) and not (folder / ".hydra").is_dir():
            listed = {}  # not a run directory: a study from elsewhere may name any folder, such as that of system logs
    except (OSError, ValueError):  # ValueError: a path with a null character
        listed = {}
    return RunFolder(path=folder, found=True, files=listed, tail=tuple(_tail(folder, listed, tail)))


def _tail(folder: Path, listed: dict[str, int], lines: int) -> list[str]:
    logs = [folder / name for name in listed if name.endswith((".log", ".out", ".err"))]
    for file in (*sorted(logs, key=lambda one: one.stat().st_mtime, reverse=True), folder / "metrics.jsonl"):
        if not file.is_file():  # opening a named pipe would block
            continue
        try:
            with file.open(encoding="utf-8", errors="replace") as opened:
                last = [line.rstrip("\n") for line in deque((one for one in opened if one.strip()), maxlen=lines)]
        except (OSError, ValueError):
            continue
        if last:
            return [_epoch(line) for line in last] if file.name == "metrics.jsonl" else last
    return []


def _epoch(line: str) -> str:
    """Return a line of metrics.jsonl as readable text, any other line unchanged."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "epoch" not in record:
        return line
    parts = [f"epoch {record['epoch']}"]
    for key, name, scale, unit in (
        ("train_loss", "loss", 1.0, ""),
        ("train_accuracy", "train", 100.0, " %"),
        ("validation_accuracy", "validation", 100.0, " %"),
        ("images_per_second", "", 1.0, " images/s"),
    ):
        if (value := finite(record.get(key))) is not None:
            digits = 0 if unit == " images/s" else 4 if not unit else 2
            parts.append(f"{name} {scale * value:.{digits}f}{unit}".strip())
    return "  ".join(parts)


def overview_records(studies: Sequence[Overview]) -> list[dict[str, Any]]:
    """Return the list of studies, each with the settings that differ from others with the same data and limits."""
    apart = settings_apart(studies)
    return [{**overview_record(one), "differs_by": apart[one.name]} for one in studies]


def overview_record(study: Overview) -> dict[str, Any]:
    """Return one row of the list of studies."""
    best = study.best
    return {
        **_head(study),
        "trials": sum(study.counts.values()),
        "states": dict(study.counts),
        "best": None if best is None else _best(study.objectives, best),
        "last_activity": _moment(study.last),
    }


def _head(study: Overview | StudyRead) -> dict[str, Any]:
    return {
        "study": study.name,
        "objectives": list(study.objectives),
        "directions": list(study.directions),
        "data": study.attrs.get("data"),
        "limits": study.attrs.get("limits"),
    }


def _best(objectives: Sequence[str], best: Best) -> dict[str, Any]:
    values = dict(zip(objectives, best.values, strict=False))
    rung = {} if best.rung is None else {"rung": best.rung}
    found: dict[str, Any] = {"trial": best.number, "values": values, **rung}
    return found if len(objectives) == 1 else {**found, "front": best.front}


def study_record(study: StudyRead, rows: Sequence[TrialRead]) -> dict[str, Any]:
    """Return a leaderboard: the study's header and the chosen `rows`."""
    front = study.front()
    return {
        **_head(study),
        "states": study.counts(),
        "trials": [row_record(study, trial, front) for trial in rows],
    }


def row_record(study: StudyRead, trial: TrialRead, front: frozenset[int] | None = None) -> dict[str, Any]:
    """Return one row of the leaderboard."""
    return {
        "trial": trial.number,
        "state": trial.state,
        "rung": trial.rung,
        "front": trial.number in (study.front() if front is None else front),
        "values": None if trial.values is None else dict(zip(study.objectives, trial.values, strict=False)),
        **{name: value_of(study, trial, name) for name in COLUMNS if name not in study.objectives},
        "blocks": blocks_of(trial),
        "run_dir": trial.attrs.get("run_dir"),
        "cause": trial.cause,
    }


def trial_record(study: StudyRead, trial: TrialRead, front: frozenset[int] | None = None) -> dict[str, Any]:
    """Return one trial in full."""
    files = read_run_folder(trial)
    elsewhere = {"assignments", "margins", "cause", "state_reason", "run_dir", "design", "traceback", *COLUMNS}
    return {
        "study": study.name,
        **row_record(study, trial, front),
        "assignments": dict(trial.assignments),
        "margins": trial.margins,
        "constraints": dict(trial.constraints),
        "history": {str(epoch): value for epoch, value in trial.history.items()},
        "command": command_again(study, trial),
        "started": _moment(trial.started),
        "finished": _moment(trial.finished),
        "files": None if files is None else files.files if files.found else None,
        "log": [] if files is None else list(files.tail),
        "traceback": trial.attrs.get("traceback"),
        "design": trial.attrs.get("design"),
        "more": {name: value for name, value in trial.attrs.items() if name not in elsewhere},
    }


def comparison_record(study: StudyRead, one: TrialRead, other: TrialRead) -> dict[str, Any]:
    """Return pairs of values for two trials: the metrics, and the assignments, blocks and layers that differ."""
    both = (one, other)
    epochs = ["epochs"] if one.attrs.get("epochs") != other.attrs.get("epochs") else []
    costs = (name for name in COLUMNS if name not in study.objectives)
    names = [*epochs, *study.objectives, *costs, "test_accuracy"]
    figures = {name: [value_of(study, trial, name) for trial in both] for name in names}
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
    """Return both values of each key whose values differ, in the order of `merged`."""
    found: dict[str, list[Any]] = {}
    for name in merged(list(one), list(other)):
        pair = [one.get(name), other.get(name)]
        if name not in one or name not in other or not _same(*pair):
            found[name] = pair
    return found


def merged(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Return the union of both lists; a name that is only in `other` follows its predecessor there."""
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
    """Return kind, output shape, receptive field and costs of each layer of the design; None if it cannot be read."""
    design = read_design(trial)
    kept = ("kind", "output_shape", "receptive_field", "parameters", "macs")
    return None if design is None else {row.name: record_of(row, kept) for row in design.layers}


def why_record(study: StudyRead, why: Why, importances: Mapping[str, float]) -> dict[str, Any]:
    """Return which limits made designs infeasible, the nearest misses, the failures, and parameter importances."""
    counts = why.infeasible
    return {
        "study": study.name,
        "looked_at": counts.proposed,
        "kept": counts.feasible,
        "refused_by": dict(counts.by_limit.most_common()),
        "warning": counts.warning(),
        "nearest": [
            {
                "trial": miss.trial.number,
                "excess": miss.excess,
                "margins": [margin for margin in miss.trial.margins if margin["limit"] in miss.excess],
                "assignments": dict(miss.trial.assignments),
            }
            for miss in why.nearest
        ],
        "failures": why.failures,
        "importance": dict(importances),
    }


def finding_record(finding: Finding) -> dict[str, Any]:
    """Return one finding of the doctor."""
    return {**record_of(finding, ("kind", "study", "what", "fix", "trials")), "fixable": finding.fixable}


def ranking(
    study: StudyRead, *, by: str | None = None, states: Sequence[str] = ("complete",), reverse: bool = False
) -> list[TrialRead]:
    """Return the trials in `states`, best first by the value `by`, or by default as the study ranks them.

    Trials without such a value come last, also with `reverse`. Raises `SpecError` if no trial has such a number.
    """
    chosen = [trial for trial in study.trials if trial.state in states]
    if by is None:
        ranked = study.ranked() if "complete" in states else []
        there = {trial.number for trial in ranked}
        return [*(ranked[::-1] if reverse else ranked), *(trial for trial in chosen if trial.number not in there)]
    values = {trial.number: value_of(study, trial, by) for trial in chosen}
    if chosen and by != "trial" and all(value is None for value in values.values()):
        known = sorted({*study.objectives, *COLUMNS, "trial", *_numeric(chosen)})
        raise SpecError("--by", f"no trial has a numeric value '{by}'", suggest(by, known))
    sign = -1 if (_direction(study, by) == "maximize") != reverse else 1
    return sorted(
        chosen, key=lambda trial: ((value := values[trial.number]) is None, sign * (value or 0.0), trial.number)
    )


def _direction(study: StudyRead, name: str) -> str:
    if name in study.objectives:
        return study.directions[study.objectives.index(name)]
    known = OBJECTIVES.get(name)
    return "maximize" if name.endswith("accuracy") else "minimize" if known is None else known.direction


def _numeric(trials: Sequence[TrialRead]) -> set[str]:
    return {
        name
        for trial in trials
        for name, value in {**trial.assignments, **trial.attrs}.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _moment(when: datetime.datetime | None) -> str | None:
    return None if when is None else when.astimezone(datetime.UTC).isoformat(timespec="seconds")


def strict(value: Any) -> Any:
    """Return `value` as JSON values; NaN and infinities become null, as JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [strict(each) for each in value]
    return value if value is None or isinstance(value, str | bool | int) else str(value)

"""Studies and trials as frozen values, for the report, the commands and notebooks; nothing is written.

`archsearch.search.storage.reader` reads them without changing the database. Imports optuna inside functions only.
"""

from __future__ import annotations

import datetime
import functools
import json
import math
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archsearch.formatting import html_table, percent, pluralize
from archsearch.search.storage.attributes import (
    is_usable_number,
    objective_names,
    plain,
    present_attrs,
    present_margin,
    present_state,
    present_study_attrs,
)
from archsearch.search.storage.dashboard import MARGIN, OLDER

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from archsearch.search.storage.database import Store


TrialState = Literal["complete", "pruned", "diverged", "failed", "infeasible", "duplicate", "running", "waiting"]
STATES: tuple[TrialState, ...] = (
    "complete", "pruned", "diverged", "failed", "infeasible", "duplicate", "running", "waiting",
)  # fmt: skip
Direction = Literal["maximize", "minimize"]
SAME_SECONDS = 0.002  # single runs record their time to the millisecond


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRead:
    """One trial of the database.

    `values` has one number per objective (None unless complete); `assignments` are the dotted keys that were set;
    `constraints` is the relative excess per limit (above 0: broken); `history` is the validation accuracy by epoch;
    `attrs` are the trial's attributes (listed in `docs/search.md`) without the single margins for the dashboard.
    Times have the time zone UTC. Only `place` and `folder` access files.
    """

    number: int
    state: TrialState
    values: tuple[float, ...] | None
    assignments: Mapping[str, Any]
    constraints: Mapping[str, float]
    history: Mapping[int, float]
    attrs: Mapping[str, Any]
    started: datetime.datetime | None
    finished: datetime.datetime | None

    @property
    def margins(self) -> list[dict[str, Any]]:
        """The margins of the design (limit, bound, found, kept, slack, fixes); empty if none are recorded."""
        text = self.attrs.get("margins")
        try:
            found = plain(json.loads(text)) if isinstance(text, str) else text
        except (ValueError, RecursionError):
            return []
        if not isinstance(found, list):
            return []
        return [present_margin(one) for one in found if isinstance(one, dict) and isinstance(one.get("limit"), str)]

    @property
    def unused(self) -> Sequence[object]:
        """The settings that the trial's design does not use."""
        found = self.attrs.get("unused")
        return found if isinstance(found, list) else ()

    @property
    def used_assignments(self) -> dict[str, Any]:
        """The settings that define the design: the used assignments and the repairs."""
        repairs = self.attrs.get("repairs")
        used = {name: value for name, value in self.assignments.items() if name not in self.unused}
        return {**used, **(repairs if isinstance(repairs, dict) else {})}

    @property
    def place(self) -> str | None:
        """Where its files are: the folder if it is on this machine, else the recorded `HOST:FOLDER` or `run_dir`."""
        if (folder := self.folder()) is not None:
            return str(folder)
        return str(self.attrs["location"]) if "location" in self.attrs else self._run_dir

    @property
    def _run_dir(self) -> str | None:
        folder = self.attrs.get("run_dir")
        return folder if isinstance(folder, str) and folder else None

    def folder(self) -> Path | None:
        """Return the folder of its files; None if it is not on this machine or holds another training's result."""
        host, _, absolute = str(self.attrs.get("location", "")).partition(":")
        for name in (self._run_dir, absolute if host == socket.gethostname() else None):
            try:
                if name and Path(name).is_dir() and (self.state not in ("complete", "duplicate") or self._is_of(name)):
                    return Path(name)
            except (OSError, ValueError):  # not a valid file name
                continue
        return None

    def _is_of(self, folder: str) -> bool:
        """Return whether the result in `folder` is the recorded one: no two trainings take exactly the same time."""
        try:
            record = json.loads(Path(folder, "result.json").read_text(encoding="utf-8"))
            seconds, design, seed = float(record["seconds"]), record["design_id"], record.get("seed")
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ):  # an unfinished training, or an old folder
            return "location" not in self.attrs or str(self.attrs["location"]).startswith(f"{socket.gethostname()}:")
        wanted = self.assignments.get("seed", self.attrs.get("seed", seed))
        same = design == self.attrs.get("design_id", design) and seed in (wanted, None)
        return same and abs(seconds - (self.seconds or seconds)) < SAME_SECONDS

    @property
    def rung(self) -> float | None:
        """The epochs of its training if they are fewer than those of a whole one; None for a whole one."""
        return rung_of(self.attrs)

    @property
    def seconds(self) -> float | None:
        """The time of its training; None if it is not recorded."""
        seconds = self.attrs.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not abs(seconds) < math.inf:
            return None
        return float(seconds) if abs(seconds) < 1e300 else None  # a larger integer may not fit into a float

    @property
    def cause(self) -> str | None:
        """Why it is infeasible or failed, in one sentence; None if no cause is recorded."""
        cause = self.attrs.get("cause")
        if cause is None and (reason := self.attrs.get("state_reason")) not in STATES:
            cause = reason  # earlier versions wrote the cause of a single run there
        return None if cause is None else str(cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRead:
    """One study with all of its trials, in order; `attrs` are its own attributes (data, limits, fingerprint, ...)."""

    name: str
    objectives: tuple[str, ...]
    directions: tuple[Direction, ...]
    attrs: Mapping[str, Any]
    trials: tuple[TrialRead, ...] = field(repr=False)

    def ranked(self) -> list[TrialRead]:
        """Return the complete trials, best first: by rung, highest first, then the Pareto front, then the others."""
        front = self.front()

        def order(trial: TrialRead) -> tuple[Any, ...]:
            return place_of(trial.rung), trial.number not in front, self._rank(trial), trial.number

        return sorted(self._complete(), key=order)

    def front(self) -> frozenset[int]:
        """Return the numbers of the `comparable` trials that no other one dominates."""
        return front_of({trial.number: self._rank(trial) for trial in self.comparable()})

    def comparable(self) -> list[TrialRead]:
        """Return the complete trials of the highest rung, whose values can be compared, in order."""
        complete = self._complete()
        highest = min((place_of(trial.rung) for trial in complete), default=0.0)
        return [trial for trial in complete if place_of(trial.rung) == highest]

    @property
    def has_rungs(self) -> bool:
        """Whether some trainings were shorter than others, so that their values cannot be compared."""
        return any(trial.rung is not None for trial in self.trials)

    def counts(self) -> dict[TrialState, int]:
        """Return the number of trials in each state that occurs."""
        found = Counter(trial.state for trial in self.trials)
        return {state: found[state] for state in STATES if found[state]}

    def _complete(self) -> list[TrialRead]:
        return [trial for trial in self.trials if trial.state == "complete" and trial.values is not None]

    def _repr_html_(self) -> str:
        """Return the table for a notebook: the ten best trials, with the settings in which they differ."""
        best = self.ranked()
        shown = [{key: str(value) for key, value in one.assignments.items()} for one in best[:10]]
        differ = [key for key in dict.fromkeys(chain(*shown)) if len({one.get(key) for one in shown}) > 1]
        heads = ["trial", *self.objectives, "parameters", "MACs", "receptive field, px", "set"]
        cells = [
            [
                one.number,
                *(_share(name, value) for name, value in zip(self.objectives, one.values or (), strict=False)),
                *(one.attrs.get(name) for name in ("parameters", "macs", "receptive_field")),
                " ".join(f"{key}={values[key]}" for key in differ if key in values and key not in one.unused),
            ]
            for one, values in zip(best, shown, strict=False)
        ]
        return html_table(f"{self.name}: {pluralize(len(self.trials), 'trial')}, {len(best)} complete", heads, cells)

    def _rank(self, trial: TrialRead) -> tuple[float, ...]:
        assert trial.values is not None, "a complete trial has values"
        return rank_of(trial.values, self.directions)


def _share(name: str, value: float) -> object:
    """Return an accuracy in percent, and any other value unchanged."""
    return percent(value) if name == "accuracy" else value


def rank_of(values: Sequence[float], directions: Sequence[str]) -> tuple[float, ...]:
    """Return the sort key of values, best first: lower is better, and NaN is worst."""
    signed = [-value if way == "maximize" else value for value, way in zip(values, directions, strict=False)]
    return tuple(math.inf if math.isnan(value) else value for value in signed)


def rung_of(attrs: Mapping[str, Any]) -> float | None:
    """Return the epochs of the rung in a trial's attributes; None for a whole training."""
    rung = attrs.get("rung")
    return rung if is_usable_number(rung) else None


def place_of(rung: float | None) -> float:
    """Return the sort key of a rung: whole trainings first, then those of more epochs."""
    return -math.inf if rung is None else -rung


def front_of(ranks: Mapping[int, tuple[float, ...]]) -> frozenset[int]:
    """Return the Pareto front: the keys of the ranks that no other one dominates.

    For up to two values one pass over the sorted ranks is enough; for more, the time grows with the number of ranks
    times the size of the front.
    """
    ordered = sorted(set(ranks.values()))  # a rank that dominates another precedes it
    best = _front_of_many(tuple(ordered)) if any(len(rank) > 2 for rank in ordered) else _front_of_two(ordered)
    return frozenset(number for number, rank in ranks.items() if rank in best)


def _front_of_two(ordered: Sequence[tuple[float, ...]]) -> set[tuple[float, ...]]:
    best: set[tuple[float, ...]] = set()
    least: tuple[float, ...] = ()
    for rank in ordered:
        if not best or rank[-1:] < least:
            best.add(rank)
            least = rank[-1:]
    return best


@functools.lru_cache(maxsize=4)  # a report needs the front of the same trials dozens of times
def _front_of_many(ordered: tuple[tuple[float, ...], ...]) -> frozenset[tuple[float, ...]]:
    import numpy as np

    front, count = np.empty((len(ordered), len(ordered[0]))), 0
    for rank in ordered:
        if not (front[:count] <= rank).all(axis=1).any():
            front[count] = rank
            count += 1
    return frozenset(map(tuple, front[:count].tolist()))


def read_study(store: Store, name: str) -> StudyRead:
    """Return the study `name`; raises `SpecError`, with the names of all studies, if it is missing."""
    from archsearch.search.storage.study import load_study

    study = load_study(store, name)
    return StudyRead(
        name=name,
        objectives=objective_names(study.raw.user_attrs, study.raw.metric_names, len(study.directions)),
        directions=study.directions,
        attrs=present_study_attrs(study.raw.user_attrs),
        trials=tuple(trials_read(study.trials())),
    )


def trials_read(found: Iterable[FrozenTrial]) -> Iterable[TrialRead]:
    """Yield Optuna's trials as values."""
    for trial in found:
        attrs = present_attrs({name: value for name, value in trial.user_attrs.items() if not name.startswith(MARGIN)})
        yield TrialRead(
            number=trial.number,
            state=state_of(trial.state.name, attrs.get("state_reason")),
            values=tuple(trial.values) if trial.state.name == "COMPLETE" and trial.values is not None else None,
            assignments=assignments_of(attrs, trial.params),
            constraints=excess_of(trial.system_attrs),
            history=dict(trial.intermediate_values),
            attrs=attrs,
            started=_utc(trial.datetime_start),
            finished=_utc(trial.datetime_complete),
        )


def assignments_of(attrs: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the dotted keys that a trial sets, or its parameters if they are not recorded."""
    assignments = attrs.get("assignments")
    return assignments if isinstance(assignments, dict) else params


def excess_of(system: Mapping[str, Any]) -> dict[str, float]:
    """Return the relative excess per limit in a trial's system attributes.

    The list of Optuna before 5 is read only if the present form is missing: both are written.
    """
    prefix = "constraints:"
    found = {
        key.removeprefix(prefix): float(value)
        for key, value in system.items()
        if key.startswith(prefix) and is_usable_number(value)
    }
    listed = system.get(OLDER)
    if not found and isinstance(listed, list):
        found = {f"constraint {place}": float(each) for place, each in enumerate(listed) if is_usable_number(each)}
    return found


def state_of(state: str, reason: Any) -> TrialState:
    """Return the state of a trial, from its Optuna state and its `state_reason`."""
    reason = present_state(reason)
    match state, reason:
        case "RUNNING", _:
            return "running"
        case "WAITING", _:
            return "waiting"
        case _, "duplicate":
            return "duplicate"
        case "COMPLETE", _:
            return "complete"
        case _, "infeasible" | "diverged":
            return reason
        case "FAIL", _:
            return "failed"
        case _:
            return "pruned"


def _utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    return None if moment is None else moment.astimezone(datetime.UTC)  # Optuna's times are local, without a time zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best complete trial of the highest `rung` (None: a whole training).

    With several objectives it is one trial of the Pareto front, which has `front` trials.
    """

    number: int
    values: tuple[float, ...]
    front: int
    rung: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A study's name, its trials by state, its best trial, and the time of its last change (in UTC)."""

    name: str
    objectives: tuple[str, ...]
    directions: tuple[Direction, ...]
    attrs: Mapping[str, Any]
    counts: Mapping[TrialState, int]
    best: Best | None
    last: datetime.datetime | None


def overview_of(study: StudyRead) -> Overview:
    """Return the overview of a study."""
    values = {one.number: one.values for one in study.trials if one.state == "complete" and one.values is not None}
    rungs = {one.number: one.rung for one in study.trials if one.rung is not None}
    moments = [moment for one in study.trials for moment in (one.started, one.finished)]
    moments += [moment_of(one.attrs.get("heartbeat")) for one in study.trials if one.state == "running"]
    return Overview(
        name=study.name,
        objectives=study.objectives,
        directions=study.directions,
        attrs=study.attrs,
        counts=study.counts(),
        best=best_of(values, study.directions, rungs),
        last=max((moment for moment in moments if moment is not None), default=None),
    )


def settings_apart(studies: Iterable[Overview]) -> dict[str, dict[str, Any]]:
    """Return by study its settings, if any, that differ among studies of the same data, limits and objectives."""
    groups: dict[tuple[Any, ...], list[Overview]] = {}
    for study in studies:
        groups.setdefault((study.attrs.get("data"), study.attrs.get("limits"), study.objectives), []).append(study)
    found: dict[str, dict[str, Any]] = {}
    for group in groups.values():
        settings = [_settings_of(study) for study in group]
        names = dict.fromkeys(chain(*settings))
        differ = [name for name in names if len({repr(each.get(name)) for each in settings}) > 1]
        if differ != ["data_fingerprint"]:  # a setting that changes it is more informative
            differ = [name for name in differ if name != "data_fingerprint"]
        found |= {
            study.name: {name: each[name] for name in differ if name in each}
            for study, each in zip(group, settings, strict=True)
        }
    return found


def _settings_of(study: Overview) -> dict[str, Any]:
    data, limits = (study.attrs.get(name) or {} for name in ("data_settings", "limits_text"))
    bounds = {
        f"constraints.{limit}" + (f".{key}" if key else ""): value
        for limit, bound in limits.items()
        for key, value in (bound.items() if isinstance(bound, dict) else [("", bound)])
    }
    found = {**{f"data.{name}": value for name, value in data.items()}, **bounds}
    return found | {name: study.attrs[name] for name in ("data_fingerprint",) if name in study.attrs}


def best_of(
    values: Mapping[int, tuple[float, ...]], directions: Sequence[str], rungs: Mapping[int, float]
) -> Best | None:
    """Return the best complete trial of the highest rung; None if there is none.

    `values` and `rungs` are by trial number; a whole training has no rung.
    """
    if not values:
        return None
    highest = min(place_of(rungs.get(number)) for number in values)
    ranks = {n: rank_of(each, directions) for n, each in values.items() if place_of(rungs.get(n)) == highest}
    front = front_of(ranks)
    first = min(front, key=lambda number: (ranks[number], number))
    return Best(number=first, values=values[first], front=len(front), rung=rungs.get(first))


def moment_of(seconds: object) -> datetime.datetime | None:
    """Return the time from seconds since the Unix epoch; None if it is not a valid time."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None

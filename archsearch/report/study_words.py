"""A study in words: names and numbers with their units, and the sentences that sum it up. Plain text, no markup."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Sequence

from archsearch.formatting import number
from archsearch.report.study_series import finite, front, is_higher_better, last_seen, measured, sound
from archsearch.search.explain import Why
from archsearch.search.storage.read import StudyRead, TrialRead, TrialState

NAMES = {
    "accuracy": "Held-out accuracy",
    "loss": "Held-out loss",
    "parameters": "Parameters",
    "macs": "MACs",
    "receptive_field": "Receptive field",
    "activations": "Activations",
    "seconds": "Seconds",
    "images_per_second": "Images per second",
}
_TIED = "\N{NO-BREAK SPACE}"  # a number and its unit stay on one line
_COUNTS = ("parameters", "macs", "activations", "peak_bytes")


def named(name: str, *, lower: bool = False) -> str:
    """Return what a quantity is called in a sentence or on an axis."""
    text = NAMES.get(name, name.replace("_", " "))
    return text[0].lower() + text[1:] if lower and text[:2] != "MA" else text


def said(name: str, value: float | None) -> str:
    """Return a value with its unit: accuracies in percent, counts in groups of three digits."""
    if value is None or not math.isfinite(value):
        return "–"
    if "accuracy" in name:
        return f"{100 * value:.2f}{_TIED}%"
    if name in _COUNTS:
        unit = {"macs": f"{_TIED}MACs", "parameters": f"{_TIED}parameters"}.get(name, "")
        return f"{number(round(value)).replace(' ', _TIED)}{unit}"
    if name == "receptive_field":
        return f"{value:g}{_TIED}px"
    if name == "seconds":
        return duration(value)
    return f"{value:.5g}"


def phrase(name: str, value: float | None) -> str:
    """Return a value with what it is: `held-out accuracy 86.12 %`, `152 000 parameters`."""
    text = said(name, value)
    return text if name in ("parameters", "macs") else f"{named(name, lower=True)} {text}"


def cell(name: str, value: object) -> str:
    """Return a value for a column that says what it is: as `said`, without the unit's word."""
    return said(name, finite(value)).removesuffix(f"{_TIED}MACs").removesuffix(f"{_TIED}parameters")


def duration(seconds: float | None) -> str:
    """Return a time in its two largest units: `38 s`, `12 min 4 s`, `3 h 20 min`."""
    return "–" if seconds is None or not math.isfinite(seconds) else _duration(seconds).replace(" ", _TIED)


def _duration(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 100:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def moment(when: datetime.datetime | None) -> str:
    """Return a time of day in UTC."""
    return "–" if when is None else f"{when:%Y-%m-%d %H:%M} UTC"


def last_activity(study: StudyRead) -> datetime.datetime | None:
    """Return when something last happened in the study."""
    return max((when for trial in study.trials for when in (trial.started, trial.finished) if when), default=None)


def sentences(study: StudyRead, why: Why) -> list[str]:
    """Return what the study came to, in a few sentences."""
    found = (_done(study), _best(study), _time(study), _refused(why), _lost(study))
    return [re.sub(r"(?<=\d) (?=\d{3}\b)", _TIED, text) for text in found if text]


def _done(study: StudyRead) -> str:
    counts = study.counts()
    if not counts:
        return "Nothing has been tried in this study yet."
    trained = sum(counts.get(state, 0) for state in ("complete", "pruned", "diverged", "failed"))
    if not trained:
        return f"Of {_count(len(study.trials), 'trial')} none has been trained."
    words: dict[TrialState, str] = {
        "complete": "{} to the end",
        "pruned": "{} stopped early",
        "diverged": "{} diverged",
        "failed": "{} failed",
    }
    parts = [text.format(counts[state]) for state, text in words.items() if counts.get(state)]
    text = f"{_count(trained, 'design')} {'was' if trained == 1 else 'were'} trained: {listed(parts)}."
    states: tuple[tuple[TrialState, str], ...] = (
        ("duplicate", "answered from an equal design"),
        ("running", "running"),
        ("waiting", "waiting"),
    )
    more = [f"{counts[state]} {how}" for state, how in states if counts.get(state)]
    return f"{text} Besides, {listed(more)}." if more else text


def _best(study: StudyRead) -> str:
    ranked = sound(study)
    if not ranked:
        return "No design has been trained to the end, so there is no best one." if study.trials else ""
    if len(study.objectives) == 1:
        best = ranked[0]
        name = study.objectives[0]
        known = [
            said(each, value) for each in ("parameters", "macs") if (value := measured(study, best, each)) is not None
        ]
        if (field := measured(study, best, "receptive_field")) is not None:
            known.append(f"a receptive field of {field:g} px")
        extra = f" with {listed(known)}" if known else ""
        text = f"The best is trial {best.number}: {phrase(name, measured(study, best, name))}{extra}."
        test = finite(best.attrs.get("test_accuracy"))
        return f"{text} Its accuracy on the test set is {said('accuracy', test)}." if test is not None else text
    best = front(study)
    there = [trial for trial in ranked if trial.number in best]
    ends = []
    for place, name in enumerate(study.objectives):
        sign = 1 if is_higher_better(study, place) else -1
        value, trial = max(((trial.values or ())[place] * sign, -trial.number) for trial in there)
        ends.append(f"{phrase(name, value * sign)} (trial {-trial})")
    form = "forms" if len(there) == 1 else "form"
    return f"{_count(len(there), 'design')} {form} the Pareto front; the best of it: {listed(ends)}."


def _time(study: StudyRead) -> str:
    known = [seconds for trial in study.trials if (seconds := finite(trial.seconds)) is not None]
    devices = distinct(trial.attrs.get("device") for trial in study.trials)
    if not known:
        return ""
    where = f" on {listed(devices[:3])}" if devices else ""
    return f"Training took {duration(sum(known))} in all, {duration(sum(known) / len(known))} a design{where}."


def _refused(why: Why) -> str:
    found = why.infeasible
    refused = found.proposed - found.feasible
    if not refused:
        return ""
    worst = ", ".join(f"{name} {count}" for name, count in found.by_limit.most_common(3))
    share = 100 * refused / found.proposed
    what = f"{number(refused)} of {number(found.proposed)} proposals ({share:.0f}{_TIED}%)"
    return (
        f"{what} were refused before training, most by {worst}." if worst else f"{what} were refused before training."
    )


def _lost(study: StudyRead) -> str:
    pruned = [seen for trial in study.trials if trial.state == "pruned" and (seen := last_seen(trial)) is not None]
    return (
        f"What was stopped early stood at most at {said('accuracy', max(pruned))}."
        if pruned and max(pruned) <= 1
        else ""
    )


def distinct(values: Iterable[object]) -> list[str]:
    """Return the values that occur, as text, the most frequent first."""
    counts: dict[str, int] = {}
    for value in values:
        if value is not None and value != "":
            counts[str(value)] = counts.get(str(value), 0) + 1
    return sorted(counts, key=lambda text: -counts[text])


def listed(parts: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def headline(study: StudyRead) -> TrialRead | None:
    """Return the best trial, None where nothing is complete."""
    found = sound(study)
    return found[0] if found else None


def _count(count: int, what: str) -> str:
    return f"{number(count)} {what}{'' if count == 1 else 's'}"

"""Sentences that summarise a study, in plain text without markup."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from archsearch.formatting import duration, epochs_text, number, percent, pluralize, value_text
from archsearch.report.series import is_higher_better, last_accuracy, pareto_front, ranked_finite, value_of
from archsearch.report.vocabulary import DUPLICATE, TRAINED, finite, labelled_value
from archsearch.search.explain import Why, compared_trials
from archsearch.search.storage.read import StudyRead, TrialState

_ENDS: dict[TrialState, str] = {
    "complete": "{} to the end",
    "pruned": "{} stopped early",
    "diverged": "{} diverged",
    "failed": "{} failed",
}
_OTHERS: dict[TrialState, str] = {
    DUPLICATE: "{} took the result of an equal design",
    "running": "{} running",
    "waiting": "{} waiting",
}


def sentences(study: StudyRead, why: Why) -> list[str]:
    """Return the results of the study in a few sentences."""
    found = (_trained(study), _rungs(study), _best(study), _time(study), _infeasible(why), _pruned(study))
    return [text for text in found if text]


def last_activity(study: StudyRead) -> datetime.datetime | None:
    """Return the last time at which a trial started or finished; None if no times are recorded."""
    return max((when for trial in study.trials for when in (trial.started, trial.finished) if when), default=None)


def training_times(study: StudyRead) -> list[float]:
    """Return the known training times of the trials, in seconds."""
    return [seconds for trial in study.trials if (seconds := finite(trial.seconds)) is not None]


def distinct(values: Iterable[object]) -> list[str]:
    """Return the distinct non-empty values as text, most frequent first."""
    counts: dict[str, int] = {}
    for value in values:
        if value is not None and value != "":
            counts[str(value)] = counts.get(str(value), 0) + 1
    return sorted(counts, key=lambda text: -counts[text])


def listed(parts: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def noun_of(study: StudyRead) -> str:
    """Return the noun for what is counted: designs, or trials if a promoted design has several."""
    return "trial" if study.has_rungs else "design"


def compared_text(study: StudyRead) -> str:
    """Return text on the trials from which the importance of settings is computed."""
    if not study.has_rungs:
        return "complete trials"
    return f"trials of {epochs_text(next((trial.rung for trial in compared_trials(study)), None))}"


def _trained(study: StudyRead) -> str:
    counts = study.counts()
    if not counts:
        return "This study has no trials yet."
    trained = sum(counts.get(state, 0) for state in TRAINED)
    if not trained:
        return f"Of {pluralize(len(study.trials), 'trial')} none has been trained."
    parts = [text.format(counts[state]) for state, text in _ENDS.items() if counts.get(state)]
    text = f"{pluralize(trained, noun_of(study))} {'was' if trained == 1 else 'were'} trained: {listed(parts)}."
    more = [text.format(counts[state]) for state, text in _OTHERS.items() if counts.get(state)]
    return f"{text} In addition, {listed(more)}." if more else text


def _rungs(study: StudyRead) -> str:
    """Return how many complete trials were trained at each rung; empty if all were trained for all epochs."""
    complete = [trial for trial in study.trials if trial.state == "complete" and trial.values is not None]
    short = [trial.rung for trial in complete if trial.rung is not None]
    if not short:
        return ""
    epochs = listed([f"{sum(rung == each for rung in short)} for {each:g}" for each in sorted(set(short))])
    whole = len(complete) - len(short)
    rest = f"{number(whole)} for all epochs" if whole else "none for all epochs yet"
    return f"They were promoted by rungs: {epochs} epochs, {rest}. Only trials with the most epochs can be the best."


def _best(study: StudyRead) -> str:
    ranked = ranked_finite(study)
    if not ranked:
        return "No design has been fully trained, so there is no best one." if study.trials else ""
    if len(study.objectives) == 1:
        best = ranked[0]
        name = study.objectives[0]
        costs = {each: value_of(study, best, each) for each in ("parameters", "macs")}
        known = [labelled_value(each, value) for each, value in costs.items() if value is not None]
        if (field := value_of(study, best, "receptive_field")) is not None:
            known.append(f"a receptive field of {value_text('receptive_field', field)}")
        extra = f" with {listed(known)}" if known else ""
        text = f"The best is trial {best.number}: {labelled_value(name, value_of(study, best, name))}{extra}."
        test = finite(best.attrs.get("test_accuracy"))
        return f"{text} Its accuracy on the test set is {value_text('accuracy', test)}." if test is not None else text
    front = pareto_front(study)
    there = [trial for trial in ranked if trial.number in front]
    ends = []
    for place, name in enumerate(study.objectives):
        sign = 1 if is_higher_better(study, place) else -1
        value, trial = max(((trial.values or ())[place] * sign, -trial.number) for trial in there)
        ends.append(f"{labelled_value(name, value * sign)} (trial {-trial})")
    form = "forms" if len(there) == 1 else "form"
    return f"{pluralize(len(there), 'design')} {form} the Pareto front; its best values are {listed(ends)}."


def _time(study: StudyRead) -> str:
    known = training_times(study)
    devices = distinct(trial.attrs.get("device") for trial in study.trials)
    if not known:
        return ""
    where = f" on {listed(devices[:3])}" if devices else ""
    mean = f"{duration(sum(known) / len(known))} per {noun_of(study)}"
    return f"Training took {duration(sum(known))} in total, {mean}{where}."


def _infeasible(why: Why) -> str:
    counts = why.infeasible
    if not counts.infeasible:
        return ""
    worst = ", ".join(f"{name} {number(count)}" for name, count in counts.by_limit.most_common(3))
    share = percent(counts.infeasible / counts.proposed, 0)
    text = f"{number(counts.infeasible)} of {number(counts.proposed)} proposals ({share}) were infeasible"
    return f"{text}, most often by {worst}." if worst else f"{text}."


def _pruned(study: StudyRead) -> str:
    last = [value for trial in study.trials if trial.state == "pruned" and (value := last_accuracy(trial)) is not None]
    known = last and max(last) <= 1
    return f"The highest accuracy of a pruned trial was {value_text('accuracy', max(last))}." if known else ""

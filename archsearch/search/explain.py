"""Explanations of a study: the limits that designs break, the nearest misses, and the importance of parameters.

Imports optuna inside functions only.
"""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archsearch.search.infeasible import InfeasibleCounts, count_infeasible
from archsearch.search.space import Value
from archsearch.search.storage.declarations import Declaration, is_number, of_value, widened
from archsearch.search.storage.read import StudyRead, TrialRead

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


NEAREST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """An infeasible design, with its relative excess over each limit that it breaks."""

    trial: TrialRead
    excess: dict[str, float]

    @property
    def worst(self) -> float:
        """The greatest relative excess."""
        return max(self.excess.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The counts of infeasible designs, the nearest misses, and the causes of failures with their trial numbers."""

    infeasible: InfeasibleCounts
    nearest: tuple[Miss, ...]
    failures: dict[str, list[int]]


def explain(study: StudyRead, *, nearest: int = NEAREST) -> Why:
    """Return the explanation; its counts include the infeasible proposals that a sampler counted but did not record."""
    misses = [
        Miss(trial=trial, excess=excess)
        for trial in study.trials
        if trial.state == "infeasible"
        and (excess := {name: value for name, value in trial.constraints.items() if value > 0})
    ]
    failures: dict[str, list[int]] = {}
    for trial in study.trials:
        if trial.state in ("failed", "diverged"):
            failures.setdefault(f"{trial.state}: {trial.cause or 'no cause is recorded'}", []).append(trial.number)
    return Why(
        infeasible=count_infeasible(study.trials),
        nearest=tuple(sorted(misses, key=lambda miss: (miss.worst, miss.trial.number))[:nearest]),
        failures=dict(sorted(failures.items(), key=lambda item: -len(item[1]))),
    )


def compared_trials(study: StudyRead) -> list[TrialRead]:
    """Return the trials from which importance is computed: complete, with finite values, of the most common rung."""
    trials = [
        trial
        for trial in study.trials
        if trial.state == "complete" and trial.values is not None and all(map(math.isfinite, trial.values))
    ]
    rung, _ = Counter(trial.rung for trial in trials).most_common(1)[0] if trials else (None, 0)
    return [trial for trial in trials if trial.rung == rung]


LEAST = 10  # complete trials; the best tenth of fewer is a single trial


def importances(study: StudyRead) -> dict[str, float]:
    """Return the importance of each parameter that has several values, greatest first; they sum to 1.

    With several objectives it is the importance for reaching the Pareto front. Empty if there are fewer than `LEAST`
    `compared_trials`, or no parameter varies.
    """
    trials = compared_trials(study)
    if len(trials) < LEAST:
        return {}
    points = [_used(trial) for trial in trials]
    distributions = _distributions(points)
    if not distributions:
        return {}
    import optuna

    from archsearch.search.storage.database import quiet_optuna

    quiet_optuna()
    made = optuna.create_study(directions=list(study.directions))
    for trial, point in zip(trials, points, strict=True):
        known = {name: distributions[name] for name in point if name in distributions}
        params = {name: _stored(point[name], each) for name, each in known.items()}
        made.add_trial(optuna.trial.create_trial(values=list(trial.values or ()), params=params, distributions=known))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about options that the user cannot set
        with _without_scikit_learn():
            measure = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(made, evaluator=measure)
    return {name: float(share) for name, share in found.items() if math.isfinite(share)}


@contextlib.contextmanager
def _without_scikit_learn() -> Iterator[None]:
    """Keep Optuna from importing scikit-learn, which takes a fifth of the time, for evaluators that are not used here.

    Inside the block, Optuna finds no scikit-learn even if it is installed, unless this process has already imported it.
    """
    if "sklearn" in sys.modules:
        yield
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # marks a module that cannot be imported
    try:
        yield
    finally:
        del sys.modules["sklearn"]


def _used(trial: TrialRead) -> dict[str, Value]:
    """Return the assignments that the trial's design uses and whose values are plain."""
    return {
        name: value
        for name, value in trial.assignments.items()
        if name not in trial.unused and (value is None or isinstance(value, bool | int | float | str))
    }


def _distributions(points: Iterable[Mapping[str, Value]]) -> dict[str, BaseDistribution]:
    """Return the range or the options of each parameter that has several values."""
    seen: dict[str, list[Value]] = {}
    for point in points:
        for name, value in point.items():
            seen.setdefault(name, []).append(value)
    found: dict[str, BaseDistribution] = {}
    for name, values in seen.items():
        declaration: Declaration | None = None
        if all(map(is_number, values)):
            for value in values:
                declaration = widened(declaration, of_value(value))
        else:
            declaration = Declaration(kind="choice", options=tuple(dict.fromkeys(map(repr, values))))
        assert declaration is not None, "a parameter has a value"
        if declaration.low < declaration.high or len(declaration.options) > 1:
            found[name] = declaration.distribution()
    return found


def _stored(value: Value, distribution: BaseDistribution) -> Any:
    """Return a value as `_distributions` declares it: options as text, so that 1, True and '1' differ."""
    return repr(value) if hasattr(distribution, "choices") else value

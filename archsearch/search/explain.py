"""Why a study found what it found: the limits that designs break, the nearest misses, the parameters that matter.

Imports optuna inside functions only.
"""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.storage.read import StudyRead, TrialRead

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


NEAREST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """An infeasible design that is nearly feasible: the relative excess over each limit that it breaks."""

    trial: TrialRead
    excess: dict[str, float]

    @property
    def worst(self) -> float:
        """The greatest relative excess."""
        return max(self.excess.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The counts of infeasible designs, the nearest of them, and the causes of failures with their trials."""

    infeasible: InfeasibleCounts
    nearest: tuple[Miss, ...]
    failures: dict[str, list[int]]


def explain(study: StudyRead, *, nearest: int = NEAREST) -> Why:
    """Return why the study found what it found; trials that a sampler only counted are counted too."""
    misses = [
        Miss(trial=trial, excess=excess)
        for trial in study.trials
        if trial.state == "infeasible"
        and (excess := {name: value for name, value in trial.constraints.items() if value > 0})
    ]
    failures: dict[str, list[int]] = {}
    for trial in study.trials:
        if trial.state in ("failed", "diverged"):
            failures.setdefault(f"{trial.state}: {trial.cause or 'no cause was recorded'}", []).append(trial.number)
    return Why(
        infeasible=count_infeasible(study),
        nearest=tuple(sorted(misses, key=lambda miss: (miss.worst, miss.trial.number))[:nearest]),
        failures=dict(sorted(failures.items(), key=lambda item: -len(item[1]))),
    )


def count_infeasible(study: StudyRead) -> InfeasibleCounts:
    """Return how many designs were looked at: by each sweep as it was counted, or else one by one."""
    total = InfeasibleCounts()
    counted = {trial.attrs.get("sweep") for trial in study.trials if _screened(trial)}
    for trial in study.trials:
        if (counts := _screened(trial)) is not None:
            total = total.add(InfeasibleCounts.from_json(counts))
        elif trial.attrs.get("sweep") not in counted and trial.state != "duplicate":
            total.count(name for name, value in trial.constraints.items() if value > 0)
    return total


def _screened(trial: TrialRead) -> dict[str, object] | None:
    counts = trial.attrs.get("screened")
    return counts if isinstance(counts, dict) else None


LEAST = 10  # complete trials; of fewer the best tenth is one trial, and says nothing


def importances(study: StudyRead) -> dict[str, float]:
    """Return the share of each parameter that took several values, greatest first; they sum to 1.

    Of several objectives it is the way to the Pareto front that counts. Empty where fewer than `LEAST` trials are
    complete or nothing was varied.
    """
    trials = [
        trial
        for trial in study.trials
        if trial.state == "complete" and trial.values is not None and all(map(math.isfinite, trial.values))
    ]
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
        warnings.simplefilter("ignore")  # what it says of its own options is no matter of the user's
        with _scikit_learn_aside():
            measure = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(made, evaluator=measure)
    return {name: float(share) for name, share in found.items() if math.isfinite(share)}


@contextlib.contextmanager
def _scikit_learn_aside() -> Iterator[None]:
    """Keep Optuna from importing scikit-learn, a fifth of the time, for measures that nobody has asked for.

    Where it is installed, Optuna takes it as missing in this process, unless somebody has it already.
    """
    if "sklearn" in sys.modules:
        yield
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # Python's own way to say that there is none
    try:
        yield
    finally:
        del sys.modules["sklearn"]


def _used(trial: TrialRead) -> dict[str, Any]:
    """Return what was set and meant something to the trial's design."""
    raw = trial.attrs.get("unused")
    unused = raw if isinstance(raw, list) else []
    return {
        name: value
        for name, value in trial.assignments.items()
        if name not in unused and (value is None or isinstance(value, bool | int | float | str))
    }


def _distributions(points: Iterable[Mapping[str, Any]]) -> dict[str, BaseDistribution]:
    """Return the range or the options of each parameter that took several values."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    seen: dict[str, list[Any]] = {}
    for point in points:
        for name, value in point.items():
            seen.setdefault(name, []).append(value)
    found: dict[str, BaseDistribution] = {}
    for name, values in seen.items():
        if all(
            isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 for value in values
        ):
            if min(values) < max(values):
                whole = all(isinstance(value, int) for value in values)
                found[name] = (IntDistribution if whole else FloatDistribution)(min(values), max(values))
        elif len(options := list(dict.fromkeys(map(repr, values)))) > 1:
            found[name] = CategoricalDistribution(options)
    return found


def _stored(value: Any, distribution: BaseDistribution) -> Any:
    """Return a value as its distribution has it: options by their text, so that 1, True and '1' stay apart."""
    return repr(value) if hasattr(distribution, "choices") else value

"""Which parameters matter: Optuna's PED-ANOVA over the trials of a study that was read as values.

PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) asks how the best tenth of the trials differs from all of them.
Imports optuna inside functions only.
"""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from archsearch.search.reading import StudyRead, TrialRead

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

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

    from archsearch.search.store import quiet_optuna

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
    said = trial.attrs.get("unused")
    unused = said if isinstance(said, list) else []
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

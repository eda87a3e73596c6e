"""Why a study found what it found: which limits refused how many designs, which came nearest, what matters.

Works on values alone; the parameters' importance is computed by `archsearch.search.importance`.
"""

from __future__ import annotations

from dataclasses import dataclass

from archsearch.search.reading import StudyRead, TrialRead
from archsearch.search.refusals import Refusals

NEAREST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A refused design that was nearly kept: by how much, relative to the bound, it misses each limit it breaks."""

    trial: TrialRead
    excess: dict[str, float]

    @property
    def worst(self) -> float:
        """The greatest relative excess."""
        return max(self.excess.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What refused designs, the misses by limit (nearest first), and the causes of failures with their trials."""

    refusals: Refusals
    nearest: tuple[Miss, ...]
    failures: dict[str, list[int]]


def explain(study: StudyRead, *, nearest: int = NEAREST) -> Why:
    """Return why the study found what it found; trials that a sampler only counted are counted too."""
    misses = [
        Miss(trial=trial, excess=excess)
        for trial in study.trials
        if trial.state == "refused"
        and (excess := {name: value for name, value in trial.constraints.items() if value > 0})
    ]
    failures: dict[str, list[int]] = {}
    for trial in study.trials:
        if trial.state in ("failed", "diverged"):
            failures.setdefault(f"{trial.state}: {trial.cause or 'no cause was recorded'}", []).append(trial.number)
    return Why(
        refusals=count_refusals(study),
        nearest=tuple(sorted(misses, key=lambda miss: (miss.worst, miss.trial.number))[:nearest]),
        failures=dict(sorted(failures.items(), key=lambda item: -len(item[1]))),
    )


def count_refusals(study: StudyRead) -> Refusals:
    """Return how many designs were looked at: by each sweep as it was counted, or else one by one."""
    total = Refusals()
    counted = {trial.attrs.get("sweep") for trial in study.trials if _screened(trial)}
    for trial in study.trials:
        if (said := _screened(trial)) is not None:
            total = total.add(Refusals.from_json(said))
        elif trial.attrs.get("sweep") not in counted and trial.state not in ("answered", "withdrawn"):
            total.count(name for name, value in trial.constraints.items() if value > 0)
    return total


def _screened(trial: TrialRead) -> dict[str, object] | None:
    said = trial.attrs.get("screened")
    return said if isinstance(said, dict) else None

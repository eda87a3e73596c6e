"""Counts of proposals and of the limits that they break."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from archsearch.analysis.limits import Margin
from archsearch.formatting import number, percent
from archsearch.search.storage.read import TrialRead

UNBUILDABLE = "design"  # recorded as the broken limit of a design that cannot be built
FEW = 0.01  # share of feasible proposals below which a warning appears
ENOUGH = 300  # proposals before a warning


@dataclass(slots=True, kw_only=True)
class InfeasibleCounts:
    """How many designs were proposed, how many of them are feasible, and how many break each limit."""

    proposed: int = 0
    feasible: int = 0
    by_limit: Counter[str] = field(default_factory=Counter)

    @property
    def infeasible(self) -> int:
        """The number of infeasible designs."""
        return self.proposed - self.feasible

    def count(self, broken: Iterable[str]) -> None:
        """Count one design and the limits that it breaks."""
        names = list(broken)
        self.proposed += 1
        self.feasible += not names
        self.by_limit.update(names)

    def add(self, other: InfeasibleCounts) -> InfeasibleCounts:
        """Return the sum of both."""
        return InfeasibleCounts(
            proposed=self.proposed + other.proposed,
            feasible=self.feasible + other.feasible,
            by_limit=self.by_limit + other.by_limit,
        )

    def warning(self) -> str | None:
        """Return a warning if hardly any of at least `ENOUGH` proposals is feasible, otherwise None."""
        if self.proposed < ENOUGH or self.feasible >= FEW * self.proposed:
            return None
        share = percent(self.feasible / self.proposed)
        fix = "Widen that limit, narrow the space, or add arch.width: fit to the space."
        if self.by_limit.most_common(1)[0][0] == UNBUILDABLE:
            fix = "Most cannot be built at all."
        return f"only {share} of {number(self.proposed)} proposals keep the limits ({self.worst()}). {fix}"

    def worst(self, count: int | None = 3) -> str:
        """Return the limits that are broken most often, with counts: `parameters: 12, receptive_field: 3`."""
        return ", ".join(f"{name}: {number(broken)}" for name, broken in self.by_limit.most_common(count))

    def as_json(self) -> dict[str, object]:
        """Return plain values, for an attribute of a trial."""
        return {"proposed": self.proposed, "feasible": self.feasible, "by_limit": dict(self.by_limit)}

    @staticmethod
    def from_json(raw: Mapping[str, object]) -> InfeasibleCounts:
        """Return the counts that `as_json` wrote."""
        counts = raw.get("by_limit")
        return InfeasibleCounts(
            proposed=int(str(raw.get("proposed", 0))),
            feasible=int(str(raw.get("feasible", 0))),
            by_limit=Counter(counts if isinstance(counts, dict) else {}),
        )


def count_infeasible(trials: Iterable[TrialRead]) -> InfeasibleCounts:
    """Return the sum of the counts that the sweeps recorded; if a sweep recorded none, its trials are counted."""
    listed = list(trials)
    recorded = {trial.attrs.get("sweep") for trial in listed if isinstance(trial.attrs.get("screened"), dict)}
    total = InfeasibleCounts()
    for trial in listed:
        counts = trial.attrs.get("screened")
        if isinstance(counts, dict):
            total = total.add(InfeasibleCounts.from_json(counts))
        elif trial.attrs.get("sweep") not in recorded and trial.state != "duplicate":
            total.count(name for name, value in trial.constraints.items() if value > 0)
    return total


def broken_limits(margins: Iterable[Margin]) -> list[str]:
    """Return the names of the broken limits."""
    return [margin.limit for margin in margins if not margin.kept]

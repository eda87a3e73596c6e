"""Counts of what was proposed and what refused it: the answer to "why is nothing found?"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from archsearch.analysis.limits import Margin

UNBUILDABLE = "design"  # the limit that a design breaks which is no network at all
FEW = 0.01  # share of feasible proposals below which it is said
ENOUGH = 300  # proposals before it is


@dataclass(slots=True, kw_only=True)
class Refusals:
    """How many designs were looked at, how many were feasible, and by each limit how many it refused."""

    proposed: int = 0
    feasible: int = 0
    by_limit: Counter[str] = field(default_factory=Counter)

    def count(self, broken: Iterable[str]) -> None:
        """Count one design and the limits that it breaks."""
        names = list(broken)
        self.proposed += 1
        self.feasible += not names
        self.by_limit.update(names)

    def add(self, other: Refusals) -> Refusals:
        """Return the sum of both."""
        return Refusals(
            proposed=self.proposed + other.proposed,
            feasible=self.feasible + other.feasible,
            by_limit=self.by_limit + other.by_limit,
        )

    def warning(self) -> str | None:
        """Return the sentence that says that hardly anything is feasible, or None where enough is."""
        if self.proposed < ENOUGH or self.feasible >= FEW * self.proposed:
            return None
        share = 100 * self.feasible / self.proposed
        worst = ", ".join(f"{name} refused {count}" for name, count in self.by_limit.most_common(3))
        fix = "Widen that limit, narrow the space, or add arch.width: fit to the space."
        if self.by_limit.most_common(1)[0][0] == UNBUILDABLE:
            fix = "Most cannot be built at all."
        return f"only {share:.2g} % of {self.proposed} proposals keep the limits ({worst}). {fix}"

    def as_json(self) -> dict[str, object]:
        """Return plain values, for a study's attribute."""
        return {"proposed": self.proposed, "feasible": self.feasible, "by_limit": dict(self.by_limit)}

    @staticmethod
    def from_json(raw: Mapping[str, object]) -> Refusals:
        """Return what `as_json` gave."""
        counts = raw.get("by_limit")
        return Refusals(
            proposed=int(str(raw.get("proposed", 0))),
            feasible=int(str(raw.get("feasible", 0))),
            by_limit=Counter(counts if isinstance(counts, dict) else {}),
        )


def broken_limits(margins: Iterable[Margin]) -> list[str]:
    """Return the names of the limits that are broken."""
    return [margin.limit for margin in margins if not margin.kept]

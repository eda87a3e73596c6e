"""Counts of what refused how many, and the warning that hardly anything is feasible."""

from __future__ import annotations

from archsearch.search.infeasible import InfeasibleCounts


def counted(feasible: int, *broken: str) -> InfeasibleCounts:
    found = InfeasibleCounts()
    for _ in range(feasible):
        found.count(())
    for name in broken:
        found.count([name])
    return found


def test_counts_add_up_and_survive_json() -> None:
    one = counted(1, "macs", "parameters", "parameters")
    both = one.add(InfeasibleCounts.from_json(one.as_json()))
    assert (both.proposed, both.feasible, both.by_limit) == (8, 2, {"macs": 2, "parameters": 4})


def test_below_one_percent_it_is_said_with_the_worst_limit() -> None:
    warning = counted(2, *["macs"] * 98, *["parameters"] * 400).warning()
    assert warning is not None
    assert "0.4 % of 500 proposals keep the limits (parameters: 400, macs: 98)" in warning


def test_above_one_percent_or_with_few_proposals_nothing_is_said() -> None:
    assert counted(5, *["macs"] * 495).warning() is None
    assert counted(0, *["macs"] * 20).warning() is None


def test_what_cannot_be_built_is_not_fixed_by_wider_limits() -> None:
    assert str(counted(0, *["design"] * 400).warning()).endswith("(design: 400). Most cannot be built at all.")

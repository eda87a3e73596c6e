"""What a search prints before its first trial."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from archsearch.errors import SpecError
from archsearch.search.queue import StudySnapshot
from archsearch.search.space import Choice, Range, Space
from archsearch.search.sweep import Sweep
from archsearch.settings.study import StudySettings
from hydra_plugins.archsearch_sweeper._forecast import (
    ENOUGH,
    Sample,
    draw_sample,
    forecast_text,
    listed_text,
    predicted_seconds,
    trial_seconds,
)


def candidate(seconds: float | None = None) -> Any:
    """Return a feasible candidate whose training is predicted to take so long."""
    training = None if seconds is None else SimpleNamespace(seconds=seconds)
    return SimpleNamespace(experiment=({}, SimpleNamespace(training=training)))


CANDIDATE = candidate()
THREE = Choice(options=("a", "b", "c"))


def sweep(trials: int = 10, workers: int = 1, **parameters: Any) -> Sweep:
    return Sweep(space=Space(parameters=parameters), settings=StudySettings(trials=trials, workers=workers))


def snapshot(*seconds: float | None) -> StudySnapshot:
    trained: Any = tuple(SimpleNamespace(user_attrs={"seconds": one}) for one in seconds)
    return StudySnapshot(trials=trained, known={}, trained=trained, failed=(), running=(), waiting=(), infeasible=0)


def test_all_designs_of_a_small_space_are_checked() -> None:
    seen = []

    def check(assignments: Any) -> Any:
        seen.append((assignments["one"], assignments["two"]))
        return CANDIDATE if assignments["one"] != "c" else None

    sample = draw_sample(sweep(one=THREE, two=THREE), check)
    assert (sample.drawn, len(sample.feasible), sample.all) == (9, 6, True)
    assert len(set(seen)) == 9


def test_a_large_space_is_sampled_and_the_sample_ends_in_time() -> None:
    large = sweep(width=Range(low=0.0, high=1.0, log=False, integer=False, step=None))
    assert draw_sample(large, lambda _: CANDIDATE, clock=lambda: 0.0).drawn == ENOUGH
    ticks = iter(range(100))
    sample = draw_sample(large, lambda _: None, seconds=5.0, clock=lambda: float(next(ticks)))
    assert (sample.drawn, len(sample.feasible), sample.all) == (5, 0, False)
    assert draw_sample(large, lambda _: None, seconds=0.0).drawn == 1


def test_a_space_without_a_design_that_can_be_built_says_why() -> None:
    def check(assignments: Any) -> Any:
        raise SpecError("arch.width", f"is wrong for {'c' if assignments['two'] == 'c' else 'most'}")

    space = sweep(one=THREE, two=THREE)
    text = forecast_text("x", space, draw_sample(space, check), snapshot())
    assert "9 designs; 0 of them are feasible; none can be built: arch.width: is wrong for most\n" in text
    some = draw_sample(space, lambda given: None if given["two"] == "c" else check(given))
    assert "9 designs; 0 of them are feasible\n" in forecast_text("x", space, some, snapshot())


def test_a_large_sample_gives_a_percentage() -> None:
    sample = Sample(drawn=200, feasible=[CANDIDATE] * 150)
    assert "; 75 % of 200 drawn at random are feasible\n" in forecast_text("x", sweep(one=THREE), sample, snapshot())


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"one": THREE, "two": THREE}, "space mine: 2 keys, 9 designs; 2 of 4 drawn at random are feasible"),
        ({f"key{place}": THREE for place in range(20)}, "space mine: 20 keys, about 3.5 x 10^9 designs; "),
        ({"one": THREE, "rate": Range(low=0.0, high=1.0, log=False, integer=False, step=None)},
         "space mine: 2 keys, 3 designs, and 1 in continuous ranges; "),
        ({"rate": Range(low=0.0, high=1.0, log=False, integer=False, step=None)}, "space mine: 1 key in continuous"),
    ],
)  # fmt: skip
def test_the_size_and_the_feasible_share(parameters: dict[str, Any], expected: str) -> None:
    sample = Sample(drawn=4, feasible=[CANDIDATE] * 2)
    first, _ = forecast_text("mine", sweep(**parameters), sample, snapshot()).splitlines()
    assert first.startswith(expected)


def test_the_share_of_a_space_that_was_checked_whole_is_a_count() -> None:
    sample = Sample(drawn=3, feasible=[CANDIDATE] * 2, all=True)
    assert "space: 1 key, 3 designs; 2 of them are feasible\n" in forecast_text(
        None, sweep(one=THREE), sample, snapshot()
    )


@pytest.mark.parametrize(
    ("finished", "workers", "expected"),
    [
        ((), 1, "0 of 10 trials trained; the time of a trial is unknown until the first one ends"),
        ((30.0, 50.0), 1, "2 of 10 trials trained; a trial takes about 40 s, the other 8 about 5 min 20 s"),
        (
            (30.0, 50.0),
            3,
            "2 of 10 trials trained; a trial takes about 40 s, the other 8 about 2 min with 3 workers",
        ),
        ((None,), 1, "1 of 10 trials trained; the time of a trial is unknown until the first one ends"),
    ],
)
def test_the_time_follows_from_the_trials_that_ended(
    finished: tuple[float | None, ...], workers: int, expected: str
) -> None:
    text = forecast_text("mine", sweep(workers=workers, one=THREE), Sample(drawn=1), snapshot(*finished))
    assert text.splitlines()[1] == expected


def test_a_trial_takes_the_mean_of_those_that_ended() -> None:
    assert trial_seconds(snapshot(1.0, 2.0, None)) == pytest.approx(1.5)
    assert trial_seconds(snapshot()) is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"budget": "2h"}, "0 trials trained, and the search ends after 2 h; a trial is predicted to take about"),
        (
            {"budget": 90, "trials": 4},
            "0 of 4 trials trained, and the search ends after 90 s; a trial is predicted",
        ),
        ({}, "0 of 50 trials trained; a trial is predicted to take about 60 s, the other 50 about 50 min"),
    ],
)
def test_a_budget_and_predicted_seconds(settings: dict[str, Any], expected: str) -> None:
    searched = Sweep(space=Space(parameters={"one": THREE}), settings=StudySettings(**settings))
    sample = Sample(drawn=2, feasible=[candidate(40.0), candidate(80.0)])
    assert forecast_text(None, searched, sample, snapshot()).splitlines()[1].startswith(expected)


def test_a_trial_at_a_rung_takes_its_share() -> None:
    sample = Sample(drawn=1, feasible=[candidate(90.0)])
    with_rungs = Sweep(space=Space(parameters={"one": THREE}), rungs=(1, 3, 9))  # of 13 trials 9, 3 and 1: 27 epochs
    assert predicted_seconds(sample, with_rungs) == pytest.approx(90 * 27 / 9 / 13)


def test_listed_designs_are_counted() -> None:
    assert listed_text(12, 2) == "12 designs listed, 2 of them infeasible"


def test_the_sample_of_a_shipped_space_needs_no_torch(printed_apart: Callable[[str], list[str]]) -> None:
    code = """
import sys
from archsearch.cli.compose import Composer
from archsearch.config_files import ConfigSources, config_folder, read_yaml
from archsearch.search.space import Choice, Space
from archsearch.search.sweep import Sweep
from hydra_plugins.archsearch_sweeper._experiment_task import ExperimentTasks
from hydra_plugins.archsearch_sweeper._forecast import draw_sample
task = ExperimentTasks(base=("data=shapes",), sources=ConfigSources(), fingerprint="")()
blocks, widths = Choice(options=("normal", "dilated")), Choice(options=(1.0, 8.0))
space = Space(parameters={"arch.stages.c1.block": blocks, "arch.width": widths})
sample = draw_sample(Sweep(space=space), task.preview, seconds=1000.0)
print(sample.drawn, len(sample.feasible), sample.all, "torch" in sys.modules)
"""
    assert printed_apart(code)[-1] == "4 2 True False"

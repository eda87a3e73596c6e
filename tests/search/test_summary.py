"""The summary of a sweep: the best trials, infeasible proposals, the command of the best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml
from search_fakes import FakeTask, make_settings, make_study, make_sweep

from archsearch.search.loop import work
from archsearch.search.queue import take_snapshot
from archsearch.search.space import Choice, Space
from archsearch.search.storage.database import Store
from archsearch.search.storage.read import trials_read
from archsearch.search.storage.rows import Row
from archsearch.search.storage.study import Study
from archsearch.search.summary import best_so_far, command_of, summarize, summary_text, write_best


def test_the_best_comes_first_with_its_command(study: Study) -> None:
    sweep = make_sweep(base=("data=shapes", "study.trials=6", "++arch.width=1"))
    work(study, sweep, FakeTask(most=20), seed=1)
    summary = summarize(study, sweep)
    values = [trial.values[0] for trial in summary.best if trial.values]
    assert values == sorted(values, reverse=True)
    best = summary.best[0].assignments
    chosen = f"a={best['a']} b={best['b']} block={best['block']}"
    expected = f"python -m archsearch.run data=shapes ++arch.width=1 train.epochs=3 {chosen}"
    assert summary.command == expected
    text = summary_text(study, sweep, summary)
    assert "6 complete" in text
    assert f"parameters: {summary.counts.by_limit['parameters']}" in text
    assert f"the best again: {expected}" in text
    path = write_best(study, sweep, summary)
    assert path is not None
    assert path == Path("outputs/sweep/best.yaml")
    assert yaml.safe_load(path.read_text())["values"] == {"accuracy": values[0]}
    assert path.read_text().startswith(f"# {expected}\n")


def test_the_best_so_far_is_that_of_all_calls(store: Store) -> None:
    study = make_study(store)
    assert best_so_far(study, take_snapshot(study.trials(), make_sweep().name)) is None
    work(study, make_sweep(), FakeTask(most=20), seed=1)
    work(study, make_sweep(make_settings(trials=9)), FakeTask(most=20), seed=2)
    best = max(study.trials(), key=lambda trial: trial.value if trial.value is not None else -1.0)
    found = best_so_far(study, take_snapshot(study.trials(), make_sweep().name))
    assert found is not None
    assert (found.values, found.number) == ((best.value,), best.number)


def test_repairs_are_part_of_the_command_and_unused_options_are_not(study: Study) -> None:
    sweep = make_sweep(make_settings(trials=1))
    work(study, sweep, FakeTask(), seed=1)
    trial = list(trials_read(study.trials()))[-1]
    more = {"repairs": {"arch.stages.c4.dilation": 3}, "unused": ["block"]}
    trial = replace(trial, attrs={**trial.attrs, **more})
    command = command_of(sweep, trial)
    assert "arch.stages.c4.dilation=3" in command
    assert "block=" not in command


def test_of_several_objectives_the_front_comes_first(store: Store) -> None:
    study = make_study(store, ("accuracy", "macs"))
    sweep = make_sweep(replace(make_settings("random"), objectives=("accuracy", "macs")))
    work(study, sweep, FakeTask(), seed=1)
    summary = summarize(study, sweep)
    assert len(summary.front) == len(
        {trial.values[0] for trial in summary.best if trial.values}
    )  # more MACs, more accuracy: all of them
    assert "a trial of the Pareto front again" in summary_text(study, sweep, summary)


def test_the_summary_of_a_search_without_trainings(study: Study) -> None:
    summary = summarize(study, make_sweep())
    assert summary_text(study, make_sweep(), summary) == "study shapes-tiny: nothing trained"
    assert write_best(study, make_sweep(), summary) is None


def test_the_summary_has_the_causes_of_designs_that_cannot_be_built(study: Study) -> None:
    sweep = make_sweep(make_settings(trials=2), space=Space(parameters={"block": Choice(options=("broken", "normal"))}))
    work(study, sweep, FakeTask(), seed=1)
    assert "\ncannot be built: block: cannot be built\n" in summary_text(study, sweep, summarize(study, sweep))


def test_trainings_of_fewer_epochs_stand_below_with_their_epochs(store: Store) -> None:
    study, sweep = make_study(store), make_sweep(rungs=(2, 6))
    for number, rung in enumerate([2, None, 2]):
        attrs = {
            "sweep": sweep.name,
            "key": f"{number}",
            "state_reason": "complete",
            **({"rung": rung} if rung else {}),
        }
        study.write([Row(state="complete", params={"a": 1 + number}, attrs=attrs, values=(0.9 - 0.1 * number,))])
    summary = summarize(study, sweep)
    assert [trial.number for trial in summary.best] == [1, 0, 2]
    table = summary_text(study, sweep, summary).split("\n\n")[1].splitlines()
    assert [line.split()[:3] for line in table] == [
        ["trial", "epochs", "accuracy"], ["1", "all", "80.00"], ["0", "2", "90.00"], ["2", "2", "70.00"]
    ]  # fmt: skip


def test_settings_that_the_best_trials_share_are_left_out(store: Store) -> None:
    study, sweep = make_study(store), make_sweep()
    for number in range(2):
        attrs = {"sweep": sweep.name, "key": f"{number}", "state_reason": "complete"}
        params = {"a": 1 + number, "b": 2, "block": "normal"}
        study.write([Row(state="complete", params=params, attrs=attrs, values=(0.9 - 0.1 * number,))])
    summary = summarize(study, sweep)
    table = summary_text(study, sweep, summary).split("\n\n")[1].splitlines()
    assert [line.split()[-1] for line in table[1:]] == ["a=1", "a=2"]
    alone = replace(summary, best=summary.best[:1])
    assert "b=2" in summary_text(study, sweep, alone)

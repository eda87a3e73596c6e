"""The search loop with a fake task: every sampler, resume, duplicates, failures, grids; what identifies a sweep."""

from __future__ import annotations

import gc
import signal
from dataclasses import replace
from typing import Any

import pytest
from search_fakes import FakeTask, make_settings, make_study, make_sweep

from archsearch.errors import DeviceMemoryError, DivergedError, InterruptedRun, SpecError
from archsearch.search.heartbeat import worker_name
from archsearch.search.loop import Event, SearchStopped, _deferred_garbage_collection, enqueue, is_done, work
from archsearch.search.space import Choice, Range, Space
from archsearch.search.storage.database import Store
from archsearch.search.storage.study import Study
from archsearch.search.storage.write import Row
from archsearch.search.sweep import Sweep
from archsearch.search.task import Job, Outcome
from archsearch.settings.study import PrunerSettings
from archsearch.signals import StopRequest


def reasons(study: Study) -> list[str]:
    return [str(trial.user_attrs.get("state_reason")) for trial in study.trials()]


@pytest.mark.parametrize("name", ["random", "tpe", "nsgaii", "qmc", "footprint"])
def test_every_sampler_trains_feasible_designs_once(study: Study, name: str) -> None:
    task = FakeTask(most=20)
    work(study, make_sweep(make_settings(name)), task, seed=1)
    assert reasons(study).count("complete") == len(task.trained) == 6
    assert all(task.size(one) <= 20 for one in task.trained)
    refused = [trial for trial in study.trials() if trial.user_attrs["state_reason"] == "infeasible"]
    assert refused
    assert all(trial.constraints["parameters"] > 0 and trial.state.name == "PRUNED" for trial in refused)
    assert len({trial.user_attrs["key"] for trial in study.trials() if "key" in trial.user_attrs}) == 6


def test_a_second_run_continues_to_the_new_total(study: Study) -> None:
    task = FakeTask()
    work(study, make_sweep(), task, seed=1)
    work(study, make_sweep(), task, seed=1)
    assert len(task.trained) == 6
    work(study, make_sweep(make_settings(trials=8)), task, seed=1)
    assert len(task.trained) == reasons(study).count("complete") == 8
    assert [trial.number for trial in study.trials()] == list(range(len(study.trials())))


def test_an_exhausted_space_ends_the_search(study: Study) -> None:
    events: list[Event] = []
    space = Space(parameters={"a": Choice(options=(1, 2)), "b": Choice(options=(1, 2))})
    task = FakeTask()
    work(study, make_sweep(space=space), task, listen=events.append, seed=1)
    assert len(task.trained) == 3  # b does not count where a is 1
    assert "the space has no other feasible design" in events[-1].text


def test_a_design_that_cannot_be_built_is_infeasible(study: Study) -> None:
    space = Space(parameters={"block": Choice(options=("broken", "normal"))})
    work(study, make_sweep(space=space, settings=make_settings(trials=1)), FakeTask(), seed=3)
    refused = [trial for trial in study.trials() if trial.user_attrs["state_reason"] == "infeasible"]
    assert all(trial.user_attrs["cause"] == "block: cannot be built" for trial in refused)
    assert reasons(study).count("complete") == 1


def test_an_interrupted_trial_is_released_and_resumed(study: Study) -> None:
    def interrupt(job: Job) -> None:
        if not job.resume:
            job.on_epoch(1, 0.5)
            raise InterruptedRun("stopped")

    task = FakeTask(on_train=interrupt)
    with pytest.raises(InterruptedRun):
        work(study, make_sweep(make_settings(trials=1)), task, seed=1)
    assert [trial.state.name for trial in study.trials()] == ["WAITING"]
    work(study, make_sweep(make_settings(trials=1)), task, seed=1)
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE"]
    assert task.resumed == [0]


def test_a_stop_between_claim_and_training_releases_the_trial(study: Study) -> None:
    def stop(event: Event) -> None:
        if event.kind == "claimed":
            raise KeyboardInterrupt

    task = FakeTask()
    with pytest.raises(KeyboardInterrupt):
        work(study, make_sweep(make_settings(trials=1)), task, listen=stop, seed=1)
    assert [(trial.state.name, trial.user_attrs["worker"]) for trial in study.trials()] == [("WAITING", "")]
    work(study, make_sweep(make_settings(trials=1)), task, seed=1)
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE"]


def test_a_signal_interrupts_no_transaction(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent while an epoch is written down: the training ends after that, and is given back."""
    write, storage = study.store.storage.set_trial_intermediate_value, study.store.storage

    def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        write(*arguments)

    def report(job: Job) -> None:
        job.on_epoch(1, 0.5)
        pytest.fail("the training went on")

    monkeypatch.setattr(storage, "set_trial_intermediate_value", interrupted)
    with pytest.raises(KeyboardInterrupt):
        work(study, make_sweep(make_settings(trials=1)), FakeTask(on_train=report), seed=1)
    assert [(trial.state.name, dict(trial.intermediate_values)) for trial in study.trials()] == [("WAITING", {1: 0.5})]


def test_a_signal_that_a_training_handles_ends_the_search_too(study: Study) -> None:
    """As where it comes while the trained network is tested: the training ends well, and no other is begun."""

    class Finishing(FakeTask):
        def train(self, job: Job) -> Outcome:
            with StopRequest():
                outcome = super().train(job)
                signal.raise_signal(signal.SIGINT)
            return outcome

    with pytest.raises(KeyboardInterrupt):
        work(study, make_sweep(make_settings(trials=3)), Finishing(), seed=1)
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE"]


def test_the_trial_of_a_dead_worker_is_resumed_and_counted_once(study: Study) -> None:
    sweep, task = make_sweep(make_settings(trials=2)), FakeTask()
    attrs = {"sweep": sweep.name, "key": "k", "worker": "", "run_dir": "outputs/x"}
    study.write([Row(state="running", params={"a": 2, "b": 3, "block": "normal"}, attrs=attrs)])
    work(study, sweep, task, seed=1)
    assert task.resumed == [0]
    assert len(task.trained) == 1
    assert reasons(study) == ["complete", "complete"]


def test_out_of_memory_is_retried_once_at_half_the_batch(study: Study) -> None:
    def fail(job: Job) -> None:
        if "halved" not in job.candidate.experiment:
            raise DeviceMemoryError("too small")

    work(study, make_sweep(make_settings(trials=1)), FakeTask(on_train=fail), seed=1)
    assert reasons(study) == ["complete"]
    assert "halved" in study.trials()[0].user_attrs["batch"]


def test_a_halved_training_is_resumed_at_half_the_batch(study: Study) -> None:
    def refuse(job: Job) -> None:
        if "halved" not in job.candidate.experiment:
            raise SpecError("resume", "the checkpoint differs in train.batch_size (128, now 256)")
        assert job.resume

    sweep, task = make_sweep(make_settings(trials=1)), FakeTask(on_train=refuse)
    attrs = {"sweep": sweep.name, "key": "k", "worker": "", "run_dir": "outputs/x"}
    study.write([Row(state="running", params={"a": 2, "b": 3, "block": "normal"}, attrs=attrs)])
    work(study, sweep, task, seed=1)
    assert (task.trained, task.resumed) == ([], [0, 0])
    assert reasons(study) == ["complete"]
    assert "halved" in study.trials()[0].user_attrs["batch"]


def test_a_checkpoint_of_another_run_is_a_failure(study: Study) -> None:
    def refuse(job: Job) -> None:
        raise SpecError("resume", "the checkpoint differs in train.epochs (3, now 4)")

    sweep = make_sweep(make_settings(trials=1, max_failures=1))
    attrs = {"sweep": sweep.name, "key": "k", "worker": "", "run_dir": "outputs/x"}
    study.write([Row(state="running", params={"a": 2, "b": 3, "block": "normal"}, attrs=attrs)])
    with pytest.raises(SearchStopped, match=r"differs in train\.epochs"):
        work(study, sweep, FakeTask(on_train=refuse), seed=1)


def no_room(job: Job) -> None:
    raise DeviceMemoryError("cuda has not enough memory")


PATIENT = 3600.0  # seconds of grace: the trial below has no heartbeat, and a busy machine may stall for one second


def write_another_workers_trial(study: Study, sweep: Sweep) -> None:
    attrs = {"sweep": sweep.name, "key": "k", "worker": worker_name(), "run_dir": "outputs/x"}
    study.write([Row(state="running", params={"a": 2, "b": 3, "block": "normal"}, attrs=attrs)])


def test_a_worker_without_memory_for_its_first_training_leaves_it_to_other_workers(study: Study) -> None:
    sweep, heard = make_sweep(make_settings(trials=3, grace=PATIENT)), list[Event]()
    write_another_workers_trial(study, sweep)
    work(study, sweep, FakeTask(on_train=no_room), seed=1, listen=heard.append)
    assert [trial.state.name for trial in study.trials()] == ["RUNNING", "WAITING"]
    assert study.trials()[1].user_attrs["worker"] == ""
    notes = [event.text for event in heard if event.kind == "note"]
    assert notes == ["a worker stopped, the others continue: cuda has not enough memory"]
    assert [event.end.state for event in heard if event.end is not None] == ["released"]


def test_without_other_workers_missing_memory_is_a_failure(study: Study) -> None:
    with pytest.raises(SearchStopped, match="not enough memory"):
        work(study, make_sweep(make_settings(max_failures=2)), FakeTask(on_train=no_room), seed=1)
    assert reasons(study) == ["failed", "failed"]


def test_after_a_first_training_missing_memory_is_a_failure_of_the_design(study: Study) -> None:
    """Or it would end for one design that is too large for the device."""

    def second(job: Job) -> None:
        if job.number == 2:
            no_room(job)

    sweep = make_sweep(make_settings(trials=3, max_failures=1, grace=PATIENT))
    write_another_workers_trial(study, sweep)
    with pytest.raises(SearchStopped, match="not enough memory"):
        work(study, sweep, FakeTask(on_train=second), seed=1)
    assert [trial.state.name for trial in study.trials()] == ["RUNNING", "COMPLETE", "FAIL"]


def test_divergence_is_pruned_and_counts(study: Study) -> None:
    def diverge(job: Job) -> None:
        raise DivergedError("the loss is not a number")

    work(study, make_sweep(make_settings(trials=2)), FakeTask(on_train=diverge), seed=1)
    assert reasons(study) == ["diverged", "diverged"]
    assert [trial.state.name for trial in study.trials()] == ["PRUNED", "PRUNED"]


@pytest.mark.parametrize(
    ("most", "message"),
    [
        (1, r"^trial 0 failed: .*ValueError: wrong shape"),
        (3, r"^the last 3 trainings failed; the last one: trial 2 failed: .*ValueError: wrong shape"),
    ],
)
def test_failures_in_a_row_stop_the_search_with_the_cause(study: Study, most: int, message: str) -> None:
    def fail(job: Job) -> None:
        raise ValueError("wrong shape")

    with pytest.raises(SearchStopped, match=message):
        work(study, make_sweep(make_settings(max_failures=most)), FakeTask(on_train=fail), seed=1)
    assert [trial.state.name for trial in study.trials()] == ["FAIL"] * most
    assert "wrong shape" in study.trials()[0].user_attrs["traceback"]


def test_one_failure_does_not_end_a_search_nor_count(study: Study) -> None:
    def fail(job: Job) -> None:
        if job.number == 1:
            raise ValueError("once")

    work(study, make_sweep(), FakeTask(on_train=fail), seed=1)
    assert reasons(study).count("complete") == 6
    assert reasons(study).count("failed") == 1


def test_the_median_pruner_prunes_trainings(study: Study) -> None:
    task = FakeTask(epochs=6)
    work(study, make_sweep(make_settings(pruner="median", trials=14)), task, seed=1)
    assert reasons(study).count("pruned") >= 1
    assert len(task.trained) == 14


def test_the_gaussian_process_of_optuna_trains_feasible_designs_once(study: Study) -> None:
    task = FakeTask(most=20)
    work(study, make_sweep(make_settings("gp")), task, seed=1)  # four at random, two by the model
    assert reasons(study).count("complete") == len(task.trained) == 6
    assert all(task.size(one) <= 20 for one in task.trained)


def test_hyperband_prunes_trainings(study: Study) -> None:
    sweep = make_sweep(make_settings(pruner="hyperband", trials=14), epochs=9)
    task = FakeTask(epochs=9)
    work(study, sweep, task, seed=1)
    assert reasons(study).count("pruned") >= 1
    assert reasons(study).count("complete") >= 1
    assert len(task.trained) == 14


def test_the_patient_pruner_prunes_a_training_without_improvement(study: Study) -> None:
    class Flat(FakeTask):
        def train(self, job: Job) -> Outcome:
            for epoch in range(1, 9):
                if job.on_epoch(epoch, 0.5):
                    return Outcome(measures={}, pruned=True)
            return Outcome(measures={"accuracy": 0.5})

    settings = replace(make_settings(trials=2), pruner=PrunerSettings(name="patient", patience=3))
    work(study, make_sweep(settings), Flat(), seed=1)
    assert reasons(study) == ["pruned", "pruned"]
    assert [max(trial.intermediate_values) for trial in study.trials()] == [4, 4]


def test_several_objectives(store: Store) -> None:
    study = make_study(store, ("accuracy", "macs"))
    settings = replace(make_settings("nsgaii"), objectives=("accuracy", "macs"))
    work(study, make_sweep(settings), FakeTask(), seed=1)
    assert [len(trial.values) for trial in study.trials()] == [2] * 6


def test_a_grid_trains_every_combination_once_and_is_resumed(study: Study) -> None:
    space = Space(parameters={"a": Choice(options=(1, 2)), "b": Choice(options=(1, 2, 30))})
    sweep, task = make_sweep(space=space, exhaustive=True), FakeTask(most=20)
    assert enqueue(study, sweep, task) == 6
    assert enqueue(study, sweep, task) == 6
    assert not is_done_now(study, sweep)
    work(study, sweep, task)
    # a=1 makes b count for nothing: (1, 2) is answered by (1, 1); b=30 is too large
    assert sorted(reasons(study)) == ["complete", "complete", "complete", "duplicate", "infeasible", "infeasible"]
    assert len(task.trained) == 3
    answered = next(trial for trial in study.trials() if trial.user_attrs["state_reason"] == "duplicate")
    assert answered.value == study.trials()[answered.user_attrs["duplicate_of"]].value
    assert is_done_now(study, sweep)


def is_done_now(study: Study, sweep: object) -> bool:
    from archsearch.search.queue import take_snapshot

    return is_done(take_snapshot(study.trials(), sweep.name), sweep)  # type: ignore[attr-defined, arg-type]


def test_the_name_of_a_sweep_is_independent_of_length_sampler_and_tracking() -> None:
    sweep = make_sweep()
    assert make_sweep(make_settings("tpe", trials=99, workers=4)).name == sweep.name
    assert replace(sweep, fixed={"train.epochs": 4}).name != sweep.name
    assert replace(sweep, base=("block=dilated",)).name != sweep.name
    assert replace(sweep, base=("tracking=mlflow", "tracking.address=http://host")).name == sweep.name


def test_combinations_are_in_the_order_of_hydra() -> None:
    space = Space(parameters={"a": Choice(options=(1, 2)), "b": Range(low=3, high=4, integer=True)})
    found = [tuple(point.values()) for point in make_sweep(space=space).combinations()]
    assert found == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_a_space_without_parameters_is_one_combination() -> None:
    assert list(make_sweep(space=Space(parameters={})).combinations()) == [{}]


def test_a_continuum_has_no_combinations() -> None:
    sweep = make_sweep(space=Space(parameters={"rate": Range(low=0.1, high=1.0)}))
    with pytest.raises(SpecError, match="rate: is continuous"):
        list(sweep.combinations())


def test_too_many_combinations_are_an_error_with_a_fix() -> None:
    space = Space(parameters={f"p{i}": Choice(options=tuple(range(10))) for i in range(6)})
    with pytest.raises(SpecError, match=r"1 000 000 combinations are too many.*sampler=footprint"):
        list(make_sweep(space=space).combinations())


def test_present_objects_are_frozen_within_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    freezes: list[int] = []
    freeze = gc.freeze
    monkeypatch.setattr(gc, "freeze", lambda: (freezes.append(1), freeze()))
    before = gc.get_freeze_count()
    with _deferred_garbage_collection() as settle:
        assert gc.get_freeze_count() == before
        settle()
        once = gc.get_freeze_count()
        assert once > 1000
        later = [[] for _ in range(100)]
        settle()
        assert len(freezes) == 1
        assert gc.get_freeze_count() <= once  # frozen objects whose last reference is dropped are still freed
        assert any(each is later for each in gc.get_objects())
    assert gc.get_freeze_count() == 0


def test_an_error_unfreezes_them() -> None:
    def work() -> None:
        with _deferred_garbage_collection() as settle:
            settle()
            raise ValueError("of the search")

    with pytest.raises(ValueError, match="of the search"):
        work()
    assert gc.get_freeze_count() == 0

"""Predictions where commands use them: the limit in `show` and `run`, the objective, the cost of a search's trials."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archsearch.analysis.limits import LIMITS, margin_text
from archsearch.cli.compose import Composer
from archsearch.config_files import ConfigSources
from archsearch.cost import store
from archsearch.cost.model import StepModel, TrainingTime
from archsearch.cost.training_time import TrainingTimes, length_of
from archsearch.errors import SpecError
from archsearch.search.evaluator import LOG_SECONDS, Evaluator
from archsearch.settings.data import DataSettings, ShapesSettings, image_counts
from archsearch.settings.study import SamplerSettings
from archsearch.settings.training import OptimizerSettings, TrainSettings
from archsearch.show import main as show
from hydra_plugins.archsearch_sweeper._experiment_task import ExperimentTask, ExperimentTasks, _as_claimed

SMALL = ["data=shapes", "data.shapes.train_images=1000", "arch=c1c2c3c4", "constraints=none"]


def with_cache(cache: Path, *more: str) -> list[str]:
    return [*SMALL, f"data.cache={cache}", *more]


def never(train: TrainSettings, optimizer: OptimizerSettings) -> StepModel:
    raise AssertionError("the model is there")


def test_the_length_of_a_training_counts_epochs_batches_and_evaluations() -> None:
    train = TrainSettings(epochs=5, batch_size=100, eval_every=2, recalibrate=64)
    length = length_of(train, 950, 40)
    assert (length.batch, length.steps, length.evaluated) == (100, 5 * 9, 3 * 40 + 64)
    assert length_of(train, 30, 0).batch == 30


def test_images_are_counted_without_reading_one() -> None:
    assert image_counts(DataSettings(name="cifar10")) == (45_000, 5_000)
    assert image_counts(DataSettings(name="auto", validation=0.0, limit_train=2_000)) == (2_000, 0)
    assert image_counts(DataSettings(name="shapes", shapes=ShapesSettings(train_images=100))) == (90, 10)
    assert image_counts(DataSettings(name="folder", root="images")) is None


def test_show_says_the_seconds_their_error_and_the_limit(
    cached: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cached()
    limit = "constraints.train_seconds={below: 100000}"
    assert show([*with_cache(tmp_path), limit, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    (margin,) = record["margins"]
    # 24 epochs of 3 steps of 256 images, and 100 images evaluated in each at half the price.
    images = 24 * 3 * 256 + 24 * 100 * 0.5
    assert margin["found"] == pytest.approx(images * record["macs"] * 1e-9, rel=0.05)
    assert (margin["error"], margin["kept"]) == (0.125, True)
    assert record["train_seconds"] == {"seconds": margin["found"], "error": 0.125}
    assert show([*with_cache(tmp_path), limit]) == 0
    out = capsys.readouterr().out
    assert (
        f"kept   train_seconds  {margin['found']:,}".replace(",", " ") + " s +- 12 % (predicted), must be below" in out
    )


def test_a_broken_limit_on_seconds_ends_with_2_and_gives_fixes_that_keep_it(
    cached: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cached()
    assert show([*with_cache(tmp_path), "constraints.train_seconds={below: 100}"]) == 2
    out = capsys.readouterr().out
    assert "BROKEN train_seconds" in out
    assert "fix: arch.width=" in out
    width = out.partition("fix: ")[2].split()[0]
    assert show([*with_cache(tmp_path), "constraints.train_seconds={below: 100}", width]) == 0


def test_the_objective_alone_shows_the_seconds_as_well(
    cached: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cached()
    assert show([*with_cache(tmp_path), "study.objectives=[accuracy,train_seconds]"]) == 0
    assert "training, predicted" in capsys.readouterr().out
    assert show(with_cache(tmp_path)) == 0
    assert "predicted" not in capsys.readouterr().out


def test_show_imports_no_torch_where_the_model_is_there(cached: Callable[..., Path], tmp_path: Path) -> None:
    cached()
    arguments = [*with_cache(tmp_path), "constraints.train_seconds={below: 100000}"]
    program = (
        f"import sys; from archsearch.show import main; assert main({arguments!r}) == 0; "
        "assert not {'torch', 'numpy', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_model_is_measured_once_and_kept(model: StepModel, tmp_path: Path) -> None:
    calls: list[TrainSettings] = []
    notes: list[str] = []

    def measure(train: TrainSettings, optimizer: OptimizerSettings) -> StepModel:
        calls.append(train)
        return model

    settings = TrainSettings(epochs=3), OptimizerSettings(name="muon"), DataSettings(name="shapes", cache=str(tmp_path))
    TrainingTimes(notes.append, measure).predictor(*settings)
    assert len(calls) == len(notes) == 1
    found = TrainingTimes(notes.append, never).predictor(*settings)
    assert found.model == model
    assert len(notes) == 1


def test_of_two_workers_that_start_together_one_measures(model: StepModel, tmp_path: Path) -> None:
    second_asks = threading.Event()
    asked: list[Future[TrainingTime]] = []
    settings = TrainSettings(), OptimizerSettings(), DataSettings(name="shapes", cache=str(tmp_path))

    def measure(train: TrainSettings, optimizer: OptimizerSettings) -> StepModel:
        asked.append(pool.submit(TrainingTimes(lambda _: second_asks.set(), never).predictor, *settings))
        assert second_asks.wait(60)
        return model

    with ThreadPoolExecutor(1) as pool:
        assert TrainingTimes(measure=measure).predictor(*settings).model == model
        assert asked[0].result(60).model == model


def test_a_measurement_that_never_ends_does_not_stop_the_others(tmp_path: Path) -> None:
    file = tmp_path / "new" / "model.json"
    with store.measuring(file), store.measuring(file, patience=0.01):
        store.observe(file, 1.0, 2.0)
    assert store.observed(file) == [2.0]


def test_without_a_lock_every_process_measures(model: StepModel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = TrainSettings(), OptimizerSettings(), DataSettings(name="shapes", cache=str(tmp_path / "file"))
    for _ in range(2):
        assert TrainingTimes(measure=lambda *_: model).predictor(*settings).model == model


def test_a_finished_training_corrects_the_next_prediction(cached: Callable[..., Path], tmp_path: Path) -> None:
    cached()
    settings = TrainSettings(), OptimizerSettings(name="muon"), DataSettings(name="shapes", cache=str(tmp_path))
    times = TrainingTimes(measure=never)
    assert times.predictor(*settings).correction.factor == 1.0
    for _ in range(6):
        times.learn(*settings, predicted=10.0, seconds=20.0)
    assert 1.5 < times.predictor(*settings).correction.factor < 2.0
    assert times.predictor(*settings).correction.error < 0.5
    assert TrainingTimes(measure=never).predictor(*settings).correction.factor > 1.5


@pytest.fixture
def tasks(cached: Callable[..., Path], tmp_path: Path) -> Callable[..., ExperimentTask]:
    """Return a function that makes a task of 900 training and 100 validation images."""
    cached()

    def make(*base: str) -> ExperimentTask:
        given = tuple(with_cache(tmp_path, *base))
        return ExperimentTasks(base=given, sources=ConfigSources(), fingerprint="f", images=(900, 100))()

    return make


def test_a_candidate_carries_its_seconds_as_a_feature_an_attribute_and_a_margin(
    tasks: Callable[..., ExperimentTask],
) -> None:
    task = tasks("constraints.train_seconds={below: 100000}")
    candidate, wider = task.check({"arch.width": 1.0}), task.check({"arch.width": 2.0})
    assert candidate.kept
    seconds = candidate.experiment[1].training.seconds
    assert task.describe(candidate)["train_seconds"] == pytest.approx(seconds, abs=0.001)
    assert wider.features[LOG_SECONDS] > candidate.features[LOG_SECONDS]
    assert [margin.limit for margin in candidate.margins] == ["train_seconds"]
    assert not tasks("constraints.train_seconds={below: 1}").check({"arch.width": 1.0}).kept


def test_epochs_of_a_candidate_count(tasks: Callable[..., ExperimentTask]) -> None:
    task = tasks("study.objectives=[accuracy,train_seconds]")
    one, two = (task.check({"train.epochs": epochs}).experiment[1].training.seconds for epochs in (5, 10))
    assert two == pytest.approx(2 * one)


def test_a_width_that_fits_the_seconds_is_kept_with_the_trial(tasks: Callable[..., ExperimentTask]) -> None:
    """Later predictions differ, and so would a width that is fitted again: the trial's own is part of its repairs."""
    task = tasks("constraints.train_seconds={below: 100}")
    found = task.check({"arch.width": "fit"})
    width = found.experiment[1].design.width
    assert found.kept
    assert dict(found.repairs) == {"arch.width": width}
    again = tasks("constraints.train_seconds={below: 50}").check({**found.assignments, **found.repairs})
    assert not again.kept
    assert again.experiment[1].design_id == found.design_id


def test_a_claimed_trial_is_trained_though_its_prediction_has_grown(tasks: Callable[..., ExperimentTask]) -> None:
    from archsearch.search.task import Job

    candidate = tasks("constraints.train_seconds={below: 1}", "constraints.macs={below: 1}").check({})
    job = Job(number=0, candidate=candidate, run_dir=Path("x"), on_epoch=lambda *_: False)
    margins = _as_claimed(job).candidate.experiment[1].margins
    assert [margin.limit for margin in candidate.margins] == ["macs", "train_seconds"]
    assert [margin.limit for margin in margins] == ["macs"]  # a limit of the design is one still


def test_nothing_is_predicted_where_nobody_asks(tmp_path: Path) -> None:
    composer = Composer(with_cache(tmp_path))
    found = Evaluator(composer.compose, composer.blocks, fingerprint="f")({})
    assert found.experiment[1].training is None
    assert LOG_SECONDS not in found.features


def test_the_margin_as_text_has_its_error_and_old_margins_are_read() -> None:
    from archsearch.analysis.limits import Margin

    margin = Margin(limit="train_seconds", bound={"below": 300}, found=412.25, kept=False, slack=-0.37, error=0.118)
    assert margin_text(margin) == "412.25 s +- 12 % (predicted), must be below 300"
    assert margin_text(replace(margin, error=None)) == "412.25 s (predicted), must be below 300"
    assert LIMITS["train_seconds"].grows_with_width


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"below": -1}, "no design keeps it"),
        ({"below": 0}, "no design keeps it"),
        ({"above": 0.5, "below": 0.5}, "no design keeps it"),
        ({"at_least": 0.5, "at_most": 0.4}, "no design keeps it"),
        ({}, "no bound given"),
        ("fast", "must be a mapping"),
        ({"under": 3}, "unknown key"),
        ({"below": "3 min"}, "must be a number"),
    ],
)
def test_wrong_limits_are_errors(value: Any, message: str) -> None:
    from archsearch.analysis.limits import decode_limits

    with pytest.raises(SpecError, match=message) as error:
        decode_limits({"train_seconds": value})
    assert error.value.where.startswith("constraints.train_seconds")


@pytest.mark.parametrize(
    "bounds",
    [
        {"above": 0.2, "below": 0.8},
        {"at_least": 1.2, "at_most": 1.8},
        {"at_least": 0.5, "at_most": 0.5},
        {"above": 0.2, "below": 1},
        {"below": 0.5},
    ],
)
def test_seconds_between_two_whole_numbers_are_a_limit(bounds: dict[str, float]) -> None:
    from archsearch.analysis.limits import decode_limits

    limits = decode_limits({"train_seconds": bounds})
    assert limits.train_seconds is not None
    assert {name: getattr(limits.train_seconds, name) for name in bounds} == bounds


def test_a_cost_is_for_the_sampler_footprint() -> None:
    assert SamplerSettings(cost="train_seconds").cost == "train_seconds"
    with pytest.raises(SpecError, match="the sampler 'tpe' takes no cost into account"):
        SamplerSettings(name="tpe", cost="train_seconds")


def test_finished_trainings_lie_beside_the_model(cached: Callable[..., Path], tmp_path: Path) -> None:
    file = cached()
    settings = TrainSettings(), OptimizerSettings(name="muon"), DataSettings(name="shapes", cache=str(tmp_path))
    TrainingTimes(measure=never).learn(*settings, predicted=4.0, seconds=6.0)
    assert store.observed(file) == [1.5]
    assert sorted(one.name for one in file.parent.iterdir()) == [f"{file.stem}.json", f"{file.stem}.trained.jsonl"]

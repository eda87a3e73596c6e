"""One run from a checked design to its files, and the tracker that follows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from archsearch import load
from archsearch.errors import DeviceMemoryError, DivergedError, InterruptedRun, LimitError, SpecError
from archsearch.runs.execute import TrackedProgress, execute, settings_of
from archsearch.settings.tracking import TrackingSettings
from archsearch.tracking import guarded
from archsearch.tracking.base import End, Tracked
from archsearch.tracking.guarded import GuardedTracker
from archsearch.training.progress import Silent

Make = Callable[..., Any]


@pytest.mark.pictures
def test_a_run_leaves_its_files(tiny: Make, tmp_path: Path) -> None:
    experiment, checked, dataset = tiny()
    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset)
    names = {file.name for file in (tmp_path / "run").iterdir()}
    drawn = {"curves.png", "design.png", "card.png", "card.json"}
    assert names == {"design.yaml", "metrics.jsonl", "result.json", "model.safetensors", *drawn}
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert record == outcome.record
    assert record["parameters"] == checked.footprint.parameters
    assert record["images"] == {"train": 50, "validation": 10, "test": 20}


def test_the_result_is_reported_once_it_is_on_disk_and_before_anything_is_drawn(tiny: Make, tmp_path: Path) -> None:
    experiment, checked, dataset = tiny()
    received: list[dict[str, Any]] = []

    def receive(record: dict[str, Any]) -> None:
        received.append(json.loads((tmp_path / "run" / "result.json").read_text()))
        assert record == received[0]
        assert not list((tmp_path / "run").glob("*.png"))

    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset, on_result=receive)
    assert received == [outcome.record]


def test_two_runs_of_one_seed_are_one_run(tiny: Make, tmp_path: Path) -> None:
    weights: list[torch.Tensor] = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        experiment, checked, dataset = tiny(f"seed={seed}")
        execute(experiment, checked, tmp_path / name, dataset=dataset)
        weights.append(load(tmp_path / name).state_dict()["head.linear.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_run_begins_with_the_weights_of_a_file(tiny: Make, tmp_path: Path) -> None:
    experiment, checked, dataset = tiny()
    execute(experiment, checked, tmp_path / "a", dataset=dataset)
    file = tmp_path / "a" / "model.safetensors"
    still = ("optimizer=sgd", "optimizer.learning_rate=1e-12", "optimizer.weight_decay=0", f"train.weights={file}")
    experiment, checked, dataset = tiny(*still, "seed=1")
    execute(experiment, checked, tmp_path / "b", dataset=dataset)
    one, other = (load(tmp_path / name).state_dict()["head.linear.weight"] for name in ("a", "b"))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kernels", ["torch", "auto"])
def test_grey_images_of_28_px_are_trained_on(tiny: Make, tmp_path: Path, kernels: str) -> None:
    shape = ["data.channels=1", "data.image_size=28", "data.resize=true"]
    experiment, checked, dataset = tiny(*shape, f"train.kernels={kernels}", "augment=strong")
    assert checked.plan.input_shape == (1, 28, 28)
    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset)
    assert outcome.record["accuracy"]["test"] is not None
    assert outcome.record["notices"] == []
    assert load(tmp_path / "run", takes="uint8")(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape == (2, 10)


def test_a_broken_limit_trains_nothing(tiny: Make, tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("constraints.parameters={below: 10}")
    with pytest.raises(LimitError, match="must be below 10"):
        execute(experiment, checked, tmp_path / "run", dataset=dataset)
    assert not (tmp_path / "run").exists()


def test_a_device_that_others_have_filled_is_out_of_memory_too(tiny: Make, tmp_path: Path, monkeypatch: Any) -> None:
    """The augmentation is the first that asks for some of it."""

    def fail(*given: Any, **more: Any) -> None:
        raise RuntimeError("CUDA error: out of memory")

    experiment, checked, dataset = tiny()
    monkeypatch.setattr("archsearch.augment.make.make_augmenter", fail)
    with pytest.raises(DeviceMemoryError, match=r"\(CUDA error: out of memory\)\. Set train\.batch_size="):
        execute(experiment, checked, tmp_path / "run", dataset=dataset)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("arch.head.classes=7", "arch.head.classes: is 7, but shapes has 10. Set arch.head.classes=10."),
        ("arch.input=[3,16,16]", "arch.input: is [3, 16, 16], but images are 3 x 32 x 32. Set arch.input=[3,32,32]"),
        ("arch.input=[3,16,16]", "Set arch.input=[3,32,32], or data.image_size=16 data.resize=true."),
        ("arch.input=[1,32,32]", "Set arch.input=[3,32,32], or data.channels=1."),
    ],
)
def test_a_design_that_does_not_fit_the_images_is_refused(
    tiny: Make, tmp_path: Path, override: str, message: str
) -> None:
    experiment, checked, dataset = tiny(override)
    with pytest.raises(SpecError) as caught:
        execute(experiment, checked, tmp_path / "run", dataset=dataset)
    assert message in str(caught.value)


def test_on_epoch_can_stop_it_and_the_test_set_can_be_left_alone(tiny: Make, tmp_path: Path) -> None:
    experiment, checked, dataset = tiny("train.epochs=3")
    seen: list[tuple[int, float]] = []

    def on_epoch(epoch: int, accuracy: float) -> bool:
        seen.append((epoch, accuracy))
        return True

    outcome = execute(experiment, checked, tmp_path / "run", dataset=dataset, on_epoch=on_epoch, evaluate_test=False)
    assert len(seen) == 1
    assert outcome.result.pruned
    assert outcome.record["accuracy"]["test"] is None


TRACKED = ("arch.width=0.1", "tracking=wandb")


class Fake:
    """Remembers its calls; fails at the end where it is to."""

    def __init__(self, fails: bool = False) -> None:
        self.calls: list[Any] = []
        self._fails = fails

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        self.calls.append((number, sorted(values)))

    def result(self, values: Mapping[str, float], files: Sequence[Path]) -> None:
        if self._fails:
            raise ConnectionError("the server has gone")
        self.calls.append((dict(values), [file.name for file in files]))

    def close(self, end: End) -> None:
        self.calls.append(end)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fake]:
    """Return a function that puts a fake in place of every tracker."""

    def make(**given: Any) -> Fake:
        one = Fake(**given)
        monkeypatch.setattr(guarded, "_opener", lambda name: lambda settings, tracked: one)
        return one

    return make


def test_a_tracker_gets_the_epochs_and_the_result(
    tiny: Callable[..., Any], tmp_path: Path, fake: Callable[..., Fake]
) -> None:
    one = fake()
    experiment, checked, dataset = tiny(*TRACKED)
    record = execute(experiment, checked, tmp_path / "run", dataset=dataset).record
    (number, names), (values, files), end = one.calls
    assert number == 1
    assert {"train_loss", "validation_accuracy", "learning_rate"} <= set(names)
    assert values["final/test_accuracy"] == record["accuracy"]["test"]
    assert files[:3] == ["design.yaml", "design.png", "curves.png"]
    assert end == "finished"


def test_a_tracker_that_fails_is_a_notice_of_the_result(
    tiny: Callable[..., Any], tmp_path: Path, fake: Callable[..., Fake]
) -> None:
    fake(fails=True)
    experiment, checked, dataset = tiny(*TRACKED)
    record = execute(experiment, checked, tmp_path / "run", dataset=dataset).record
    notice = "tracking=wandb failed, the run continues without it (ConnectionError: the server has gone)"
    assert record["notices"][-1] == notice
    assert json.loads((tmp_path / "run" / "result.json").read_text())["notices"][-1] == notice


def test_a_missing_tracker_trains_nothing(
    tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(settings: TrackingSettings, tracked: Tracked) -> None:
        raise SpecError("tracking=wandb", "needs the package wandb, which is not installed")

    monkeypatch.setattr(guarded, "_opener", lambda name: missing)
    experiment, checked, dataset = tiny(*TRACKED)
    with pytest.raises(SpecError, match="needs the package wandb"):
        execute(experiment, checked, tmp_path / "run", dataset=dataset)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("error", "end"), [(InterruptedRun("stopped"), "stopped"), (DivergedError("nan"), "failed"), (OSError(), "failed")]
)
def test_a_tracker_is_closed_with_the_end_of_the_run(error: Exception, end: End) -> None:
    one = Fake()
    tracked = Tracked(name="a", run_dir=Path("a"))
    TrackedProgress(Silent(), GuardedTracker(TrackingSettings(), tracked, lambda settings, tracked: one)).fail(error)
    assert one.calls == [end]


def test_no_password_is_among_the_settings(tiny: Callable[..., Any]) -> None:
    experiment, checked, dataset = tiny("study.storage='postgresql://me:secret@host/db'", "tracking=none")
    found = settings_of(experiment, checked, dataset)
    assert found["train.epochs"] == 1
    assert found["parameters"] == checked.footprint.parameters
    assert "secret" not in str(found)

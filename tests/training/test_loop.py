from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from archsearch.augment import make_augmenter
from archsearch.errors import DivergedError, RunError, SpecError, StorageError
from archsearch.library import build, load_design
from archsearch.settings.augment import AugmentPolicy, CoarseDropout, TransformChoice
from archsearch.settings.training import OptimizerSettings, ScheduleSettings, TrainSettings
from archsearch.training.checkpoint import discard_checkpoint
from archsearch.training.evaluation import EvaluationInput, Score, logits_of, score_of, to_device
from archsearch.training.loop import derive_seed, train

ARCH: dict[str, Any] = {
    "name": "a",
    "input": [3, 8, 8],
    "stem": {"block": "strided", "out": 16},
    "stages": {"c1": {"block": "basic", "width": 16}},
    "head": {"pool": "global_average", "classes": 3},
}
DEMANDING = {"ema": 0.9, "clip": 1.0, "checkpoint_seconds": None}


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_same(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)


def score_on(network: nn.Module, images: Any, how: EvaluationInput) -> Score:
    on_device = to_device(images, torch.device("cpu"))
    return score_of(logits_of(network, on_device, how), on_device.labels_N)


def epochs_written(run_dir: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def test_a_network_learns_and_the_result_records_it(fit, tmp_path):
    _, result = fit(train={"epochs": 8})
    assert result.epochs == 8
    assert result.validation_accuracy >= 0.9
    assert result.test_accuracy >= 0.9
    assert result.test_loss < math.log(3)
    assert result.test_accuracy_flip is None
    assert result.best_validation_accuracy == max(record.validation_accuracy for record in result.history)
    assert result.validation_accuracy == result.history[-1].validation_accuracy
    assert (result.precision, result.backend, result.pruned, result.seed) == ("fp32", "eager", False, 7)
    assert (result.compiled, result.kernels) == (False, False)
    assert result.data_fingerprint == "f1"
    assert result.versions["torch"] == torch.__version__
    assert result.images_per_second == pytest.approx(8 * 64 / sum(record.seconds for record in result.history))
    assert result.best_epoch == next(
        record.epoch for record in result.history if record.validation_accuracy == result.best_validation_accuracy
    )
    assert " thread" in result.device


def test_the_incomplete_batch_is_left_out_unless_it_is_the_only_one(fit, jitter):
    augmenter = jitter()
    fit(train={"epochs": 2, "batch_size": 32}, augmenter=augmenter)  # 70 images
    assert augmenter.calls == 4
    augmenter = jitter()
    fit(train={"epochs": 2, "batch_size": 500}, augmenter=augmenter)
    assert augmenter.calls == 2


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(fit, tmp_path):
    one, _ = fit(run_dir=tmp_path / "a")
    torch.rand(3)  # the caller's generator does not matter
    two, _ = fit(run_dir=tmp_path / "b")
    three, _ = fit(run_dir=tmp_path / "c", seed=8)
    assert_same(one, two)
    assert not torch.equal(one[0].weight, three[0].weight)


def test_the_callers_generator_and_switches_are_left_alone(fit, jitter):
    state, threads, handler = torch.get_rng_state(), torch.get_num_threads(), signal.getsignal(signal.SIGINT)
    inside = []
    augmenter = jitter(
        lambda now: inside.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
    )
    fit(train={"threads": 2, "deterministic": True, "epochs": 1, "batch_size": 70}, augmenter=augmenter)
    assert inside == [(2, True)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert signal.getsignal(signal.SIGINT) is handler


def test_files_of_a_run(fit, tmp_path):
    network, result = fit(metadata={"design_id": "d1"})
    run_dir = tmp_path / "run"
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["validation_accuracy"] == result.validation_accuracy
    assert set(lines[0]) == {
        "epoch",
        "learning_rate",
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
        "seconds",
        "images_per_second",
    }
    with safe_open(run_dir / "model.safetensors", "pt") as file:
        assert {"design_id": "d1"}.items() < file.metadata().items()
    torch.testing.assert_close(load_file(run_dir / "model.safetensors"), weights(network), rtol=0, atol=0)
    assert sorted(path.name for path in run_dir.iterdir()) == ["checkpoint.pt", "metrics.jsonl", "model.safetensors"]


def test_the_checkpoint_goes_when_the_result_is_safe_unless_it_is_to_be_kept(fit, tmp_path):
    fit(train={"epochs": 1})
    path = tmp_path / "run" / "checkpoint.pt"
    discard_checkpoint(path.parent, TrainSettings(keep_checkpoint=True))
    assert path.exists()
    discard_checkpoint(path.parent, TrainSettings())
    assert not path.exists()
    discard_checkpoint(path.parent, TrainSettings())


def test_on_epoch_prunes(fit, tmp_path):
    seen = []

    def stop(epoch: int, accuracy: float) -> bool:
        seen.append((epoch, accuracy))
        return epoch == 2

    _, result = fit(on_epoch=stop)
    assert result.pruned
    assert result.epochs == 2
    assert result.test_accuracy is None
    assert seen == [(record.epoch, record.validation_accuracy) for record in result.history]
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_stop_after_the_last_epoch_is_no_pruning(fit):
    assert not fit(on_epoch=lambda epoch, _: epoch == 3)[1].pruned


def test_the_test_set_can_be_left_alone(fit, dataset):
    dataset.test = None
    _, result = fit(evaluate_test=False)
    assert result.test_accuracy is None
    assert result.test_loss is None


def test_a_run_without_validation_images(fit, dataset):
    empty = np.zeros((0, 8, 8, 3), np.uint8)
    dataset.validation = SimpleNamespace(images_BHWC=empty, labels_B=np.zeros(0, np.int64))
    called = []
    _, result = fit(on_epoch=lambda *given: bool(called.append(given)))
    assert result.validation_accuracy is None
    assert result.best_epoch is None
    assert result.test_accuracy is not None
    assert called == []


def test_flip_averaging_is_reported_apart(fit, tmp_path):
    _, plain = fit(run_dir=tmp_path / "a")
    _, flipped = fit(run_dir=tmp_path / "b", train={"tta": "flip"})
    assert flipped.test_accuracy == plain.test_accuracy
    assert flipped.test_accuracy_flip is not None


def test_epochs_are_evaluated_as_often_as_asked_and_at_the_end(fit):
    _, result = fit(train={"epochs": 5, "eval_every": 2})
    assert [record.validation_accuracy is not None for record in result.history] == [False, True, False, True, True]


def test_the_average_is_what_is_evaluated_and_written(fit, dataset, tmp_path):
    network, result = fit(train={"ema": 0.99})
    plain, _ = fit(run_dir=tmp_path / "plain")
    assert not torch.equal(network[0].weight, plain[0].weight)
    how = EvaluationInput(mean=dataset.mean, std=dataset.std, batch_size=30, precision="fp32")
    assert score_on(network, dataset.test, how).accuracy == result.test_accuracy
    written = load_file(tmp_path / "run" / "model.safetensors")
    assert torch.equal(written["0.weight"], network[0].weight)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_statistics_taken_anew_are_those_that_are_evaluated_and_written(fit, dataset, tmp_path, ema):
    plain, _ = fit(run_dir=tmp_path / "plain", train={"ema": ema})
    network, result = fit(train={"ema": ema, "recalibrate": 40})
    assert torch.equal(network[0].weight, plain[0].weight), "nothing else changes"
    assert not torch.equal(network[1].running_mean, plain[1].running_mean)
    how = EvaluationInput(mean=dataset.mean, std=dataset.std, batch_size=30, precision="fp32")
    assert score_on(network, dataset.test, how).accuracy == result.test_accuracy
    assert torch.equal(load_file(tmp_path / "run" / "model.safetensors")["1.running_mean"], network[1].running_mean)


def test_the_learning_rate_follows_the_schedule(fit):
    _, result = fit(schedule={"name": "triangular", "warmup": 0.5, "final_ratio": 0.0}, train={"epochs": 2})
    assert result.history[0].learning_rate == pytest.approx(0.1 * (0.04 + 0.96 * 3 / 4))
    assert result.history[1].learning_rate == pytest.approx(0.1 / 4)


@pytest.mark.parametrize(("epochs", "size"), [(2, 16), (1, 1)])
def test_a_loss_that_is_not_finite_ends_the_run_with_the_fix(fit, epochs, size):
    with pytest.raises(DivergedError, match=r"in epoch 1 of .*Lower optimizer.learning_rate \(now 1e\+30, try"):
        fit(optimizer={"learning_rate": 1e30}, schedule={"warmup": 0.0}, train={"epochs": epochs, "batch_size": size})


def test_a_full_disk_names_the_file_and_keeps_the_checkpoint_before(fit, jitter, monkeypatch, tmp_path):
    expected, _ = fit(run_dir=tmp_path / "whole")
    sync = os.fsync

    def fill(now: int) -> None:
        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        if now == 6:
            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StorageError, match=r"checkpoint.pt: cannot be written: the disk is full. Free some space"):
        fit(augmenter=jitter(fill))
    monkeypatch.setattr(os, "fsync", sync)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoint.pt", "metrics.jsonl"}
    rest = jitter()
    network, _ = fit(augmenter=rest, resume=True)
    assert rest.calls == 8
    assert epochs_written(tmp_path / "run") == [1, 2, 3]
    assert_same(network, expected)


def test_every_format_and_layout_trains(fit, tmp_path):
    for precision in ("fp32", "bf16"):
        for channels_last in (True, False):
            train_settings = {"precision": precision, "channels_last": channels_last, "epochs": 4}
            _, result = fit(train=train_settings, run_dir=tmp_path / f"{precision}{channels_last}")
            assert result.precision == precision
            assert result.validation_accuracy > 0.5


def test_label_smoothing_is_in_the_training_loss_alone(fit, tmp_path):
    _, smooth = fit(train={"label_smoothing": 0.9, "epochs": 6}, run_dir=tmp_path / "a")
    _, sharp = fit(train={"label_smoothing": 0.0, "epochs": 6}, run_dir=tmp_path / "b")
    assert smooth.history[-1].train_loss > sharp.history[-1].train_loss
    assert smooth.history[-1].train_loss > math.log(3) * 0.9


def test_a_compiled_run_keeps_clean_names_and_the_same_mathematics(fit, monkeypatch, tmp_path):
    def network() -> nn.Module:  # what it compiles to has no length, as no sequence has
        return build(load_design(ARCH))

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network, **options: real(network, backend="eager", **options))
    expected, _ = fit(network=network(), run_dir=tmp_path / "plain")
    found, result = fit(network=network(), train={"compile": True})
    assert result.compiled
    torch.testing.assert_close(weights(found), weights(expected))
    assert set(load_file(tmp_path / "run" / "model.safetensors")) == set(expected.state_dict())


def test_compiling_that_fails_is_a_notice_for_auto_and_an_error_where_asked(fit, monkeypatch, tmp_path):
    def fail(network: nn.Module, **options: object) -> object:
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", fail)
    monkeypatch.setattr("archsearch.training.backend.PAYS_FROM_IMAGES", {"cpu": 1})
    expected, _ = fit(train={"compile": False}, run_dir=tmp_path / "plain")
    network, result = fit(train={"compile": "auto"})
    assert not result.compiled
    assert result.notices == ("train.compile=auto: compiling failed (no compiler), training without torch.compile",)
    assert_same(network, expected)
    with pytest.raises(RunError, match=r"train.compile=true: compiling failed: no compiler. Set train.compile=false"):
        fit(train={"compile": True})


def test_going_on_under_other_conditions_is_a_notice(fit, monkeypatch):
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network, **options: real(network, backend="eager", **options))
    fit(train={"epochs": 1, "compile": True})
    (notice,) = fit(train={"epochs": 1}, resume=True)[1].notices
    assert notice.startswith(
        "the run started on cpu in fp32 compiled and continues on cpu in fp32: its weights will not"
    )


def test_a_run_in_one_format_does_not_go_on_in_another(fit, monkeypatch):
    automatic = {"epochs": 1, "precision": "auto"}
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    fit(train=automatic)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    with pytest.raises(SpecError, match=r"differs in train.precision \(bf16, now fp32\)"):
        fit(train=automatic, resume=True)
    fit(train=automatic | {"precision": "bf16"}, resume=True)


@pytest.mark.usefixtures("kernels")
def test_the_network_is_put_back_at_every_end(fit, jitter, tiny_network):
    def stop(now: int) -> None:
        if now == 3:
            raise KeyError

    network = tiny_network()
    with pytest.raises(KeyError):
        fit(network=network, train={"kernels": "native"}, augmenter=jitter(stop))
    assert type(network) is nn.Sequential
    _, result = fit(network=network, train={"kernels": "native"})
    assert (result.backend, result.kernels) == ("kernels", True)
    assert type(network) is nn.Sequential


@pytest.mark.slow
def test_a_run_that_is_really_compiled_goes_on_to_the_same_weights(fit, kill_at, killed, tmp_path):
    compiled = DEMANDING | {"compile": True}
    expected, result = fit(train=compiled, run_dir=tmp_path / "whole")
    assert result.compiled
    with pytest.raises(killed):
        fit(train=compiled, augmenter=kill_at(8))
    network, _ = fit(train=compiled, resume=True)
    assert_same(network, expected)


@pytest.mark.parametrize("asked", ["auto", "torch"])
def test_images_of_one_channel(fit, dataset, kernels, asked):
    for images in (dataset.train, dataset.validation, dataset.test):
        images.labels_B = images.labels_B // 2
        images.images_BHWC = images.images_BHWC[..., 2:].copy()  # bright for the last class
    dataset.mean, dataset.std = (0.4,), (0.2,)
    policy = AugmentPolicy(transforms=(TransformChoice(coarse_dropout=CoarseDropout(height=2, width=2)),))
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    augmenter = make_augmenter(policy, mean=dataset.mean, std=dataset.std, device="cpu")
    train = {"epochs": 6, "kernels": asked, "whiten": True, "tta": "flip", "recalibrate": 20}
    _, result = fit(network=network, augmenter=augmenter, train=train)
    assert result.history[-1].train_loss < result.history[0].train_loss
    assert result.test_accuracy_flip is not None
    assert result.backend == ("eager" if asked == "torch" else "kernels")


def test_training_writes_nothing_into_the_images(fit, dataset):
    before = dataset.train.images_BHWC.copy()
    dataset.train.images_BHWC.flags.writeable = False
    fit(train={"epochs": 1})
    assert np.array_equal(dataset.train.images_BHWC, before)


def test_train_takes_settings_as_they_are_decoded(dataset, jitter, tiny_network, tmp_path):
    result = train(
        tiny_network(),
        dataset,
        settings=replace(TrainSettings(), epochs=1, device="cpu"),
        optimizer=OptimizerSettings(),
        schedule=ScheduleSettings(),
        augmenter=jitter(),
        seed=0,
        run_dir=tmp_path,
    )
    assert result.epochs == 1


def test_every_purpose_has_a_seed_of_its_own() -> None:
    seeds = {derive_seed(seed, purpose) for seed in (0, 1) for purpose in ("order", "augment", "dropout")}
    assert len(seeds) == 6
    assert derive_seed(0, "order") == derive_seed(0, "order")

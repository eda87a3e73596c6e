"""Stopped and killed trainings go on to the same weights, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from archsearch.errors import InterruptedRun, SpecError
from archsearch.library import build, load_design

DEMANDING = {"ema": 0.9, "clip": 1.0, "checkpoint_seconds": None}


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_same(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)


def epochs_written(run_dir: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("call", [1, 3, 5, 6, 10, 12])
def test_a_killed_run_goes_on_to_the_same_weights(fit, kill_at, killed, tmp_path, precision, call):
    demanding = DEMANDING | {"precision": precision}
    expected, result = fit(train=demanding, run_dir=tmp_path / "whole")
    with pytest.raises(killed):
        fit(train=demanding, augmenter=kill_at(call))
    network, resumed = fit(train=demanding, resume=True)
    assert_same(network, expected)
    assert epochs_written(tmp_path / "run") == [1, 2, 3]
    assert resumed.test_loss == result.test_loss
    assert [record.train_loss for record in resumed.history] == [record.train_loss for record in result.history]


def with_kernels(seed: int = 0) -> nn.Module:
    """Return a network of ours, with dropout, whose steps are recorded where the kernels can be built."""
    arch = {
        "name": "a",
        "input": [3, 8, 8],
        "stem": {"block": "strided", "out": 16},
        "stages": {"c1": {"block": "relu_norm_dropout", "width": 16, "repeats": 2}},
        "head": {"pool": "global_average", "classes": 3},
        "symmetry": "flip",
    }
    return build(load_design(arch), seed=seed)


@pytest.mark.parametrize("call", [2, 6])
def test_recorded_steps_go_on_to_the_same_weights_which_are_those_of_plain_steps(
    fit, kill_at, killed, tmp_path, monkeypatch, kernels, call
):
    demanding = DEMANDING | {"precision": "bf16", "kernels": "native"}
    expected, _ = fit(network=with_kernels(), train=demanding, run_dir=tmp_path / "whole")
    with pytest.raises(killed):
        fit(network=with_kernels(), train=demanding, augmenter=kill_at(call))
    network, _ = fit(network=with_kernels(), train=demanding, resume=True)
    assert_same(network, expected)
    monkeypatch.setattr("archsearch.training.recording.can_record", lambda _: False)
    plain, _ = fit(network=with_kernels(), train=demanding, run_dir=tmp_path / "plain")
    assert_same(plain, expected)


@pytest.mark.parametrize("optimizer", [{"name": "adamw", "learning_rate": 0.01}, {"name": "muon", "muon_stem": True}])
def test_other_optimizers_go_on_to_the_same_weights(fit, kill_at, killed, tmp_path, optimizer):
    expected, _ = fit(optimizer=optimizer, run_dir=tmp_path / "whole")
    with pytest.raises(killed):
        fit(optimizer=optimizer, augmenter=kill_at(7))
    network, _ = fit(optimizer=optimizer, resume=True)
    assert_same(network, expected)


def test_a_run_killed_at_every_step_ends_the_same(fit, kill_at, killed, tmp_path):
    every_step = DEMANDING | {"checkpoint_seconds": 1e-9}
    expected, _ = fit(train=every_step, run_dir=tmp_path / "whole")
    for _ in range(11):  # 12 steps; each life ends before its second batch
        with pytest.raises(killed):
            fit(train=every_step, augmenter=kill_at(2), resume=True)
    network, _ = fit(train=every_step, resume=True)
    assert_same(network, expected)
    assert epochs_written(tmp_path / "run") == [1, 2, 3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("call", [2, 4, 6])
def test_an_interrupted_run_saves_where_it_is_and_goes_on_to_the_same_weights(fit, jitter, tmp_path, number, call):
    expected, _ = fit(train=DEMANDING, run_dir=tmp_path / "whole")
    augmenter = jitter(lambda now: os.kill(os.getpid(), number) if now == call else None)
    with pytest.raises(InterruptedRun, match=f"resume={tmp_path / 'run'}"):
        fit(train=DEMANDING, augmenter=augmenter)
    assert augmenter.calls == call
    rest = jitter()
    network, result = fit(train=DEMANDING, augmenter=rest, resume=True)
    assert rest.calls == 12 - call
    assert result.epochs == 3
    assert_same(network, expected)


def test_an_interruption_during_evaluation_ends_the_run_at_the_epoch(fit, tmp_path):
    def stop(epoch: int, accuracy: float) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return False

    with pytest.raises(InterruptedRun, match="after 1 of 3 epochs"):
        fit(on_epoch=stop, train={"checkpoint_every": 3})
    seen = []
    fit(on_epoch=lambda epoch, _: bool(seen.append(epoch)), train={"checkpoint_every": 3}, resume=True)
    assert seen == [1, 2, 3]


def test_a_run_outside_the_main_thread_leaves_signals_alone(fit):
    results = []
    thread = threading.Thread(target=lambda: results.append(fit(train={"epochs": 1})))
    thread.start()
    thread.join()
    assert results[0][1].epochs == 1


def test_a_process_that_is_killed_leaves_a_checkpoint_that_goes_on(fit, tmp_path):
    expected, _ = fit(train=DEMANDING, run_dir=tmp_path / "whole")
    child = [sys.executable, str(Path(__file__).with_name("killed_at_batch_7.py")), str(tmp_path / "run")]
    killed = subprocess.run([*child, json.dumps(DEMANDING)], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    network, _ = fit(train=DEMANDING, resume=True)
    assert_same(network, expected)


def test_a_finished_run_is_not_trained_again(fit, jitter, tmp_path):
    expected, first = fit(train=DEMANDING)
    augmenter = jitter()
    network, again = fit(train=DEMANDING, resume=True, augmenter=augmenter)
    assert augmenter.calls == 0
    assert again.test_loss == first.test_loss
    assert again.history == first.history
    assert_same(network, expected)


def test_resume_without_a_checkpoint_starts_from_the_beginning(fit):
    assert fit(resume=True)[1].epochs == 3


def test_a_checkpoint_of_another_run_is_refused_with_what_differs(fit, dataset):
    fit(train={"epochs": 1})
    with pytest.raises(SpecError, match=r"differs in train.batch_size \(16, now 8\)"):
        fit(train={"epochs": 1, "batch_size": 8}, resume=True)
    with pytest.raises(SpecError, match=r"differs in train.epochs \(1, now 2\)"):
        fit(train={"epochs": 2}, resume=True)
    with pytest.raises(SpecError, match=r"optimizer.weight_decay.*seed \(7, now 8\)"):
        fit(train={"epochs": 1}, optimizer={"weight_decay": 0.0}, seed=8, resume=True)
    dataset.fingerprint = "f2"
    with pytest.raises(SpecError, match=r"data \(f1, now f2\)"):
        fit(train={"epochs": 1}, resume=True)


def test_more_epochs_go_on_where_the_schedule_does_not_know_the_end(fit, tmp_path):
    constant = {"name": "constant", "warmup": 0.0}
    expected, _ = fit(schedule=constant, run_dir=tmp_path / "whole")
    fit(schedule=constant, train={"epochs": 1})
    network, result = fit(schedule=constant, resume=True)
    assert result.epochs == 3
    assert_same(network, expected)

from __future__ import annotations

import sys
from dataclasses import fields

import pytest

from archsearch.decode import decode
from archsearch.errors import SpecError
from archsearch.settings.training import (
    RESULT_NEUTRAL,
    OptimizerSettings,
    ScheduleSettings,
    TrainSettings,
    resolve_precision,
)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (TrainSettings, {"epochs": 0}, "train.epochs: must be at least 1, got 0"),
        (TrainSettings, {"batch_size": -4}, "train.batch_size: must be at least 1, got -4"),
        (TrainSettings, {"threads": 0}, "train.threads: must be at least 1, got 0"),
        (TrainSettings, {"device": "gpu"}, "train.device: unknown device 'gpu'. Choose one of auto, cpu,"),
        (TrainSettings, {"device": "cuda:x"}, "train.device"),
        (TrainSettings, {"ema": 1.0}, "train.ema: must be at least 0 and below 1, got 1.0. Write null for no average."),
        (TrainSettings, {"label_smoothing": -0.1}, "train.label_smoothing"),
        (TrainSettings, {"clip": 0.0}, "train.clip: must be above 0, got 0.0. Write null to turn it off."),
        (TrainSettings, {"checkpoint_seconds": 0.0}, "train.checkpoint_seconds"),
        (TrainSettings, {"precision": "fp8"}, "train.precision"),
        (TrainSettings, {"compile": "never"}, "train.compile"),
        (TrainSettings, {"epoch": 3}, "train.epoch: unknown key for train. Did you mean 'epochs'?"),
        (OptimizerSettings, {"learning_rate": 0.0}, "optimizer.learning_rate: must be above 0, got 0.0"),
        (OptimizerSettings, {"learning_rate": float("nan")}, "optimizer.learning_rate"),
        (OptimizerSettings, {"momentum": 1.0}, "optimizer.momentum: must be at least 0 and below 1"),
        (OptimizerSettings, {"momentum": 0.0}, "optimizer.nesterov: needs a momentum above 0"),
        (OptimizerSettings, {"weight_decay": -1.0}, "optimizer.weight_decay: must be at least 0, got -1.0"),
        (
            OptimizerSettings,
            {"norm_and_bias_ratio": -1.0},
            "optimizer.norm_and_bias_ratio: must be at least 0, got",
        ),
        (OptimizerSettings, {"name": "sgdd"}, "optimizer.name"),
        (ScheduleSettings, {"warmup": 1.0}, "schedule.warmup: must be at least 0 and below 1, got 1.0"),
        (ScheduleSettings, {"final_ratio": 1.5}, "schedule.final_ratio: must be from 0 to 1, got 1.5"),
    ],
)
def test_values_that_cannot_be_used_are_named_with_the_fix(kind, values, message):
    where = {TrainSettings: "train", OptimizerSettings: "optimizer", ScheduleSettings: "schedule"}[kind]
    with pytest.raises(SpecError) as caught:
        decode(kind, values, where)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("value", ["auto", True, False])
def test_compile_is_auto_or_a_truth_value(value):
    assert decode(TrainSettings, {"compile": value}, "train").compile is value


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:11"])
def test_devices(device):
    assert TrainSettings(device=device).device == device


def test_learning_rates_scale_with_the_batch_as_asked():
    rates = [
        OptimizerSettings(scaling=scaling, reference_batch=100).scaled(0.1, 400)
        for scaling in ("none", "linear", "sqrt")
    ]
    assert rates == pytest.approx([0.1, 0.4, 0.2])


def test_ranges_hold_for_settings_made_directly():
    with pytest.raises(SpecError, match=r"^train\.epochs: must be at least 1, got 0$"):
        TrainSettings(epochs=0)
    with pytest.raises(SpecError, match=r"^optimizer\.learning_rate: must be above 0, got inf$"):
        OptimizerSettings(learning_rate=float("inf"))
    with pytest.raises(SpecError, match=r"^schedule\.final_ratio: must be from 0 to 1, got 2\.0$"):
        ScheduleSettings(final_ratio=2.0)


@pytest.mark.parametrize(
    ("changes", "device", "units", "expected"),
    [
        ({}, "cpu", False, "bf16"),  # as the kernels compute, whether they can be built or not
        ({"kernels": "native"}, "cpu", False, "bf16"),
        ({"kernels": "torch"}, "cpu", False, "fp32"),
        ({"kernels": "torch"}, "cpu", True, "bf16"),
        ({"compile": True}, "cpu", False, "fp32"),
        ({}, "cuda", True, "bf16"),
        ({}, "cuda", False, "fp32"),
        ({}, "mps", True, "fp32"),
        ({"precision": "fp32"}, "cuda", True, "fp32"),
        ({"precision": "fp16"}, "cuda", True, "fp16"),
    ],
)
def test_the_precision_that_auto_stands_for(monkeypatch, changes, device, units, expected):
    monkeypatch.setattr(sys, "platform", "linux")
    assert resolve_precision(TrainSettings(**changes), device, has_bf16_units=lambda: units) == expected


def test_the_kernels_are_for_linux(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert resolve_precision(TrainSettings(), "cpu", has_bf16_units=lambda: False) == "fp32"


def test_what_is_neutral_to_a_result_are_settings_of_a_training():
    assert {field.name for field in fields(TrainSettings)} >= RESULT_NEUTRAL
    assert not RESULT_NEUTRAL & {"precision", "epochs", "batch_size", "eval_every", "deterministic", "recalibrate"}

from __future__ import annotations

import contextlib
import re
import sys
import weakref
from typing import Any

import pytest
import torch

from archsearch.errors import DeviceMemoryError, DivergedError, SpecError
from archsearch.formatting import pluralize
from archsearch.settings.training import TrainSettings
from archsearch.training import device as module
from archsearch.training.device import (
    autocast,
    choose_device,
    choose_precision,
    device_name,
    evaluation_precision,
    freed_after,
    is_out_of_memory,
    memory_used_up,
    switches,
)

CPU = torch.device("cpu")


def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch):
    no_gpu(monkeypatch)
    assert choose_device("auto") == CPU
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("asked", ["cuda", "cuda:1", "mps"])
def test_a_missing_gpu_is_named_with_the_fix(monkeypatch, asked):
    no_gpu(monkeypatch)
    with pytest.raises(SpecError, match=rf"train.device: '{asked}' was requested.* Set train.device=auto."):
        choose_device(asked)


def test_a_gpu_beyond_the_last_is_refused_with_those_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(SpecError, match=r"there is no 'cuda:2'. Known: cuda:0, cuda:1."):
        choose_device("cuda:2")


@pytest.mark.parametrize(("units", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_precision_asks_a_cpu_for_its_units_where_no_kernels_are_wanted(monkeypatch, units, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: units)
    without: list[dict[str, Any]] = [{"kernels": "torch"}, {"compile": True}]
    for changes in without:
        assert choose_precision(TrainSettings(**changes), CPU) == expected
        assert evaluation_precision(TrainSettings(**changes), CPU) == expected
        assert choose_precision(TrainSettings(precision="fp32", **changes), CPU) == "fp32"
        assert choose_precision(TrainSettings(precision="bf16", **changes), CPU) == "bf16"


@pytest.mark.parametrize("units", [True, False])
def test_with_the_kernels_training_is_in_bf16_unless_fp32_is_asked_for_and_evaluation_in_fp32(monkeypatch, units):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: units)
    monkeypatch.setattr(sys, "platform", "linux")
    for changes in ({"kernels": "auto"}, {"kernels": "native"}):
        given: dict[str, Any] = dict(changes)
        assert choose_precision(TrainSettings(**given), CPU) == "bf16"
        assert choose_precision(TrainSettings(precision="fp32", **given), CPU) == "fp32"
        assert evaluation_precision(TrainSettings(**given), CPU) == "fp32"


def test_a_gpu_is_asked_for_its_units_and_apples_computes_in_fp32(monkeypatch):
    for units in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, units=units: units)
        assert choose_precision(TrainSettings(), torch.device("cuda")) == ("bf16" if units else "fp32")
    assert choose_precision(TrainSettings(), torch.device("mps")) == "fp32"


def test_fp16_is_refused_on_the_cpu():
    with pytest.raises(SpecError, match=r"train.precision: fp16 needs a GPU. Set train.precision=bf16 or fp32."):
        choose_precision(TrainSettings(precision="fp16"), CPU)


def test_autocast_computes_in_the_precision_and_leaves_weights_alone():
    layer, images = torch.nn.Linear(2, 2), torch.ones(1, 2)
    with autocast(CPU, "bf16"):
        assert layer(images).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert layer(images).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_denormals_are_flushed_within_a_training_only():
    tiny = torch.tensor([1e-39])
    with switches(TrainSettings(), CPU, images=1):
        assert (tiny * 0.5).item() == 0.0
    assert (tiny * 0.5).item() != 0.0


def test_switches_are_put_back_after_an_error():
    def fail() -> None:
        with switches(TrainSettings(deterministic=True), CPU, images=1):
            assert torch.are_deterministic_algorithms_enabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize(
    ("device", "fixes"),
    [
        ("cpu", "Set train.batch_size=64 or a smaller arch.width."),
        ("cuda", "Set train.batch_size=64 or a smaller arch.width, or fewer study.workers where several share it."),
    ],
)
def test_the_error_for_memory_that_is_used_up_has_fixes_that_suit_the_device(device: str, fixes: str) -> None:
    error = memory_used_up(torch.device(device), 128, "tried to allocate 2 GiB")
    assert str(error).endswith(f"not enough memory for batches of 128 (tried to allocate 2 GiB). {fixes}")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            RuntimeError("CUDA error: out of memory\nmore"),
            DeviceMemoryError,
            "batches of 8 (CUDA error: out of memory).",
        ),
        (DivergedError("the loss is not a number"), DivergedError, "the loss is not a number"),
    ],
)
def test_the_error_of_a_training_holds_nothing_of_it(error, kind, message):
    class Map:
        pass

    alive = []

    def fail() -> None:
        held = Map()
        alive.append(weakref.ref(held))
        raise error.with_traceback(None)

    with pytest.raises(kind, match=re.escape(message)) as caught:
        freed_after(fail, CPU, batch_size=8)
    error.__traceback__ = None  # this test's own hold on it
    assert caught.value.__context__ is None
    assert alive[0]() is None


def test_what_else_goes_wrong_is_raised_as_it_is():
    assert freed_after(lambda: 3, CPU, batch_size=8) == 3
    with pytest.raises(KeyError):
        freed_after(lambda: {}["a"], CPU, batch_size=8)


def test_the_cpu_is_named_with_its_threads(monkeypatch):
    monkeypatch.setattr(module, "processor_name", lambda: "Brand X")
    assert device_name(CPU) == f"Brand X, {pluralize(torch.get_num_threads(), 'thread')}"


@pytest.mark.parametrize(
    ("images", "deterministic", "searches"),
    [(400_000, False, False), (9_000_000, False, True), (9_000_000, True, False)],
)
def test_cudnn_searches_for_its_fastest_algorithms_in_long_runs(monkeypatch, images, deterministic, searches):
    monkeypatch.setattr(torch.cuda, "device", lambda _: contextlib.nullcontext())
    before = torch.backends.cudnn.benchmark
    with switches(TrainSettings(deterministic=deterministic), torch.device("cuda"), images=images):
        assert torch.backends.cudnn.benchmark is searches
    assert torch.backends.cudnn.benchmark is before


def test_what_is_free_on_a_gpu_is_given_back_at_the_end(monkeypatch):
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "device", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("given back"))
    with switches(TrainSettings(), torch.device("cuda"), images=1):
        done.append("trained")
    with switches(TrainSettings(), torch.device("cpu"), images=1):
        done.append("trained here")
    assert done == ["trained", "given back", "trained here"]

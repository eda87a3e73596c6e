"""The memory of a training: the error where there is too little, and that it is free afterwards."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch

from archsearch.augment import make_augmenter
from archsearch.errors import DeviceMemoryError
from archsearch.settings.augment import decode_policy
from archsearch.training import loop
from archsearch.training.backend import select_backend


def test_memory_that_is_used_up_names_the_fix(fit, jitter):
    def use_up(now: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    with pytest.raises(DeviceMemoryError, match=r"Set train.batch_size=8 ") as caught:
        fit(augmenter=jitter(use_up))
    assert caught.value.__context__ is None  # nothing holds the frames, nor their tensors


def test_another_error_is_not_taken_for_memory(fit, jitter):
    def fail(now: int) -> None:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        fit(augmenter=jitter(fail))


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_training_that_is_over_is_freed_at_once(fit, jitter, monkeypatch, no_collector):
    notices: list[Any] = []

    def select(*given: Any, notice: Any, **more: Any) -> Any:
        notices.append(notice)  # as the recorded steps of a GPU do
        return select_backend(*given, notice=notice, **more)

    monkeypatch.setattr(loop, "select_backend", select)
    augmenter = jitter()
    gone = weakref.ref(augmenter)
    fit(augmenter=augmenter)
    del augmenter
    assert gone() is None
    assert len(notices) == 1


@pytest.mark.cuda
def test_a_gpu_is_given_back_what_a_training_took(fit, dataset, no_collector):
    policy = decode_policy({"executor": "batched", "transforms": [{"horizontal_flip": {"p": 0.5}}]})

    def reserved_after(runs: int) -> int:
        for _ in range(runs):
            augmenter = make_augmenter(policy, mean=dataset.mean, std=dataset.std, device="cuda")
            fit(train={"epochs": 2, "device": "cuda"}, augmenter=augmenter)
        torch.cuda.empty_cache()  # the last network
        return torch.cuda.memory_reserved()

    once = reserved_after(2)
    assert reserved_after(5) <= once + 4 * 2**20  # a graph's memory is 2 MiB at least

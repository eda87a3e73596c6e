"""A tiny data set, a tiny network and a shorthand for a training; seconds in total, one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archsearch.settings.augment import AugmentPolicy
from archsearch.settings.training import OptimizerSettings, ScheduleSettings, TrainSettings
from archsearch.training.loop import train
from archsearch.training.result import TrainResult

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


class Jitter:
    """An augmenter that draws a flip and a shift of brightness per image; `before(call)` runs ahead of each call."""

    policy = AugmentPolicy()

    def __init__(self, before: Callable[[int], None] | None = None) -> None:
        self.calls, self.before = 0, before

    def __call__(
        self,
        images_BCHW: Tensor,
        generator: torch.Generator,
        mirrored_B: Tensor | None = None,
        *,
        progress: float = 0.0,
    ) -> Tensor:
        self.calls += 1
        if self.before is not None:
            self.before(self.calls)
        draws_B2 = torch.rand(len(images_BCHW), 2, generator=generator)
        flipped = torch.where((draws_B2[:, 0] < 0.5)[:, None, None, None], images_BCHW, images_BCHW.flip(3))
        return (flipped.float() / 255 - 0.5) * 4 + 0.2 * draws_B2[:, 1, None, None, None]


def make_images(count: int, seed: int) -> Any:
    """Return images whose class, of three, is the brightest channel."""
    generator = np.random.default_rng(seed)
    labels_B = generator.integers(0, 3, count)
    images_BHWC = generator.integers(0, 160, (count, 8, 8, 3), dtype=np.uint8)
    images_BHWC[np.arange(count), :, :, labels_B] += 80
    return SimpleNamespace(images_BHWC=images_BHWC, labels_B=labels_B)


def make_network(seed: int = 0) -> nn.Module:
    """Return a network with running statistics and dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_dataset() -> Any:
    return SimpleNamespace(
        name="bright",
        classes=("red", "green", "blue"),
        train=make_images(70, 0),
        validation=make_images(20, 1),
        test=make_images(30, 2),
        mean=MEAN,
        std=STD,
        fingerprint="f1",
        notice=None,
    )


@pytest.fixture
def dataset() -> Any:
    return make_dataset()


@pytest.fixture
def fit(dataset: Any, tmp_path: Path) -> Callable[..., tuple[nn.Module, TrainResult]]:
    """Return a function that trains a fresh network and returns it with the result."""
    return make_fit(dataset, tmp_path / "run")


def make_fit(dataset: Any, run_dir: Path) -> Callable[..., tuple[nn.Module, TrainResult]]:
    def run(**changes: Any) -> tuple[nn.Module, TrainResult]:
        settings: dict[str, Any] = {"epochs": 3, "batch_size": 16, "device": "cpu"}
        settings |= {"precision": "fp32", "compile": False, "kernels": "torch"}
        network = changes.pop("network", None) or make_network()
        arguments: dict[str, Any] = {
            "settings": TrainSettings(**(settings | changes.pop("train", {}))),
            "optimizer": OptimizerSettings(**({"learning_rate": 0.1} | changes.pop("optimizer", {}))),
            "schedule": ScheduleSettings(**changes.pop("schedule", {})),
            "augmenter": Jitter(),
            "seed": 7,
            "run_dir": run_dir,
        }
        return network, train(network, changes.pop("dataset", dataset), **(arguments | changes))

    return run


@pytest.fixture
def kill_at() -> Callable[[int], Jitter]:
    """Return a maker of augmenters that end the program, as far as `train` can tell, at a given batch."""

    def make(call: int) -> Jitter:
        def before(now: int) -> None:
            if now == call:
                raise Killed

        return Jitter(before)

    return make


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in `train` may catch it and save."""


@pytest.fixture
def killed() -> type[BaseException]:
    return Killed


@pytest.fixture
def jitter() -> type[Jitter]:
    return Jitter


@pytest.fixture
def tiny_network() -> Callable[..., nn.Module]:
    return make_network


@pytest.fixture
def tiny_images() -> Callable[[int, int], Any]:
    return make_images

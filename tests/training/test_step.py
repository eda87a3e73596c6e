"""Whole steps: what a step does besides gradients, and on a GPU recorded ones against plain ones; the loss checked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from archsearch.augment import make_augmenter
from archsearch.library import build, load_design
from archsearch.settings.augment import decode_policy
from archsearch.training.step import FiniteCheck, Step

EVERYTHING = [
    {"horizontal_flip": {"p": 0.5, "alternate": True}},
    {"random_crop": {"padding": 2, "p": 0.5}},
    {"shift_scale_rotate": {"p": 0.5}},
    {"brightness_contrast": {"p": 0.5}},
    {"coarse_dropout": {"holes": 2, "height": 3, "width": 3, "p": 0.5, "until": 0.6}},
]


def test_a_step_descends_clips_and_adds_up() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    network = torch.nn.ParameterList([weight])
    state: Any = SimpleNamespace(
        network=network,
        optimizers=[torch.optim.SGD([weight], lr=1.0)],
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        augment=None,
        loss_sum=torch.zeros(()),
        correct=torch.zeros((), dtype=torch.int64),
    )

    def learn(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        (weight * images).sum().backward()
        return images.sum(), labels

    step = Step(learn, state, clip=1.0)
    step(torch.tensor([3.0, 4.0]), torch.tensor(1))
    torch.testing.assert_close(weight.detach(), torch.tensor([1.0 - 0.6, 2.0 - 0.8]))
    assert weight.grad is None
    step(torch.tensor([6.0, 8.0]), torch.tensor(2))
    assert state.loss_sum.item() == 7 + 14
    assert state.correct.item() == 1 + 2


@pytest.mark.cuda
@pytest.mark.parametrize("executor", ["batched", "albumentations"])
@pytest.mark.parametrize(
    "optimizer",
    [{"name": "sgd"}, {"name": "adamw", "learning_rate": 0.01}, {"name": "muon", "muon_learning_rate": 0.01}],
)
@pytest.mark.parametrize("train", [{}, {"clip": 0.5, "ema": 0.9}])
def test_recorded_steps_are_the_plain_ones(fit, dataset, tmp_path, executor, optimizer, train) -> None:
    policy = decode_policy({"executor": executor, "transforms": EVERYTHING})
    arch = {
        "name": "a",
        "input": [3, 8, 8],
        "stem": {"block": "strided", "out": 16},
        "stages": {"c1": {"block": "basic", "width": 16}, "c2": {"block": "depthwise", "width": 24, "dilation": 2}},
        "head": {"pool": "global_average", "classes": 3},
        "symmetry": "flip",
    }
    found = {}
    for graphs in (True, False):
        augmenter = make_augmenter(policy, mean=dataset.mean, std=dataset.std, device="cuda")
        _, result = fit(
            network=build(load_design(arch), seed=1),
            augmenter=augmenter,
            optimizer=optimizer,
            train=train | {"device": "cuda", "cuda_graphs": graphs, "epochs": 5, "deterministic": True},
            run_dir=tmp_path / str(graphs),
        )
        assert result.notices == ()
        found[graphs] = ([record.train_loss for record in result.history], result.test_loss)
    torch.testing.assert_close(found[True][0], found[False][0], rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(found[True][1], found[False][1], rtol=2e-2, atol=2e-2)


@pytest.mark.cuda
def test_a_run_of_recorded_steps_goes_on_where_it_was_killed(fit, dataset, killed, tmp_path) -> None:
    policy = decode_policy({"executor": "batched", "transforms": EVERYTHING})
    augmenter = make_augmenter(policy, mean=dataset.mean, std=dataset.std, device="cuda")
    train = {"device": "cuda", "cuda_graphs": True, "epochs": 4, "ema": 0.9, "deterministic": True}
    optimizer = {"name": "muon", "muon_learning_rate": 0.01}

    def kill(epoch: int, _: float) -> bool:
        if epoch == 2:
            raise killed
        return False

    network, whole = fit(augmenter=augmenter, optimizer=optimizer, train=train, run_dir=tmp_path / "whole")
    with pytest.raises(killed):
        fit(augmenter=augmenter, optimizer=optimizer, train=train, on_epoch=kill)
    resumed, result = fit(augmenter=augmenter, optimizer=optimizer, train=train, resume=True)
    assert [record.epoch for record in result.history] == [1, 2, 3, 4]
    torch.testing.assert_close(result.test_loss, whole.test_loss, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(dict(resumed.state_dict()), dict(network.state_dict()), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("value", "finite"), [(1.0, True), (float("inf"), False), (float("nan"), False)])
def test_the_cpu_is_read_at_once(value, finite):
    assert FiniteCheck(torch.device("cpu")).is_finite(torch.tensor(value)) is finite


@pytest.mark.cuda
def test_cuda_is_read_one_check_late():
    device = torch.device("cuda")
    check = FiniteCheck(device)
    assert check.is_finite(torch.tensor(float("nan"), device=device))
    torch.cuda.synchronize()
    assert not check.is_finite(torch.tensor(1.0, device=device))
    torch.cuda.synchronize()
    assert check.is_finite(torch.tensor(1.0, device=device))

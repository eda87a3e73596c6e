"""The result as a value, the weights as a file, the seeds of the generators."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from archsearch.training.evaluation import Score
from archsearch.training.outcome import derive_seed, summarise, write_weights
from archsearch.training.result import EpochRecord


def record(epoch: int, accuracy: float) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        learning_rate=0.1,
        train_loss=1.0,
        train_accuracy=0.5,
        validation_loss=0.9,
        validation_accuracy=accuracy,
        seconds=2.0,
        images_per_second=50.0,
    )


def test_the_last_epoch_is_the_result_and_the_best_is_information() -> None:
    result = summarise(
        [record(1, 0.6), record(2, 0.8), record(3, 0.7)],
        test=Score(accuracy=0.65, loss=1.1),
        flipped=None,
        images=300,
        seconds=9.0,
        device=torch.device("cpu"),
        precision="fp32",
        compiled=False,
        kernels=False,
        pruned=False,
        seed=4,
        data_fingerprint="f",
        notices=(),
    )
    assert (result.validation_accuracy, result.best_validation_accuracy, result.best_epoch) == (0.7, 0.8, 2)
    assert (result.test_accuracy, result.test_accuracy_flip) == (0.65, None)
    assert result.images_per_second == 50.0
    assert result.versions["torch"] == torch.__version__


def test_weights_carry_their_metadata(tmp_path: Path) -> None:
    network = nn.Linear(2, 3)
    write_weights(tmp_path / "w.safetensors", network, {"design": "text"})
    with safe_open(tmp_path / "w.safetensors", framework="pt") as opened:
        assert opened.metadata() == {"design": "text"}
        assert torch.equal(opened.get_tensor("weight"), network.weight.detach())


def test_every_purpose_has_a_seed_of_its_own() -> None:
    seeds = {derive_seed(seed, purpose) for seed in (0, 1) for purpose in ("order", "augment", "dropout")}
    assert len(seeds) == 6
    assert derive_seed(0, "order") == derive_seed(0, "order")

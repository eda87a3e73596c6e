from __future__ import annotations

import pytest
import torch

from archsearch.errors import StorageError
from archsearch.settings.training import TrainSettings
from archsearch.training import loop
from archsearch.training.checkpoint import discard_checkpoint
from archsearch.training.optimizers import make_optimizers


@pytest.fixture
def path(fit, tmp_path):
    fit(train={"epochs": 1})
    return tmp_path / "run" / "checkpoint.pt"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_checkpoint_that_is_cut_short_is_reported(fit, path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(StorageError, match=r"checkpoint.pt: the checkpoint is damaged or cut short. Delete it to"):
        fit(train={"epochs": 1}, resume=True)


def test_a_flipped_byte_is_reported(fit, path):
    content = bytearray(path.read_bytes())
    weight = fit(train={"epochs": 1})[0][7].weight.detach().numpy().tobytes()
    content = bytearray(path.read_bytes())
    content[bytes(content).index(weight)] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        fit(train={"epochs": 1}, resume=True)


def test_a_file_of_another_kind_is_reported(fit, path):
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(StorageError, match="not a checkpoint of this version of archsearch"):
        fit(train={"epochs": 1}, resume=True)


def test_a_checkpoint_cannot_run_code(fit, path, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    torch.save({"format": 1, "network": Trap()}, path)
    with pytest.raises(StorageError, match="damaged"):
        fit(train={"epochs": 1}, resume=True)
    assert not (tmp_path / "trapped").exists()


def test_a_checkpoint_that_cannot_be_read_is_reported(fit, path):
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError, match="the checkpoint cannot be read: Is a directory"):
        fit(train={"epochs": 1}, resume=True)


def test_discarding_what_is_not_there_is_harmless(tmp_path):
    discard_checkpoint(tmp_path, TrainSettings())
    assert not list(tmp_path.iterdir())


def test_where_and_how_a_run_goes_on_may_change(fit, path):
    _, result = fit(
        train={"epochs": 1, "threads": 1, "eval_batch_size": 7, "checkpoint_seconds": 5.0, "tta": "flip"}, resume=True
    )
    assert result.test_accuracy_flip is not None


def test_an_optimizer_goes_on_as_the_device_that_it_is_on_now_asks(fit, kill_at, killed, monkeypatch):
    """As AdamW, which has to be made for recording on a GPU, where its run was begun on a CPU."""
    made = []

    def make(*given, **more):
        made.extend(make_optimizers(*given, **more))
        for group in made[-1].param_groups:
            group["capturable"] = len(made) > 1
        return made[-1:]

    monkeypatch.setattr(loop, "make_optimizers", make)
    with pytest.raises(killed):
        fit(optimizer={"name": "adamw"}, augmenter=kill_at(10))
    fit(optimizer={"name": "adamw"}, resume=True)
    assert [[group["capturable"] for group in one.param_groups] for one in made] == [[False] * 2, [True] * 2]

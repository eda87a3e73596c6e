from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from archsearch.errors import StorageError
from archsearch.kernels import load_kernels
from archsearch.settings.training import TrainSettings
from archsearch.training import backend
from archsearch.training.checkpoint import DamagedCheckpoint, discard_checkpoint, set_checkpoint_aside, write_weights
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


def without_dropout() -> nn.Module:
    """Return a network whose steps draw nothing, as dropout does in the order of memory."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolutions = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)
        return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_run_goes_on_in_another_memory_layout(fit, kill_at, killed, tmp_path, optimizer):
    given = {"optimizer": {"name": optimizer, "learning_rate": 0.01}}
    expected, _ = fit(network=without_dropout(), run_dir=tmp_path / "whole", **given)
    with pytest.raises(killed):
        fit(network=without_dropout(), train={"channels_last": True}, augmenter=kill_at(10), **given)
    network, result = fit(network=without_dropout(), train={"channels_last": False}, resume=True, **given)
    assert result.epochs == 3
    torch.testing.assert_close(dict(network.state_dict()), dict(expected.state_dict()), rtol=1e-3, atol=1e-4)


def test_a_checkpoint_of_the_version_before_goes_on(fit, path):
    content = torch.load(path, weights_only=True)
    content["identity"] |= {"train.precision": "auto", "train.compile": "auto", "train.channels_last": True}
    torch.save(content, path)
    assert fit(train={"epochs": 1}, resume=True)[1].epochs == 1


def test_an_optimizer_goes_on_as_the_device_that_it_is_on_now_asks(fit, kill_at, killed, monkeypatch):
    """As AdamW, which has to be made for recording on a GPU, where its run was begun on a CPU."""
    made = []

    def make(*given, **more):
        made.extend(make_optimizers(*given, **more))
        for group in made[-1].param_groups:
            group["capturable"] = len(made) > 1
        return made[-1:]

    monkeypatch.setattr(backend, "make_optimizers", make)
    with pytest.raises(killed):
        fit(optimizer={"name": "adamw"}, augmenter=kill_at(10))
    fit(optimizer={"name": "adamw"}, resume=True)
    assert [[group["capturable"] for group in one.param_groups] for one in made] == [[False] * 2, [True] * 2]


def test_weights_carry_their_metadata(tmp_path: Path) -> None:
    network = nn.Linear(2, 3)
    write_weights(tmp_path / "w.safetensors", network, {"design": "text"})
    with safe_open(tmp_path / "w.safetensors", framework="pt") as opened:
        assert {"design": "text"}.items() < opened.metadata().items()
        assert torch.equal(opened.get_tensor("weight"), network.weight.detach())


@pytest.mark.usefixtures("kernels")
def test_precision_and_identity_do_not_depend_on_a_compiler(fit, tmp_path, monkeypatch):
    """A run that is begun by the kernels goes on where no compiler is, and its result records the same precision."""
    automatic = {"epochs": 2, "precision": "auto", "kernels": "auto"}
    _, with_kernels = fit(train=automatic, run_dir=tmp_path / "with")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("archsearch.kernels.load_kernels", load_kernels.__wrapped__)  # not what is loaded already
    _, without = fit(train=automatic, run_dir=tmp_path / "without")
    assert (with_kernels.precision, with_kernels.backend) == ("bf16", "kernels")
    assert (without.precision, without.backend) == ("bf16", "eager")
    held = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("with", "without")]
    assert held[0]["identity"] == held[1]["identity"]
    assert held[0]["identity"]["train.precision"] == "bf16"
    assert [one["conditions"] for one in held] == ["cpu in bf16 with kernels", "cpu in bf16"]
    notices = fit(train=automatic, run_dir=tmp_path / "with", resume=True)[1].notices
    assert any("the run started on cpu in bf16 with kernels and continues on cpu in bf16:" in text for text in notices)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "two"},
        {"epoch": 5},
        {"step": -1},
        {"network": {}},
        {"optimizers": []},
        {"order": None},
        {"history": [{"epoch": 1}]},
        {"identity": None},
        {"conditions": ...},
    ],
)
def test_a_checkpoint_that_this_program_has_not_written_is_damaged(fit, path, change):
    content = torch.load(path, weights_only=True)
    for key, value in change.items():
        if value is ...:
            del content[key]
        else:
            content[key] = value
    torch.save(content, path)
    with pytest.raises(DamagedCheckpoint, match=r"checkpoint\.pt: the checkpoint is damaged or cut short"):
        fit(train={"epochs": 1}, resume=True)
    aside = set_checkpoint_aside(path.parent)
    assert (aside.name, path.exists()) == ("checkpoint.damaged.pt", False)

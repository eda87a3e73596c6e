"""The file of final weights and its checksum."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from archsearch.errors import DataError, SpecError
from archsearch.network.weights import load_weights, read_any_weights, read_weights
from archsearch.training.checkpoint import write_weights


def written(folder: Path) -> tuple[Path, nn.Module]:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2, dtype=torch.bfloat16))
    write_weights(folder / "w.safetensors", network, {"design": "text", "mean": "[0.5]"})
    return folder / "w.safetensors", network


def test_weights_are_read_as_they_were_written(tmp_path: Path) -> None:
    path, network = written(tmp_path)
    tensors, metadata = read_weights(path)
    assert metadata == {"design": "text", "mean": "[0.5]"}
    assert all(torch.equal(tensors[name], value) for name, value in network.state_dict().items())
    save_file({"x": torch.zeros(1)}, path)  # as versions without a checksum did
    assert read_weights(path)[0].keys() == {"x"}


def test_no_flipped_bit_gives_other_weights(tmp_path: Path) -> None:
    path, network = written(tmp_path)
    content = path.read_bytes()
    found = 0
    for place in range(0, len(content) * 8, 7):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            tensors, metadata = read_weights(path)
        except DataError:
            found += 1
            continue
        assert all(torch.equal(tensors[name], value) for name, value in network.state_dict().items())
        assert (metadata["design"], metadata["mean"]) == ("text", "[0.5]")
    assert found > 0.9 * len(content) * 8 / 7


@pytest.mark.parametrize("size", [0, 7, 100])
def test_a_file_that_is_cut_short_is_named(tmp_path: Path, size: int) -> None:
    path, _ = written(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"w\.safetensors: is not a complete safetensors file"):
        read_weights(path)


@pytest.mark.parametrize("wrapped", ["", "state_dict", "model"])
def test_weights_that_torch_has_saved_are_loaded(tmp_path: Path, wrapped: str) -> None:
    path, network = tmp_path / "w.pth", nn.Linear(3, 2)
    torch.save({wrapped: network.state_dict(), "epoch": 3} if wrapped else network.state_dict(), path)
    other = nn.Linear(3, 2)
    load_weights(other, path, "train.weights")
    assert torch.equal(other.weight, network.weight)


class Code:
    """What pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_code_in_a_file_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": Code()}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"w\.pth: cannot be read as weights alone"):
        read_any_weights(tmp_path / "w.pth")
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"PK", b"not weights"])
def test_a_file_without_weights_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(DataError, match=r"w\.pth: "):
        read_any_weights(tmp_path / "w.pth")
    torch.save([torch.zeros(1)], tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"w\.pth: is not a state dict"):
        read_any_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (nn.Linear(3, 2, bias=False), "has also 'bias'"),
        (nn.BatchNorm1d(2), "lacks 'num_batches_tracked' and 2 more"),
        (nn.Linear(3, 4), "other sizes of 'weight': 2 x 3 and 4 x 3"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, other: nn.Module, text: str) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(SpecError, match=f"train.weights: .*{text}"):
        load_weights(other, tmp_path / "w.pth", "train.weights")

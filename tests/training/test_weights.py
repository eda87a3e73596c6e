"""The file of final weights and its checksum."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from archsearch.errors import DataError
from archsearch.training.weights import read_weights, write_weights


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

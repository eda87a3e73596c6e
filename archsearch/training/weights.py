"""The final weights of a training as a safetensors file with a checksum; imports torch, never a design."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from archsearch.errors import DataError
from archsearch.training.storage import write_whole

CHECKSUM = "checksum"
"""The key of the metadata that holds it; files of earlier versions have none."""


def write_weights(path: Path, network: nn.Module, metadata: Mapping[str, str] | None = None) -> None:
    """Write the state dict of `network` as safetensors, whole. Raises `StorageError` where that fails."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    described = dict(metadata or {})
    described[CHECKSUM] = checksum(tensors, described)
    write_whole(path, save(tensors, metadata=described))


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors in `path` and its metadata; raises `DataError` where the file is incomplete or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors: dict[str, Tensor] = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path}: is not a complete safetensors file ({error})") from None
    held = metadata.pop(CHECKSUM, None)
    if held is not None and held != checksum(tensors, metadata):
        raise DataError(
            f"{path}: is damaged: its checksum does not match its content. "
            "Train the design again, or restore the file from a copy."
        )
    return tensors, metadata


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of names, types, shapes, values and metadata."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

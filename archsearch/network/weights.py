"""Weights in safetensors files with a checksum, and state dicts from elsewhere; imports torch, never a design."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from archsearch.errors import DataError, SpecError

CHECKSUM = "checksum"
"""The metadata key of the checksum; files of earlier versions have none."""


def encode_weights(network: nn.Module | Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the state dict of `network`, or a state dict, as the content of a safetensors file."""
    from safetensors.torch import save

    state = network.state_dict() if isinstance(network, nn.Module) else network
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    described = dict(metadata or {})
    described[CHECKSUM] = checksum(tensors, described)
    return save(tensors, metadata=described)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors in `path` and its metadata; raises `DataError` if the file is incomplete or damaged."""
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


def read_any_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a safetensors file, or in a file of `torch.save` without running its code.

    A checkpoint may hold it as `state_dict` or `model`. Raises `DataError` for a file that has no state dict.
    """
    if path.suffix == ".safetensors":
        return read_weights(path)[0]
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for damaged files and for code that it does not run
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: cannot be read as weights alone ({reason})") from error
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(each, Tensor) for each in found.values()):
        raise DataError(f"{path}: is not a state dict. Write it with torch.save(network.state_dict(), FILE).")
    return {str(key): value for key, value in found.items()}


def load_weights(network: nn.Module, path: Path, where: str) -> None:
    """Load the weights in `path` into `network`; raises `SpecError` at `where` if they are those of another network."""
    given, wanted = read_any_weights(path), network.state_dict()
    for what, keys in (("lacks", wanted.keys() - given.keys()), ("has also", given.keys() - wanted.keys())):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise SpecError(where, f"{path} holds the weights of another network: it {what} '{min(keys)}'{more}")
    for key, value in given.items():
        if value.shape != wanted[key].shape:
            shapes = " and ".join(" x ".join(map(str, each.shape)) or "one number" for each in (value, wanted[key]))
            raise SpecError(where, f"{path} holds other sizes of '{key}': {shapes}")
    network.load_state_dict(given)


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of the metadata and of all names, types, shapes and values."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

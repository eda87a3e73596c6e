"""Trained networks loaded from their run directories, or from their weights alone.

The metadata of `model.safetensors` holds all that is needed: design, classes, mean and standard deviation of the
images. Imports nothing of data, search or training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from archsearch.design.lower import lower
from archsearch.design.plan import Plan
from archsearch.design.spec import decode_design, no_blocks
from archsearch.errors import DataError, SpecError
from archsearch.network.assemble import assemble
from archsearch.network.portable import Preprocessed, Takes
from archsearch.network.weights import read_weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A trained network, in evaluation mode on the CPU in float32, with all that is needed to use it.

    `network` takes images normalised by `mean` and `std` (per channel, in 0..1); `classes` names its outputs in order;
    `metadata` is that of the file.
    """

    network: nn.Module
    plan: Plan
    design: Mapping[str, Any]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    metadata: Mapping[str, str]

    def taking(self, takes: Takes) -> nn.Module:
        """Return the network with the preprocessing that it needs to take images in the form `takes`."""
        if takes == "normalised":
            return self.network
        return Preprocessed(self.network, self.mean, self.std, takes).eval()


def load_network(path: Path, takes: Takes = "normalised") -> nn.Module:
    """Return the network in `path`, a run directory or the safetensors file of a run.

    With `takes="uint8"` (0..255) or `"unit"` (0..1) it takes images as they are, otherwise normalised images. Raises
    `DataError` if the file is missing or is not that of a run.
    """
    if takes == "normalised":
        return _read(path)[0]
    return read_trained(path).taking(takes)


def read_trained(path: Path) -> Trained:
    """Return the network in `path` with its classes and image statistics; raises `DataError` without statistics."""
    network, plan, design, metadata = _read(path)
    try:
        mean, std = (tuple(map(float, json.loads(metadata[key]))) for key in ("mean", "std"))
    except (KeyError, ValueError, TypeError):
        raise DataError(
            f"{path}: contains no mean and standard deviation for normalisation. Train the design again, "
            "or load it without normalisation and normalise the images yourself."
        ) from None
    return Trained(
        network=network,
        plan=plan,
        design=design,
        classes=tuple(metadata.get("classes", "").split("\n")),
        mean=mean,
        std=std,
        metadata=metadata,
    )


def weights_of(path: Path) -> Path:
    """Return the weights file for `path`, that file itself or a run directory; raises `DataError` if it is missing."""
    file = path if path.is_file() else path / "model.safetensors"
    if not file.is_file():
        raise DataError(f"{file}: no weights: {_why_none(path)}")
    return file


def _why_none(run_dir: Path) -> str:
    """Return why a run directory has no weights, and the fix."""
    again = f"Train the design again: python -m archsearch.run arch={run_dir / 'design.yaml'}"
    try:
        record = json.loads((run_dir / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        if not (run_dir / "design.yaml").is_file():
            return f"{run_dir} is not a run folder"
        return f"the run is not complete. Continue with resume={run_dir}"
    if isinstance(record, dict) and record.get("pruned"):
        return f"the run was pruned, and no weights were kept. {again}"
    return f"the run is complete, and its weights were removed. {again}"


def _read(path: Path) -> tuple[nn.Module, Plan, Mapping[str, Any], Mapping[str, str]]:
    import yaml

    file = weights_of(path)
    weights, metadata = read_weights(file)
    if "design" not in metadata:
        raise DataError(f"{file}: contains no design; it was not written by archsearch")
    try:
        design = yaml.safe_load(metadata["design"])
        plan = lower(decode_design(design, no_blocks))
        network = assemble(plan)
        network.load_state_dict(weights)
    except (yaml.YAMLError, SpecError, RuntimeError) as error:
        raise DataError(f"{file}: its weights do not match its design ({error})") from None
    return network.eval(), plan, design, metadata

"""Networks as files for other programs: ONNX and torch.export, written and read, with the normalisation included.

Imports torch; onnx and onnxruntime inside functions only. Independent of plans and runs.
Legend: B images, C channels (red, green and blue, or grey), H height, W width, K classes.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from archsearch.errors import SpecError
from archsearch.network.symmetry import untied

Takes = Literal["uint8", "unit", "normalised"]
"""Input of a network: bytes 0..255, floats 0..1, or floats normalised by its data's mean and standard deviation."""

Forward = Callable[[np.ndarray], np.ndarray]
"""A function from (B, C, H, W) images, in the input format of the network, to (B, K) logits."""

RECORD = "archsearch.json"
"""The name of the metadata inside a torch.export file; `torch.export.load` returns it among its `extra_files`."""

_LEVELS = 255
_FIX = "Install it: pip install 'archsearch[export]'."


class Preprocessed(nn.Module):
    """A network with its normalisation, for images in the input format `takes`."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float], takes: Takes) -> None:
        """Wrap `network`, which takes images normalised by the `mean` and `std` of each channel (in 0..1)."""
        super().__init__()
        self.network, self.takes = network, takes
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the (B, K) logits of images."""
        images_BCHW = images_BCHW.to(torch.float32)
        if self.takes == "uint8":
            images_BCHW = images_BCHW / _LEVELS
        if self.takes != "normalised":
            images_BCHW = (images_BCHW - self.mean) / self.std
        return self.network(images_BCHW)

    def extra_repr(self) -> str:
        """Return the input format."""
        return f"takes {self.takes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well the logits of an exported network agree with those of the original, over `images` images.

    `difference` is the largest absolute difference of logits, `scale` the largest absolute logit of the original, and
    `same` the number of images for which both predict the same class.
    """

    difference: float
    scale: float
    same: int
    images: int

    @property
    def relative(self) -> float:
        """The largest difference, relative to the largest logit."""
        return self.difference / max(self.scale, 1e-12)


def example_of(images_BCHW: np.ndarray, takes: Takes, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Return uint8 images converted to the input format `takes`."""
    if takes == "uint8":
        return images_BCHW
    unit = images_BCHW.astype(np.float32) / np.float32(_LEVELS)
    if takes == "unit":
        return unit
    shift, scale = (np.asarray(one, np.float32).reshape(1, -1, 1, 1) for one in (mean, std))
    return (unit - shift) / scale


def describe_input(takes: Takes, input_shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> str:
    """Return a description of the input of a network, in one line."""
    channels, height, width = input_shape
    kinds = {
        "uint8": "uint8, 0..255",
        "unit": "float32, 0..1 (bytes divided by 255)",
        "normalised": f"float32, (bytes / 255 - mean) / std with mean {_listed(mean)} and std {_listed(std)}",
    }
    colours = {1: ", grey", 3: ", channels red, green, blue"}.get(channels, "")
    return f"images (B, {channels}, {height}, {width}){colours}: {kinds[takes]}"


def write_onnx(network: nn.Module, example_BCHW: np.ndarray, file: Path, metadata: Mapping[str, str]) -> None:
    """Write `network`, in evaluation mode on the CPU, as ONNX with input `images`, output `logits` and any batch size.

    Tied weights are expanded, so that other programs find plain layers. Raises `SpecError` if the extra `export` is
    missing.
    """
    for library in ("onnx", "onnxscript"):
        _needed(library)
    with _quiet():
        program = torch.onnx.export(
            untied(network),
            (torch.from_numpy(example_BCHW),),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        assert program is not None, "the exporter of today returns a program"
        program.model.metadata_props.update(metadata)
        program.save(str(file))


def write_torch_export(network: nn.Module, example_BCHW: np.ndarray, file: Path, metadata: str) -> None:
    """Write `network`, in evaluation mode on the CPU, as a torch.export program for any batch size, with `metadata`.

    Tied weights are expanded.
    """
    with _quiet():
        batch = {0: torch.export.Dim("batch")}
        program = torch.export.export(untied(network), (torch.from_numpy(example_BCHW),), dynamic_shapes=(batch,))
        torch.export.save(program, str(file), extra_files={RECORD: metadata})


def read_onnx(file: Path) -> Forward:
    """Return the ONNX network in `file` as a function on the CPU; raises `SpecError` if onnxruntime is missing."""
    session = _needed("onnxruntime").InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda images_BCHW: session.run(["logits"], {"images": images_BCHW})[0]


def read_torch_export(file: Path) -> Forward:
    """Return the torch.export program in `file` as a function."""
    with _quiet():
        return as_function(torch.export.load(str(file)).module())


def as_function(network: Callable[[Tensor], Tensor]) -> Forward:
    """Return `network`, which is in evaluation mode on the CPU, as a function of arrays."""

    def forward(images_BCHW: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(np.ascontiguousarray(images_BCHW))).numpy()

    return forward


def compare(original: Forward, other: Forward, images_BCHW: np.ndarray, *, batch_size: int = 250) -> Agreement:
    """Return how well the logits of `other` agree with those of `original`, over `images_BCHW`."""
    starts = range(0, len(images_BCHW), batch_size)
    one, two = (
        np.concatenate([forward(images_BCHW[start : start + batch_size]) for start in starts])
        for forward in (original, other)
    )
    return Agreement(
        difference=float(np.abs(one - two).max()),
        scale=float(np.abs(one).max()),
        same=int((one.argmax(1) == two.argmax(1)).sum()),
        images=len(images_BCHW),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings, which torch's exporters raise about their own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _needed(library: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError:
        raise SpecError("", f"ONNX needs the package {library}, which is not installed", _FIX) from None


def _listed(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.6g}' for value in values)})"

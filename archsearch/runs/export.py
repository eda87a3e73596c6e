"""Exports of a trained run: files for other programs, each compared with the original before it is kept.

Example:
lines = export_network(run_dir, onnx=Path("net.onnx"), torch_export=Path("net.pt2"))
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from archsearch.errors import ArchsearchError, RunError, SpecError
from archsearch.formatting import pluralize
from archsearch.network.portable import (
    Forward,
    Takes,
    as_function,
    compare,
    describe_input,
    example_of,
    read_onnx,
    read_torch_export,
    write_onnx,
    write_torch_export,
)
from archsearch.runs.load import Trained, load_network, read_trained, weights_of
from archsearch.runs.record import run_dataset

if TYPE_CHECKING:
    from archsearch.data.dataset import Dataset

TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit.

Float32 sums in another order differ by less than a tenth of it.
"""
IMAGES = 1000


def export_network(
    run_dir: Path,
    *,
    onnx: Path | None = None,
    torch_export: Path | None = None,
    safetensors: Path | None = None,
    takes: Takes = "uint8",
    dataset: Dataset | None = None,
) -> list[str]:
    """Write the network of `run_dir` (or of a safetensors file) to each given file; return lines that describe them.

    ONNX and torch.export programs take images as `takes` specifies and include the normalisation; the safetensors file
    is a copy of the run's own. Each file is read back and compared with the original on up to 1000 test images before
    it is kept: those of `dataset` if given, else the run's, or generated images if those are not available.
    Raises `SpecError` for a wrong ending, a missing extra or a file that cannot be written, `RunError` if the written
    network differs, `DataError` if the run has no weights.
    """
    trained = read_trained(run_dir)
    images, origin = _images(run_dir, trained, dataset)
    ready = example_of(images, takes, trained.mean, trained.std)
    original = as_function(trained.taking(takes))
    metadata = _metadata(trained, takes)
    text = json.dumps(metadata)
    portable = trained.taking(takes)
    example = ready[:2] if len(ready) > 1 else ready.repeat(2, axis=0)  # a batch of 1 would fix the batch size at 1
    lines: list[str] = []
    if onnx is not None:
        _ending(onnx, ".onnx", "onnx")
        write = partial(write_onnx, portable, example, metadata=metadata)
        agreement = _written(onnx, write, read_onnx, original, ready)
        lines.append(f"{onnx}: ONNX, {agreement}, {origin}")
    if torch_export is not None:
        _ending(torch_export, ".pt2", "torch_export")
        write = partial(write_torch_export, portable, example, metadata=text)
        agreement = _written(torch_export, write, read_torch_export, original, ready)
        lines.append(f"{torch_export}: torch.export, {agreement}, {origin}")
    if lines:
        lines.append(f"both take {metadata['input']}" if len(lines) > 1 else f"it takes {metadata['input']}")
    if safetensors is not None:
        _ending(safetensors, ".safetensors", "safetensors")
        content = weights_of(run_dir).read_bytes()
        agreement = _written(
            safetensors,
            lambda file: file.write_bytes(content),
            lambda file: as_function(load_network(file, takes)),
            original,
            ready,
        )
        lines.append(f"{safetensors}: weights with their design, {agreement}, {origin}")
    return lines


def _written(
    file: Path, write: Callable[[Path], object], read: Callable[[Path], Forward], original: Forward, images: np.ndarray
) -> str:
    """Write `file` under another name, read it back, compare it, then rename it; return the agreement as text."""
    part = file.with_name(f"part.{file.name}")  # the same ending, because the exporters depend on it
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        found = compare(original, read(part), images)
        if not found.relative <= TOLERANCE:  # written so that NaN fails too
            raise RunError(
                f"{file}: not written: its logits differ from the original's by {found.difference:.3g} "
                f"(largest logit {found.scale:.3g}, tolerance {TOLERANCE:g} of it)"
            )
        part.replace(file)
    except OSError as error:
        raise SpecError(str(file), f"cannot be written: {error.strerror or error}", "Choose another file.") from error
    finally:
        part.unlink(missing_ok=True)
    return (
        f"same class on {found.same} of {pluralize(found.images, 'image')}, largest logit difference "
        f"{found.difference:.2g} of {found.scale:.3g} (tolerance {TOLERANCE * found.scale:.2g})"
    )


def _images(run_dir: Path, trained: Trained, dataset: Dataset | None) -> tuple[np.ndarray, str]:
    """Return uint8 (B, C, H, W) images for the comparison, and a phrase that describes their origin."""
    from archsearch.data.load import load_dataset
    from archsearch.settings.data import DataSettings, ShapesSettings

    channels, height, width = trained.plan.input_shape
    try:
        found = run_dataset(run_dir) if dataset is None else dataset
        origin = f"test images of {found.name}"
    except ArchsearchError:  # only weights, or the images are missing: generated images serve as well
        shapes = ShapesSettings(train_images=10, test_images=IMAGES)
        found = load_dataset(DataSettings(name="shapes", channels=channels, validation=0, shapes=shapes))
        origin = "generated images, because those of the run are not available"
    images_BHWC = found.test.images_BHWC[:IMAGES]
    tall, wide = (-(-size // have) for size, have in zip((height, width), images_BHWC.shape[1:3], strict=True))
    tiled = np.tile(images_BHWC, (1, tall, wide, 1))[:, :height, :width]
    return np.ascontiguousarray(tiled.transpose(0, 3, 1, 2)), origin


def _metadata(trained: Trained, takes: Takes) -> dict[str, str]:
    return {
        "input": describe_input(takes, trained.plan.input_shape, trained.mean, trained.std),
        "output": f"logits (B, {len(trained.classes)}), one per class",
        "classes": "\n".join(trained.classes),
        "design": trained.metadata["design"],
        "mean": trained.metadata["mean"],
        "std": trained.metadata["std"],
    }


def _ending(file: Path, ending: str, where: str) -> None:
    if file.suffix != ending:
        raise SpecError(where, f"'{file}' does not end in {ending}", f"Write {file.with_suffix(ending)}.")

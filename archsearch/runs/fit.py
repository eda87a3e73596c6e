"""Checks before training that a design, its training and the images fit together. Does not import torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, assert_never

from archsearch.analysis.check import Checked
from archsearch.analysis.measure import rows
from archsearch.design.layers import Norm
from archsearch.design.plan import Plan, primitives
from archsearch.errors import SpecError
from archsearch.formatting import number
from archsearch.settings.training import TrainSettings

if TYPE_CHECKING:
    from archsearch.data.dataset import Dataset


def require_fit(checked: Checked, dataset: Dataset, train: TrainSettings) -> None:
    """Raise `SpecError` if the input shape, the number of classes or a norm does not fit the images and batches."""
    require_shapes(checked.footprint.output_shape[0], checked.plan.input_shape, dataset)
    _require_norms(checked.plan, len(dataset.train), train)


def require_shapes(classes: int, wanted: tuple[int, int, int], dataset: Dataset) -> None:
    """Raise `SpecError` unless the data has `classes` classes and images of the `wanted` shape (C, H, W)."""
    if classes != len(dataset.classes):
        fix = f"Set arch.head.classes={len(dataset.classes)}."
        raise SpecError("arch.head.classes", f"is {classes}, but {dataset.name} has {len(dataset.classes)}", fix)
    height, width, channels = dataset.train.images_BHWC.shape[1:]
    if wanted != (channels, height, width):
        fix = f"Set arch.input=[{channels},{height},{width}]"
        if wanted[0] in (1, 3) and wanted[1] == wanted[2]:
            keys = {"channels": (wanted[0], channels), "image_size": (wanted[1], height)}
            changes = [f"data.{key}={value}" for key, (value, found) in keys.items() if value != found]
            fix += f", or {' '.join(changes)}{' data.resize=true' if wanted[1] != height else ''}"
        what = f"is {list(wanted)}, but images are {channels} x {height} x {width}"
        raise SpecError("arch.input", what, f"{fix}.")


def batch_notice(train: TrainSettings, dataset: Dataset) -> str | None:
    """Return a notice if the batch size exceeds the number of training images; None if it does not."""
    images = len(dataset.train)
    if train.batch_size <= images:
        return None
    batch = f"train.batch_size={train.batch_size}"
    return f"{batch} is more than the {number(images)} training images: every batch has all of them"


def _require_norms(plan: Plan, images: int, train: TrainSettings) -> None:
    """Raise `SpecError` if a norm would compute the standard deviation of a single value."""
    for path, norm, pixels in _norms(plan):
        if _values(norm, 2, pixels) == 1:
            fix = f"Use norm: batch, or fewer strides before '{path}'."
            raise SpecError("arch", f"'{path}' has one value to normalise: instance norm of a map of 1 x 1", fix)
        if _values(norm, 1, pixels) > 1:
            continue
        what = f"'{path}' normalises a map of 1 x 1, of which a batch of one image gives one value"
        if images == 1:
            raise SpecError("data", f"has one training image, and {what}", "Use more images.")
        if train.batch_size == 1:
            raise SpecError("train.batch_size", f"is 1, and {what}", "Set train.batch_size=2 or more.")
        if train.recalibrate is not None and norm.kind == "batch":
            count = min(train.recalibrate, images)
            size = math.ceil(count / math.ceil(count / train.eval_batch_size))  # batch size of `recalibrate`
            if size == 1 or count % size == 1:
                fix = f"Set train.recalibrate={max(2, count - 1)} train.eval_batch_size={max(2, count)}."
                raise SpecError("train.recalibrate", f"leaves one image for a batch, and {what}", fix)


def _values(norm: Norm, batch: int, pixels: int) -> int:
    """Return the number of values that each standard deviation is computed over, for `batch` images."""
    own = 1 if norm.symmetry == "none" else 2
    match norm.kind:
        case "batch":
            return batch * pixels * own
        case "instance":
            return pixels * own
        case "group":
            return batch * pixels * (norm.channels // norm.groups)
        case "layer":
            return batch * pixels * norm.channels
        case "channel":
            return norm.channels
        case _:
            assert_never(norm.kind)


def _norms(plan: Plan) -> Iterator[tuple[str, Norm, int]]:
    """Yield the path of every norm of `plan`, the norm, and the number of pixels of its feature map."""
    shapes = {row.name: row.output_shape for row in rows(plan)}
    for path, layer in primitives(plan.layers):
        if isinstance(layer, Norm):
            _, height, width = shapes[path]
            yield path, layer, height * width

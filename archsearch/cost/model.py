"""The model of the time of a training step, and its prediction for a whole training; no torch, no numpy.

The time of a step is linear: each kind of layer has a rate per call, multiply-accumulate, value moved and weight. The
time of a training is that of its steps and evaluated images, times a factor learned from finished trainings.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from archsearch.analysis.measure import Widths
from archsearch.analysis.seconds import Estimate
from archsearch.cost.work import Work, work_of
from archsearch.design.geometry import Shape
from archsearch.design.layers import MapKind
from archsearch.design.lower import FixedBlock, blocks_of, first_map, layers_of, lower, lower_head, stages_of
from archsearch.design.plan import Layer, tie_layers
from archsearch.design.spec import DesignSpec, HeadSpec

STEP = "step"
"""The kind of the work that every step has once: its batch, its loss."""
_OTHER = "other"  # its rates are used for kinds that were not measured
_REMEMBERED = 20_000  # blocks whose seconds are kept
_PRIOR = 2.0  # weight of the uncorrected model, in trainings
_LATEST = 30  # most trainings that count
_ENOUGH = 5  # trainings from which on the error is that of the trainings

Rates = tuple[float, float, float, float]
"""Seconds per call, multiply-accumulate, value moved and weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepModel:
    """The time of a step on `device`: the `rates` by kind of layer.

    `evaluated_image` is the time of an image in an evaluation, relative to one in a step. `error` is the median
    relative error over networks that the rates were not fitted to.
    """

    device: str
    rates: Mapping[str, Rates]
    evaluated_image: float
    error: float

    def step_seconds(self, work: Mapping[str, Work], batch: int) -> float:
        """Return the seconds of the layers' `work` in a step over `batch` images."""
        return sum(
            rate * amount
            for kind, one in work.items()
            for rate, amount in zip(self._rates_of(kind), one.of_batch(batch), strict=True)
        )

    def _rates_of(self, kind: str) -> Rates:
        return self.rates.get(kind) or self.rates.get(kind.removeprefix("paired ")) or self.rates[_OTHER]


def once_a_step(pixels: int) -> dict[str, Work]:
    """Return the work that every step has once; `pixels` is the number of values of an image."""
    return {STEP: Work(1, 0, pixels, 0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """The length of a training: its steps of `batch` images, and its evaluated images, over all epochs."""

    batch: int
    steps: int
    evaluated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """The correction of the model by finished trainings: the `factor`, and the `error` of corrected predictions."""

    factor: float
    error: float


def correction(ratios: Sequence[float], error: float) -> Correction:
    """Return the correction from the `ratios` of measured to predicted time of finished trainings, the latest last.

    The factor is their geometric mean, with two additional trainings of ratio 1. `error`, that of the model, is
    replaced by the median error of these trainings if there are enough.
    """
    logs = [math.log(one) for one in ratios[-_LATEST:]]
    mean = sum(logs) / (len(logs) + _PRIOR)
    if len(logs) >= _ENOUGH:
        error = statistics.median(abs(math.exp(mean - one) - 1) for one in logs)
    return Correction(factor=math.exp(mean), error=error)


@dataclass(slots=True, kw_only=True)
class TrainingTime:
    """Predicts the seconds of a training of one `length`; a `Predictor`.

    `pieces` caches the seconds of blocks in a step: the designs of a search share blocks, and several predictors of one
    model may share the cache.
    """

    model: StepModel
    length: Length
    correction: Correction
    pieces: dict[object, float] = field(default_factory=dict)

    def __call__(self, design: DesignSpec) -> Estimate:
        """Return the estimate for `design`, whose width is a number."""
        length, factor = self.length, self.correction.factor
        steps = length.steps + length.evaluated * self.model.evaluated_image / length.batch
        seconds = steps * self._step_seconds(design)
        return Estimate(seconds=factor * seconds, uncorrected=seconds, error=self.correction.error)

    def _step_seconds(self, design: DesignSpec) -> float:
        once = self._seconds_of(once_a_step(math.prod(design.input_shape)))
        if not design.is_chain:
            work, _ = work_of(lower(design).layers, design.input_shape)
            return once + self._seconds_of(work)
        return once + sum(self._piece_seconds(piece) for piece in pieces(design))

    def _piece_seconds(self, piece: Piece) -> float:
        key = (piece, self.length.batch)
        if (known := self.pieces.get(key)) is not None:
            return known
        if len(self.pieces) >= _REMEMBERED:
            self.pieces.clear()
        work, _ = work_of(piece.layers(), piece.shape)
        self.pieces[key] = found = self._seconds_of(work)
        return found

    def _seconds_of(self, work: Mapping[str, Work]) -> float:
        return self.model.step_seconds(work, self.length.batch)


class Piece(NamedTuple):
    """A block of a design at a width, or the head, with the shape and kind of its input."""

    block: FixedBlock | None
    width: int
    shape: Shape
    kind: MapKind
    head: HeadSpec | None

    def layers(self) -> tuple[Layer, ...]:
        """Return its layers."""
        if self.head is not None:
            return lower_head(self.head, self.shape[0], self.kind)
        assert self.block is not None, "a piece is a block or a head"
        return tie_layers(layers_of(self.block, self.shape[0], self.width), self.kind)[0]


def pieces(design: DesignSpec) -> Iterator[Piece]:
    """Yield the blocks and the head of `design`, a chain of stages whose width is a number, in order."""
    assert design.width != "fit", "a design that is predicted has a width"
    widths = Widths(design)
    channels = widths.channels(design.width)
    parts = widths.parts(channels)
    shape, kind = design.input_shape, first_map(design.symmetry)
    for width, stage in zip(channels, stages_of(design), strict=True):
        for block in blocks_of(stage):
            yield Piece(block, width, shape, kind, None)
            part = next(parts)
            shape, kind = part.shape, part.kind
    yield Piece(None, 0, shape, kind, design.head)

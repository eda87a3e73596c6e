"""The model of a step's seconds, and the prediction of a whole training by it; no torch, no numpy.

A step takes, for each kind of layer, so much a multiply-accumulate, a value moved and a weight, and for every layer a
call. A training is its steps and the images that it evaluates, times a factor that the trainings so far have taught.
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
"""The kind of what every step has once: its batch, its loss."""
_OTHER = "other"  # the kind that stands for one that was not measured
_REMEMBERED = 20_000  # blocks whose seconds are kept
_PRIOR = 2.0  # trainings that the model's own checks count for
_LATEST = 30  # trainings that count
_ENOUGH = 5  # trainings from which their spread is the error

Rates = tuple[float, float, float, float]
"""Seconds for a call, a multiply-accumulate, a value moved and a weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepModel:
    """What a step costs on `device`: the `rates` by kind of layer.

    `evaluated_image` is what an image costs in an evaluation, as a share of one in a step. `error` is the median
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
    """Return the work that every step has once, over images of so many values."""
    return {STEP: Work(1, 0, pixels, 0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a training is: its steps of `batch` images, and the images that it evaluates, of all epochs."""

    batch: int
    steps: int
    evaluated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What finished trainings say of the model: the `factor` of its predictions, and the `error` of the product."""

    factor: float
    error: float


def correction(ratios: Sequence[float], error: float) -> Correction:
    """Return the correction by `ratios`, measured to predicted, of finished trainings, the latest last.

    The factor is their geometric mean, the model's own 1 counting like two trainings; `error` is the model's own.
    """
    logs = [math.log(one) for one in ratios[-_LATEST:]]
    mean = sum(logs) / (len(logs) + _PRIOR)
    if len(logs) >= _ENOUGH:
        error = statistics.median(abs(math.exp(mean - one) - 1) for one in logs)
    return Correction(factor=math.exp(mean), error=error)


@dataclass(slots=True, kw_only=True)
class TrainingTime:
    """Predicts the seconds of a training of one `length`; a `Predictor`.

    `pieces` keeps the seconds of blocks in a step: designs of a search share them, and so may several predictors of
    one model.
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
    """A block of a design at a width, and the input that it gets; or the head alone."""

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

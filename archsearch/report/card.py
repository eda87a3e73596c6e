"""The report card of a trained network, and its JSON form `card.json`. Imports neither torch nor drawing code.

A file is not trusted: anything but a valid card is rejected.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

SOURCE = "Guo et al., On Calibration of Modern Neural Networks, ICML 2017; bins of equal width, of the winning class"
CARD = "card.json"
Split = Literal["test", "validation"]
_SHARES = {"above": "low", "to": "high", "confidence": "confidence", "accuracy": "accuracy"}
_ROUNDING = 1e-6  # tolerance for a mean in float32
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The images whose confidence is above `low` and at most `high`: their mean confidence and their accuracy."""

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A misclassified image: its index, class, prediction and confidence, and the image as a JPEG."""

    image: int
    label: int
    guess: int
    confidence: float
    picture: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The predictions of a network on images that it was not trained on.

    Rows of `confusion` are true classes, columns are predicted classes. `split` names the images: the test images or,
    for a trial of a study, the validation images. `augmented` is a JPEG of training images and random augmentations of
    each.
    """

    split: Split
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    bins: tuple[Bin, ...]
    calibration_error: float
    mistakes: tuple[Mistake, ...]
    augmented: bytes | None = None

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(map(sum, self.confusion))

    @property
    def accuracy(self) -> float:
        """The share of correctly classified images."""
        return sum(row[index] for index, row in enumerate(self.confusion)) / self.images

    @property
    def confidence(self) -> float:
        """The mean confidence in the predicted class."""
        return sum(one.images * one.confidence for one in self.bins) / self.images

    def recalls(self) -> list[float | None]:
        """Return the recall of each class; None for a class without images."""
        return [row[index] / sum(row) if sum(row) else None for index, row in enumerate(self.confusion)]

    def precisions(self) -> list[float | None]:
        """Return the precision of each class; None for a class that is never predicted."""
        columns = list(zip(*self.confusion, strict=True))
        return [column[index] / sum(column) if sum(column) else None for index, column in enumerate(columns)]

    def record(self) -> dict[str, Any]:
        """Return the card as JSON values for `card.json`; pictures are JPEG files in base64."""
        figures = zip(self.classes, self.confusion, self.recalls(), self.precisions(), strict=True)
        return {
            "split": self.split,
            "images": self.images,
            "accuracy": self.accuracy,
            "per_class": [
                {"class": name, "images": sum(row), "accuracy": recall, "precision": precision}
                for name, row, recall, precision in figures
            ],
            "confusion": [list(row) for row in self.confusion],
            "calibration": {
                "expected_error": self.calibration_error,
                "source": SOURCE,
                "bins": [
                    {"images": each.images, **{key: getattr(each, name) for key, name in _SHARES.items()}}
                    for each in self.bins
                ],
            },
            "mistakes": [
                {
                    "image": one.image,
                    "is": self.classes[one.label],
                    "taken_for": self.classes[one.guess],
                    "confidence": one.confidence,
                    "picture": _text(one.picture),
                }
                for one in self.mistakes
            ],
            "augmented": _text(self.augmented),
        }


def read_card(folder: Path) -> Card | None:
    """Return the card of the run in `folder`; None if it is missing or not valid."""
    if not (folder / CARD).is_file():
        return None
    try:
        return parse_card(json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def parse_card(record: Mapping[str, Any]) -> Card:
    """Return the card from the values of `Card.record`; raise a built-in exception if they are not valid."""
    classes = tuple(str(one["class"]) for one in record["per_class"])
    confusion = tuple(tuple(_count(number) for number in row) for row in record["confusion"])
    split = record["split"]
    if split not in get_args(Split):
        raise ValueError(split)
    if not any(map(sum, confusion)) or {len(classes)} != {len(confusion), *map(len, confusion)}:
        raise ValueError("the confusion does not fit the classes")
    calibration = record["calibration"]
    bins = tuple(
        Bin(images=_count(one["images"]), **{name: _share(one[key]) for key, name in _SHARES.items()})
        for one in calibration["bins"]
    )
    if sum(one.images for one in bins) != sum(map(sum, confusion)):
        raise ValueError("the bins are not those of the images")
    return Card(
        split=split,
        classes=classes,
        confusion=confusion,
        bins=bins,
        calibration_error=_share(calibration["expected_error"]),
        mistakes=tuple(
            Mistake(
                image=_count(one["image"]),
                label=classes.index(one["is"]),
                guess=classes.index(one["taken_for"]),
                confidence=_share(one["confidence"]),
                picture=_picture(one["picture"]),
            )
            for one in record["mistakes"]
        ),
        augmented=_picture(record["augmented"]),
    )


def _text(picture: bytes | None) -> str | None:
    return None if picture is None else base64.b64encode(picture).decode()


def _picture(text: str | None) -> bytes | None:
    if text is None:
        return None
    picture = base64.b64decode(text, validate=True)
    if not picture.startswith(_JPEG):
        raise ValueError("not a JPEG")
    return picture


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ValueError(value)
    return value


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1 + _ROUNDING:
        raise ValueError(value)  # NaN, too
    return min(float(value), 1.0)

"""Report cards made up for the tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from archsearch.report.card import Bin, Card, Mistake


def jpeg(size: tuple[int, int] = (8, 8)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, (200, 30, 60)).save(content, "JPEG")
    return content.getvalue()


def card(classes: int = 3, *, name: str = "") -> Card:
    """Return a card whose classes have long names, or `name` in theirs."""
    confusion = np.zeros((classes, classes), int)
    confusion[0, 0], confusion[0, 1], confusion[1, 1] = 3, 1, 4
    return Card(
        split="test",
        classes=tuple(f"${index}_{name or 'long ' * 9}" for index in range(classes)),
        confusion=tuple(tuple(int(one) for one in row) for row in confusion),
        bins=(Bin(low=0.8, high=1.0, images=8, confidence=0.9, accuracy=0.875),),
        calibration_error=0.025,
        mistakes=(Mistake(image=5, label=0, guess=1, confidence=0.99, picture=jpeg()),),
        augmented=jpeg((60, 20)),
    )

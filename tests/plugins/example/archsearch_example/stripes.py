"""A data set of two classes: grey images of horizontal and of vertical stripes."""

import numpy as np

from archsearch.data.dataset import Images, Source, source_of
from archsearch.settings.data import DataSettings


class Stripes:
    """The data set; a network is checked against these three numbers before an image is made."""

    channels = 1
    image_size = 16
    classes = 2

    def __call__(self, settings: DataSettings) -> Source:
        """Return the training and the test images; archsearch holds out the validation set and fingerprints all."""
        return source_of("stripes", ("horizontal", "vertical"), draw(400, seed=0), draw(100, seed=1))


def draw(count: int, seed: int) -> Images:
    """Return `count` images as uint8 (B, H, W, C) with their labels as int64 (B)."""
    random = np.random.default_rng(seed)
    images_BHWC = random.integers(0, 100, (count, 16, 16, 1), np.uint8)
    labels_B = np.arange(count) % 2
    for image_HWC, label in zip(images_BHWC, labels_B, strict=True):
        lines = image_HWC if label == 0 else image_HWC.swapaxes(0, 1)
        lines[random.integers(4) :: 4] += 100
    return Images(images_BHWC=images_BHWC, labels_B=labels_B)


stripes = Stripes()

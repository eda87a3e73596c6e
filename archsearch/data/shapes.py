"""The embedded data set: ten classes of 32x32 images that differ in long-range relations only. No disk or network.

Every image has the same twelve glyphs, six of each of two kinds, in three rings: four on a square around the centre,
four at the middles of the edges, four in the corners. A class determines the arrangement of each ring (`CLASSES`).
Within a class each ring is flipped, and its two kinds are swapped, at random and independently of the other rings. So
both kinds are equally frequent at every position. A window without two glyphs of one ring has the same distribution in
all classes, at every position. The mean over positions of any features of such windows then has the same expectation in
all classes, and the cross-entropy of a linear layer on it is lowest for a constant output: chance. This holds for
windows of up to 7 px; larger ones cover two glyphs of the inner ring, then of the others.

Legend: N images, H = W = 32, C = 3 colours, S = 12 glyphs per image, K = 10 classes, G = 5 px, the side of a glyph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIZE = 32
"""Height and width of an image in px."""

GLYPHS = {
    "beams": ("#####", "#####", ".....", "#####", "#####"),
    "posts": ("##.##", "##.##", "##.##", "##.##", "##.##"),
}
"""The glyphs by name; each equals its mirror images, so that mirroring an image moves glyphs and changes none."""

# Four positions per ring: top left, top right, bottom left, bottom right for the corners and the inner square; left,
# right, top, bottom for the edges. 0 and 1 are the two kinds; flips give the other patterns of a class.
_PAIRED = {"rows": (0, 0, 1, 1), "columns": (0, 1, 0, 1), "diagonals": (0, 1, 1, 0)}
_FACING = {"equal": (0, 0, 1, 1), "unequal": (0, 1, 0, 1)}
_ARRANGED = tuple((inner, edge, corner) for corner in _PAIRED for edge in _FACING for inner in ("rows", "columns"))[:10]

CLASSES = tuple("_".join(names) for names in _ARRANGED)
"""The ten classes: the arrangement of the inner ring, equal opposite edges or not, the arrangement of the corners."""

_BORDER = 3  # px from the border to the centre of a glyph of the outer ring, before its own shift of 0 to 2
_MIDDLE = 15  # px from the border to the centre of an edge, before the shift of 0 or 1
_INNER = 10  # px from the border to the centre of an inner glyph, so that a window of 7 px never reaches two of them
_CHUNK = 2000  # images drawn at once: bounds the memory; another value draws other images
_DOTS = 6  # single bright or dark pixels scattered over an image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """The glyphs of images and their positions.

    `kinds_NS` are indices into `GLYPHS`, `rows_NS` and `columns_NS` the glyphs' centres in px; the corners come
    first, then the inner four, each top left, top right, bottom left, bottom right.
    """

    kinds_NS: np.ndarray
    rows_NS: np.ndarray
    columns_NS: np.ndarray


def draw(images: int, *, seed: int | tuple[int, ...], noise: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return `images` images as uint8 [N, 32, 32, 3] and their labels as int64 [N], in random order.

    The numbers of images per class differ by at most one. The result is the same on every machine and with every
    release of numpy: it uses raw words of PCG64, which numpy keeps unchanged, and integer arithmetic only.
    `noise` is the largest change of a pixel's colour, in 0..127.
    """
    stream = Stream(seed)
    labels_N = np.argsort(stream.words(images), kind="stable") % len(CLASSES)
    images_NHWC = np.empty((images, SIZE, SIZE, 3), np.uint8)
    for start in range(0, images, _CHUNK):
        part = slice(start, min(start + _CHUNK, images))
        layout = arrange(labels_N[part], stream)
        images_NHWC[part] = _paint(layout, stream, noise)
    return images_NHWC, labels_N.astype(np.int64)


def arrange(labels_N: np.ndarray, stream: Stream) -> Layout:
    """Return a random layout of each label's class."""
    n = len(labels_N)
    inner_K4 = np.array([_PAIRED[inner] for inner, _, _ in _ARRANGED])
    edge_K4 = np.array([_FACING[edge] for _, edge, _ in _ARRANGED])
    corner_K4 = np.array([_PAIRED[corner] for _, _, corner in _ARRANGED])
    square = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])  # none, left-right, top-bottom, both
    cross = np.array([[0, 1, 2, 3], [1, 0, 2, 3], [0, 1, 3, 2], [1, 0, 3, 2]])
    kinds = []
    for ring_K4, mirrored in ((corner_K4, square), (edge_K4, cross), (inner_K4, square)):
        ring_N4 = np.take_along_axis(ring_K4[labels_N], mirrored[stream.below(4, n)], axis=1)
        kinds.append(ring_N4 ^ stream.below(2, n)[:, None])
    near_2N8 = _BORDER + stream.below(3, 2 * n * 8).reshape(2, n, 8)
    middle_2N8 = _MIDDLE + stream.below(2, 2 * n * 8).reshape(2, n, 8)
    # rows, then columns, of the four corners and the left, right, top and bottom edge: 0 near, 1 far, 2 middle
    zone_28 = np.array([[0, 0, 1, 1, 2, 2, 0, 1], [0, 1, 0, 1, 0, 1, 2, 2]])[:, None]
    outer_2N8 = np.choose(zone_28, [near_2N8, SIZE - 1 - near_2N8, middle_2N8])
    far_24 = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    inner_2N4 = np.broadcast_to(np.where(far_24[:, None] == 1, SIZE - 1 - _INNER, _INNER), (2, n, 4))
    places_2NS = np.concatenate([outer_2N8, inner_2N4], axis=2)
    return Layout(kinds_NS=np.concatenate(kinds, axis=1), rows_NS=places_2NS[0], columns_NS=places_2NS[1])


class Stream:
    """Integers from PCG64's raw words, which numpy promises never to change, unlike the methods of `Generator`."""

    def __init__(self, seed: int | tuple[int, ...]) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def words(self, count: int) -> np.ndarray:
        """Return `count` uint64."""
        return self._bits.random_raw(count)

    def below(self, bound: int, count: int) -> np.ndarray:
        """Return `count` int64 in 0..bound-1; the bias is below 2**-32 for the small bounds used here."""
        return ((self.words(count) >> np.uint64(32)) % np.uint64(bound)).astype(np.int64)

    def octets(self, count: int) -> np.ndarray:
        """Return `count` uint8."""
        return self.words(-(-count // 8)).astype("<u8", copy=False).view(np.uint8)[:count]


def _paint(layout: Layout, stream: Stream, noise: int) -> np.ndarray:
    n, slots = layout.kinds_NS.shape
    ground_NC = 48 + stream.below(160, n * 3).reshape(n, 3)
    slopes_2NC = stream.below(25, 2 * n * 3).reshape(2, n, 3) - 12
    ramp_H = np.arange(SIZE) - SIZE // 2
    # a coloured background with linear gradients along rows and columns, each up to 12 levels from centre to edge
    canvas = (
        ground_NC[:, None, None]
        + (slopes_2NC[0][:, None, None] * ramp_H[None, :, None, None] // 16)
        + (slopes_2NC[1][:, None, None] * ramp_H[None, None, :, None] // 16)
    ).astype(np.int16)
    away_NC = np.where(ground_NC < 128, 1, -1)  # the direction in which a channel has room for contrast
    every_N = np.arange(n)[:, None]
    rows, columns = stream.below(SIZE, n * _DOTS).reshape(n, -1), stream.below(SIZE, n * _DOTS).reshape(n, -1)
    canvas[every_N, rows, columns] += (
        away_NC[:, None] * (40 + stream.below(60, n * _DOTS * 3).reshape(n, -1, 3))
    ).astype(np.int16)
    masks_KGG = np.array([[[mark == "#" for mark in line] for line in glyph] for glyph in GLYPHS.values()])
    around_G = np.arange(masks_KGG.shape[1]) - masks_KGG.shape[1] // 2
    every_NGG = np.arange(n)[:, None, None]
    for slot in range(slots):
        ink_NC = ground_NC + away_NC * (80 + stream.below(48, n * 3).reshape(n, 3))
        rows_NG1 = (layout.rows_NS[:, slot, None] + around_G)[:, :, None]
        columns_N1G = (layout.columns_NS[:, slot, None] + around_G)[:, None, :]
        under_NGGC = canvas[every_NGG, rows_NG1, columns_N1G]
        shown_NGG1 = masks_KGG[layout.kinds_NS[:, slot]][..., None]
        canvas[every_NGG, rows_NG1, columns_N1G] = np.where(shown_NGG1, ink_NC[:, None, None], under_NGGC)
    if noise:
        grain = stream.octets(canvas.size).reshape(canvas.shape).astype(np.uint16)
        canvas += (grain * np.uint16(2 * noise + 1) >> np.uint16(8)).astype(np.int16) - np.int16(noise)
    return np.clip(canvas, 0, 255).astype(np.uint8)

"""The embedded images: the same everywhere, balanced, and equal in what a small window can see."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np
import pytest

from archsearch.data import shapes


def _layout(label: int, images: int = 4000) -> shapes.Layout:
    return shapes.arrange(np.full(images, label), shapes.Stream((7, label)))


def test_ten_classes_with_names_of_their_own() -> None:
    assert len(set(shapes.CLASSES)) == 10


def test_the_same_seed_draws_the_same_images_on_every_machine() -> None:
    images, labels = shapes.draw(50, seed=(0, 0))
    digest = hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes()).hexdigest()
    assert digest == "6f67d7b3c80676bf663f995978adc58cebbfa4757b42a2f905cd3d099270d282"


def test_another_seed_draws_other_images() -> None:
    first, second = shapes.draw(20, seed=0)[0], shapes.draw(20, seed=1)[0]
    assert (first != second).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("count", [10, 2003])
def test_every_class_has_its_share(count: int) -> None:
    images, labels = shapes.draw(count, seed=3)
    assert images.shape == (count, 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    counts = np.bincount(labels, minlength=10)
    assert counts.max() - counts.min() <= 1


def test_every_image_holds_the_same_glyphs_whatever_its_class() -> None:
    for label in range(10):
        kinds = np.sort(_layout(label, 100).kinds_NS, axis=1)
        assert (kinds == kinds[0]).all()
        assert (kinds[0] == np.sort(_layout(0, 1).kinds_NS[0])).all()


def test_each_place_holds_each_kind_equally_often_in_every_class() -> None:
    kinds = len(shapes.GLYPHS)
    for label in range(10):
        layout = _layout(label)
        for slot in range(layout.kinds_NS.shape[1]):
            share = np.bincount(layout.kinds_NS[:, slot], minlength=kinds) / len(layout.kinds_NS)
            assert share == pytest.approx(1 / kinds, abs=0.05)


def test_no_window_of_seven_pixels_tells_two_glyphs_of_a_ring() -> None:
    layout = _layout(0, 2000)
    for ring in (range(4), range(4, 8), range(8, 12)):
        for one, other in combinations(ring, 2):
            rows = np.abs(layout.rows_NS[:, one] - layout.rows_NS[:, other])
            columns = np.abs(layout.columns_NS[:, one] - layout.columns_NS[:, other])
            apart = np.maximum(rows, columns) > 10
            corner_pixels_alone = (rows == 10) & (columns == 10)
            assert (apart | corner_pixels_alone).all()
    assert {rows[y][x] for rows in shapes.GLYPHS.values() for y in (0, 4) for x in (0, 4)} == {"#"}


def test_rings_are_arranged_apart_from_each_other() -> None:
    for label in range(10):
        kinds = _layout(label).kinds_NS
        for one, other in ((0, 4), (0, 8), (4, 8)):
            assert (kinds[:, one] == kinds[:, other]).mean() == pytest.approx(0.5, abs=0.04)


def test_glyphs_lie_inside_the_image() -> None:
    layout = _layout(9, 2000)
    for centres in (layout.rows_NS, layout.columns_NS):
        assert centres.min() >= 2
        assert centres.max() <= 29


def test_a_glyph_equals_its_mirror_images() -> None:
    for rows in shapes.GLYPHS.values():
        assert rows == rows[::-1]
        assert all(row == row[::-1] for row in rows)


def test_a_mirrored_image_is_of_the_same_class_and_of_no_other() -> None:
    seen = {label: {tuple(kinds) for kinds in _layout(label).kinds_NS.tolist()} for label in range(10)}
    for one, other in combinations(range(10), 2):
        assert not seen[one] & seen[other]
    left_right = [1, 0, 3, 2, 5, 4, 6, 7, 9, 8, 11, 10]
    for kinds in seen.values():
        assert {tuple(row[i] for i in left_right) for row in kinds} == kinds


@pytest.mark.parametrize("noise", [1, 20, 127])
def test_noise_stays_within_its_bound(noise: int) -> None:
    plain = shapes.draw(30, seed=5, noise=0)[0].astype(int)
    grainy = shapes.draw(30, seed=5, noise=noise)[0].astype(int)
    change = grainy - plain
    assert (change.min(), change.max()) == (-noise, noise)
    assert abs(change[(plain > 127 - 20) & (plain < 128 + 20)].mean()) < 0.01 * noise + 0.5

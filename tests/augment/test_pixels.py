from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from archsearch.augment.pixels import crop, light, pad, punch, warp, warp_matrices

WORST, MEAN_APART = (1, 0.01) if int(cv2.__version__.partition(".")[0]) >= 5 else (8, 0.5)  # levels
FILL = torch.tensor([125.0, 123.0, 114.0])
BORDERS = {
    "reflect_101": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
    "black": cv2.BORDER_CONSTANT,
    "mean": cv2.BORDER_CONSTANT,
}


def as_BHWC(images):
    return images.permute(0, 2, 3, 1).contiguous()


def border_value(border):
    return FILL.tolist() if border == "mean" else (0, 0, 0)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40)])
def test_a_warp_is_that_of_opencv(photos, border, height, width):
    """OpenCV 4 rounds where it samples to 1/32 px, so pixels differ a little: see benchmarks/training_notes.md."""
    count = 60
    images = as_BHWC(photos(count, height, width))
    g = torch.Generator().manual_seed(0)
    shift_x, shift_y = (torch.rand(2, count, generator=g, dtype=torch.float64) - 0.5) * 8
    factor = 0.7 + 0.6 * torch.rand(count, generator=g, dtype=torch.float64)
    angle = (torch.rand(count, generator=g, dtype=torch.float64) - 0.5) * 360
    mirrored = torch.rand(count, generator=g) < 0.5
    matrices = warp_matrices(shift_x, shift_y, factor, angle, mirrored, height=height, width=width)
    found = warp(images, matrices, border, FILL)
    assert found.shape == images.shape
    assert found.is_contiguous()
    for i in range(count):
        source = images[i].numpy()
        source = np.ascontiguousarray(source[:, ::-1]) if mirrored[i] else source
        centre = ((width - 1) / 2, (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, angle[i].item(), factor[i].item())
        matrix[:, 2] += (shift_x[i].item(), shift_y[i].item())
        expected = cv2.warpAffine(
            source,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=BORDERS[border],
            borderValue=border_value(border),
        )
        apart = np.abs(found[i].numpy().astype(int) - expected.astype(int))
        assert apart.max() <= WORST
        assert apart.mean() < MEAN_APART


def test_a_quarter_turn_is_exact_and_anticlockwise(photos):
    images = as_BHWC(photos(3))
    zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    matrices = warp_matrices(zero, zero, one, 90 * one, zero.bool(), height=32, width=32)
    found = warp(images, matrices, "reflect_101", FILL)
    assert torch.equal(found, images.rot90(1, (1, 2)))


def test_a_warp_that_does_nothing_changes_nothing(photos):
    images = as_BHWC(photos(3, 17, 33))
    zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    still = warp_matrices(zero, zero, one, zero, zero.bool(), height=17, width=33)
    assert torch.equal(warp(images, still, "reflect_101", FILL), images)
    mirror = warp_matrices(zero, zero, one, zero, one.bool(), height=17, width=33)
    assert torch.equal(warp(images, mirror, "mean", FILL), images.flip(2))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("padding", [1, 4, 40])
def test_padding_is_that_of_opencv(photos, border, padding):
    images = as_BHWC(photos(2, 12, 17))
    found = pad(images, padding, border, FILL)
    for image, padded in zip(images, found, strict=True):
        expected = cv2.copyMakeBorder(
            image.numpy(), padding, padding, padding, padding, BORDERS[border], value=border_value(border)
        )
        np.testing.assert_array_equal(padded.numpy(), expected)


def test_a_crop_is_a_slice_of_each_image(photos):
    padded = as_BHWC(photos(6, 40, 42))
    top, left = torch.tensor([0, 8, 3, 0, 8, 5]), torch.tensor([0, 10, 4, 10, 0, 1])
    found = crop(padded, top, left, 32, 32)
    for i in range(6):
        assert torch.equal(found[i], padded[i, top[i] : top[i] + 32, left[i] : left[i] + 32])


def test_a_hole_is_the_fill_inside_and_the_image_outside(photos):
    images = as_BHWC(photos(4, 20, 30))
    top, left = torch.tensor([0, 4, 10, 2]), torch.tensor([0, 14, 3, 9])
    found = punch(images, top, left, 10, 16, FILL)
    for i in range(4):
        expected = images[i].clone()
        expected[top[i] : top[i] + 10, left[i] : left[i] + 16] = torch.tensor([125, 123, 114], dtype=torch.uint8)
        assert torch.equal(found[i], expected)


def test_light_scales_shifts_and_clips():
    images = torch.tensor([0, 100, 200], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 2, 2, 3)
    found = light(images, torch.tensor([1.0, 1.5, 1.5]), torch.tensor([-9.0, 0.7, 0.0]))
    assert found.view(3, -1)[:, 0].tolist() == [0, 150, 255]
    assert math.prod(found.shape) == 36


def test_a_warp_is_as_exact_where_a_training_computes_in_bf16(photos):
    images = as_BHWC(photos(2))
    still = (torch.eye(2, 3) / 15.5).expand(2, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(warp(images, still, "reflect_101", FILL), images)

from __future__ import annotations

import math
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import yaml

from archsearch.augment.batched import BatchedAugmenter
from archsearch.augment.draws import Crop, Flip, Holes, Light, Warp, draw
from archsearch.augment.make import make_augmenter
from archsearch.augment.normalise import Normaliser, normalise
from archsearch.augment.reference import AlbumentationsAugmenter, seed
from archsearch.errors import SpecError
from archsearch.settings.augment import AugmentPolicy, decode_policy

COUNT = 2000
# Levels between the two executors' warped pixels: OpenCV 4 rounds where it samples to 1/32 px.
WORST, MEAN_APART = (1, 0.01) if int(cv2.__version__.partition(".")[0]) >= 5 else (8, 0.5)


@pytest.fixture
def shipped(checkout):
    return lambda name: decode_policy(yaml.safe_load((checkout / f"conf/augment/{name}.yaml").read_text()))


def applied(policy, images, statistics, number=0):
    """Return the augmented images and, for each, what Albumentations did: its parameters by the transform's name."""
    compose = AlbumentationsAugmenter(policy, **statistics, device="cpu").composed(*images.shape[2:])
    compose.save_applied_params = True
    seed(compose, torch.Generator().manual_seed(number))
    results = [compose(image=image.permute(1, 2, 0).contiguous().numpy()) for image in images]
    pixels = torch.from_numpy(np.stack([result["image"] for result in results])).permute(0, 3, 1, 2)
    return pixels, [dict(result["applied_transforms"]) for result in results]


def warp_of(matrix, size=32):
    """Return shift x, shift y (px), factor and angle (degrees) of a forward 3 x 3 matrix about the centre."""
    c = (size - 1) / 2
    shift = matrix[:2, :2] @ (c, c) + matrix[:2, 2] - c
    return (
        shift[0],
        shift[1],
        math.hypot(matrix[0, 0], matrix[1, 0]),
        math.degrees(math.atan2(matrix[0, 1], matrix[0, 0])),
    )


def as_draws(records, policy):
    """Return Albumentations' parameters as the draws of the batched executor."""
    count = len(records)

    def chosen(name):
        return torch.tensor([name in record for record in records])

    def column(name, read, default):
        rows = [read(record[name]) if name in record else default for record in records]
        return torch.tensor(rows, dtype=torch.float64).T

    draws = []
    for step in policy.steps:
        match type(step).__name__:
            case "HorizontalFlip":
                draws.append(Flip(chosen_B=chosen("HorizontalFlip")))
            case "ShiftScaleRotate":
                x, y, factor, angle = column("SimilarityWarp", lambda p: warp_of(p["matrix"]), (0, 0, 1, 0))
                draws.append(
                    Warp(
                        chosen_B=chosen("SimilarityWarp"),
                        shift_x_B=x,
                        shift_y_B=y,
                        factor_B=factor,
                        angle_B=angle,
                        border=step.border,
                    )
                )
            case "CoarseDropout":
                left, top = column("CoarseDropout", lambda p: tuple(p["holes"][0][:2]), (0, 0)).long()
                draws.append(
                    Holes(
                        chosen_B=chosen("CoarseDropout"),
                        tops_KB=top.view(1, count),
                        lefts_KB=left.view(1, count),
                        height=step.height,
                        width=step.width,
                        fill=step.fill,
                    )
                )
            case "RandomCrop":
                left, top = column("RandomCrop", lambda p: p["crop_coords"][:2], (0, 0)).long()
                crop = Crop(
                    chosen_B=chosen("RandomCrop"), top_B=top, left_B=left, padding=step.padding, border=step.border
                )
                draws.append(crop)
            case _:
                factor, offset = column("RandomBrightnessContrast", lambda p: (p["alpha"], p["beta"]), (1, 0))
                draws.append(Light(chosen_B=chosen("RandomBrightnessContrast"), factor_B=factor, offset_B=offset))
    return draws


@pytest.mark.parametrize("name", ["assignment", "mild", "flip_crop", "strong", "none"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_same_parameters_give_the_same_pixels(photos, shipped, name, channels):
    policy, images = shipped(name), photos(300, channels=channels)
    statistics = {"mean": (0.4914, 0.4822, 0.4471, 0.3)[:channels], "std": (0.25,) * channels}
    expected, records = applied(policy, images, statistics)
    found = BatchedAugmenter(policy, **statistics, device="cpu").apply(images, as_draws(records, policy))
    apart = (found.int() - expected.int()).abs()
    warped = torch.tensor(["SimilarityWarp" in record for record in records])
    assert apart[~warped].numel() == 0 or apart[~warped].max() <= (1 if name == "strong" else 0)
    if warped.any():
        # `strong` multiplies a level that is apart by up to 1.3.
        assert apart[warped].max() <= WORST * (1.5 if name == "strong" else 1) + (name == "strong")
        assert apart[warped].float().mean() < MEAN_APART


@pytest.mark.parametrize("executor", ["batched", "albumentations"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_number_of_channels(photos, policy, everything, executor, channels):
    mean, std = (0.1, 0.2, 0.3, 0.4)[:channels], (0.25,) * channels
    images, mirrored_B = photos(24, channels=channels), torch.arange(24) % 2 == 0
    augment = make_augmenter(policy(executor, **everything), mean=mean, std=std, device="cpu")
    found = augment(images, torch.Generator().manual_seed(0), mirrored_B)
    assert found.shape == images.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    undone = Normaliser(mean, std, "cpu").undo(found)
    assert not torch.equal(undone, images)
    hidden = policy(executor, coarse_dropout={"height": 32, "width": 32, "p": 1})
    filled = make_augmenter(hidden, mean=mean, std=std, device="cpu")(images, torch.Generator())
    levels = torch.tensor([26, 51, 76, 102][:channels], dtype=torch.uint8).view(1, -1, 1, 1)
    assert torch.equal(Normaliser(mean, std, "cpu").undo(filled), levels.expand_as(images))
    outside = policy(executor, shift_scale_rotate={"rotate": 45, "border": "mean", "p": 1})
    warped = make_augmenter(outside, mean=mean, std=std, device="cpu")(images * 0, torch.Generator().manual_seed(1))
    assert torch.equal(Normaliser(mean, std, "cpu").undo(warped).amax((0, 2, 3)), levels.flatten())


def test_a_border_that_opencv_cannot_fill_is_named_with_the_fix(policy):
    statistics = {"mean": (0.5,) * 5, "std": (0.2,) * 5, "device": "cpu"}
    for transform in ("shift_scale_rotate", "random_crop"):
        with pytest.raises(SpecError, match=r"at most 4 channels, images have 5. Set augment.executor=batched."):
            make_augmenter(policy("albumentations", **{transform: {"border": "mean"}}), **statistics)
    augment = make_augmenter(policy("albumentations", shift_scale_rotate={"p": 1}), **statistics)
    assert augment(torch.zeros(2, 5, 8, 8, dtype=torch.uint8), torch.Generator()).shape == (2, 5, 8, 8)


def test_both_executors_draw_from_the_same_distribution(photos, shipped, statistics):
    policy = shipped("assignment")
    _, records = applied(policy, photos(20).repeat(COUNT // 20, 1, 1, 1), statistics)
    theirs = as_draws(records, policy)
    ours = draw(policy.steps, count=COUNT, height=32, width=32, generator=torch.Generator().manual_seed(0))
    for one, other in zip(ours, theirs, strict=True):
        mine, yours = one.chosen_B, other.chosen_B
        assert abs(mine.double().mean() - yours.double().mean()) < 4 * (0.5 / COUNT) ** 0.5
        for name in ("shift_x_B", "shift_y_B", "factor_B", "angle_B", "tops_KB", "lefts_KB"):
            if hasattr(one, name):
                a, b = getattr(one, name).flatten()[mine], getattr(other, name).flatten()[yours]
                assert distance(a, b) < 1.95 * (1 / len(a) + 1 / len(b)) ** 0.5, name
                assert a.double().std() / b.double().std() == pytest.approx(1, abs=0.08), name


def distance(a, b):
    """Return the largest gap between two empirical distributions (Kolmogorov-Smirnov)."""
    places = torch.cat([a, b]).double().sort().values
    shares = [torch.searchsorted(x.double().sort().values, places, right=True) / len(x) for x in (a, b)]
    return (shares[0] - shares[1]).abs().max()


def test_the_assignment_s_warp_is_that_of_albumentations_1_3(photos, shipped, statistics):
    """One factor for both axes, shifts that are no whole pixels, within the limits: not so in 2.0's own class."""
    _, records = applied(shipped("assignment"), photos(600), statistics)
    matrices = np.stack([r["SimilarityWarp"]["matrix"] for r in records if "SimilarityWarp" in r])
    across = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    down = np.hypot(matrices[:, 0, 1], matrices[:, 1, 1])
    np.testing.assert_allclose(across, down, rtol=1e-9)
    x, y, factor, angle = np.array([warp_of(matrix) for matrix in matrices]).T
    for shift in (x, y):
        assert np.abs(shift).max() <= 2
        assert np.abs(shift).max() > 1.9
        assert np.mean(np.abs(shift - shift.round()) < 0.01) < 0.1
    assert 0.9 <= factor.min() < 0.91
    assert 1.09 < factor.max() <= 1.1
    assert -45 <= angle.min() < -43
    assert 43 < angle.max() <= 45


def test_the_choices_are_independent_in_the_first_image_too(photos, shipped, statistics):
    """Albumentations' own seeding gives each transform the same numbers: flipped would mean warped and holed."""
    kinds = [frozenset(applied(shipped("assignment"), photos(1), statistics, n)[1][0]) for n in range(200)]
    assert len(set(kinds)) == 8
    assert max(kinds.count(kind) for kind in set(kinds)) < 60


def test_a_hole_is_filled_with_the_mean_and_not_with_black(photos, policy, statistics):
    hole = policy(coarse_dropout={"holes": 1, "height": 32, "width": 32, "fill": "mean", "p": 1})
    found = AlbumentationsAugmenter(hole, **statistics, device="cpu").apply(photos(2), torch.Generator())
    assert found.permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0).tolist() == [[125, 123, 114]]


def test_no_transform_is_plain_normalisation(photos, statistics):
    images = photos(9)
    found = AlbumentationsAugmenter(AugmentPolicy(), **statistics, device="cpu")(images, torch.Generator())
    assert torch.equal(found, normalise(images, **statistics))


def test_the_state_of_the_generator_repeats_the_batch(photos, shipped, statistics):
    augment, images = AlbumentationsAugmenter(shipped("strong"), **statistics, device="cpu"), photos(16)
    generator = torch.Generator().manual_seed(4)
    augment(images, generator)
    state = generator.get_state()
    first, second = augment(images, generator), augment(images, generator)
    generator.set_state(state)
    again = augment(images, generator)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert first.dtype == torch.float32


@pytest.mark.parametrize("shape", [(12, 20), (40, 33)])
def test_images_of_another_size(photos, policy, statistics, shape):
    everything = policy(random_crop={"p": 0.5}, coarse_dropout={"p": 1}, shift_scale_rotate={"border": "mean", "p": 1})
    images = photos(6, *shape)
    found = AlbumentationsAugmenter(everything, **statistics, device="cpu")(images, torch.Generator())
    assert found.shape == images.shape


def test_the_room_is_imported_without_albumentations():
    program = "import archsearch.augment, sys; print('albumentations' in sys.modules, 'cv2' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]

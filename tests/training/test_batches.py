from __future__ import annotations

import numpy as np
import pytest
import torch

from archsearch.augment import make_augmenter
from archsearch.settings.augment import (
    AugmentPolicy,
    CoarseDropout,
    Executor,
    HorizontalFlip,
    ShiftScaleRotate,
    TransformChoice,
)
from archsearch.training.batches import Batches
from archsearch.training.evaluation import to_device

FLIP = TransformChoice(horizontal_flip=HorizontalFlip(p=0.5, alternate=True))
WARP = TransformChoice(shift_scale_rotate=ShiftScaleRotate())
HOLE = TransformChoice(coarse_dropout=CoarseDropout(height=3, width=3))


@pytest.fixture
def numbered(tiny_images):
    """Images of which each is known by its label, and no two sides are alike."""
    images = tiny_images(40, 0)
    images.labels_B = np.arange(40)
    return images


def batches(images, *transforms, executor: Executor = "batched", seed=0, batch_size=16):
    policy = AugmentPolicy(transforms=transforms, executor=executor)
    augment = make_augmenter(policy, mean=(0.5,) * 3, std=(0.25,) * 3, device="cpu")
    on_device = to_device(images, torch.device("cpu"))
    return Batches(on_device, augment, batch_size=batch_size, seed=seed, layout=torch.channels_last)


def epoch(given, number, generator=None):
    """Return the images of an epoch by their labels."""
    given.begin_epoch(number, torch.Generator().manual_seed(number), of=4)
    found = {}
    for step in range(given.steps):
        images_BCHW, labels_B = given.batch(step, torch.Generator() if generator is None else generator)
        found |= dict(zip(labels_B.tolist(), images_BCHW, strict=True))
    return found


def test_every_epoch_has_an_order_of_its_own_and_no_image_twice(numbered):
    given = batches(numbered)
    assert (given.steps, given.batch_size) == (2, 16)
    one, two = epoch(given, 0), epoch(given, 1)
    assert len(one) == len(two) == 32
    assert list(one) != list(two)


def test_a_batch_is_at_most_all_images(numbered):
    given = batches(numbered, batch_size=500)
    assert (given.steps, given.batch_size) == (1, 40)


@pytest.mark.parametrize("executor", ["batched", "albumentations"])
def test_an_alternating_flip_shows_the_other_side_in_every_other_epoch(numbered, executor):
    plain, given = batches(numbered, batch_size=40), batches(numbered, FLIP, executor=executor, batch_size=40)
    there = epoch(plain, 0)
    first, second, third = (epoch(given, number) for number in range(3))
    mirrored = 0
    for label, image_CHW in there.items():
        began_mirrored = torch.allclose(first[label], image_CHW.flip(2))
        mirrored += began_mirrored
        assert began_mirrored or torch.allclose(first[label], image_CHW)
        assert torch.allclose(second[label], first[label].flip(2))
        assert torch.allclose(third[label], first[label])
    assert 10 < mirrored < 30


def test_which_images_begin_mirrored_is_the_seeds(numbered):
    first, again, other = (epoch(batches(numbered, FLIP, seed=seed, batch_size=40), 0) for seed in (1, 1, 2))
    assert all(torch.equal(first[label], again[label]) for label in first)
    assert not all(torch.equal(first[label], other[label]) for label in first)


def test_what_else_is_drawn_does_not_depend_on_the_side(numbered):
    """The holes lie in the same places with and without an alternating flip before them."""
    plain, given = batches(numbered, HOLE, batch_size=40), batches(numbered, FLIP, HOLE, batch_size=40)
    one = epoch(plain, 0, torch.Generator().manual_seed(3))
    two = epoch(given, 0, torch.Generator().manual_seed(3))
    grey = torch.tensor((128 / 255 - 0.5) / 0.25)
    for label in one:
        holes = [(images[label] - grey).abs().amax(0) < 1e-5 for images in (one, two)]
        assert torch.equal(*holes)


@pytest.mark.parametrize("executor", ["batched", "albumentations"])
def test_what_is_drawn_until_a_share_of_the_training_ends_there(numbered, executor):
    hole = TransformChoice(coarse_dropout=CoarseDropout(height=3, width=3, p=1.0, until=0.625))
    given = batches(numbered, hole, executor=executor, batch_size=20)  # 4 epochs are 8 steps, the first 5 with holes
    plain = batches(numbered, batch_size=20)
    with_holes = []
    for number in range(4):
        for one in (given, plain):
            one.begin_epoch(number, torch.Generator().manual_seed(number), of=4)
        for step in range(2):
            shown, whole = (one.batch(step, torch.Generator().manual_seed(0))[0] for one in (given, plain))
            changed = (shown - whole).abs().amax((1, 2, 3)) > 1e-4
            with_holes.append(changed.float().mean().item())
    assert min(with_holes[:5]) > 0.9
    assert with_holes[5:] == [0, 0, 0]


@pytest.mark.parametrize("executor", ["batched", "albumentations"])
def test_a_drawn_batch_makes_the_batch_that_would_have_been_given(numbered, executor):
    given, other = (batches(numbered, FLIP, WARP, HOLE, executor=executor) for _ in range(2))
    draws, again = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    for number in range(2):
        for one in (given, other):
            one.begin_epoch(number, torch.Generator().manual_seed(number), of=2)
        for step in range(given.steps):
            images_BCHW, labels_B = given.batch(step, draws)
            drawn = other.draw(step, again)
            made_BCHW, same_B = other.make(drawn.steps, drawn.tensors)
            assert torch.equal(labels_B, same_B)
            assert made_BCHW.stride() == images_BCHW.stride()
            torch.testing.assert_close(made_BCHW, images_BCHW, rtol=0, atol=1.01 / 255 / 0.25)
            assert (made_BCHW - images_BCHW).abs().gt(1e-4).float().mean() < 0.01
    assert torch.equal(draws.get_state(), again.get_state())

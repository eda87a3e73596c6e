from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from archsearch.augment.batched import BatchedAugmenter
from archsearch.augment.make import make_augmenter
from archsearch.augment.reference import AlbumentationsAugmenter
from archsearch.errors import SpecError
from archsearch.settings.augment import AugmentPolicy, HorizontalFlip, RandomCrop, TransformChoice


@pytest.mark.parametrize(
    ("executor", "kind"),
    [("auto", BatchedAugmenter), ("batched", BatchedAugmenter), ("albumentations", AlbumentationsAugmenter)],
)
def test_the_policy_names_its_executor(policy, statistics, photos, executor, kind):
    augment = make_augmenter(policy(executor, horizontal_flip={"p": 1}), **statistics, device="cpu")
    assert isinstance(augment, kind)
    images = photos(2)
    plain = make_augmenter(AugmentPolicy(), **statistics, device="cpu")(images, torch.Generator())
    assert torch.equal(augment(images, torch.Generator()), plain.flip(3))


def test_a_policy_made_by_hand_is_checked_too(policy, statistics):
    both = TransformChoice(horizontal_flip=HorizontalFlip(), random_crop=RandomCrop())
    wrong = replace(policy(horizontal_flip={}), transforms=(both,))
    with pytest.raises(
        SpecError, match=r"augment\.transforms\[0\]: must name exactly one transform, got horizontal_flip"
    ):
        make_augmenter(wrong, **statistics, device="cpu")

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml

from archsearch.decode import decode
from archsearch.errors import SpecError
from archsearch.settings.augment import (
    AugmentPolicy,
    CoarseDropout,
    HorizontalFlip,
    RandomCrop,
    ShiftScaleRotate,
    TransformChoice,
    check_policy,
    decode_policy,
    policy_record,
)

SHIPPED = ["assignment", "mild", "none", "flip_crop", "strong"]


@pytest.fixture
def shipped(checkout):
    return lambda name: decode_policy(yaml.safe_load((checkout / f"conf/augment/{name}.yaml").read_text()))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_policy_decodes(shipped, name):
    policy = shipped(name)
    assert policy.executor == "auto"
    assert bool(policy.steps) == (name != "none")
    assert decode_policy(json.loads(json.dumps(policy_record(policy)))) == policy


def test_the_assignment_is_the_assignment(shipped):
    assert shipped("assignment").steps == (
        HorizontalFlip(p=0.5),
        ShiftScaleRotate(shift=0.0625, scale=0.1, rotate=45.0, p=0.5, border="reflect_101"),
        CoarseDropout(holes=1, height=16, width=16, fill="mean", p=0.5),
    )


def test_mild_differs_from_the_assignment_in_rotation_and_how_often_a_hole_is_cut(shipped):
    theirs, ours = shipped("assignment").steps, shipped("mild").steps
    assert ours[0] == theirs[0]
    assert ours[2] == replace(theirs[2], p=0.25)
    assert ours[1] == ShiftScaleRotate(shift=0.0625, scale=0.1, rotate=15.0, p=0.5, border="reflect_101")


def test_flip_crop_is_the_usual_one(shipped):
    assert shipped("flip_crop").steps == (HorizontalFlip(p=0.5), RandomCrop(padding=4, border="reflect_101", p=1.0))


def test_what_is_left_out_has_a_default():
    policy = decode_policy({"transforms": [{"horizontal_flip": {}}, {"shift_scale_rotate": {"rotate": 10}}]})
    assert policy.steps == (HorizontalFlip(), ShiftScaleRotate(rotate=10.0))
    assert decode_policy({}) == AugmentPolicy()


WRONG = {
    "augment.transforms[1].shift_scale_rotate.rotate: must be a number, got the string '45'. "
    "Write it without quotes.": {"transforms": [{"horizontal_flip": {}}, {"shift_scale_rotate": {"rotate": "45"}}]},
    "augment.transforms[0].shift_scale_rotate.rotate: must be from 0 to 180, got 200.0. "
    "It is the largest angle in degrees, either way.": {"transforms": [{"shift_scale_rotate": {"rotate": 200}}]},
    "augment.transforms[0].horizontal_flip.p: must be from 0 to 1, got 1.5. It is a probability.": {
        "transforms": [{"horizontal_flip": {"p": 1.5}}]
    },
    "augment.transforms[0].coarse_dropout.holes: must be from 1 to 64, got 0. Leave the transform out for no hole.": {
        "transforms": [{"coarse_dropout": {"holes": 0}}]
    },
    "augment.transforms[0].coarse_dropout.max_holes: unknown key for coarse_dropout. Did you mean 'holes'?": {
        "transforms": [{"coarse_dropout": {"max_holes": 1}}]
    },
    "augment.transforms[0].random_crop.border: unknown value 'reflect'. Did you mean 'reflect_101'?": {
        "transforms": [{"random_crop": {"border": "reflect"}}]
    },
    "augment.transforms[0].horizontal_flp: unknown key for transforms[0]. Did you mean 'horizontal_flip'?": {
        "transforms": [{"horizontal_flp": {}}]
    },
    "augment.transforms[0]: must name exactly one transform, got horizontal_flip and random_crop. Known: "
    "horizontal_flip, shift_scale_rotate, coarse_dropout, random_crop, brightness_contrast.": {
        "transforms": [{"random_crop": {}, "horizontal_flip": {}}]
    },
    "augment.transforms[0]: must name exactly one transform, got none. Known: "
    "horizontal_flip, shift_scale_rotate, coarse_dropout, random_crop, brightness_contrast.": {"transforms": [{}]},
    "augment.transforms: must be a list, got a mapping": {"transforms": {"horizontal_flip": {}}},
    "augment.executor: unknown value 'batch'. Did you mean 'batched'?": {"executor": "batch"},
}


@pytest.mark.parametrize("message", WRONG)
def test_an_error_says_where_what_and_the_fix(message):
    with pytest.raises(SpecError) as caught:
        decode_policy(WRONG[message])
    assert str(caught.value) == message


def test_ranges_hold_for_transforms_made_directly_and_decoded():
    with pytest.raises(SpecError, match=r"^RandomCrop\.padding: must be from 1 to 4096, got 0\. It is a number"):
        RandomCrop(padding=0)
    with pytest.raises(SpecError, match=r"^augment\.transforms\[0\]\.random_crop\.padding: must be from 1 to 4096"):
        decode(AugmentPolicy, {"transforms": [{"random_crop": {"padding": 0}}]}, "augment")


def test_a_policy_made_directly_is_checked():
    with pytest.raises(SpecError, match=r"^augment\.transforms\[0\]: must name exactly one transform, got none"):
        check_policy(AugmentPolicy(transforms=(TransformChoice(),)))


def test_an_alternating_flip_is_not_drawn():
    policy = decode_policy({"transforms": [{"horizontal_flip": {"p": 0.3, "alternate": True}}, {"coarse_dropout": {}}]})
    assert policy.alternating == 0.3
    assert policy.drawn() == (CoarseDropout(),)


def test_what_is_drawn_until_a_share_is_left_out_from_there_on():
    policy = decode_policy(
        {
            "transforms": [
                {"horizontal_flip": {}},
                {"shift_scale_rotate": {"until": 0.9}},
                {"random_crop": {"until": 0}},
                {"coarse_dropout": {"until": 0.75}},
                {"brightness_contrast": {}},
            ]
        }
    )
    names = [[type(step).__name__ for step in policy.drawn(progress)] for progress in (0.0, 0.7499, 0.75, 0.9, 0.999)]
    first = ["HorizontalFlip", "ShiftScaleRotate", "CoarseDropout", "BrightnessContrast"]
    assert names[:2] == [first, first]
    assert names[2] == ["HorizontalFlip", "ShiftScaleRotate", "BrightnessContrast"]
    assert names[3] == names[4] == ["HorizontalFlip", "BrightnessContrast"]
    assert decode_policy(policy_record(policy)) == policy


def test_until_is_a_share():
    with pytest.raises(SpecError, match=r"coarse_dropout\.until: must be from 0 to 1, got 8.0.*last quarter"):
        decode_policy({"transforms": [{"coarse_dropout": {"until": 8}}]})
    with pytest.raises(SpecError, match=r"unknown"):
        decode_policy({"transforms": [{"horizontal_flip": {"until": 0.5}}]})
    assert decode_policy({"transforms": [{"horizontal_flip": {"p": 0.3}}]}).alternating is None


def test_two_alternating_flips_are_errors():
    flip = {"horizontal_flip": {"alternate": True}}
    with pytest.raises(SpecError, match=r"augment.transforms: has two alternating flips"):
        decode_policy({"transforms": [flip, flip]})

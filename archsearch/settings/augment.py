"""The augmentation policy as data: the transforms in order, with their strength and duration; imports no torch.

`until` is the share of a training after which a transform is no longer applied: 0.75 leaves it out of the last quarter,
so that the images of the last steps look like the test images.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from archsearch.decode import Range, check_ranges, decode
from archsearch.errors import SpecError

Border = Literal["reflect_101", "replicate", "black", "mean"]
Fill = Literal["mean", "black"]
Executor = Literal["auto", "albumentations", "batched"]
Probability = Annotated[float, Range(at_least=0, at_most=1, fix="It is a probability.")]
Until = Annotated[
    float, Range(at_least=0, at_most=1, fix="It is a share of the training: 0.75 leaves the last quarter without.")
]
Shift = Annotated[
    float, Range(at_least=0, at_most=1, fix="It is a share of the image's size: 0.0625 shifts 32 px by at most 2 px.")
]
Scale = Annotated[float, Range(at_least=0, at_most=0.99, fix="0.1 draws factors from 0.9 to 1.1.")]
Angle = Annotated[float, Range(at_least=0, at_most=180, fix="It is the largest angle in degrees, either way.")]
Pixels = Annotated[int, Range(at_least=1, at_most=4096, fix="It is a number of pixels.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _InRange:
    """Checks the ranges of a transform that is created directly; `decode` reports the place in the policy."""

    def __post_init__(self) -> None:
        check_ranges(self, type(self).__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizontalFlip(_InRange):
    """Flip horizontally with probability `p`.

    With `alternate`, a fraction `p` of the images starts flipped; each image is then flipped in every second epoch, so
    that two epochs show both sides of every image (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024).
    """

    p: Probability = 0.5
    alternate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftScaleRotate(_InRange):
    """Shift, scale and rotate about the image's centre with probability `p`, in one bilinear warp.

    `shift` is a share of the width and, drawn independently, of the height; the scale factor lies between 1 - `scale`
    and 1 + `scale`; `rotate` is in degrees in both directions. All distributions are uniform. `border` fills the area
    outside the image: `reflect_101` mirrors without repeating the outermost pixel.
    """

    shift: Shift = 0.0625
    scale: Scale = 0.1
    rotate: Angle = 45.0
    p: Probability = 0.5
    border: Border = "reflect_101"
    until: Until = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseDropout(_InRange):
    """Fill `holes` rectangles of `height` x `width` px, each wholly inside the image, with probability `p`."""

    holes: Annotated[int, Range(at_least=1, at_most=64, fix="Leave the transform out for no hole.")] = 1
    height: Pixels = 16
    width: Pixels = 16
    fill: Fill = "mean"
    p: Probability = 0.5
    until: Until = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomCrop(_InRange):
    """Pad by `padding` px on each side with `border`, then crop the original size at random, with probability `p`."""

    padding: Pixels = 4
    border: Border = "reflect_101"
    p: Probability = 1.0
    until: Until = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrightnessContrast(_InRange):
    """Multiply by 1 +- `contrast`, add 255 x +- `brightness` and clip, with probability `p`."""

    brightness: Annotated[float, Range(at_least=0, at_most=1, fix="0.2 adds at most 0.2 x 255.")] = 0.2
    contrast: Annotated[float, Range(at_least=0, at_most=1, fix="0.2 multiplies by 0.8 to 1.2.")] = 0.2
    p: Probability = 0.5
    until: Until = 1.0


Transform = HorizontalFlip | ShiftScaleRotate | CoarseDropout | RandomCrop | BrightnessContrast


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformChoice:
    """One entry of the list of transforms: exactly one field is not null."""

    horizontal_flip: HorizontalFlip | None = None
    shift_scale_rotate: ShiftScaleRotate | None = None
    coarse_dropout: CoarseDropout | None = None
    random_crop: RandomCrop | None = None
    brightness_contrast: BrightnessContrast | None = None

    @property
    def given(self) -> dict[str, Transform]:
        """The fields that are not null, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: one for name, one in found.items() if one is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentPolicy:
    """The transforms of every training image, in order, and the executor that applies them (`auto` is `batched`)."""

    transforms: tuple[TransformChoice, ...] = ()
    executor: Executor = "auto"

    @property
    def steps(self) -> tuple[Transform, ...]:
        """The transforms in order; raises `SpecError` if an entry is not exactly one transform."""
        return tuple(_only(choice, f"augment.transforms[{i}]")[1] for i, choice in enumerate(self.transforms))

    def drawn(self, progress: float = 0.0) -> tuple[Transform, ...]:
        """Return the transforms that are sampled for a batch at `progress` (0 to 1) of a training, in order.

        Alternating flips and transforms whose `until` has passed are left out.
        """
        steps = [step for step in self.steps if not _alternates(step)]
        return tuple(step for step in steps if isinstance(step, HorizontalFlip) or progress < step.until)

    @property
    def alternating(self) -> float | None:
        """The fraction of images that start flipped, if the policy has an alternating flip."""
        return next((step.p for step in self.steps if isinstance(step, HorizontalFlip) and step.alternate), None)


def decode_policy(raw: object, where: str = "augment") -> AugmentPolicy:
    """Return the mapping `raw` as a checked policy; raise `SpecError` with the dotted key of the first error."""
    policy = decode(AugmentPolicy, raw, where, label="an augmentation policy")
    check_policy(policy, where)
    return policy


def policy_record(policy: AugmentPolicy) -> dict[str, Any]:
    """Return the policy as plain values, which `decode_policy` accepts."""
    steps = [{name: asdict(one) for name, one in choice.given.items()} for choice in policy.transforms]
    return {"executor": policy.executor, "transforms": steps}


def check_policy(policy: AugmentPolicy, where: str = "augment") -> None:
    """Raise `SpecError` for an entry that is not exactly one transform, or for a second alternating flip."""
    for index, choice in enumerate(policy.transforms):
        _only(choice, f"{where}.transforms[{index}]")
    if sum(_alternates(step) for step in policy.steps) > 1:
        fix = "One flips every image in every second epoch; two cancel each other."
        raise SpecError(f"{where}.transforms", "has two alternating flips", fix)


def _alternates(step: Transform) -> bool:
    return isinstance(step, HorizontalFlip) and step.alternate


def _only(choice: TransformChoice, where: str) -> tuple[str, Transform]:
    given = choice.given
    if len(given) != 1:
        known = ", ".join(field.name for field in fields(choice))
        found = " and ".join(given) or "none"
        raise SpecError(where, f"must name exactly one transform, got {found}", f"Known: {known}.")
    return next(iter(given.items()))

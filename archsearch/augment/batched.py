"""The batched executor: applies a policy to whole uint8 tensors, on any device; imports torch and the settings.

Random numbers are drawn on the CPU. On CUDA every transform processes the whole batch, and its result is kept for the
chosen images; on other devices it processes only these. An image that is mirrored and warped is sampled once.

Legend: B batch, C channels, H height, W width, T draws per image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from archsearch.augment.draws import Crop, Draw, Flip, Holes, Light, Warp, draw, parameters, uniform
from archsearch.augment.normalise import Normaliser, fill_levels
from archsearch.augment.pixels import crop, light, pad, punch_all, warp, warp_matrices
from archsearch.settings.augment import AugmentPolicy, Fill, Transform


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills:
    """The fill levels per channel: the training set's mean, and black."""

    mean_C: Tensor
    black_C: Tensor

    def of(self, name: Fill) -> Tensor:
        """Return the levels for `name`."""
        return self.mean_C if name == "mean" else self.black_C


class BatchedAugmenter:
    """Applies a policy to a whole batch at once; an `Augmenter`."""

    def __init__(
        self, policy: AugmentPolicy, *, mean: Sequence[float], std: Sequence[float], device: torch.device | str
    ) -> None:
        """Hold the policy, and the training set's `mean` and `std` (in 0..1) as constants on `device`."""
        self.policy = policy
        self.device = torch.device(device)
        self.mean, self.std = tuple(mean), tuple(std)
        self._normaliser = Normaliser(mean, std, self.device)
        levels = torch.tensor(fill_levels(mean), dtype=torch.float32, device=self.device)
        self._fills = Fills(mean_C=levels, black_C=torch.zeros_like(levels))

    def __call__(
        self,
        images_BCHW: Tensor,
        generator: torch.Generator,
        mirrored_B: Tensor | None = None,
        *,
        progress: float = 0.0,
    ) -> Tensor:
        """Return the augmented, normalised batch: float32 [B, C, H, W] in channels_last memory."""
        count, _, height, width = images_BCHW.shape
        steps = self.policy.drawn(progress)
        if self.device.type == "cuda":
            uniform_TB = to_device(uniform(steps, count=count, generator=generator), self.device)
            given_B = None if mirrored_B is None else to_device(mirrored_B, self.device)
            return self.augmented(images_BCHW, steps, uniform_TB, given_B)
        draws = draw(steps, count=count, height=height, width=width, generator=generator)
        first = () if mirrored_B is None else (Flip(chosen_B=mirrored_B),)
        return self.applied(images_BCHW, (*first, *draws))

    def applied(self, images_BCHW: Tensor, draws: Sequence[Draw]) -> Tensor:
        """Return uint8 `images_BCHW` after `draws`, in order, and normalised."""
        return self._normaliser(self.apply(images_BCHW, draws))

    def augmented(
        self, images_BCHW: Tensor, steps: Sequence[Transform], uniform_TB: Tensor, mirrored_B: Tensor | None
    ) -> Tensor:
        """Return the augmented, normalised batch for the random numbers `uniform_TB` of `steps`, as `__call__` does.

        All tensors are on the device, no shape depends on values and nothing waits, so that a CUDA graph can record it.
        """
        height, width = images_BCHW.shape[2:]
        draws = parameters(steps, uniform_TB, height=height, width=width)
        images_BHWC = images_BCHW.permute(0, 2, 3, 1)
        changed_BHWC = apply_everywhere(images_BHWC, draws, self._fills, mirrored_B)
        return self._normaliser(changed_BHWC.permute(0, 3, 1, 2))

    def apply(self, images_BCHW: Tensor, draws: Sequence[Draw]) -> Tensor:
        """Return uint8 `images_BCHW` after `draws`, in order, not normalised; the argument is not modified."""
        images = images_BCHW.permute(0, 2, 3, 1).contiguous()
        mirrored_B = torch.zeros(len(images), dtype=torch.bool)  # drawn, not yet applied
        for one in draws:
            if isinstance(one, Flip):
                mirrored_B = mirrored_B ^ one.chosen_B
            elif isinstance(one, Warp):
                images = self._warp(images, one, mirrored_B)
                mirrored_B = mirrored_B & ~one.chosen_B
            else:
                images = self._local(self._mirror(images, mirrored_B), one)
                mirrored_B = torch.zeros_like(mirrored_B)
        return self._mirror(images, mirrored_B).permute(0, 3, 1, 2)

    def _local(self, images: Tensor, one: Holes | Crop | Light) -> Tensor:
        where = one.chosen_B.nonzero().flatten()
        _, height, width, _ = images.shape
        match one:
            case Holes():
                fill = self._fills.of(one.fill)
                tops, lefts = self._move(one.tops_KB[:, where]), self._move(one.lefts_KB[:, where])
                return self._change(images, where, lambda x: punch_all(x, tops, lefts, one.height, one.width, fill))
            case Crop():
                top, left = self._move(one.top_B[where]), self._move(one.left_B[where])

                def cut(x: Tensor) -> Tensor:
                    return crop(pad(x, one.padding, one.border, self._fills.mean_C), top, left, height, width)

                return self._change(images, where, cut)
            case Light():
                factor, offset = (self._move(given_B[where].float()) for given_B in (one.factor_B, one.offset_B))
                return self._change(images, where, lambda x: light(x, factor, offset))
            case _:
                assert_never(one)

    def _mirror(self, images: Tensor, mirrored_B: Tensor) -> Tensor:
        return self._change(images, mirrored_B.nonzero().flatten(), lambda x: x.flip(2))

    def _warp(self, images: Tensor, one: Warp, mirrored_B: Tensor) -> Tensor:
        _, height, width, _ = images.shape
        where = one.chosen_B.nonzero().flatten()
        matrices = warp_matrices(
            one.shift_x_B[where],
            one.shift_y_B[where],
            one.factor_B[where],
            one.angle_B[where],
            mirrored_B[where],
            height=height,
            width=width,
        )
        matrices = self._move(matrices)
        return self._change(images, where, lambda x: warp(x, matrices, one.border, self._fills.mean_C))

    def _change(self, images: Tensor, where: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Return `images` with those at the indices `where` replaced by their `change`.

        They are appended and then selected, which copies whole images; writing them in place copies byte by byte.
        """
        if len(where) == 0:
            return images
        if len(where) == len(images):
            return change(images)
        source = torch.arange(len(images))
        source[where] = torch.arange(len(images), len(images) + len(where))
        changed = change(images.index_select(0, self._move(where)))
        return torch.cat([images, changed]).index_select(0, self._move(source))

    def _move(self, small: Tensor) -> Tensor:
        return small.to(self.device)


def pinned(small: Tensor) -> Tensor:
    """Return a CPU tensor in pinned memory, so that a copy to a CUDA device need not wait for running work."""
    return small.pin_memory() if small.numel() else small


def to_device(small: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor on the CUDA `device`, without waiting for running work."""
    return pinned(small).to(device, non_blocking=True)


def apply_everywhere(
    images_BHWC: Tensor, draws: Sequence[Draw], fills: Fills, mirrored_B: Tensor | None = None
) -> Tensor:
    """Return uint8 `images_BHWC` after mirroring those in `mirrored_B` and applying `draws`, in order.

    Discarded results cost a GPU less than selecting images, and no shape depends on the random numbers: nothing waits
    for the device, and a CUDA graph can record it. All tensors are on one device. The levels equal those of
    `BatchedAugmenter.apply`, except for the rounding of samples halfway between two levels.
    """
    images = images_BHWC
    for one in draws:
        if isinstance(one, Flip):
            mirrored_B = one.chosen_B if mirrored_B is None else mirrored_B ^ one.chosen_B
        elif isinstance(one, Warp):
            images, mirrored_B = _warped(images, one, mirrored_B, fills), None
        else:
            images = _mirrored(images, mirrored_B)
            images, mirrored_B = _where(one.chosen_B, _changed(images, one, fills), images), None
    return _mirrored(images, mirrored_B)


def _mirrored(images: Tensor, mirrored_B: Tensor | None) -> Tensor:
    return images if mirrored_B is None else _where(mirrored_B, images.flip(2), images)


def _warped(images: Tensor, one: Warp, mirrored_B: Tensor | None, fills: Fills) -> Tensor:
    """Return all images warped; those that are not chosen by the identity."""
    height, width = images.shape[1:3]
    shift_x_B, shift_y_B, angle_B = (v * one.chosen_B for v in (one.shift_x_B, one.shift_y_B, one.angle_B))
    factor_B = torch.where(one.chosen_B, one.factor_B, 1.0)
    sides_B = torch.zeros_like(one.chosen_B) if mirrored_B is None else mirrored_B
    matrices_B23 = warp_matrices(shift_x_B, shift_y_B, factor_B, angle_B, sides_B, height=height, width=width)
    return warp(images, matrices_B23, one.border, fills.mean_C)


def _changed(images: Tensor, one: Holes | Crop | Light, fills: Fills) -> Tensor:
    height, width = images.shape[1:3]
    match one:
        case Holes():
            return punch_all(images, one.tops_KB, one.lefts_KB, one.height, one.width, fills.of(one.fill))
        case Crop():
            padded = pad(images, one.padding, one.border, fills.mean_C)
            return crop(padded, one.top_B, one.left_B, height, width)
        case Light():
            return light(images, one.factor_B, one.offset_B)
        case _:
            assert_never(one)


def _where(chosen_B: Tensor, changed: Tensor, images: Tensor) -> Tensor:
    return torch.where(chosen_B.view(-1, 1, 1, 1), changed, images)

"""The batched executor: a policy on whole uint8 tensors, on any device; imports torch, the settings and the kernels.

Parameters are drawn on the CPU. There only the images that a transform was drawn for are touched, and a mirrored image
that is also warped is sampled once. On a GPU all of a batch are changed alike (`everywhere.py`).

Legend: B batch, C channels, H height, W width, T draws per image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

import torch
from torch import Tensor

from archsearch.augment.draws import Crop, Draw, Flip, Holes, Light, Warp, draw, parameters, uniform
from archsearch.augment.everywhere import Fills, apply_everywhere
from archsearch.augment.fused import DEPTH, apply_fused, fused
from archsearch.augment.normalise import Normaliser, fill_levels
from archsearch.augment.pixels import crop, light, pad, punch_all, warp, warp_matrices
from archsearch.kernels import Equipped
from archsearch.settings.augment import AugmentPolicy, Transform


class BatchedAugmenter(Equipped):
    """Applies a policy to a whole batch at once; an `Augmenter`.

    With `kernels` set, mirrors, a warp and holes in this order are one kernel's work.
    """

    def __init__(
        self, policy: AugmentPolicy, *, mean: Sequence[float], std: Sequence[float], device: torch.device | str
    ) -> None:
        """Hold the policy, the training set's `mean` and `std` (in 0..1) and what is fixed, on `device`."""
        self.policy = policy
        self._device = torch.device(device)
        self._mean, self._std = tuple(mean), tuple(std)
        self._normaliser = Normaliser(mean, std, self._device)
        levels = torch.tensor(fill_levels(mean), dtype=torch.float32, device=self._device)
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
        if self._device.type == "cuda":
            uniform_TB = to_device(uniform(steps, count=count, generator=generator), self._device)
            given_B = None if mirrored_B is None else to_device(mirrored_B, self._device)
            return self.augmented(images_BCHW, steps, uniform_TB, given_B)
        draws = draw(steps, count=count, height=height, width=width, generator=generator)
        first = () if mirrored_B is None else (Flip(chosen_B=mirrored_B),)
        everything = (*first, *draws)
        together = fused(everything) if len(self._mean) <= DEPTH else None
        if self.kernels is not None and together is not None:
            return apply_fused(images_BCHW, *together, mean=self._mean, std=self._std, kernels=self.kernels)
        return self._normaliser(self.apply(images_BCHW, everything))

    def augmented(
        self, images_BCHW: Tensor, steps: Sequence[Transform], uniform_TB: Tensor, mirrored_B: Tensor | None
    ) -> Tensor:
        """Return the batch that `uniform_TB`, what `steps` have drawn, makes: as a call does, and a call's values.

        Everything lies on the device, every shape is known beforehand and nothing waits, so that a GPU can record it.
        """
        height, width = images_BCHW.shape[2:]
        draws = parameters(steps, uniform_TB, height=height, width=width)
        images_BHWC = images_BCHW.permute(0, 2, 3, 1)
        changed_BHWC = apply_everywhere(images_BHWC, draws, self._fills, mirrored_B)
        return self._normaliser(changed_BHWC.permute(0, 3, 1, 2))

    def apply(self, images_BCHW: Tensor, draws: Sequence[Draw]) -> Tensor:
        """Return uint8 `images_BCHW` after `draws`, in order, not normalised; the argument stays as it is."""
        images = images_BCHW.permute(0, 2, 3, 1).contiguous()
        mirrored_B = torch.zeros(len(images), dtype=torch.bool)  # drawn, not yet done
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
        """Return `images` with `change` of those numbered `where` in their place.

        Appended and then selected: whole images are copied, where writing them back goes byte by byte.
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
        return small.to(self._device)


def pinned(small: Tensor) -> Tensor:
    """Return `small`, of the CPU, where a copy to a CUDA device need not wait for what that is at."""
    return small.pin_memory() if small.numel() else small


def to_device(small: Tensor, device: torch.device) -> Tensor:
    """Return `small`, of the CPU, on the CUDA `device`, without waiting for what that is at."""
    return pinned(small).to(device, non_blocking=True)

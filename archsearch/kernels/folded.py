"""Norms over pairs of channels: a map folded so that both channels of a pair lie side by side; imports torch only.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from torch import Tensor


class Folded:
    """What a norm over C / 2 channels derives from, before torch's class, to take maps of C channels.

    Channels c and c + C / 2 share scale, shift and statistics.
    """

    @staticmethod
    def fold(images_BCHW: Tensor) -> Tensor:
        """Return the (B, C / 2, H, 2 W) map; of channels-last memory a view, channels-last too."""
        batch, channels, height, width = images_BCHW.shape
        pairs = images_BCHW.unflatten(1, (2, channels // 2)).permute(0, 2, 3, 4, 1)
        return pairs.reshape(batch, channels // 2, height, 2 * width)

    @staticmethod
    def unfold(folded: Tensor) -> Tensor:
        """Return the (B, C, H, W) map that `fold` has folded."""
        return folded.unflatten(3, (folded.shape[3] // 2, 2)).permute(0, 4, 1, 2, 3).flatten(1, 2)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that torch's norms give it
        """Return the (B, C, H, W) map normalised."""
        return self.unfold(super().forward(self.fold(input)))  # type: ignore[misc]

"""Draws done on all images and kept where they were chosen, against the batched executor, which picks images out."""

from __future__ import annotations

import pytest
import torch

from archsearch.augment.batched import BatchedAugmenter
from archsearch.augment.draws import Flip, Holes, draw, parameters, uniform
from archsearch.augment.everywhere import Fills, apply_everywhere
from archsearch.augment.normalise import fill_levels


def fills(statistics) -> Fills:
    levels = torch.tensor(fill_levels(statistics["mean"]), dtype=torch.float32)
    return Fills(mean_C=levels, black_C=torch.zeros_like(levels))


@pytest.mark.parametrize("border", ["reflect_101", "replicate", "black", "mean"])
@pytest.mark.parametrize("names", [None, ["coarse_dropout", "horizontal_flip"], ["shift_scale_rotate"], []])
def test_images_come_out_as_those_picked_out_do(photos, policy, statistics, border, names, everything) -> None:
    chosen = {name: dict(everything[name]) for name in (everything if names is None else names)}
    for name in {"random_crop", "shift_scale_rotate"} & chosen.keys():
        chosen[name]["border"] = border
    steps, images = policy(**chosen).steps, photos(60)
    draws = draw(steps, count=60, height=32, width=32, generator=torch.Generator().manual_seed(2))
    mirrored_B = torch.arange(60) % 3 == 0
    expected = BatchedAugmenter(policy(), **statistics, device="cpu").apply(images, [Flip(chosen_B=mirrored_B), *draws])
    found = apply_everywhere(images.permute(0, 2, 3, 1), draws, fills(statistics), mirrored_B).permute(0, 3, 1, 2)
    apart = (found.int() - expected.int()).abs()
    assert apart.max() <= 1
    assert apart.float().mean() < 1e-3, "a level apart is a sample halfway between two"
    untouched = ~torch.stack([mirrored_B, *(one.chosen_B for one in draws)]).any(0)
    assert torch.equal(found[untouched], images[untouched])


def test_uniform_numbers_mean_the_same_as_draws(policy, everything) -> None:
    steps = policy(**everything).steps
    drawn = draw(steps, count=7, height=32, width=24, generator=torch.Generator().manual_seed(2))
    uniform_TB = uniform(steps, count=7, generator=torch.Generator().manual_seed(2))
    assert uniform_TB.shape == (1 + 3 + 5 + 3 + 5, 7)
    for one, other in zip(parameters(steps, uniform_TB, height=32, width=24), drawn, strict=True):
        assert torch.equal(one.chosen_B, other.chosen_B)
    last, same = parameters(steps, uniform_TB, height=32, width=24)[-1], drawn[-1]
    assert isinstance(last, Holes)
    assert isinstance(same, Holes)
    assert torch.equal(last.tops_KB, same.tops_KB)


def test_a_hole_is_filled_with_what_is_named(statistics) -> None:
    both = fills(statistics)
    assert torch.equal(both.of("mean"), both.mean_C)
    assert torch.equal(both.of("black"), torch.zeros(3))

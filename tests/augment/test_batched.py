from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from archsearch.augment.batched import BatchedAugmenter, Fills, apply_everywhere
from archsearch.augment.draws import Flip, Holes, Light, Warp, draw, parameters, uniform
from archsearch.augment.normalise import fill_levels, normalise
from archsearch.settings.augment import AugmentPolicy


def augmenter(policy, statistics):
    return BatchedAugmenter(policy, **statistics, device="cpu")


def test_no_transform_is_plain_normalisation(photos, statistics):
    images = photos(9)
    found = augmenter(AugmentPolicy(), statistics)(images, torch.Generator())
    assert torch.equal(found, normalise(images, **statistics))


@pytest.mark.parametrize("shape", [(8, 32, 32), (1, 32, 32), (5, 20, 28), (3, 64, 48)])
def test_shape_type_and_memory(photos, policy, statistics, shape, everything):
    images = photos(*shape)
    before = images.clone()
    found = augmenter(policy(**everything), statistics)(images, torch.Generator().manual_seed(0))
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before), "the data set itself must stay as it is"


def test_the_state_of_the_generator_repeats_the_batch(photos, policy, statistics, everything):
    augment, images = augmenter(policy(**everything), statistics), photos(32)
    generator = torch.Generator().manual_seed(4)
    augment(images, generator)
    state = generator.get_state()
    first, second = augment(images, generator), augment(images, generator)
    generator.set_state(state)
    assert torch.equal(first, augment(images, generator))
    assert not torch.equal(first, second)


def test_an_image_does_not_depend_on_its_neighbours(photos, policy, statistics, everything):
    """All images warped, or a few gathered: each comes out the same."""
    augment, images = augmenter(policy(**everything), statistics), photos(16)
    steps = policy(**everything).steps
    draws = draw(steps, count=16, height=32, width=32, generator=torch.Generator().manual_seed(2))
    together = augment.apply(images, draws)
    everyone = torch.ones(16, dtype=torch.bool)
    for i in range(16):
        alone = [
            replace(
                one, **{n: v[..., i : i + 1] for n in one.__dataclass_fields__ if torch.is_tensor(v := getattr(one, n))}
            )
            for one in draws
        ]
        assert torch.equal(augment.apply(images[i : i + 1], alone)[0], together[i])
    flipped = augment.apply(images, [Flip(chosen_B=everyone)])
    assert torch.equal(flipped, images.flip(3))


def test_a_flip_before_a_warp_is_folded_into_it(photos, policy, statistics):
    augment, images = augmenter(AugmentPolicy(), statistics), photos(40)
    steps = policy(horizontal_flip={"p": 0.5}, shift_scale_rotate={"p": 0.5}).steps
    flip, warp = draw(steps, count=40, height=32, width=32, generator=torch.Generator().manual_seed(0))
    folded = augment.apply(images, [flip, warp])
    one_by_one = augment.apply(augment.apply(images, [flip]), [warp])
    assert isinstance(warp, Warp)
    assert (flip.chosen_B & warp.chosen_B).any()
    # The same samples: up to the rounding of a coordinate's last bit.
    assert (folded.int() - one_by_one.int()).abs().max() <= 1


def test_the_order_of_the_policy_is_kept(photos, statistics):
    augment, images = augmenter(AugmentPolicy(), statistics), photos(1)
    yes, corner = torch.tensor([True]), torch.tensor([[0]])
    hole = Holes(chosen_B=yes, tops_KB=corner, lefts_KB=corner, height=4, width=4, fill="black")
    brighter = Light(chosen_B=yes, factor_B=torch.tensor([1.0]), offset_B=torch.tensor([50.0]))
    flip = Flip(chosen_B=yes)
    assert augment.apply(images, [hole, flip])[0, :, :4, -4:].eq(0).all()
    assert augment.apply(images, [flip, hole])[0, :, :4, :4].eq(0).all()
    assert augment.apply(images, [hole, brighter])[0, :, :4, :4].eq(50).all()
    assert torch.equal(augment.apply(images, [flip, flip]), images)


def test_a_hole_is_filled_with_the_mean_and_not_with_black(photos, policy, statistics):
    hole = policy(coarse_dropout={"holes": 1, "height": 32, "width": 32, "fill": "mean", "p": 1})
    found = augmenter(hole, statistics)(photos(4), torch.Generator())
    assert found.abs().max() < 0.5 / 255 / min(statistics["std"]), "the mean, rounded to a level, is 0 normalised"
    black = policy(coarse_dropout={"holes": 1, "height": 32, "width": 32, "fill": "black", "p": 1})
    assert augmenter(black, statistics)(photos(4), torch.Generator()).max() < -1.5


@pytest.mark.cuda
def test_a_gpu_gives_the_batch_that_the_cpu_gives(photos, policy, statistics, everything):
    images = photos(64)
    here = augmenter(policy(**everything), statistics)(images, torch.Generator().manual_seed(1))
    there = BatchedAugmenter(policy(**everything), **statistics, device="cuda")
    found = there(images.cuda(), torch.Generator().manual_seed(1))
    assert found.device.type == "cuda"
    assert found.is_contiguous(memory_format=torch.channels_last)
    # A level apart where a sample lies halfway between two.
    assert (found.cpu() - here).abs().max() < 1.01 / 255 / min(statistics["std"])


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

from __future__ import annotations

from typing import Any

import pytest
import torch

from archsearch.augment.draws import Crop, Flip, Holes, Light, Warp, draw

ALL = {
    "horizontal_flip": {"p": 0.5},
    "shift_scale_rotate": {"shift": 0.0625, "scale": 0.1, "rotate": 45, "p": 0.3},
    "coarse_dropout": {"holes": 2, "height": 16, "width": 8, "p": 0.7},
    "random_crop": {"padding": 4, "p": 0.9},
    "brightness_contrast": {"brightness": 0.2, "contrast": 0.3, "p": 0.4},
}
COUNT = 8000


def drawn(policy, count=COUNT, seed=0, height=32, width=32) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return draw(policy(**ALL).steps, count=count, height=height, width=width, generator=generator)


def even(values, low, high):
    """Say whether `values` are uniform from `low` to `high`: Kolmogorov-Smirnov at one in a thousand."""
    ordered = ((values.double() - low) / (high - low)).sort().values
    ranks = torch.arange(1, len(ordered) + 1) / len(ordered)
    distance = torch.maximum((ranks - ordered).abs(), (ranks - 1 / len(ordered) - ordered).abs()).max()
    assert distance < 1.95 / len(ordered) ** 0.5, f"{distance:.4f}, from {values.min():.3f} to {values.max():.3f}"


def equally_often(values, places):
    counts = torch.bincount(values, minlength=places)
    assert len(counts) == places
    expected = len(values) / places
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < places - 1 + 4 * (2 * (places - 1)) ** 0.5


def test_the_draws_come_in_the_order_of_the_policy(policy):
    assert [type(one) for one in drawn(policy)] == [Flip, Warp, Holes, Crop, Light]


@pytest.mark.parametrize(("index", "p"), list(enumerate([0.5, 0.3, 0.7, 0.9, 0.4])))
def test_each_is_chosen_as_often_as_its_probability(policy, index, p):
    share = drawn(policy)[index].chosen_B.double().mean().item()
    assert abs(share - p) < 4 * (p * (1 - p) / COUNT) ** 0.5


def test_the_choices_are_independent(policy):
    flip, warp, holes, *_ = drawn(policy)
    both = (flip.chosen_B & warp.chosen_B & holes.chosen_B).double().mean().item()
    assert abs(both - 0.5 * 0.3 * 0.7) < 0.014


def test_a_warp_is_uniform_within_its_limits(policy):
    warp = drawn(policy, height=32, width=64)[1]
    even(warp.shift_x_B, -4, 4)
    even(warp.shift_y_B, -2, 2)
    even(warp.factor_B, 0.9, 1.1)
    even(warp.angle_B, -45, 45)


def test_a_hole_lies_inside_the_image_and_everywhere_equally(policy):
    holes = drawn(policy)[2]
    assert holes.tops_KB.shape == holes.lefts_KB.shape == (2, COUNT)
    for top, left in zip(holes.tops_KB, holes.lefts_KB, strict=True):
        equally_often(top, 32 - 16 + 1)
        equally_often(left, 32 - 8 + 1)


def test_a_hole_is_no_larger_than_the_image(policy):
    holes = drawn(policy, height=10, width=32)[2]
    assert (holes.height, holes.width) == (10, 8)
    assert holes.tops_KB.eq(0).all()


def test_a_crop_starts_anywhere_in_the_padding(policy):
    crop = drawn(policy)[3]
    equally_often(crop.top_B, 9)
    equally_often(crop.left_B, 9)


def test_light_is_uniform_within_its_limits(policy):
    light = drawn(policy)[4]
    even(light.factor_B, 0.7, 1.3)
    even(light.offset_B, -51, 51)


def test_the_state_of_the_generator_decides_everything(policy):
    generator = torch.Generator().manual_seed(5)
    steps = policy(**ALL).steps
    draw(steps, count=10, height=32, width=32, generator=generator)
    state = generator.get_state()
    first = draw(steps, count=10, height=32, width=32, generator=generator)
    after = generator.get_state()
    generator.set_state(state)
    again = draw(steps, count=10, height=32, width=32, generator=generator)
    assert torch.equal(after, generator.get_state())
    for one, other in zip(first, again, strict=True):
        for name in one.__dataclass_fields__:
            mine, yours = getattr(one, name), getattr(other, name)
            assert torch.equal(mine, yours) if isinstance(mine, torch.Tensor) else mine == yours


def test_how_much_is_drawn_depends_on_the_batch_alone(policy):
    states = []
    for p in (0.0, 1.0):
        generator = torch.Generator().manual_seed(1)
        steps = policy(horizontal_flip={"p": p}, shift_scale_rotate={"p": p}).steps
        draw(steps, count=16, height=32, width=32, generator=generator)
        states.append(generator.get_state())
    assert torch.equal(*states)

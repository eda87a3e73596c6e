from __future__ import annotations

import pytest
import torch

from archsearch.augment.normalise import Normaliser, fill_levels, normalise


def test_it_is_the_textbook_formula(photos, statistics):
    images = photos(5)
    mean = torch.tensor(statistics["mean"]).view(1, 3, 1, 1)
    std = torch.tensor(statistics["std"]).view(1, 3, 1, 1)
    found = normalise(images, **statistics)
    torch.testing.assert_close(found, (images / 255 - mean) / std, atol=1e-5, rtol=0)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_it_answers_in_channels_last_memory(photos, statistics, layout):
    images = photos(4).contiguous(memory_format=layout)
    assert normalise(images, **statistics).is_contiguous(memory_format=torch.channels_last)


def test_it_takes_images_of_any_size_in_turn(photos, statistics):
    normaliser = Normaliser(**statistics, device="cpu")
    for height, width in ((32, 32), (7, 20), (32, 32)):
        images = photos(3, height, width)
        assert torch.equal(normaliser(images), normalise(images, **statistics))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels(photos, channels):
    images, mean, std = photos(5, channels=channels), (0.1, 0.2, 0.3, 0.4, 0.5)[:channels], (0.2,) * channels
    found = normalise(images, mean, std)
    assert found.is_contiguous(memory_format=torch.channels_last)
    expected = (images / 255 - torch.tensor(mean).view(1, -1, 1, 1)) / 0.2
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert torch.equal(Normaliser(mean, std, "cpu").undo(found), images)


def test_undo_gives_every_level_back(statistics):
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, 3, 16, 16).contiguous()
    normaliser = Normaliser(**statistics, device="cpu")
    assert torch.equal(normaliser.undo(normaliser(levels)), levels)


def test_the_fill_is_the_mean_in_whole_levels():
    assert fill_levels((0.4914, 0.4822, 0.4471)) == (125, 123, 114)

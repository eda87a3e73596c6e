from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archsearch.network.symmetry import tie
from archsearch.training.evaluation import EvaluationInput, to_device
from archsearch.training.whitening import whiten_first

HOW = EvaluationInput(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), batch_size=20, precision="fp32")


@pytest.fixture
def images(tiny_images):
    return to_device(tiny_images(300, 1), torch.device("cpu"))


def patches_of(images, kernel=3):
    shown_BCHW = HOW.normalise(images.images_NHWC.permute(0, 3, 1, 2)).contiguous()
    return F.unfold(shown_BCHW, kernel).transpose(0, 1).flatten(1)


@pytest.mark.parametrize("filters", [54, 60])
def test_the_filters_give_white_values_and_their_negatives(images, filters):
    first = nn.Conv2d(3, filters, 3)
    before = first.weight.clone()
    whiten_first(nn.Sequential(first, nn.BatchNorm2d(filters)), images, HOW, seed=0)
    filters_KV = first.weight.detach().flatten(1)
    values_KP = filters_KV[:27] @ patches_of(images)
    second_moments = values_KP @ values_KP.T / values_KP.shape[1]
    assert torch.allclose(second_moments, torch.eye(27), atol=0.05)
    assert torch.equal(filters_KV[27:54], -filters_KV[:27])
    assert torch.equal(first.weight[54:], before[54:])
    assert first.bias is not None
    assert torch.equal(first.bias, torch.zeros(filters))


def test_few_filters_are_the_components_of_the_largest_variance(images):
    wide, narrow = nn.Conv2d(3, 54, 3), nn.Conv2d(3, 7, 3)
    for first in (wide, narrow):
        whiten_first(nn.Sequential(first), images, HOW, seed=0)
    assert torch.allclose(narrow.weight[:4], wide.weight[:4])
    assert torch.allclose(narrow.weight[4:], -wide.weight[:3])
    directions = F.normalize(wide.weight.detach().flatten(1)[:27])
    variances = (directions @ patches_of(images)).square().mean(1)
    assert torch.all(variances.diff() <= 1e-3)


@pytest.mark.parametrize(("filters", "kernel"), [(24, 3), (13 * 4, 3), (200, 3), (16, 4)])
def test_mirrored_pairs_give_white_values_too(images, filters, kernel):
    first = nn.Conv2d(3, filters, kernel)
    tie(first, "lift")
    whiten_first(nn.Sequential(first), images, HOW, seed=0)
    weight = first.weight.detach()
    half = weight[: filters // 2]
    assert torch.equal(weight[filters // 2 :], half.flip(3))
    taken = min(filters // 4, 9 if kernel == 3 else 24)  # of the side with fewer: a column of three is its own image
    chosen = torch.cat([half[:taken], half[:taken].flip(3)]).flatten(1)
    values_KP = chosen @ patches_of(images, kernel)
    second_moments = values_KP @ values_KP.T / values_KP.shape[1]
    assert torch.allclose(second_moments, torch.eye(2 * taken), atol=0.08)
    assert torch.equal(half[taken : 2 * taken], -half[:taken])
    assert first.bias is not None
    assert torch.equal(first.bias, torch.zeros(filters))


def test_a_depthwise_first_layer_and_no_layer_are_left_alone(images):
    first = nn.Conv2d(3, 6, 3, groups=3)
    before = first.weight.clone()
    whiten_first(nn.Sequential(first), images, HOW, seed=0)
    whiten_first(nn.Sequential(nn.Flatten()), images, HOW, seed=0)
    assert torch.equal(first.weight, before)


def test_a_run_begins_with_it(fit):
    plain, _ = fit(train={"epochs": 1})
    begun, _ = fit(train={"epochs": 1, "whiten": True})
    assert not torch.equal(plain[0].weight, begun[0].weight)

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archsearch.training.evaluation import View, logits_of, mirrored_score, reside, score_of

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


class Corner(nn.Module):
    """Names the brightest channel of the upper left pixel."""

    def forward(self, images_BCHW):
        return images_BCHW[:, :, 0, 0]


def score(network, images, **changes):
    arguments = {"mean": MEAN, "std": STD, "batch_size": 7, "precision": "fp32"} | changes
    flip = arguments.pop("flip", False)
    resident, view = reside(images, torch.device("cpu")), View(**arguments)
    logits_NK = logits_of(network, resident, view)
    return mirrored_score(logits_NK, network, resident, view) if flip else score_of(logits_NK, resident.labels_N)


def by_hand(images):
    values_BCHW = torch.from_numpy(images.images_BHWC).permute(0, 3, 1, 2).float() / 255
    values_BCHW = (values_BCHW - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    return values_BCHW, torch.from_numpy(images.labels_B)


def test_the_score_is_that_by_hand_whatever_the_batch(tiny_images):
    images = tiny_images(20, 3)
    values_BCHW, labels_B = by_hand(images)
    logits_BK = values_BCHW[:, :, 0, 0]
    for batch_size in (1, 7, 20, 1000):
        found = score(Corner(), images, batch_size=batch_size)
        assert found.accuracy == pytest.approx((logits_BK.argmax(1) == labels_B).float().mean().item())
        assert found.loss == pytest.approx(F.cross_entropy(logits_BK, labels_B).item(), rel=1e-5)


def test_flip_is_the_mean_of_both_logits(tiny_images):
    images = tiny_images(20, 3)
    values_BCHW, labels_B = by_hand(images)
    logits_BK = (values_BCHW[:, :, 0, 0] + values_BCHW[:, :, 0, -1]) / 2
    assert score(Corner(), images, flip=True).loss == pytest.approx(
        F.cross_entropy(logits_BK, labels_B).item(), rel=1e-5
    )


def test_mode_and_statistics_are_left_as_they_were(tiny_network, tiny_images):
    network = tiny_network().train()
    before = network[1].running_mean.clone()
    one, two = score(network, tiny_images(20, 3)), score(network, tiny_images(20, 3))
    assert one == two  # no dropout
    assert network.training
    assert torch.equal(network[1].running_mean, before)


def test_images_lie_channels_last_and_are_not_copied_on_the_cpu(tiny_images):
    images = tiny_images(5, 0)
    resident = reside(images, torch.device("cpu"))
    assert resident.images_NHWC.data_ptr() == images.images_BHWC.ctypes.data
    batch_BCHW, labels_B = resident.batch(torch.tensor([4, 0]))
    assert batch_BCHW.shape == (2, 3, 8, 8)
    assert batch_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert labels_B.tolist() == [images.labels_B[4], images.labels_B[0]]
    assert (batch_BCHW[0].permute(1, 2, 0).numpy() == images.images_BHWC[4]).all()

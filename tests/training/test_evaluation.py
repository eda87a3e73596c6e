from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archsearch.training.evaluation import EvaluationInput, logits_of, mirrored_score, recalibrate, score_of, to_device

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
HOW = EvaluationInput(mean=MEAN, std=STD, batch_size=20, precision="fp32")


class Corner(nn.Module):
    """Names the brightest channel of the upper left pixel."""

    def forward(self, images_BCHW):
        return images_BCHW[:, :, 0, 0]


def score(network, images, **changes):
    arguments = {"mean": MEAN, "std": STD, "batch_size": 7, "precision": "fp32"} | changes
    flip = arguments.pop("flip", False)
    on_device, how = to_device(images, torch.device("cpu")), EvaluationInput(**arguments)
    logits_NK = logits_of(network, on_device, how)
    return mirrored_score(logits_NK, network, on_device, how) if flip else score_of(logits_NK, on_device.labels_N)


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
    on_device = to_device(images, torch.device("cpu"))
    assert on_device.images_NHWC.data_ptr() == images.images_BHWC.ctypes.data
    batch_BCHW, labels_B = on_device.batch(torch.tensor([4, 0]))
    assert batch_BCHW.shape == (2, 3, 8, 8)
    assert batch_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert labels_B.tolist() == [images.labels_B[4], images.labels_B[0]]
    assert (batch_BCHW[0].permute(1, 2, 0).numpy() == images.images_BHWC[4]).all()


def shown(images):
    return HOW.normalise(torch.from_numpy(images.images_BHWC).permute(0, 3, 1, 2))


def on_device(images):
    return to_device(images, torch.device("cpu"))


def test_statistics_are_those_of_the_images_as_they_are(tiny_images, tiny_network):
    images, network = tiny_images(60, 1), tiny_network().train()
    weights = [weight.clone() for weight in network.parameters()]
    network[1].running_mean.fill_(99.0)
    recalibrate(network, on_device(images), replace(HOW, batch_size=100), count=1000, seed=0)
    map_BCHW = network[0](shown(images))
    assert torch.allclose(network[1].running_mean, map_BCHW.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(network[1].running_var, map_BCHW.var((0, 2, 3)), rtol=1e-4)
    assert all(torch.equal(one, two) for one, two in zip(weights, network.parameters(), strict=True))


def test_a_deeper_norm_sees_the_norms_before_it_as_in_training(tiny_images):
    deeper = nn.BatchNorm2d(4)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1), deeper)
    images = tiny_images(20, 1)
    network.eval()
    recalibrate(network, on_device(images), HOW, count=20, seed=0)
    network.train()
    deeper_BCHW = network[:4](shown(images))
    assert deeper.running_mean is not None
    assert torch.allclose(deeper.running_mean, deeper_BCHW.mean((0, 2, 3)), atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_modes_and_momenta_stay(tiny_images, tiny_network, training):
    network = tiny_network().train(training)
    network[1].momentum = 0.3
    recalibrate(network, on_device(tiny_images(30, 1)), HOW, count=25, seed=0)
    assert network[1].momentum == 0.3
    assert all(module.training == training for module in network.modules())


def test_the_images_are_the_seeds(tiny_images, tiny_network):
    images, found = on_device(tiny_images(60, 1)), []
    for seed in (0, 0, 1):
        network = tiny_network()
        recalibrate(network, images, HOW, count=20, seed=seed)
        found.append(network[1].running_mean)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_network_without_batch_norms_is_left_alone(tiny_images):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))
    recalibrate(network, on_device(tiny_images(5, 1)), HOW, count=5, seed=0)

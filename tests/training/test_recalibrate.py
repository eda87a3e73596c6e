from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from archsearch.training.evaluation import View, reside
from archsearch.training.recalibrate import recalibrate

VIEW = View(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), batch_size=20, precision="fp32")


def shown(images):
    return VIEW.shown(torch.from_numpy(images.images_BHWC).permute(0, 3, 1, 2))


def resident(images):
    return reside(images, torch.device("cpu"))


def test_statistics_are_those_of_the_images_as_they_are(tiny_images, tiny_network):
    images, network = tiny_images(60, 1), tiny_network().train()
    weights = [weight.clone() for weight in network.parameters()]
    network[1].running_mean.fill_(99.0)
    recalibrate(network, resident(images), replace(VIEW, batch_size=100), count=1000, seed=0)
    map_BCHW = network[0](shown(images))
    assert torch.allclose(network[1].running_mean, map_BCHW.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(network[1].running_var, map_BCHW.var((0, 2, 3)), rtol=1e-4)
    assert all(torch.equal(one, two) for one, two in zip(weights, network.parameters(), strict=True))


def test_a_deeper_norm_sees_the_norms_before_it_as_in_training(tiny_images):
    deeper = nn.BatchNorm2d(4)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1), deeper)
    images = tiny_images(20, 1)
    network.eval()
    recalibrate(network, resident(images), VIEW, count=20, seed=0)
    network.train()
    deeper_BCHW = network[:4](shown(images))
    assert deeper.running_mean is not None
    assert torch.allclose(deeper.running_mean, deeper_BCHW.mean((0, 2, 3)), atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_modes_and_momenta_stay(tiny_images, tiny_network, training):
    network = tiny_network().train(training)
    network[1].momentum = 0.3
    recalibrate(network, resident(tiny_images(30, 1)), VIEW, count=25, seed=0)
    assert network[1].momentum == 0.3
    assert all(module.training == training for module in network.modules())


def test_the_images_are_the_seeds(tiny_images, tiny_network):
    images, found = resident(tiny_images(60, 1)), []
    for seed in (0, 0, 1):
        network = tiny_network()
        recalibrate(network, images, VIEW, count=20, seed=seed)
        found.append(network[1].running_mean)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_network_without_batch_norms_is_left_alone(tiny_images):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))
    recalibrate(network, resident(tiny_images(5, 1)), VIEW, count=5, seed=0)

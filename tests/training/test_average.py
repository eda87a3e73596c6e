from __future__ import annotations

from typing import Any

import torch

from archsearch.training.average import make_average, update_average


def test_the_average_follows_by_its_decay_and_forgets_the_start(tiny_network):
    network: Any = tiny_network()
    average: Any = make_average(network)
    start, fresh = network[0].weight.detach().clone(), torch.full_like(network[0].weight, 2.0)
    with torch.no_grad():
        network[0].weight.copy_(fresh)
        network[1].running_mean.fill_(4.0)
        network[1].num_batches_tracked.fill_(9)
    update_average(average, network, decay=0.5, steps=1)  # (1 + 1) / (10 + 1) is below 0.5
    share = 2 / 11
    torch.testing.assert_close(average[0].weight, start * share + fresh * (1 - share))
    torch.testing.assert_close(average[1].running_mean, torch.full((8,), 4.0 * (1 - share)))
    assert average[1].num_batches_tracked.item() == 9
    before = average[0].weight.clone()
    update_average(average, network, decay=0.5, steps=10_000)
    torch.testing.assert_close(average[0].weight, (before + fresh) / 2)


def test_the_average_is_a_copy_with_the_same_names_that_learns_nothing(tiny_network):
    network = tiny_network()
    average = make_average(network)
    assert list(average.state_dict()) == list(network.state_dict())
    assert not average.training
    assert network.training
    assert not any(weight.requires_grad for weight in average.parameters())
    assert all(weight.requires_grad for weight in network.parameters())

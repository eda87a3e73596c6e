from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from archsearch.network.symmetry import tie
from archsearch.settings.training import OptimizerSettings
from archsearch.training.muon import Muon
from archsearch.training.optimizers import clip_gradients, make_optimizers, set_learning_rate


def make(network: nn.Module, **values):
    return make_optimizers(network, OptimizerSettings(**values), batch_size=512)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_every_parameter_is_held_once(tiny_network, name):
    network = tiny_network()
    held = [id(weight) for one in make(network, name=name) for group in one.param_groups for weight in group["params"]]
    assert sorted(held) == sorted(id(weight) for weight in network.parameters())


def test_muon_takes_the_dense_convolutions_and_sgd_the_rest(tiny_network):
    network = tiny_network()
    muon, sgd = make(network, name="muon", muon_learning_rate=0.03, learning_rate=0.4, muon_stem=True)
    assert isinstance(muon, Muon)
    assert isinstance(sgd, SGD)
    assert [id(weight) for weight in muon.param_groups[0]["params"]] == [id(network[0].weight)]
    assert muon.param_groups[0]["lr"] == 0.03
    assert {group["lr"] for group in sgd.param_groups} == {0.4}


def test_muon_without_a_dense_convolution_is_sgd_alone():
    (only,) = make(nn.Linear(3, 2), name="muon")
    assert isinstance(only, SGD)


def test_muon_takes_both_halves_of_tied_convolutions():
    convolutions = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=8)
    for module, symmetry in zip(convolutions, ("lift", "pairs", "pairs"), strict=True):
        tie(module, symmetry)
    network = nn.Sequential(*convolutions)
    muon, rest = make_optimizers(network, OptimizerSettings(name="muon"), batch_size=8)
    assert [tuple(weight.shape) for weight in muon.param_groups[0]["params"]] == [(4, 4, 3, 3)] * 2
    assert {id(one) for group in rest.param_groups for one in group["params"]} | {
        id(one) for one in muon.param_groups[0]["params"]
    } == {id(one) for one in network.parameters()}


def test_weight_decay_spares_vectors_unless_asked(tiny_network):
    (sgd,) = make(tiny_network(), weight_decay=0.01)
    assert [(group["weight_decay"], {weight.ndim for weight in group["params"]}) for group in sgd.param_groups] == [
        (0.01, {2, 4}),
        (0.0, {1}),
    ]
    (sgd,) = make(tiny_network(), weight_decay=0.01, decay_norm_and_bias=True)
    assert [group["weight_decay"] for group in sgd.param_groups] == [0.01, 0.01]


def test_adamw_takes_its_betas_from_the_settings(tiny_network):
    (adamw,) = make(tiny_network(), name="adamw", momentum=0.8, beta2=0.95)
    assert isinstance(adamw, AdamW)
    assert adamw.param_groups[0]["betas"] == (0.8, 0.95)


def test_the_stem_is_left_to_sgd_unless_asked():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    muon, _ = make(network, name="muon")
    assert [id(weight) for weight in muon.param_groups[0]["params"]] == [id(network[1].weight)]


def test_vectors_have_a_learning_rate_of_their_own(tiny_network):
    (sgd,) = make(tiny_network(), learning_rate=0.1, norm_and_bias_ratio=64.0)
    assert [group["lr"] for group in sgd.param_groups] == pytest.approx([0.1, 6.4])


def test_the_ratio_applies_to_each_groups_own_peak(tiny_network):
    optimizers = make(
        tiny_network(), name="muon", learning_rate=0.4, muon_learning_rate=0.1, muon_stem=True, scaling="linear"
    )
    for ratio in (0.5, 0.25):  # of the peak each time, never of the rate before
        set_learning_rate(optimizers, ratio)
        assert [one.param_groups[0]["lr"] for one in optimizers] == pytest.approx([0.2 * ratio, 0.8 * ratio])


def test_clipping_scales_all_gradients_together(tiny_network):
    network = tiny_network()
    for weight in network.parameters():
        weight.grad = torch.full_like(weight, 3.0)
    clip_gradients(network, 1.0)
    norm = torch.cat([weight.grad.flatten() for weight in network.parameters()]).norm()
    assert norm.item() == pytest.approx(1.0, rel=1e-4)

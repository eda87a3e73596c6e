"""The way to the logits: what is asked for, and what `auto` falls back to."""

from __future__ import annotations

import pytest
import torch

from archsearch.errors import SpecError
from archsearch.settings.training import TrainSettings
from archsearch.training import forward as ways
from archsearch.training.forward import choose_forward


def choose(network, **settings):
    return choose_forward(
        network,
        TrainSettings(**settings),
        torch.device("cpu"),
        "fp32",
        images=10,
        example=lambda: torch.ones(4, 3, 8, 8),
        rehearse=lambda forward: None,
    )


def test_a_short_training_goes_as_the_network_is(tiny_network) -> None:
    network = tiny_network()
    assert choose(network) == (network, False, None)


def test_what_compiling_gives_is_used_and_what_it_says_is_passed_on(tiny_network, monkeypatch) -> None:
    network = tiny_network()
    monkeypatch.setattr(ways, "compile_network", lambda *_, required: (abs, None) if required else (None, "why"))
    assert choose(network, compile=True) == (abs, True, None)
    monkeypatch.setattr(ways, "wants_compile", lambda *_: (True, None))
    assert choose(network) == (network, False, "why")


def test_graphs_are_recorded_over_one_batch_and_refused_on_a_cpu(tiny_network, monkeypatch) -> None:
    network = tiny_network()
    with pytest.raises(SpecError, match="needs a CUDA device"):
        choose(network, cuda_graphs=True)
    seen = []
    monkeypatch.setattr(ways, "check_graphs", lambda device, compiled: None)
    monkeypatch.setattr(
        ways, "graph_network", lambda _, images, precision: seen.append((images.shape, precision)) or abs
    )
    assert choose(network, cuda_graphs=True) == (abs, False, None)
    assert seen == [((4, 3, 8, 8), "fp32")]

"""The way to the logits: what is asked for, and what `auto` falls back to."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from archsearch.errors import RunError, SpecError
from archsearch.kernels import Chain
from archsearch.settings.training import TrainSettings
from archsearch.training import forward as ways
from archsearch.training.device import Precision
from archsearch.training.forward import Way, choose_way


def choose(
    network, *, precision: Precision = "fp32", asked: Literal["auto", "fp32"] = "auto", device: str = "cpu", **settings
) -> Way:
    return choose_way(
        network,
        TrainSettings(precision=asked, **settings),
        torch.device(device),
        precision,
        images=10,
        rehearse=lambda forward: None,
    )


@pytest.fixture
def built(monkeypatch) -> list[tuple[object, bool]]:
    """Kernels that are found without building them; what networks were equipped with."""
    equipped: list[tuple[object, bool]] = []
    monkeypatch.setattr(ways, "load_kernels", lambda: "kernels")
    monkeypatch.setattr(ways, "equip", lambda network, kernels, in_bf16: equipped.append((kernels, in_bf16)))
    return equipped


def test_a_network_without_chains_goes_as_it_is(tiny_network, built) -> None:
    network = tiny_network()
    assert choose(network) == Way(forward=network, precision="fp32", cast="fp32", name="eager")
    assert built == []


def test_what_compiling_gives_is_used_and_what_it_says_is_passed_on(tiny_network, monkeypatch, built) -> None:
    network = Chain(tiny_network())
    monkeypatch.setattr(ways, "compile_network", lambda *_, required: (abs, None) if required else (None, "why"))
    way = choose(network, compile=True)
    assert (way.forward, way.name, way.notice, way.told) == (abs, "compiled", None, " compiled")
    monkeypatch.setattr(ways, "wants_compile", lambda *_: (True, None))
    way = choose(network, kernels="torch")
    assert (way.forward, way.name, way.notice) == (network, "eager", "why")
    assert built == []


def test_on_a_cpu_the_kernels_keep_maps_in_bf16_unless_fp32_is_asked_for(built, monkeypatch) -> None:
    network = Chain(nn.Identity())
    way = choose(network)
    assert (way.forward, way.name, way.precision, way.cast, way.told) == (
        network,
        "native",
        "bf16",
        "fp32",
        " with kernels",
    )
    assert choose(network, kernels="native").precision == "bf16"
    assert built == [("kernels", True)] * 2
    way = choose(network, asked="fp32")
    assert way.precision == "fp32"
    assert built[-1] == ("kernels", False)


def test_kernels_that_cannot_be_built_are_told_or_refused(monkeypatch) -> None:
    def fail() -> None:
        raise RunError("no C compiler was found")

    monkeypatch.setattr(ways, "load_kernels", fail)
    network = Chain(nn.Identity())
    way = choose(network)
    assert (way.name, way.precision) == ("eager", "fp32")
    assert way.notice is not None
    assert "no C compiler was found; training goes on with torch's" in way.notice
    with pytest.raises(RunError, match=r"train.kernels=native: no C compiler was found. Set train.kernels=torch."):
        choose(network, kernels="native")


def test_kernels_that_do_not_fit_are_refused(built) -> None:
    network = Chain(nn.Identity())
    with pytest.raises(SpecError, match=r"train.kernels: native kernels are for a CPU, the run is on cuda"):
        choose(network, device="cuda", kernels="native")
    with pytest.raises(SpecError, match=r"cannot be combined with train.compile"):
        choose(network, kernels="native", compile=True)
    assert choose(network, device="cuda").name == "eager"

from __future__ import annotations

import shutil

import pytest
import torch

from archsearch.errors import RunError
from archsearch.training import compiling
from archsearch.training.compiling import PAYS_FROM_IMAGES, compile_network, wants_compile

CPU = torch.device("cpu")


def test_what_is_asked_for_is_done():
    assert wants_compile(True, CPU, 1) == (True, None)
    assert wants_compile(False, CPU, 10**9) == (False, None)


def test_auto_compiles_long_runs_only(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    for kind, images in PAYS_FROM_IMAGES.items():
        assert wants_compile("auto", torch.device(kind), images) == (True, None)
        assert wants_compile("auto", torch.device(kind), images - 1) == (False, None)
    assert wants_compile("auto", torch.device("mps"), 10**12) == (False, None)


def test_auto_without_a_compiler_goes_on_with_a_notice(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiling.os, "name", "posix")
    wanted, notice = wants_compile("auto", CPU, 10**9)
    assert not wanted
    assert notice is not None
    assert "no C++ compiler was found" in notice


def test_the_rehearsal_leaves_no_trace(tiny_network, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda network, **options: network)
    network = tiny_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def rehearse(forward):
        forward(torch.ones(4, 3, 8, 8)).sum().backward()
        assert not torch.equal(network[1].running_mean, before["1.running_mean"])

    forward, notice = compile_network(network, rehearse, required=False)
    assert forward is network
    assert notice is None
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    assert all(weight.grad is None for weight in network.parameters())


def test_a_failure_in_the_rehearsal_is_a_notice_or_an_error(tiny_network, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda network, **options: network)

    def rehearse(forward):
        raise ValueError

    assert compile_network(tiny_network(), rehearse, required=False) == (
        None,
        "train.compile=auto: compiling failed (ValueError), training goes uncompiled",
    )
    with pytest.raises(RunError, match="compiling failed: ValueError"):
        compile_network(tiny_network(), rehearse, required=True)

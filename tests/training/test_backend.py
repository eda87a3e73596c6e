"""The backend of a run: what is asked for, what `auto` falls back to, and what is prepared and put back."""

from __future__ import annotations

import copy
import shutil
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsearch.augment import make_augmenter
from archsearch.errors import RunError, SpecError
from archsearch.kernels import FusedAugmenter, load_kernels
from archsearch.settings.augment import AugmentPolicy, decode_policy
from archsearch.settings.training import OptimizerSettings, TrainSettings
from archsearch.training import backend as module
from archsearch.training.backend import PAYS_FROM_IMAGES, Backend, KernelMuon, select_backend

CPU = torch.device("cpu")


def example() -> tuple[Tensor, Tensor]:
    return torch.ones(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64)


def select(
    network: nn.Module, *, device: str = "cpu", images: int = 10, notices: list[str] | None = None, **settings: Any
) -> Backend:
    return select_backend(
        network,
        TrainSettings(**settings),
        torch.device(device),
        images=images,
        example=example,
        notice=[].append if notices is None else notices.append,
    )


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let kernels be found without building them, on a processor without units for bf16."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr("archsearch.kernels.load_kernels", lambda: "kernels")


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archsearch.kernels.load_kernels", load_kernels.__wrapped__)  # not what is loaded already
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)


class Foreign(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images)


@pytest.mark.usefixtures("built")
def test_a_network_that_the_kernels_do_not_know_goes_as_it_is_in_the_same_format(tiny_network) -> None:
    network = Foreign(tiny_network())
    chosen = select(network)
    assert (chosen.name, chosen.precision, chosen.label) == ("eager", "bf16", "cpu in bf16")
    assert type(network.inner) is nn.Sequential


def test_where_nothing_else_is_asked_for_torch_computes(tiny_network, monkeypatch) -> None:
    for units, precision in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda units=units: units)
        chosen = select(tiny_network(), kernels="torch")
        assert (chosen.name, chosen.precision, chosen.evaluation) == ("eager", precision, precision)
        assert chosen.label == f"cpu in {precision}"


@pytest.mark.usefixtures("built")
def test_on_a_cpu_the_kernels_keep_maps_in_bf16_unless_fp32_is_asked_for(tiny_network) -> None:
    asked: list[tuple[dict[str, Any], str]] = [
        ({}, "bf16"),
        ({"kernels": "native"}, "bf16"),
        ({"precision": "fp32"}, "fp32"),
    ]
    for settings, precision in asked:
        network = tiny_network()
        chosen = select(network, **settings)
        assert (chosen.name, chosen.precision, chosen.evaluation) == ("kernels", precision, "fp32")
        assert chosen.label == f"cpu in {precision} with kernels"
        assert network._in_bf16 is (precision == "bf16")
        assert network._kernels == "kernels"
        chosen.put_back()
        assert type(network) is nn.Sequential


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_torch_computes_in_the_same_format_with_a_notice(tiny_network) -> None:
    network, notices = tiny_network(), []
    chosen = select(network, notices=notices)
    assert (chosen.name, chosen.precision, chosen.evaluation) == ("eager", "bf16", "fp32")
    (notice,) = notices
    assert notice.startswith(
        "train.kernels=auto: no C compiler was found (gcc, cc or $CC); training continues in bf16 with"
    )
    assert notice.endswith("with torch, which is slower. Install a C compiler, or set train.precision=fp32")
    assert type(network) is nn.Sequential
    with pytest.raises(RunError, match=r"train.kernels=native: no C compiler was found.*Set train.kernels=torch."):
        select(network, kernels="native")


def test_where_the_kernels_are_not_installed_torch_computes_with_a_notice(tiny_network, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "archsearch.kernels", None)
    notices: list[str] = []
    chosen = select(tiny_network(), precision="fp32", notices=notices)
    assert (chosen.name, chosen.precision) == ("eager", "fp32")
    (notice,) = notices
    assert notice.startswith("train.kernels=auto: archsearch/kernels is not installed; training")
    assert notice.endswith("continues in fp32 with torch, which is slower")
    with pytest.raises(
        RunError, match=r"train.kernels=native: archsearch/kernels is not installed. Set train.kernels=torch."
    ):
        select(tiny_network(), kernels="native")


@pytest.mark.usefixtures("built")
def test_kernels_that_do_not_fit_are_refused(tiny_network) -> None:
    network = tiny_network()
    with pytest.raises(SpecError, match=r"train.kernels: native kernels need a CPU, but the run uses mps"):
        select(network, device="mps", kernels="native")
    with pytest.raises(SpecError, match=r"cannot be combined with train.compile"):
        select(network, kernels="native", compile=True)
    assert select(network, device="mps").name == "eager"


def test_graphs_go_round_what_is_launched(tiny_network, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    chosen = select(tiny_network(), device="cuda")
    assert (chosen.name, chosen.precision, chosen.label) == ("eager+cuda_graphs", "bf16", "cuda in bf16")
    monkeypatch.setattr(torch, "compile", lambda network, **options: network)
    monkeypatch.setattr(module, "_loss", lambda *_: lambda *given: [torch.zeros((), requires_grad=True)])
    chosen = select(tiny_network(), device="cuda", compile=True)
    assert (chosen.name, chosen.label) == ("compiled+cuda_graphs", "cuda in bf16 compiled")
    assert select(tiny_network(), device="cuda", cuda_graphs=False).name == "eager"


class Launched:
    """Takes a step as `GraphedStep` is asked to, without recording it."""

    def __init__(self, step: Any, optimizers: Any, device: torch.device, *, required: bool, failed: Any) -> None:
        self.step, self.required = step, required

    def __call__(self, form: Any, tensors: tuple[Tensor, ...]) -> None:
        assert self.required
        self.step(form, tensors)


def test_what_graphs_record_is_the_step(fit, dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "GraphedStep", Launched)
    policy = decode_policy({"transforms": [{"horizontal_flip": {"alternate": True}}, {"random_crop": {"padding": 2}}]})
    networks: list[nn.Module] = []
    for graphs in (False, True):
        monkeypatch.setattr(module, "wants_graphs", lambda *_, graphs=graphs: graphs)
        augmenter = make_augmenter(policy, mean=dataset.mean, std=dataset.std, device="cpu")
        train = {"cuda_graphs": graphs, "clip": 1.0, "ema": 0.9}
        network, result = fit(augmenter=augmenter, train=train, run_dir=tmp_path / str(graphs))
        assert result.backend == ("eager+cuda_graphs" if graphs else "eager")
        networks.append(network)
    torch.testing.assert_close(*(dict(one.state_dict()) for one in networks), rtol=0, atol=0)


def test_the_kernels_prepare_the_augmenter_and_muon(tiny_network, kernels, tiny_images) -> None:
    policy = AugmentPolicy()
    fast = make_augmenter(policy, mean=(0.5,) * 3, std=(0.25,) * 3, device="cpu")
    slow = copy.copy(tiny_network)
    for asked, prepared in (("native", True), ("torch", False)):
        chosen = select(tiny_network(), kernels=asked, precision="fp32")
        assert isinstance(chosen.prepare_augmenter(fast), FusedAugmenter) is prepared
        assert chosen.prepare_augmenter(slow) is slow
        settings = OptimizerSettings(name="muon", muon_stem=True)
        muon, _ = chosen.make_optimizers(settings, batch_size=8)
        assert isinstance(muon, KernelMuon) is prepared


def test_compiling_that_is_asked_for_is_done_and_leaves_no_trace(tiny_network, monkeypatch) -> None:
    network = tiny_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    moved: list[bool] = []

    def compiled(network: Any, **options: object) -> Any:
        def forward(images: Tensor) -> Tensor:
            logits = network(images)
            moved.append(not torch.equal(network[1].running_mean, before["1.running_mean"]))
            return logits

        return forward

    monkeypatch.setattr(torch, "compile", compiled)
    chosen, notices = select(network, compile=True, precision="fp32"), []
    assert (chosen.name, chosen.label) == ("compiled", "cpu in fp32 compiled")
    assert moved == [True]
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    assert all(weight.grad is None for weight in network.parameters())
    assert select(network, compile=False, kernels="torch", images=10**9, notices=notices).name == "eager"
    assert not notices


def test_auto_compiles_long_runs_only(tiny_network, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    for kind, images in PAYS_FROM_IMAGES.items():
        assert module._wants_compile("auto", torch.device(kind), images, print)
        assert not module._wants_compile("auto", torch.device(kind), images - 1, print)
    assert not module._wants_compile("auto", torch.device("mps"), 10**12, print)


def test_auto_without_a_cpp_compiler_goes_on_with_a_notice(tiny_network, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(module.os, "name", "posix")
    notices: list[str] = []
    assert select(tiny_network(), kernels="torch", images=10**9, notices=notices).name == "eager"
    assert len(notices) == 1
    assert "no C++ compiler was found" in notices[0]


def test_compiling_that_fails_is_a_notice_or_an_error(tiny_network, monkeypatch) -> None:
    def fail(images: Tensor) -> Tensor:
        raise ValueError

    monkeypatch.setattr(torch, "compile", lambda network, **options: fail)
    monkeypatch.setattr(module, "PAYS_FROM_IMAGES", {"cpu": 1})
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    notices: list[str] = []
    assert select(tiny_network(), kernels="torch", notices=notices).name == "eager"
    assert notices == ["train.compile=auto: compiling failed (ValueError), training without torch.compile"]
    with pytest.raises(RunError, match="compiling failed: ValueError"):
        select(tiny_network(), compile=True)

"""What is prepared and put back, which maps the kernels take, and networks that compute by them as they do by torch."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from kernel_values import apart, normal
from torch import nn

from archsearch.kernels import Kernels, prepare, put_back
from archsearch.kernels.chain import Chain
from archsearch.kernels.fitting import Prepared, fitting, suited
from archsearch.kernels.prepare import AveragePool, SharingBranches, SuitingNetwork, WholePairs
from archsearch.library import build, load_design
from archsearch.network.modules import Branches, GlobalPool2d, Network, PaddedPool2d, UnevenConv2d
from archsearch.network.symmetry import PairedBatchNorm2d, PairedBoth
from archsearch.training.checkpoint import write_weights

ARCH: dict[str, Any] = {
    "name": "a",
    "input": [3, 16, 16],
    "stem": {"block": "strided", "out": 16, "kernel": 4},
    "stages": {
        "c1": {"block": "squeeze_excite", "width": 16, "repeats": 2, "reduction": 2},
        "c2": {"block": "basic", "width": 32, "repeats": 1},
        "c3": {"block": "depthwise", "width": 32, "dilation": 2},
    },
    "head": {"pool": "global_average", "classes": 10},
    "symmetry": "flip",
}


class Own(nn.Module):
    """A module that the kernels do not know."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images)


def kinds(network: nn.Module) -> list[type[nn.Module]]:
    return [type(module) for module in network.modules()]


def test_a_network_is_prepared_and_put_back() -> None:
    network = build(load_design(ARCH))
    plain, kernels = kinds(network), "kernels"
    assert prepare(network, kernels, in_bf16=True)  # type: ignore[arg-type]
    prepared = [module for module in network.modules() if isinstance(module, Prepared)]
    assert {type(one) for one in prepared} == {
        Chain,
        SuitingNetwork,
        AveragePool,
        SharingBranches,
        WholePairs,
    }
    assert {type(one) for one in network.modules()}.isdisjoint({nn.Sequential, GlobalPool2d, Branches, PairedBoth})
    assert all(one._kernels is kernels and one._in_bf16 for one in prepared)
    other = copy.deepcopy(network)
    for one in (network, other):
        put_back(one)
        assert kinds(one) == plain
        assert not any(hasattr(module, name) for module in one.modules() for name in ("_kernels", "_in_bf16"))


def test_the_state_dict_and_what_is_saved_of_it_stay_the_same(tmp_path: Any) -> None:
    network = build(load_design(ARCH))
    names = list(network.state_dict())
    write_weights(tmp_path / "plain", network)
    prepare(network, "kernels")  # type: ignore[arg-type]
    assert list(network.state_dict()) == names
    write_weights(tmp_path / "prepared", network)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "prepared").read_bytes()


def test_a_network_that_was_put_back_is_pickled_as_it_was() -> None:
    network, pickled = build(load_design({**ARCH, "symmetry": "none"})), [io.BytesIO(), io.BytesIO()]
    torch.save(network, pickled[0])
    prepare(network, "kernels")  # type: ignore[arg-type]
    put_back(network)
    torch.save(network, pickled[1])
    assert pickled[0].getvalue() == pickled[1].getvalue()


def test_what_other_modules_hold_and_what_has_hooks_stays_with_torch() -> None:
    hooked = nn.Sequential(nn.ReLU())
    hooked[0].register_forward_hook(lambda *_: None)
    foreign, inner = Own(nn.ReLU()), nn.Sequential(nn.ReLU())
    network = nn.Sequential(foreign, hooked, inner)
    assert prepare(network, "kernels")  # type: ignore[arg-type]
    assert (type(network), type(inner)) == (Chain, Chain)
    assert (type(foreign.inner), type(hooked)) == (nn.Sequential, nn.Sequential)
    assert not prepare(Own(nn.Conv2d(3, 8, 3)), "kernels")  # type: ignore[arg-type]
    assert not prepare(Network({"relu": nn.ReLU()}), "kernels")  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["stem", "stages", "stages.c2", "head"])
def test_a_part_with_hooks_is_given_maps_as_torch_takes_them(kernels: Kernels, part: str) -> None:
    plain, prepared = (build(load_design(ARCH)) for _ in range(2))
    seen: list[torch.dtype] = []
    for module in prepared.get_submodule(part).children():
        module.register_forward_hook(lambda _module, _given, result: seen.append(result.dtype))
    prepare(prepared, kernels, in_bf16=True)
    images = normal(4, 3, 16, 16)
    found, expected = prepared(images), plain(images)
    assert apart(found.float(), expected) < 0.1
    assert seen
    assert set(seen) == {torch.float32}
    found.float().sum().backward()


def test_usable_only_where_nothing_is_traced_or_cast(kernels: Kernels, monkeypatch) -> None:
    network = nn.Sequential(GlobalPool2d("average"))
    prepare(network, kernels)
    pool = network[0]
    assert isinstance(pool, Prepared)
    assert pool._usable() is kernels
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert pool._usable() is None
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert pool._usable() is None


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (normal(2, 8, 3, 3), True),
        (normal(2, 24, 1, 1).bfloat16(), True),
        (normal(2, 8, 3, 3).double(), False),
        (normal(2, 8, 3, 3).half(), False),
        (normal(2, 6, 3, 3), False),
        (normal(2, 8), False),
        (normal(2, 8, 3, 3)[:0], False),
        (torch.empty(2, 8, 3, 3, device="meta"), False),
    ],
)
def test_maps_that_fit(kernels: Kernels, images, expected) -> None:
    found = fitting(images, kernels)
    assert (found is not None) is expected
    if found is not None:
        assert images.shape[1] % found.lanes == 0
        assert fitting(images, kernels, 12) is None


def test_only_what_has_arithmetic_of_its_own_is_spared_bfloat16() -> None:
    images = normal(2, 8, 3, 3)
    pool = PaddedPool2d("max", 2, 2, before=0, after=0)
    for module in (Chain(), AveragePool("max"), pool, nn.ReLU(), nn.ReLU6(), nn.GELU(), nn.Dropout(0.1)):
        assert suited(images.bfloat16(), module).dtype == torch.bfloat16
    for module in (nn.Conv2d(8, 8, 1), nn.MaxPool2d(2), nn.Sequential(Chain()), Own()):
        assert suited(images.bfloat16(), module).dtype == torch.float32
        assert suited(images.double(), module).dtype == torch.float64


def test_a_convolution_of_uneven_padding_keeps_it_beside_kernels(kernels: Kernels) -> None:
    for kernel, groups in ((3, 1), (2, 1), (4, 8)):
        conv = UnevenConv2d(8, 8, kernel, border=(0, 1, 0, 1), stride=2, dilation=1, groups=groups, bias=False)
        chain, images = nn.Sequential(conv), torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(0))
        expected = chain(images)
        prepare(chain, kernels)
        torch.testing.assert_close(chain(images), expected)


@pytest.mark.parametrize("in_bf16", [False, True])
def test_branches_with_kernels_add_values_and_gradients(kernels: Kernels, in_bf16) -> None:
    def branches() -> Branches:
        torch.manual_seed(0)
        grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)  # stays with torch, in float32
        return Branches(
            {"conv": nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU()), "other": grouped, "none": nn.Sequential()}, "add"
        )

    given = torch.randn(3, 8, 5, 5, generator=torch.Generator().manual_seed(1))
    found, expected = given.clone().requires_grad_(), given.clone().requires_grad_()
    fast, plain = branches(), branches()
    prepare(fast, kernels, in_bf16=in_bf16)
    result, true = fast(found), plain(expected)
    result.sum().backward()
    true.sum().backward()
    within = 0.02 if in_bf16 else 1e-5
    torch.testing.assert_close(result.float(), true, rtol=within, atol=within)
    torch.testing.assert_close(found.grad, expected.grad, rtol=within, atol=within)


@pytest.mark.parametrize("kind", ["average", "max"])
def test_a_global_pool_with_kernels_takes_bfloat16_and_returns_float32(kernels: Kernels, kind) -> None:
    pool, images = GlobalPool2d(kind), torch.randn(2, 16, 4, 4).bfloat16()
    expected = pool(images.float())
    prepare(nn.Sequential(pool), kernels, in_bf16=True)
    assert pool(images).dtype == torch.float32
    torch.testing.assert_close(pool(images), expected)
    torch.testing.assert_close(pool(images[:, :3].float()), expected[:, :3])  # channels that fill no vector


def test_training_by_the_kernels_keeps_the_symmetry(kernels: Kernels) -> None:
    made = build(load_design(ARCH)).to(memory_format=torch.channels_last).train()
    prepare(made, kernels)
    images, labels = normal(8, 3, 16, 16), torch.arange(8)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1, momentum=0.9, fused=True)
    first = last = 0.0
    for step in range(20):
        loss = nn.functional.cross_entropy(made(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < first / 2
    put_back(made.eval())
    torch.testing.assert_close(made(images.flip(3)), made(images), rtol=1e-3, atol=1e-4)


def test_a_folded_norm_by_the_kernels_is_that_of_torch(kernels: Kernels) -> None:
    plain, fast = (nn.Sequential(PairedBatchNorm2d(16), nn.SiLU()) for _ in range(2))
    prepare(fast, kernels)
    images = normal(4, 32, 5, 6).contiguous(memory_format=torch.channels_last)
    results = [chain(images.clone().requires_grad_()) for chain in (plain, fast)]
    assert apart(results[1], results[0]) < 1e-5
    for name, value in plain.named_buffers():
        assert apart(fast.get_buffer(name).double(), value.double()) < 1e-5, name
    assert plain[0].running_mean.shape == (16,)
    with torch.no_grad():
        assert apart(fast.eval()(images), plain.eval()(images)) < 1e-5


def test_a_folded_norm_of_other_channels_stays_with_torch(kernels: Kernels) -> None:
    for channels, given in ((12, 24), (16, 40)):
        chain = nn.Sequential(PairedBatchNorm2d(channels), nn.ReLU())
        prepare(chain, kernels)
        images = normal(2, given, 3, 4)
        if given == 2 * channels:
            assert torch.equal(chain(images), torch.relu(PairedBatchNorm2d(channels)(images)))
        else:
            with pytest.raises(RuntimeError, match="running_mean"):
                chain(images)

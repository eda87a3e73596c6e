"""Recordings of steps by torch's own operations: what is repeated, what cannot be, where gradients and maps lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.training.recording import Recording, can_record, share_memory, storages_of

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def loss_of(network: nn.Module) -> Loss:
    def loss(images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        logits_BK = network(images_BCHW)
        return F.cross_entropy(logits_BK, labels_B), (logits_BK.argmax(1) == labels_B).sum()

    return loss


def batch(seed: int, count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 8, 8, generator=generator), torch.randint(0, 3, (count,), generator=generator)


def test_a_replay_is_the_step_for_another_batch_with_its_own_draws(tiny_network) -> None:
    plain, recorded = tiny_network(), tiny_network()
    recording = None
    for step in range(4):
        given = batch(step)
        torch.manual_seed(step)  # for the dropout
        value, correct = loss_of(plain)(*given)
        value.backward()
        torch.manual_seed(step)
        if recording is None:
            recording = Recording(loss_of(recorded), recorded, *given)
            found = recording.results
            assert recording.unrepeatable is None
        else:
            assert recording.suits(*given)
            found = recording.replay(*given)
        assert torch.equal(found[0], value)
        assert torch.equal(found[1], correct)
        for one, other in zip(recorded.parameters(), plain.parameters(), strict=True):
            assert one.grad is not None
            assert other.grad is not None
            assert torch.equal(one.grad, other.grad)
            assert one.grad.stride() == other.grad.stride()
            with torch.no_grad():
                one -= 0.1 * one.grad
                other -= 0.1 * other.grad
            one.grad = other.grad = None
    for name, value in plain.state_dict().items():
        assert torch.equal(recorded.state_dict()[name], value), name


def test_weights_that_are_used_twice_or_not_at_all() -> None:
    twice, never, frozen = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(False)

    def loss(images_BC: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        return frozen(twice(twice(images_BC))).square().mean(), labels_B.sum()

    network = nn.Sequential(twice, never, frozen)
    recording = Recording(loss, network, torch.ones(2, 4), torch.ones(2))
    images_BC = torch.randn(2, 4)
    recording.replay(images_BC, torch.ones(2))
    found, twice.weight.grad = twice.weight.grad, None
    loss(images_BC, torch.ones(2))[0].backward()
    assert found is not None
    assert twice.weight.grad is not None
    assert torch.equal(found, twice.weight.grad)
    assert never.weight.grad is None
    assert frozen.weight.grad is None


def test_gradients_lie_in_memory_as_their_weights_do(tiny_network) -> None:
    network = tiny_network().to(memory_format=torch.channels_last)
    Recording(
        lambda *given: ((network[0].weight.permute(1, 0, 2, 3).contiguous() ** 2).sum(), given[1]), network, *batch(0)
    )
    assert network[0].weight.grad.stride() == network[0].weight.stride()


def test_it_suits_its_own_shape_and_memory_only(tiny_network) -> None:
    network = tiny_network()
    recording = Recording(loss_of(network), network, *batch(0))
    images_BCHW, labels_B = batch(1)
    assert recording.suits(images_BCHW, labels_B)
    assert not recording.suits(*batch(1, count=5))
    assert not recording.suits(images_BCHW.double(), labels_B)
    assert not recording.suits(images_BCHW.contiguous(memory_format=torch.channels_last), labels_B)
    network.load_state_dict({name: value.clone() for name, value in network.state_dict().items()})
    assert recording.suits(images_BCHW, labels_B)
    network[0].weight.data = network[0].weight.data.clone()
    assert not recording.suits(images_BCHW, labels_B)


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda images: images * images.sum().item(), "aten._local_scalar_dense.default"),
        (lambda images: images * images[images > 0].sum(), "aten.index.Tensor"),
    ],
)
def test_what_depends_on_values_is_refused_and_still_done_once(tiny_network, operation, name: str) -> None:
    network = tiny_network()
    given = batch(0)
    recording = Recording(lambda images, labels: loss_of(network)(operation(images), labels), network, *given)
    assert recording.unrepeatable == name
    assert recording.results[0] > 0
    assert network[0].weight.grad is not None


class _Foreign(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images


def test_modules_that_may_do_more_than_operations_are_not_recorded(tiny_network) -> None:
    assert can_record(tiny_network())
    assert not can_record(nn.Sequential(tiny_network(), _Foreign()))
    hooked = tiny_network()
    hooked[1].register_forward_hook(lambda *_: None)
    assert not can_record(hooked)


def test_a_recorded_run_loads_no_compiler(printed_apart: Callable[[str], list[str]], tmp_path: Path) -> None:
    few = "data.shapes.train_images=256", "data.shapes.test_images=64", "train.epochs=1", "train.batch_size=64"
    places = f"hydra.run.dir={tmp_path}/run", f"study.storage=sqlite:///{tmp_path}/studies.db"
    code = f"""
import sys
from archsearch.run import main
from archsearch.training.recording import Recording
replays, replay = [], Recording.replay
Recording.replay = lambda *given: replays.append(1) or replay(*given)
code = main(["arch=brisk", "train.threads=1", *{[*few, *places]}])
print(code, len(replays) > 0, sorted({{"torch._dynamo", "torch._inductor", "sympy"}} & set(sys.modules)))
"""
    assert printed_apart(code)[-1] == "0 True []"


LARGE = 32 * 1024  # floats


class Sum:
    """A call that writes the sum of `terms` into `result`."""

    def __init__(self, result: Tensor, *terms: Tensor) -> None:
        self.result, self.terms, self.places = result, terms, 0

    def __call__(self) -> None:
        self.result.copy_(sum(self.terms))  # type: ignore[arg-type]

    def tensors(self) -> Iterable[Tensor]:
        return (self.result, *self.terms)

    def moved(self) -> None:
        self.places = self.result.data_ptr()


def chain(first: Tensor, length: int) -> tuple[list[Tensor], list[Sum]]:
    """Return maps each of which is the one before it plus `first`."""
    maps = [torch.empty(LARGE) for _ in range(length)]
    return maps, [Sum(own, before, first) for own, before in zip(maps, [first, *maps], strict=False)]


def test_a_chain_takes_two_maps_in_turn() -> None:
    first = torch.randn(LARGE)
    maps, calls = chain(first, 8)
    share_memory(calls, storages_of(maps), storages_of([maps[-1]]))
    assert len(storages_of(maps)) == 3  # the last is kept, and is nobody else's
    for _ in range(2):
        for call in calls:
            call()
        torch.testing.assert_close(maps[-1], 9 * first)
    assert all(call.places == call.result.data_ptr() for call in calls)


def test_views_move_with_their_map() -> None:
    first = torch.randn(LARGE)
    maps, calls = chain(first, 6)
    half = maps[4][LARGE // 2 :]
    result = torch.empty(LARGE // 2)
    calls.append(Sum(result, half))
    share_memory(calls, storages_of(maps), frozenset())
    for call in calls:
        call()
    assert half.untyped_storage().data_ptr() == maps[4].untyped_storage().data_ptr()
    torch.testing.assert_close(result, 6 * first[LARGE // 2 :])


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_kept_small_or_not_its_own_stays_where_it_is(kept: bool) -> None:
    first, small = torch.randn(LARGE), [torch.empty(4) for _ in range(3)]
    maps, calls = chain(first, 4)
    calls += [Sum(own, first[:4]) for own in small]
    before = [one.data_ptr() for one in (*maps, *small)]
    share_memory(
        calls, storages_of([*maps, *small]) if kept else frozenset(), storages_of(maps) if kept else frozenset()
    )
    assert [one.data_ptr() for one in (*maps, *small)] == before


def test_random_programs_give_what_they_gave() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        given = [torch.randn(LARGE, generator=generator) for _ in range(2)]
        maps, calls = list(given), []
        for _ in range(12):
            terms = [maps[int(i)] for i in torch.randint(len(maps), (2,), generator=generator)]
            size = LARGE if torch.rand(1, generator=generator) < 0.7 else 2 * LARGE
            maps.append(torch.empty(size)[:LARGE])
            calls.append(Sum(maps[-1], *terms))
        for call in calls:
            call()
        expected = [maps[-1].clone(), maps[-2].clone()]
        own = maps[2:]
        share_memory(calls, storages_of(own), storages_of(maps[-2:]))
        assert len(storages_of(own)) < len(own)
        for one in own[:-2]:
            one.fill_(torch.nan)  # whoever reads what was not written again would show it
        for call in calls:
            call()
        assert torch.equal(maps[-1], expected[0])
        assert torch.equal(maps[-2], expected[1])

"""CUDA graphs: refused where they cannot be, and on a GPU the same logits and gradients as without."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from archsearch.errors import RunError, SpecError
from archsearch.training.graphs import check_graphs, graph_network


def test_they_need_a_cuda_device_and_no_compiler() -> None:
    check_graphs(torch.device("cuda"), compiled=False)
    with pytest.raises(SpecError, match=r"train.cuda_graphs: needs a CUDA device, the run is on cpu"):
        check_graphs(torch.device("cpu"), compiled=False)
    with pytest.raises(SpecError, match=r"cannot be combined with train.compile"):
        check_graphs(torch.device("cuda"), compiled=True)


def test_a_recording_that_fails_says_so_and_leaves_no_trace(tiny_network, monkeypatch) -> None:
    def fail(module, sample) -> None:
        module(*sample).sum().backward()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fail)
    network = tiny_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(RunError, match=r"recording failed: operation not permitted when stream is capturing\. Set"):
        graph_network(network, torch.ones(4, 3, 8, 8), "fp32")
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_replay_gives_the_logits_and_gradients_of_the_network_itself(tiny_network, precision) -> None:
    plain, graphed = tiny_network().cuda(), tiny_network().cuda()
    for network in (plain, graphed):
        network[3].p = 0.0  # dropout: the two would draw apart
    images_BCHW, labels_B = torch.randn(16, 3, 8, 8, device="cuda"), torch.arange(16, device="cuda") % 3
    forward = graph_network(graphed, images_BCHW, precision)
    for _ in range(3):
        for network, way in ((plain, plain), (graphed, forward)):
            with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bf16"):
                logits_BK = way(images_BCHW)
            F.cross_entropy(logits_BK.float(), labels_B).backward()
            with torch.no_grad():
                for weight in network.parameters():
                    weight -= 0.1 * weight.grad
            network.zero_grad(set_to_none=True)
    tolerance = 1e-4 if precision == "fp32" else 2e-2
    torch.testing.assert_close(graphed.state_dict(), plain.state_dict(), rtol=tolerance, atol=tolerance)

from __future__ import annotations

import pytest
import torch

from archsearch.training.watch import FiniteWatch


@pytest.mark.parametrize(("value", "finite"), [(1.0, True), (float("inf"), False), (float("nan"), False)])
def test_the_cpu_is_read_at_once(value, finite):
    assert FiniteWatch(torch.device("cpu")).is_finite(torch.tensor(value)) is finite


@pytest.mark.cuda
def test_cuda_is_read_one_look_late():
    device = torch.device("cuda")
    watch = FiniteWatch(device)
    assert watch.is_finite(torch.tensor(float("nan"), device=device))
    torch.cuda.synchronize()
    assert not watch.is_finite(torch.tensor(1.0, device=device))
    torch.cuda.synchronize()
    assert watch.is_finite(torch.tensor(1.0, device=device))

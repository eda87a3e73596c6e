"""What every trial of a search would meet is refused before the first one."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from archsearch.cli.compose import Composer
from archsearch.errors import SpecError
from archsearch.settings.experiment import Experiment, decode_experiment
from archsearch.training import device
from hydra_plugins.archsearch_sweeper._preflight import require_usable


def experiment(**changes: Any) -> Experiment:
    composer = Composer()
    keys = {name.replace("__", "."): value for name, value in changes.items()}
    return decode_experiment(composer.compose(keys), composer.blocks)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: False)


def test_what_can_be_used_passes() -> None:
    require_usable(experiment(), searched=(), here=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train__device": "cuda"}, "train.device: 'cuda' was requested, but torch sees no CUDA device"),
        ({"train__device": "cpu", "train__precision": "fp16"}, "train.precision: fp16 needs a GPU"),
        ({"train__device": "cpu", "train__cuda_graphs": True}, "train.cuda_graphs: needs a CUDA device"),
    ],
)
def test_what_this_machine_lacks_is_told_unless_it_is_searched_over_or_the_jobs_run_elsewhere(
    changes: dict[str, Any], said: str
) -> None:
    asked = experiment(**changes)
    with pytest.raises(SpecError, match=said):
        require_usable(asked, searched=("seed",), here=True)
    require_usable(asked, searched=("train.device",), here=True)
    require_usable(asked, searched=(), here=False)


def test_a_tracker_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SpecError, match=r"needs the package mlflow.*pip install 'archsearch\[tracking\]'"):
        require_usable(experiment(tracking="mlflow"), searched=(), here=False)


def test_a_search_needs_images_to_compare_designs_by() -> None:
    with pytest.raises(SpecError, match=r"data.validation: is 0: .* the accuracy .* Set data.validation=0.1."):
        require_usable(experiment(data__validation=0), searched=(), here=True)
    require_usable(experiment(data__validation=0, study__objectives=["macs"]), searched=(), here=True)

"""Samplers of installed packages, found by entry points of the group `archsearch.samplers`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.samplers import BaseSampler
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch import plugins
from archsearch.errors import SpecError
from archsearch.plugins import SAMPLERS
from archsearch.search.loop import work
from archsearch.search.samplers.optuna_samplers import make_sampler
from archsearch.search.storage.reader import open_reader
from archsearch.search.storage.study import Study
from archsearch.settings.study import SamplerSettings

Install = Callable[..., Path]

EXAMPLE = Path(__file__).parents[2] / "plugins" / "example" / "archsearch_example" / "many_objectives.py"
BROKEN = """
def failing(settings, seed):
    raise ValueError("no licence")


def wrong(settings, seed):
    return "sampler"
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a package with samplers and returns its folder."""

    def make(name: str = "pack") -> Path:
        place = tmp_path / name
        record = place / f"{name}-1.2.dist-info"
        record.mkdir(parents=True)
        entries = "".join(f"{entry} = {name}_samplers:{entry}\n" for entry in ("nsgaiii", "failing", "wrong"))
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (record / "entry_points.txt").write_text(f"[{SAMPLERS}]\n{entries}")
        (place / f"{name}_samplers.py").write_text(EXAMPLE.read_text() + BROKEN)
        monkeypatch.syspath_prepend(str(place))
        plugins._entry_points.cache_clear()
        return place

    yield make
    plugins._entry_points.cache_clear()


def test_a_sampler_is_imported_only_when_it_is_made(install: Install) -> None:
    sys.modules.pop("pack_samplers", None)
    install()
    settings = SamplerSettings(name="nsgaiii")
    assert "pack_samplers" not in sys.modules
    assert isinstance(make_sampler(settings, seed=1), BaseSampler)


def test_a_misspelt_name_is_an_error_with_the_likeliest_name(install: Install) -> None:
    install()
    with pytest.raises(SpecError) as caught:
        SamplerSettings(name="nsgaiiii")
    assert str(caught.value) == "study.sampler.name: unknown value 'nsgaiiii'. Did you mean 'nsgaiii'?"
    with pytest.raises(SpecError, match="Did you mean 'footprint'"):
        SamplerSettings(name="footprints")


def test_a_built_in_name_needs_no_look_at_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_entry_points", lambda group: pytest.fail("the packages were looked through"))
    assert SamplerSettings(name="tpe").name == "tpe"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("failing", r"the sampler 'failing' of an installed package failed \(ValueError: no licence\)"),
        ("wrong", r"the entry point 'wrong' returned str, expected optuna\.samplers\.BaseSampler"),
    ],
)
def test_a_broken_sampler_is_an_error_with_its_name(install: Install, name: str, text: str) -> None:
    install()
    with pytest.raises(SpecError, match=rf"study\.sampler\.name: {text}\. Update or reinstall the package"):
        make_sampler(SamplerSettings(name=name), seed=1)


def test_a_search_trains_feasible_designs_once(install: Install, study: Study) -> None:
    install()
    task = FakeTask(most=8)
    work(study, make_sweep(make_settings("nsgaiii")), task, seed=1)
    assert len(task.trained) == 6
    assert len({json.dumps(one, sort_keys=True) for one in task.trained}) == 6
    assert all(task.size(one) <= 8 for one in task.trained)


def test_a_command_uses_it_by_its_name(install: Install, checkout: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout), str(install())])}
    small = [
        "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch.width=0.25",
        "constraints=none", "train.epochs=1", "train.batch_size=20", "train.device=cpu",
    ]  # fmt: skip
    varied = ["block=choice(normal,dilated)", "study.trials=1", "study.sampler.name=nsgaiii"]
    command = [sys.executable, "-m", "archsearch.run", "-m", *small, *varied]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert [trial.state for trial in open_reader().study().trials] == ["complete"]
    misspelt = [*command[:-1], "study.sampler.name=nsgaiiii"]
    done = subprocess.run(misspelt, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "study.sampler.name: unknown value 'nsgaiiii'. Did you mean 'nsgaiii'?" in done.stderr

"""The package of docs/extending.md: installed, and used by the commands, without a network."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

EXAMPLE = Path(__file__).resolve().parent / "example"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the example package is installed."""
    built, place = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    [wheel] = WheelBuilder(str(EXAMPLE)).build(directory=str(built), versions=["standard"])
    zipfile.ZipFile(wheel).extractall(place)
    return place


@pytest.fixture
def command(installed: Path, checkout: Path) -> Command:
    """Return a function that runs a command of archsearch in a process that finds the example package."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout), str(installed)])}

    def run(name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", f"archsearch.{name}", *overrides]
        return subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)

    return run


def test_a_data_set_and_a_tracker_are_used_by_name(command: Command) -> None:
    settings = ["train.epochs=2", "train.batch_size=32", "augment=none", "arch.width=0.25", "train.device=cpu"]
    done = command("run", "data.name=stripes", "tracking.name=csv", *settings)
    assert done.returncode == 0, done.stderr
    assert "data: stripes, 360 training images, 40 validation, 100 test" in done.stderr
    (file,) = Path("outputs/tracking/csv").iterdir()
    rows = list(csv.reader(file.read_text().splitlines()))
    assert [row[0] for row in rows if row[1] == "train_loss"] == ["1", "2"]
    assert ["result", "final/test_accuracy"] in [row[:2] for row in rows]
    assert rows[-1] == ["end", "state", "finished"]


def test_a_design_is_checked_against_the_data_set_s_shape(command: Command) -> None:
    done = command("show", "data.name=stripes", "--json")
    assert done.returncode == 0, done.stderr
    layers = json.loads(done.stdout)["layers"]
    assert (layers[0]["output_shape"][1:], layers[-1]["output_shape"]) == ([16, 16], [2, 1, 1])
    done = command("run", "data.name=stripes", "data.image_size=32")
    assert done.returncode == 2
    assert "stripes has images of 16x16 px, not 32x32. Set data.resize=true" in done.stderr


def test_an_objective_is_used_by_name(command: Command) -> None:
    settings = ["train.epochs=1", "train.batch_size=32", "augment=none", "arch.width=0.25", "train.device=cpu"]
    search = ["-m", "study.objectives=[accuracy,file_size]", "study.trials=1", "seed=choice(0,1)", "constraints=none"]
    done = command("run", "data.name=stripes", *settings, *search)
    assert done.returncode == 0, done.stderr
    shown = command("study", "show", "--json")
    (trial,) = json.loads(shown.stdout)["trials"]
    (weights,) = Path("outputs").rglob("model.safetensors")
    assert trial["values"]["file_size"] == weights.stat().st_size


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.name=strips", "data.name: unknown value 'strips'. Did you mean 'stripes'?"),
        ("tracking.name=cvs", "tracking.name: unknown value 'cvs'. Did you mean 'csv'?"),
        ("study.sampler.name=nsgaiiii", "study.sampler.name: unknown value 'nsgaiiii'. Did you mean 'nsgaiii'?"),
    ],
)
def test_a_near_miss_is_named(command: Command, override: str, message: str) -> None:
    done = command("run", "-m", "block=normal,dilated", override)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_documentation_shows_these_files(checkout: Path) -> None:
    text = (checkout / "docs" / "extending.md").read_text(encoding="utf-8")
    files = [file for file in EXAMPLE.rglob("*.*") if file.suffix in (".py", ".toml") and file.name != "__init__.py"]
    assert files
    missing = [file.name for file in files if file.read_text(encoding="utf-8").strip() not in text]
    assert not missing

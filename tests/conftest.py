"""What every test gets: an empty folder to run in, one thread, and a reason where it cannot run here."""

from __future__ import annotations

import functools
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import settings

if TYPE_CHECKING:
    from archsearch.kernels import Kernels

# Read when torch, numpy or matplotlib is first imported, so it is set before any test module is.
# Workers share the cores: more threads each would only take turns.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"  # where a test does ask for two threads
os.environ["MPLBACKEND"] = "Agg"

# Most objects of a session live to its end: to look for garbage among them takes a tenth of the time.
gc.set_threshold(100_000, 20, 50)

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start as well; some send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples at every run, no candidate on the clock, nothing stored in the checkout.
settings.register_profile("archsearch", derandomize=True, deadline=None, database=None)
settings.load_profile("archsearch")

_NEEDED_FOLDERS = {"cifar10": "ARCHSEARCH_CIFAR10", "cifar10_batches": "ARCHSEARCH_CIFAR10_BATCHES"}
ONE_PIXEL = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\b\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\2\0\1H\xaf\xa4q"
    b"\0\0\0\0IEND\xaeB`\x82"
)
_NEEDED_SETTINGS = {"postgres": "ARCHSEARCH_POSTGRES", "slow": "ARCHSEARCH_SLOW", "slurm": "ARCHSEARCH_SLURM"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked test where what it needs is not here, and say what that is."""
    for marker, variable in _NEEDED_FOLDERS.items():
        if item.get_closest_marker(marker):
            folder = os.environ.get(variable)
            if not folder:
                pytest.skip(f"{marker}: set {variable} to the folder of the images")
            if not Path(folder).is_dir():
                pytest.fail(f"{variable} names '{folder}', which is not a folder", pytrace=False)
    for marker, variable in _NEEDED_SETTINGS.items():
        if item.get_closest_marker(marker) and not os.environ.get(variable):
            pytest.skip(f"{marker}: set {variable} to run it")
    if item.get_closest_marker("cuda") and not _cuda_is_available():
        pytest.skip("cuda: torch finds no GPU")


@pytest.fixture(autouse=True, scope="session")
def parsed_once() -> Iterator[None]:
    """Parse equal texts of YAML once for all compositions of a session: the shipped files are in each of them."""
    from omegaconf import omegaconf

    texts: dict[tuple[str, object], Any] = {}

    def load(stream: Any, Loader: Any) -> Any:
        text = stream.read() if hasattr(stream, "read") else stream
        if (text, Loader.__name__) not in texts:
            if hasattr(stream, "seek"):
                stream.seek(0)  # read as it is: an error names the file
            texts[text, Loader.__name__] = yaml.load(stream, Loader=Loader)  # OmegaConf's own
        return texts[text, Loader.__name__]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(omegaconf, "yaml", SimpleNamespace(**{**vars(yaml), "load": load}))
        yield


@pytest.fixture(autouse=True)
def quick_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out matplotlib's part of a picture, half the time of a tiny run, where a test is not about pictures."""
    if "report" in request.path.parts or request.node.get_closest_marker("pictures"):
        return
    from archsearch.report.figures import render

    monkeypatch.setattr(render, "_rendered", lambda *_: ONE_PIXEL)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the test in an empty folder of its own, so that nothing is written into the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the top of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def kernels() -> Kernels:
    """Return the kernels; its test is skipped, with the reason, where this machine has no compiler for them."""
    from archsearch.errors import RunError  # here, since most tests load no torch
    from archsearch.kernels import load_kernels

    try:
        return load_kernels()
    except RunError as error:
        if "failed on the kernels" in str(error):
            raise
        pytest.skip(f"no kernels here: {error}")


@pytest.fixture
def printed_apart() -> Callable[[str], list[str]]:
    """Return a function that runs a program in a process of its own and returns the lines that it prints."""

    def run(program: str) -> list[str]:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    return run


@pytest.fixture
def write_files(tmp_path: Path) -> Callable[[Mapping[str, str]], None]:
    """Return a function that writes texts into files of the test's folder, by their paths in it."""

    def write(texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return write


@functools.cache
def _cuda_is_available() -> bool:
    import torch

    return torch.cuda.is_available()

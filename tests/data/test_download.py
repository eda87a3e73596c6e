"""Downloads of published data sets: checked, all or nothing, and never waited for without an answer."""

from __future__ import annotations

import contextlib
import functools
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archsearch.data import load_dataset, published
from archsearch.data.published import NotFound, load
from archsearch.errors import StorageError
from archsearch.settings.data import DataSettings, ShapesSettings
from archsearch.settings.datasets import PUBLISHED

ARCHIVE = "cifar-10-python.tar.gz"
Publish = Callable[..., Path]


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_request(self, code: Any = 0, size: Any = 0) -> None:  # keeps the tests' output free of requests
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Return a function that serves a folder over HTTP and returns its address."""
    running: list[http.server.ThreadingHTTPServer] = []

    def start(folder: Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that gives a data set other addresses."""

    def give(name: str, *addresses: str) -> None:
        monkeypatch.setitem(PUBLISHED, name, replace(PUBLISHED[name], mirrors=addresses))

    return give


@contextlib.contextmanager
def half_sent(mirrors: Any, *, hold: bool = False) -> Iterator[None]:
    """Let a server send the first half of CIFAR-10; it then breaks off, or stalls where it is to `hold` the line."""
    held: list[socket.socket] = []

    def answer(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            if hold:
                held.append(connection)
            else:
                connection.close()

    listening = socket.create_server(("127.0.0.1", 0))
    server = threading.Thread(target=answer, args=(listening,))
    server.start()
    mirrors("cifar10", f"http://127.0.0.1:{listening.getsockname()[1]}/")
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        server.join()
        for connection in held:
            connection.close()


def settings(tmp_path: Path, name: str = "cifar10", **changes: Any) -> DataSettings:
    return DataSettings(name=name, cache=str(tmp_path / "cache"), **changes)


def failure(tmp_path: Path, name: str = "cifar10") -> str:
    with pytest.raises(NotFound) as caught:
        load(name, settings(tmp_path, name))
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()], "nothing is left behind"
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "served", "kept"),
    [
        ("cifar10", ".", [ARCHIVE]),
        ("mnist", "MNIST/raw", [f"MNIST/raw/t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]),
        ("emnist_letters", "EMNIST/raw", ["EMNIST/raw/gzip.zip"]),
        ("svhn", ".", ["train_32x32.mat", "test_32x32.mat"]),
    ],
)
def test_a_missing_set_is_downloaded_and_kept(
    name: str, served: str, kept: list[str], publish: Publish, serve: Any, mirrors: Any, tmp_path: Path
) -> None:
    mirrors(name, serve(publish(name, tmp_path / "there", packed=True) / served))
    source = load(name, settings(tmp_path, name))
    assert len(source.train) == (15 if name == "cifar10" else 12)
    for file in kept:
        assert (tmp_path / "cache" / file).is_file()
    mirrors(name)
    (tmp_path / "cache" / f"{name}.images").unlink()
    assert load(name, settings(tmp_path, name)).digest == source.digest, "no download is needed any more"


def test_another_mirror_helps(publish: Publish, serve: Any, mirrors: Any, tmp_path: Path) -> None:
    there = publish("mnist", tmp_path / "there", packed=True) / "MNIST" / "raw"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    mirrors("mnist", f"http://127.0.0.1:{port}/", serve(tmp_path / "other"), serve(there))
    assert len(load("mnist", settings(tmp_path, "mnist")).train) == 12


def test_another_file_is_refused_and_not_kept(publish: Publish, serve: Any, mirrors: Any, tmp_path: Path) -> None:
    there = publish("cifar10", tmp_path / "there", packed=True)
    (there / ARCHIVE).write_bytes(b"something else")
    mirrors("cifar10", address := serve(there))
    assert f"{address}{ARCHIVE} (not the published file: its MD5 checksum differs)" in failure(tmp_path)


def test_an_address_without_the_file_is_named(serve: Any, mirrors: Any, tmp_path: Path) -> None:
    mirrors("cifar10", address := serve(tmp_path))
    assert f"{address}{ARCHIVE} (File not found)" in failure(tmp_path)


@pytest.mark.parametrize("address", ["nonsense/", "http://127.0.0.1:1/"])
def test_an_address_that_nobody_answers_at_is_named(address: str, mirrors: Any, tmp_path: Path) -> None:
    mirrors("cifar10", address)
    assert f"  {address}{ARCHIVE} (" in failure(tmp_path)


def test_a_server_that_does_not_answer_is_given_up(
    mirrors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "PATIENCE", 0.2)
    monkeypatch.setattr(published, "_reader", lambda known: pytest.fail("torchvision takes seconds to import"))
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as other:
        mirrors("mnist", *(f"http://127.0.0.1:{one.getsockname()[1]}/" for one in (silent, other)))
        began = time.monotonic()
        message = failure(tmp_path, "mnist")
        assert time.monotonic() - began < 2
        mirrors("cifar10", PUBLISHED["mnist"].mirrors[0])
        dataset = load_dataset(settings(tmp_path, "auto", shapes=ShapesSettings(train_images=60, test_images=20)))
    assert message.count("(no answer within 0.2 s)") == 2
    assert dataset.name == "shapes"


def test_a_server_that_breaks_off_is_named(
    publish: Publish, mirrors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("cifar10", tmp_path / "there", packed=True)
    with half_sent(mirrors):
        assert f"{ARCHIVE} (" in failure(tmp_path)


def test_a_server_that_stalls_is_given_up(
    publish: Publish, mirrors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("cifar10", tmp_path / "there", packed=True)
    monkeypatch.setattr(published, "PATIENCE", 0.1)
    with half_sent(mirrors, hold=True):
        assert f"{ARCHIVE} (timed out)" in failure(tmp_path)
        assert socket.getdefaulttimeout() is None


def test_a_full_disk_is_no_missing_set(
    publish: Publish, serve: Any, mirrors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import utils

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    mirrors("cifar10", serve(publish("cifar10", tmp_path / "there", packed=True)))
    monkeypatch.setattr(utils, "download_url", full)
    with pytest.raises(StorageError, match="the disk is full"):
        load("cifar10", settings(tmp_path))


def test_two_processes_may_download_at_once(publish: Publish, serve: Any, mirrors: Any, tmp_path: Path) -> None:
    mirrors("mnist", serve(publish("mnist", tmp_path / "there", packed=True) / "MNIST" / "raw"))
    with ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(lambda _: load("mnist", settings(tmp_path, "mnist")).digest, range(4)))
    assert len(digests) == 1
    left = {file.relative_to(tmp_path / "cache").parts[0] for file in (tmp_path / "cache").rglob("*") if file.is_file()}
    assert left == {"MNIST", "mnist.images"}, "nothing unfinished is left"


def test_a_download_that_ended_between_two_of_its_files_is_done_again(
    publish: Publish, serve: Any, mirrors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrors("mnist", serve(publish("mnist", tmp_path / "there", packed=True) / "MNIST" / "raw"))
    replace_file, moved = Path.replace, []

    def replace_once(path: Path, target: Path) -> Path:
        moved.append(path.name)
        if len(moved) > 1:
            raise KeyboardInterrupt
        return replace_file(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_once)
        with pytest.raises(KeyboardInterrupt):
            load("mnist", settings(tmp_path, "mnist"))
    [alone] = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert alone.name == moved[0]
    alone.write_bytes(b"and even this one is damaged")
    assert len(load("mnist", settings(tmp_path, "mnist")).train) == 12


@pytest.mark.parametrize("name", ["cifar10", "mnist", "svhn"])
def test_a_cache_that_cannot_be_written_is_named(
    name: str, publish: Publish, serve: Any, mirrors: Any, tmp_path: Path
) -> None:
    there = publish(name, tmp_path / "there", packed=True)
    mirrors(name, serve(there / ("MNIST/raw" if name == "mnist" else ".")))
    (tmp_path / "cache").write_text("a file in the place of the folder")
    for root in (None, str(there)):
        with pytest.raises(StorageError, match=rf"cache/{name}.images: cannot be written: .* data.cache=DIR"):
            load(name, settings(tmp_path, name, root=root))
